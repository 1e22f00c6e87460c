"""As much of Vertex AI as we use, over HTTP on this machine, for the real client: what it keeps is what it was sent.

https://cloud.google.com/vertex-ai/docs/reference/rest. Pipelines and jobs stay pending until a test says otherwise;
models, versions, aliases and the metadata store are those of `vertex_models`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.integration.platforms.vertex_metadata import metadata_service
from tests.integration.platforms.vertex_models import Models

_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."
_KINDS = (
    "pipelineJobs",
    "customJobs",
    "batchPredictionJobs",
    "schedules",
    "endpoints",
    "modelDeploymentMonitoringJobs",
)
_FIRST = {
    "pipelineJobs": "PIPELINE_STATE_PENDING",
    "customJobs": "JOB_STATE_PENDING",
    "batchPredictionJobs": "JOB_STATE_PENDING",
    "schedules": "ACTIVE",
    "modelDeploymentMonitoringJobs": "JOB_STATE_RUNNING",
}
_CREATED = "2026-11-22T01:02:03.500Z"
PARENT = "projects/demo/locations/us-central1"


class Vertex(Models):
    """The service. `kept` has its resources by kind and id; tests change their states."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _KINDS}
        self.refuse: dict[str, tuple[int, str]] = {}  # a part of the path -> status and message
        self._ids = itertools.count(101)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        status, value = self._answered(method, path, body)
        if path.startswith("/v1beta1/") and "@type" in value.get("response", {}):
            kind = value["response"]["@type"].replace("aiplatform.v1.", "aiplatform.v1beta1.")
            value = {**value, "response": {**value["response"], "@type": kind}}
        return status, value

    def _answered(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(path)
        for part, (status, message) in self.refuse.items():
            if part in f"{method} {unquote(parts.path)}":
                return status, _error(status, message)
        name, _, action = re.sub(r"^/(v1beta1|v1)/", "", unquote(parts.path)).partition(":")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        pieces = name.split("/")
        kind = next((one for one in reversed(pieces) if one in _KINDS), "")
        if action == "upload":
            body["model"].setdefault("supportedDeploymentResourcesTypes", ["DEDICATED_RESOURCES"])
        if not kind or "metadataStores" in pieces or "tensorboards" in pieces:
            return super().answer(method, path, body)
        if pieces[-1] == kind:
            return self._collection(kind, method, query, body)
        found = self.kept[kind].get(pieces[-1])
        if found is None:
            return 404, _error(404, f"The {kind} {name} does not exist.")
        if action:
            return self._do(kind, action, found, body)
        if method == "PATCH":
            for field in query["updateMask"].split(","):
                field = _camel(field)
                found[field] = body.get(field, {})
            return 200, found if kind == "endpoints" else _done(name, kind, found)
        if method == "DELETE":
            del self.kept[kind][pieces[-1]]
            return 200, _empty(name)
        return 200, found

    def _collection(self, kind: str, method: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if method == "GET":
            items = [one for one in self.kept[kind].values() if self._matches(one, query.get("filter", ""))]
            return 200, {kind: items[::-1] if "desc" in query.get("orderBy", "") else items}
        id = query.get("pipelineJobId") or str(next(self._ids))
        if id in self.kept[kind]:
            return 409, _error(409, f"{id} already exists.")
        made = {**body, "name": f"{PARENT}/{kind}/{id}", "createTime": _CREATED}
        if kind in _FIRST:
            made["state"] = _FIRST[kind]
        self.kept[kind][id] = made
        return 200, _done(made["name"], "endpoints", made) if kind == "endpoints" else made

    def _do(self, kind: str, action: str, found: dict[str, Any], body: Any) -> tuple[int, Any]:
        if action == "cancel":
            found["state"] = f"{'PIPELINE' if kind == 'pipelineJobs' else 'JOB'}_STATE_CANCELLED"
        elif action in ("pause", "resume"):
            found["state"] = "PAUSED" if action == "pause" else "ACTIVE"
        elif action == "deployModel":
            id = str(next(self._ids))
            deployed = {**body["deployedModel"], "id": id, "createTime": _CREATED}
            found.setdefault("deployedModels", []).append(deployed)
            if sum(body["trafficSplit"].values()) != 100:
                return 400, _error(400, "The traffic split has to add up to 100.")
            found["trafficSplit"] = {id if key == "0" else key: share for key, share in body["trafficSplit"].items()}
            return 200, _done(found["name"], "deploy", {"deployedModel": deployed})
        elif action == "undeployModel":
            split = body.get("trafficSplit", {})
            if sum(split.values()) not in (0, 100) or split.get(body["deployedModelId"]):
                return 400, _error(400, "The model still has traffic.")
            found["deployedModels"] = [one for one in found["deployedModels"] if one["id"] != body["deployedModelId"]]
            found["trafficSplit"] = split
            return 200, _done(found["name"], "undeploy", {})
        elif action == "predict":
            [first, *_] = [one for one in found["deployedModels"] if found["trafficSplit"].get(one["id"])]
            model, _, version = first["model"].partition("@")
            answers = [{"score": 0.25, "row": row} for row in body["instances"]]
            about = {"deployedModelId": first["id"], "model": model, "modelVersionId": version}
            return 200, {"predictions": answers, **about}
        else:
            return 501, _error(501, action)
        return 200, {}

    def _matches(self, resource: dict[str, Any], filter: str) -> bool:
        """A conjunction of equalities, which is all that we ask for."""
        for term in filter.split(" AND ") if filter else []:
            key, _, value = term.partition("=")
            value = value.strip('"')
            if key == "pipeline_name":
                has: Any = resource["pipelineSpec"]["pipelineInfo"]["name"]
            elif key.startswith("labels."):
                has = resource.get("labels", {}).get(key.removeprefix("labels."))
            else:
                has = resource.get(_camel(key))
            if has != value:
                return False
        return True


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(one.capitalize() for one in rest)


def _done(name: str, kind: str, response: dict[str, Any]) -> dict[str, Any]:
    types = {
        "endpoints": "Endpoint",
        "deploy": "DeployModelResponse",
        "undeploy": "UndeployModelResponse",
        "modelDeploymentMonitoringJobs": "ModelDeploymentMonitoringJob",
    }
    return {"name": f"{name}/operations/1", "done": True, "response": {"@type": _TYPES + types[kind], **response}}


def _empty(name: str) -> dict[str, Any]:
    response = {"@type": "type.googleapis.com/google.protobuf.Empty"}
    return {"name": f"{name}/operations/1", "done": True, "response": response}


def _error(code: int, message: str) -> dict[str, Any]:
    words = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}
    return {"error": {"code": code, "message": message, "status": words.get(code, "UNIMPLEMENTED")}}


@contextmanager
def vertex_service() -> Iterator[Vertex]:
    """The service, on a port of its own, while the block runs."""
    with metadata_service(Vertex()) as service:
        assert isinstance(service, Vertex)
        yield service
