"""Artifacts that runs of Kubeflow Pipelines made."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from headrace.emulator import pipeline_runs
from headrace.emulator.documents import Document
from headrace.emulator.kfp.resources import BASE, RUN, get, in_namespace, listed, written
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Route
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

_FIELDS = {name: name for name in ("artifact_id", "uri", "type")} | {"id": "artifact_id", "name": "name"}
_TYPES = {
    "system.Model": "Model",
    "system.Dataset": "Dataset",
    "system.HTML": "HTML",
    "system.Markdown": "Markdown",
    "system.Metrics": "Metric",
    "system.ClassificationMetrics": "ClassificationMetric",
    "system.SlicedClassificationMetrics": "SlicedClassificationMetric",
}
_READ = "Failed to read an artifact"
_MOST = 64 * 1024 * 1024  # bytes of one that is read: it is sent as text


def artifact_id(artifact: ArtifactRecord) -> str:
    """An artifact's number: of its place, content and metadata. It is the same in every run that has the artifact."""
    text = json.dumps(asdict(artifact), sort_keys=True, default=str)
    return str(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1)


def _all(emulator: Emulator, namespace: str) -> list[Document]:
    """Each once, with the run that made it; the newest first."""
    found: dict[str, Document] = {}
    runs = [run for run in emulator.documents.list(RUN) if in_namespace(run, namespace)]
    for run in reversed(runs):
        result = _result(emulator, run["run_id"])
        if result is None:
            continue
        for task in result.tasks.values():
            if not task.leaf:
                continue
            made = written(task.started + task.seconds) if task.started else run["created_at"]
            for artifact in (one for several in task.artifacts.values() for one in several):
                id = artifact_id(artifact)
                found.setdefault(id, _shown(artifact, id, run["namespace"], made))
    return list(reversed(found.values()))


def _shown(artifact: ArtifactRecord, id: str, namespace: str, made: str) -> Document:
    return {
        "artifact_id": id,
        "name": artifact.name,
        "type": _TYPES.get(artifact.type, "Artifact"),
        "uri": artifact.uri,
        "metadata": dict(artifact.metadata),
        "created_at": made,
        "namespace": namespace,
    }


def _list(emulator: Emulator, call: Call) -> Document:
    return listed(call, _all(emulator, call.one("namespace")), "artifacts", _FIELDS)


def _get(emulator: Emulator, call: Call) -> Document:
    id = call.params["artifact"]
    for one in _all(emulator, ""):
        if one["artifact_id"] == id:
            return one
    raise Refusal("NOT_FOUND", f"Failed to get an artifact: ResourceNotFoundError: Artifact {id} not found.")


def _read(emulator: Emulator, call: Call) -> Document:
    """The bytes of an output that is one file: `node` is a task's identity or name."""
    from headrace.emulator.kfp.task_details import task_details

    run, node, name = call.params["run"], call.params["node"], call.params["artifact"]
    get(emulator.documents, RUN, run, _READ)
    result = _result(emulator, run)
    named = {one["task_id"]: one["display_name"] for one in task_details(run, result)} if result else {}
    for task in result.tasks.values() if result else ():
        if node in (task.name, task.path) or named.get(node) == task.name:
            for artifact in task.artifacts.get(name, ()):
                return {"data": base64.b64encode(_content(artifact)).decode()}
    raise Refusal("NOT_FOUND", f"{_READ}: ResourceNotFoundError: artifact {name} of node {node} not found.")


def _content(artifact: ArtifactRecord) -> bytes:
    path = artifact.path
    if path is None or not path.is_file():
        raise Refusal("FAILED_PRECONDITION", f"{_READ}: {artifact.uri} is not one file on this machine")
    if path.stat().st_size > _MOST:
        raise Refusal(
            "FAILED_PRECONDITION", f"{_READ}: {artifact.uri} has more than {_MOST // 2**20} MiB; read it there"
        )
    return path.read_bytes()


def _result(emulator: Emulator, run: str) -> RunResult | None:
    return pipeline_runs.result(emulator, f"kfp/runs/{run}")


ROUTES = (
    Route("GET", f"{BASE}/artifacts", _list, "ArtifactService.list_artifacts"),
    Route("GET", f"{BASE}/artifacts/{{artifact}}", _get, "ArtifactService.get_artifact"),
    Route(
        "GET",
        f"{BASE}/runs/{{run}}/nodes/{{node}}/artifacts/{{artifact}}:read",
        _read,
        "RunService.read_artifact",
    ),
)
