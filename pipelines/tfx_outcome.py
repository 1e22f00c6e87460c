"""What a run by TFX's LocalDagRunner says while it goes on, and what came of it. Runs in the `tfx` environment.

What came of it stands in TFX's metadata store (MLMD), also where TFX answered from its cache: no clock and no listing
of folders knows which of the models that were ever pushed is the one of this run.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import tensorflow_model_analysis as tfma
from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

_SAID = re.compile(r"Component (?P<name>\S+) is (?P<what>running|finished)\.$")


def outcome(metadata: Path) -> dict[str, Any]:
    """What came of the newest run in a metadata store.

    Returns:
        `pushed`: where its model was pushed to, None where it was not blessed; `kept`: Pusher's own copy of it;
        `failures`: a line for each limit of the Evaluator's that does not hold; `cached`: the components that were
        answered from the cache.
    """
    config = mlmd.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata)
    config.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READONLY
    store = MetadataStore(config)
    newest = max(store.get_contexts_by_type("pipeline_run"), key=lambda context: int(context.id))
    types = {kind.id: kind.name for kind in store.get_execution_types()}
    found: dict[str, Any] = {"pushed": None, "kept": None, "failures": [], "cached": []}
    for execution in sorted(store.get_executions_by_context(newest.id), key=lambda one: int(one.id)):
        kind = types[execution.type_id].rpartition(".")[2]
        if execution.last_known_state == mlmd.Execution.CACHED:
            found["cached"].append(kind)
        put_out = _put_out(store, execution.id)
        if kind == "Evaluator" and "evaluation" in put_out:
            found["failures"] = list(failures(put_out["evaluation"].uri))
        if kind == "Pusher" and put_out["pushed_model"].custom_properties["pushed"].int_value == 1:
            found["pushed"] = put_out["pushed_model"].custom_properties["pushed_destination"].string_value
            found["kept"] = put_out["pushed_model"].uri
    return found


def _put_out(store: Any, execution: int) -> dict[str, Any]:
    events = [event for event in store.get_events_by_execution_ids([execution]) if event.type == mlmd.Event.OUTPUT]
    artifacts = {item.id: item for item in store.get_artifacts_by_id([event.artifact_id for event in events])}
    return {event.path.steps[0].key: artifacts[event.artifact_id] for event in events}


def failures(evaluation: str) -> Iterator[str]:
    """What of the Evaluator's limits does not hold, a line for each."""
    for part in tfma.load_validation_result(evaluation).metric_validations_per_slice:
        keys = part.slice_key.single_slice_keys
        where = ", ".join(f"{key.column} {_plain(key)}" for key in keys) or "all rows"
        for failure in part.failures:
            value = failure.metric_value.double_value.value
            compared = "compared with the model before, " if failure.metric_key.is_diff else ""
            limit = re.sub(r"\s+", " ", str(failure.metric_threshold)).strip()
            yield f"{failure.metric_key.name} of {where}: {compared}{value:.5g}; expected {limit}"


def _plain(key: Any) -> Any:
    value = getattr(key, key.WhichOneof("kind"))
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class Progress(logging.Handler):
    """Writes a line when a component of TFX's starts, and another when it has ended."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(logging.INFO)
        self._stream, self._started = stream, time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`, with whatever TFX says."""
        match = _SAID.match(record.getMessage())
        if match is None:
            return
        if match["what"] == "running":
            self._started = time.monotonic()
            line = f"{match['name']} ..."
        else:
            line = f"{match['name']} {time.monotonic() - self._started:.1f} s"
        print(line, file=self._stream, flush=True)
