"""Kubeflow Pipelines' API (v2beta1) where it goes wrong, or is not as the emulator has it, for the real client.

Answers that are lost, statuses, tokens, several users, the nodes that pods leave: what `headrace emulator` never does.

https://www.kubeflow.org/docs/components/pipelines/reference/api/kubeflow-pipeline-api-spec/
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_START = datetime(2026, 11, 22, 6, tzinfo=UTC)


@dataclass
class Pipelines:
    """Experiments and runs, and what was asked."""

    url: str = ""
    token: str = ""  # that requests need; empty: none
    multi_user: bool = False
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    fail: list[int] = field(default_factory=list)  # statuses of the next answers
    lose: bool = False  # the next answer to a new run: it is made, and nobody hears of it

    def answer(self, method: str, target: str, headers: Any, body: Any) -> tuple[int, Any]:
        parts = urlsplit(target)
        if parts.path == "/healthz":  # outside of the API: whether it is an emulator; it is none
            return 404, {}
        path = parts.path.removeprefix("/apis/v2beta1/")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append((method, path, body))
        if self.fail:
            return self.fail.pop(0), {"error": "broken", "code": 13, "message": "broken", "details": []}
        if self.token and headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {"code": 16, "message": "Request header error: there is no user identity header."}
        if path == "healthz":
            return 200, {"multi_user": self.multi_user}
        kind, _, rest = path.partition("/")
        if self.multi_user and method == "GET" and not rest and not {"namespace", "experiment_id"} & set(query):
            return 400, {"code": 3, "message": "In multi-user mode, this needs a namespace."}
        kept, key, listed = {
            "experiments": (self.experiments, "experiment_id", "experiments"),
            "runs": (self.runs, "run_id", "runs"),
        }[kind]
        if not rest:
            return self._create(kept, key, body) if method == "POST" else self._list(kept, listed, query)
        if rest not in kept:
            return 404, {"code": 5, "message": f"{kind} {rest} not found."}
        return 200, kept[rest]

    def _create(self, kept: dict[str, Any], key: str, body: Any) -> tuple[int, Any]:
        id = str(uuid.UUID(int=len(self.requests)))
        made = {**body, key: id, "created_at": _time(len(self.requests))}
        if key == "run_id":
            made["state"] = "PENDING"
        kept[id] = made
        if key == "run_id" and self.lose:
            self.lose = False
            return 503, {"message": "upstream connect error"}
        return 200, made

    def _list(self, kept: dict[str, Any], listed: str, query: dict[str, str]) -> tuple[int, Any]:
        found = list(kept.values())
        if "desc" in query.get("sort_by", ""):
            found.reverse()
        for one in json.loads(query.get("filter", "{}")).get("predicates", []):
            assert one["operation"] in (1, "EQUALS")
            found = [item for item in found if item.get(one["key"]) == one["stringValue"]]
        if id := query.get("experiment_id"):
            found = [item for item in found if item.get("experiment_id") == id]
        start, size = int(query.get("page_token") or 0), int(query.get("page_size") or 20)
        more = {"next_page_token": str(start + size)} if start + size < len(found) else {}
        return 200, {listed: found[start : start + size], "total_size": len(found), **more}


def _time(number: int) -> str:
    return (_START + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")


@contextmanager
def pipelines_service() -> Iterator[Pipelines]:
    """The API, on a port of its own, while the block runs."""
    service = Pipelines()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = service.answer(self.command, self.path, self.headers, body)
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _any

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
