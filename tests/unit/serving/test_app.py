"""What the HTTP surface does when a client stalls, leaves, or finds a fault of ours; without sockets."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.bundle import LINEAGE, Bundle, write_bundle
from headrace.artifacts.folder import write_json
from headrace.serving.app import App, describe
from headrace.serving.scorer import Scorer
from headrace.serving.settings import Settings


class Exchange:
    """One request as an ASGI server would hand it over: these messages, and then nothing more."""

    def __init__(self, *messages: dict[str, Any], path: str = "/predict") -> None:
        self.messages = list(messages)
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": []}
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self.messages:
            await asyncio.sleep(60)
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    def answer(self, app: App) -> tuple[int, dict[bytes, bytes], Any]:
        asyncio.run(app(self.scope, self.receive, self.send))
        head, tail = self.sent
        return head["status"], dict(head["headers"]), json.loads(tail["body"])


def piece(data: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


@pytest.fixture
def app(binary: Bundle) -> App:
    return App(binary, Scorer(binary), Settings(max_body=100, body_seconds=0.1))


def test_a_client_that_stalls_is_told_and_dropped(app: App) -> None:
    status, headers, answer = Exchange(piece(b'{"inst')).answer(app)
    assert (status, headers[b"connection"]) == (408, b"close")
    assert answer == {"error": "body: expected all of it within 0.1 seconds. Received: 6 bytes"}


def test_a_client_that_leaves_is_not_scored(app: App) -> None:
    status, _, answer = Exchange(piece(b'{"inst'), {"type": "http.disconnect"}).answer(app)
    assert status == 400
    assert answer == {"error": "body: expected all of it. Received: the end of the connection"}


def test_a_body_is_counted_as_it_comes(app: App) -> None:
    assert Exchange(piece(b'{"instances"'), piece(b": []}", more=False)).answer(app)[0] == 200
    status, headers, answer = Exchange(piece(b" " * 60), piece(b" " * 60), piece(b"", more=False)).answer(app)
    assert (status, answer["error"]) == (413, "body: expected at most 100 bytes. Received: 120 bytes")
    assert b"connection" not in headers
    status, headers, answer = Exchange(*[piece(b" " * 60)] * 10).answer(app)
    assert (status, answer["error"]) == (
        413,
        "body: expected at most 100 bytes. Received: more than 400 bytes",
    )
    assert headers[b"connection"] == b"close"


def test_a_fault_of_ours_is_raised_and_counted(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the model is broken")

    monkeypatch.setattr(app._scorer, "run", broken)
    row = b'{"instances":[{"tenure":1,"spend per month":1,"is_new":null,"plan":null,"signup":null}]}'
    with pytest.raises(RuntimeError, match="the model is broken"):
        Exchange(piece(row, more=False)).answer(app)
    assert b'headrace_requests_total{status="500"} 1' in app._metrics.text()


def test_a_body_that_comes_at_once_is_limited_too(app: App) -> None:
    status, _, answer = Exchange(piece(b" " * 101, more=False)).answer(app)
    assert (status, answer["error"]) == (413, "body: expected at most 100 bytes. Received: 101 bytes")


@pytest.mark.parametrize(
    ("lineage", "expected"),
    [
        (None, {"null_values": [""], "separator": None}),
        ({"data": {"query": {}}}, {"null_values": [""], "separator": None}),
        (
            {"data": {"query": {"null_values": ["", "NA"], "separator": ";"}}},
            {"null_values": ["", "NA"], "separator": ";"},
        ),
    ],
)
def test_the_description_says_how_csv_was_read(
    lineage: dict[str, Any] | None, expected: dict[str, Any], binary: Bundle, tmp_path: Path
) -> None:
    with write_bundle(tmp_path / "model", {"name": "tiny"}) as folder:
        for name in binary.manifest.files:
            shutil.copyfile(binary.path / name, folder / name)
        if lineage is not None:
            write_json(folder / LINEAGE, lineage)
    assert describe(Bundle.open(tmp_path / "model"), "/predict")["csv"] == expected
