"""As much of Vertex AI's metadata API as experiments need, over HTTP on this machine, for the real client to talk to.

Contexts, artifacts and executions are kept as they are sent. PATCH replaces what its mask names; metadata is merged by
the client, not here. https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.metadataStores
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_COLLECTIONS = ("contexts", "artifacts", "executions", "experiments", "runs", "timeSeries", "tensorboards")


class Metadata:
    """What the service keeps. `down` makes it answer everything with an error."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}  # name -> resource
        self.children: dict[str, list[str]] = {}  # context -> its child contexts
        self.artifacts: dict[str, list[str]] = {}  # context -> its artifacts
        self.written: list[Any] = []  # of TensorBoards
        self.requests: list[tuple[str, str, Any]] = []
        self.down: tuple[int, str] | None = None
        self.url = ""

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All resources of a kind: contexts, artifacts, executions."""
        return [value for name, value in self.resources.items() if name.split("/")[-2] == kind]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name, _, action = parts.path.removeprefix("/v1/").partition(":")
        if action:
            return self._act(action, name, body)
        if method == "GET" and name.endswith("/metadataStores/default"):
            return 200, {"name": name}
        if method == "GET":
            return self._get(name, query)
        if method == "POST":
            return self._create(name, query, body)
        if method == "PATCH":
            fields = query["updateMask"].split(",") if "updateMask" in query else body  # the client sends a mask or all
            self.resources[name].update({field: body[field] for field in fields if field in body})
            return 200, self.resources[name]
        return 501, _error(501, f"{method} {path}")

    def _get(self, name: str, query: dict[str, str]) -> tuple[int, Any]:
        kind = name.rpartition("/")[2]
        if kind in _COLLECTIONS:
            key = {
                "experiments": "tensorboardExperiments",
                "runs": "tensorboardRuns",
                "timeSeries": "tensorboardTimeSeries",
            }
            within = [r for r in self.of(kind) if r["name"].startswith(name)]
            return 200, {key.get(kind, kind): [r for r in within if self._fits(r, query.get("filter", ""))]}
        if name not in self.resources:
            return 404, _error(404, f"{name} not found")
        return 200, self.resources[name]

    def _fits(self, resource: dict[str, Any], filter: str) -> bool:
        schema = re.search(r'schema_title="([^"]+)"', filter)
        parent = re.search(r'parent_contexts:"([^"]+)"', filter)
        within = re.search(r'in_context\("([^"]+)"\)', filter)
        name = resource["name"]
        return (
            (schema is None or resource.get("schemaTitle") == schema.group(1))
            and (parent is None or name in self.children.get(parent.group(1), []))
            and (within is None or name in self.artifacts.get(within.group(1), []))
        )

    def _create(self, collection: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        given = [value for key, value in query.items() if key.endswith("Id")]
        id = given[0] if given else f"{len(self.resources)}"
        name = f"{collection}/{id}"
        if name in self.resources:
            return 409, _error(409, f"{name} already exists")
        self.resources[name] = {**body, "name": name}
        return 200, self.resources[name]

    def _act(self, action: str, name: str, body: Any) -> tuple[int, Any]:
        if action == "addContextChildren":
            self.children.setdefault(name, []).extend(body["childContexts"])
        elif action == "addContextArtifactsAndExecutions":
            self.artifacts.setdefault(name, []).extend(body.get("artifacts", []))
        elif action.startswith("write"):
            self.written.append(body)
        elif action.startswith("queryContextLineageSubgraph"):
            return 200, {"artifacts": [self.resources[a] for a in self.artifacts.get(name, [])]}
        else:
            return 501, _error(501, action)
        return 200, {}


def _error(code: int, message: str) -> dict[str, Any]:
    status = {403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS", 501: "UNIMPLEMENTED"}[code]
    return {"error": {"code": code, "message": message, "status": status}}


@contextmanager
def metadata_service(service: Metadata | None = None) -> Iterator[Metadata]:
    """The service, or a larger one that is given, on a port of its own, while the block runs."""
    service = service or Metadata()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            size = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(size) or b"null")
            service.requests.append((self.command, self.path, body))
            status, value = (
                (service.down[0], _error(*service.down))
                if service.down
                else service.answer(self.command, self.path, body)
            )
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked may have ended meanwhile
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            """Nothing: the tests look at `requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
