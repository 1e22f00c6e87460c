"""The IR's resolvers: artifacts of earlier runs, found by what is asked of them. TFX's pipelines have some.

On Vertex AI a query goes to the project's metadata; here to the record of this home, and there to earlier runs of the
pipeline of the same name: the model of another pipeline is no baseline for this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from headrace.pipelines.local.inputs import as_executor_input
from headrace.pipelines.local.ir.graph import UnsupportedPipeline
from headrace.pipelines.local.ir.placeholders import PlaceholderError, resolve_text
from headrace.pipelines.local.ir.queries import DEMAND
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import SUCCEEDED, ArtifactRecord
from headrace.pipelines.local.tree import Artifacts, Node


def resolve_artifacts(node: Node, record: Record, pipeline: str) -> Artifacts:
    """The outputs of a resolver: for each the newest artifact that fits, or none."""
    executor = node.component.executor
    assert executor is not None
    context = {"inputs": {"parameterValues": node.parameters, "artifacts": as_executor_input(node.artifacts)}}
    found: Artifacts = {}
    for name in node.component.output_artifacts:
        query = executor.resolver.get(name, {}).get("filter", "")
        try:
            demands = [_demand(part) for part in resolve_text(query, context, {}).split(" AND ")]
        except PlaceholderError:  # what the query goes by was itself not found
            found[name] = ()
            continue
        fitting = (one for one in _earlier(record, pipeline) if all(demand(one) for demand in demands))
        first = next(fitting, None)
        found[name] = () if first is None else (first,)
    return found


def _demand(text: str) -> Callable[[ArtifactRecord], bool]:
    match = DEMAND.fullmatch(text.strip())
    if match is None:
        raise UnsupportedPipeline(f"expected a query of a known form. Received: {text}")
    wanted = match["quoted"] if match["quoted"] is not None else match["word"]
    if match["field"] == "schema_title":
        return lambda one: one.type == wanted
    if match["field"] == "name":
        return lambda one: one.uri == wanted  # by this name TFX's tasks are told of artifacts: see `inputs`
    if match["field"] == "state":
        return lambda one: one.path is None or one.path.exists()
    return lambda one: _fits(one.metadata, match["key"], match["type"], wanted)


def _fits(metadata: Mapping[str, Any], key: str, kind: str, wanted: str) -> bool:
    value = metadata.get(key)
    if kind == "number_value":
        return isinstance(value, int | float) and not isinstance(value, bool) and float(value) == float(wanted)
    return value == wanted


def _earlier(record: Record, pipeline: str) -> Iterator[ArtifactRecord]:
    """What tasks of earlier runs of a pipeline have put out, the newest run's first."""
    for run in record.runs():
        if run.pipeline != pipeline:
            continue
        for task in record.run(run.id).tasks.values():
            if task.state == SUCCEEDED and task.leaf:
                yield from (item for items in task.artifacts.values() for item in items)
