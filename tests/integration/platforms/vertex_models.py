"""As much of Vertex AI's Model Registry as we use, beside its metadata, over HTTP on this machine, for the real client.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.models
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.integration.platforms.vertex_metadata import Metadata, metadata_service

_TYPES = "type.googleapis.com/google.cloud.aiplatform.v1."


class Models(Metadata):
    """Models and their versions. What is asked at the same time is answered one after the other, as by a database."""

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, dict[int, dict[str, Any]]] = {}  # name -> version -> resource
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        with self._lock:
            parts = urlsplit(path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            name, _, action = unquote(parts.path).removeprefix("/v1/").partition(":")
            if "/models" not in name:
                return super().answer(method, path, body)
            if action == "upload":
                return self._upload(name, body)
            name, _, version = name.partition("@")
            if name not in self.models:
                return 404, _error(404, "NOT_FOUND", f"{name} is not found.")
            if action == "listVersions":
                return 200, {"models": list(self.models[name].values())}
            return self._one(method, action, name, version, query, body)

    def _one(self, method: str, action: str, name: str, version: str, query: Any, body: Any) -> tuple[int, Any]:
        if method == "PATCH":
            version = body.get("versionId", "")
        number = self._number(name, version)
        if number is None:
            return 404, _error(404, "NOT_FOUND", f"{name}@{version} is not found.")
        found = self.models[name][number]
        if method == "GET":
            return 200, found
        if method == "PATCH":
            for field in query["updateMask"].split(","):
                found[field] = body[field]
            return 200, found
        if action == "mergeVersionAliases":
            return self._alias(name, number, body["versionAliases"])
        if action == "deleteVersion" or method == "DELETE":
            del self.models[name][number]
            return 200, _done(name, "google.protobuf.Empty", {})
        return 501, _error(501, "UNIMPLEMENTED", f"{method} {action}")

    def _alias(self, name: str, number: int, changes: list[str]) -> tuple[int, Any]:
        for change in changes:
            aliases = self.models[name][number]["versionAliases"]
            if change.startswith("-"):
                aliases.remove(change[1:])
                continue
            for other in self.models[name].values():
                other["versionAliases"] = [alias for alias in other["versionAliases"] if alias != change]
            self.models[name][number]["versionAliases"].append(change)
        return 200, self.models[name][number]

    def _upload(self, collection: str, body: Any) -> tuple[int, Any]:
        parent = body.get("parentModel")
        name = parent or f"{collection}/{body['modelId']}"
        if parent is None and name in self.models:
            return 409, _error(409, "ALREADY_EXISTS", f"{name} already exists.")
        versions = self.models.setdefault(name, {})
        number = max(versions, default=0) + 1
        aliases = list(body["model"].get("versionAliases", []))
        versions[number] = {**body["model"], "name": name, "versionId": str(number), "versionAliases": aliases}
        response = {"model": name, "modelVersionId": str(number)}
        return 200, _done(name, f"{_TYPES}UploadModelResponse", response)

    def _number(self, name: str, version: str) -> int | None:
        versions = self.models[name]
        if not version:
            version = "default"
        if version.isdigit():
            return int(version) if int(version) in versions else None
        return next((number for number, item in versions.items() if version in item["versionAliases"]), None)

    def _fits(self, resource: dict[str, Any], filter: str) -> bool:
        if filter.startswith("display_name="):
            return bool(resource.get("displayName") == filter.partition("=")[2].strip('"'))
        return super()._fits(resource, filter)


def _done(name: str, kind: str, response: dict[str, Any]) -> dict[str, Any]:
    type_url = kind if kind.startswith("type.") else f"type.googleapis.com/{kind}"
    return {"name": f"{name}/operations/1", "done": True, "response": {"@type": type_url, **response}}


def _error(code: int, status: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status}}


@contextmanager
def model_service() -> Iterator[Models]:
    """The service, on a port of its own, while the block runs."""
    with metadata_service(Models()) as service:
        assert isinstance(service, Models)
        yield service
