"""KFP's importer: an artifact that lies somewhere already becomes one of the run's, as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import digests
from headrace.pipelines.local.placeholders import resolve_value
from headrace.pipelines.local.results import ArtifactRecord
from headrace.pipelines.local.tree import Artifacts, Node
from headrace.pipelines.local.values import as_text, tidy


class ImportRefused(HeadraceError):
    """There is nothing at the place that an importer names."""


def import_artifact(node: Node, constants: Mapping[str, str]) -> Artifacts:
    """The output of an importer. A local artifact is hashed where it lies; a remote one has no digest.

    Raises:
        ImportRefused: a local path at which there is nothing.
    """
    executor = node.component.executor
    assert executor is not None
    context = {"inputs": {"parameterValues": node.parameters}}
    constant = executor.importer.get("artifactUri", {}).get("constant", "")
    uri = node.parameters.get("uri", resolve_value(constant, context, constants))
    name, declared = next(iter(node.component.output_artifacts.items()))
    record = ArtifactRecord(
        name=name,
        type=str(declared.schema.get("schemaTitle", "system.Artifact")),
        uri=as_text(uri),
        digest=None,
        metadata=resolve_value(tidy(dict(executor.importer.get("metadata", {}))), context, constants),
        schema=dict(declared.schema),
    )
    if record.path is not None:
        if not record.path.exists():
            raise ImportRefused(f"expected an artifact to import at {record.uri}. Received: nothing there")
        files, size = digests.extent(record.path)
        record = replace(record, digest=digests.artifact_digest(record.path), files=files, bytes=size)
    return {name: (record,)}
