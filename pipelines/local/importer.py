"""KFP's importer: an artifact that lies somewhere already becomes one of the run's, as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.inputs import IN_WORKSPACE, in_workspace
from headrace.pipelines.local.ir.placeholders import WORKSPACE, resolve_value, task_constants
from headrace.pipelines.local.ir.values import as_text, tidy
from headrace.pipelines.local.record.results import ArtifactRecord
from headrace.pipelines.local.store import digests
from headrace.pipelines.local.tree import Artifacts, Node

STORAGE = "HEADRACE_STORAGE"  # variable: a folder in which buckets of Cloud Storage lie as folders, as an emulator's do


class ImportRefused(HeadraceError):
    """There is nothing at the place that an importer names."""


def import_artifact(node: Node, constants: Mapping[str, str]) -> Artifacts:
    """The output of an importer. A local artifact is hashed where it lies; a remote one has no digest.

    Where the pipeline says so, a local one is also copied into the run's workspace, and its readers get the copy.

    Raises:
        ImportRefused: no place is named, a local one at which there is nothing, or a remote one for the workspace.
    """
    executor = node.component.executor
    assert executor is not None
    constants = task_constants(constants, node.task.name, node.path)
    context = {"inputs": {"parameterValues": node.parameters}}
    given = executor.importer.get("artifactUri", {})
    constant = given.get("constant", given.get("constantValue", {}).get("stringValue", ""))
    uri = as_text(
        node.parameters.get(given.get("runtimeParameter", "uri"), resolve_value(constant, context, constants))
    )
    if uri.startswith("gs://") and (mounted := os.environ.get(STORAGE)):
        uri = str(Path(mounted, uri.removeprefix("gs://")))
    if not uri:
        raise ImportRefused("expected the place of an artifact to import. Received: an empty text")
    name, declared = next(iter(node.component.output_artifacts.items()))
    record = ArtifactRecord(
        name=name,
        type=declared.title,
        uri=uri,
        digest=None,
        metadata=resolve_value(tidy(dict(executor.importer.get("metadata", {}))), context, constants),
        schema=dict(declared.schema),
    )
    if record.path is not None:
        path = record.path.absolute()
        if not path.exists():
            raise ImportRefused(f"expected an artifact to import at {record.uri}. Received: nothing there")
        files, size = digests.extent(path)
        record = replace(record, uri=str(path), digest=digests.artifact_digest(path), files=files, bytes=size)
    if executor.workspace:
        record = _copied(record, constants[WORKSPACE])
    return {name: (record,)}


def _copied(record: ArtifactRecord, workspace: str) -> ArtifactRecord:
    """Copies a local artifact into the workspace; from now on its readers find it there."""
    if record.path is None:
        raise ImportRefused(
            f"expected an artifact of this machine to copy into the workspace. Received: {record.uri}, elsewhere"
        )
    place = Path(in_workspace(record.uri, workspace))
    place.parent.mkdir(parents=True, exist_ok=True)
    if record.path.is_dir():
        shutil.copytree(record.path, place, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(record.path, place)
    return replace(record, metadata={**record.metadata, IN_WORKSPACE: True})
