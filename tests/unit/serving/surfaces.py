"""The server's surface without sockets, for tests of what it answers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App
from headrace.serving.exchange import Request, Response
from headrace.serving.router import Router
from headrace.serving.served import Served
from headrace.serving.settings import Settings


def surface(bundle: Bundle | Path, **settings: Any) -> App:
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    made = Settings(**settings)
    return App(Router(Served(bundle, made)), made)


def answer_of(app: App, request: Request) -> Response:
    async def wait() -> Response:
        found = app.answer(request)
        return found if isinstance(found, Response) else await found

    return asyncio.run(wait())


def post(app: App, path: str, body: Any, headers: dict[bytes, bytes] | None = None) -> tuple[int, Any]:
    """The status, and the answer's JSON or its error."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = answer_of(app, Request("POST", path, data, headers))
    found = json.loads(answer.body)
    return answer.status, found.get("error", found)


def get(app: App, path: str) -> Any:
    answer = answer_of(app, Request("GET", path))
    assert answer.status == 200, answer
    return json.loads(answer.body)
