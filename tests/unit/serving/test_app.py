"""What the surface answers, without sockets: faults of ours, other paths and methods, how CSV was read."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.bundle import LINEAGE, Bundle, write_bundle
from headrace.artifacts.folder import write_json
from headrace.serving import app as surface
from headrace.serving.app import App
from headrace.serving.exchange import Request, Response, Soon
from headrace.serving.protocols.operations import describe
from headrace.serving.router import Router
from headrace.serving.served import Served
from headrace.serving.settings import Settings

ROW = b'{"instances":[{"tenure":1,"spend per month":1,"is_new":null,"plan":null,"signup":null}]}'


@pytest.fixture
def app(binary: Bundle) -> App:
    settings = Settings()
    return App(Router(Served(binary, settings)), settings)


def ask(app: App, method: str, path: str, body: bytes = b"") -> tuple[int, dict[bytes, bytes], Any]:
    answer = app.answer(Request(method, path, body))
    assert isinstance(answer, Response)
    return answer.status, dict(answer.headers), json.loads(answer.body)


def test_a_fault_of_ours_is_answered_told_and_counted(
    app: App, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the model is broken")

    monkeypatch.setattr(app.router.main.scorer, "run", broken)
    status, _, answer = ask(app, "POST", "/predict", ROW)
    assert (status, answer) == (
        500,
        {"error": "expected to answer. Received: a fault of the server's, which its log tells"},
    )
    assert "RuntimeError: the model is broken" in capsys.readouterr().err
    page = app.answer(Request("GET", "/metrics"))
    assert isinstance(page, Response)
    assert any(b'status="500"' in line and line.endswith(b" 1") for line in page.body.splitlines())


def test_another_path_or_method_is_told_what_there_is(app: App) -> None:
    status, headers, answer = ask(app, "PUT", "/predict")
    assert (status, headers[b"allow"]) == (405, b"POST")
    assert answer == {"error": "expected POST /predict. Received: PUT"}
    status, _, answer = ask(app, "GET", "/" + "x" * 5000)
    assert status == 404 and "POST /predict" in answer["error"] and len(answer["error"]) < 2000


def test_a_large_request_is_scored_beside_the_event_loop(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    scorer: Any = app.router.main.scorer
    run = scorer.run

    def noted(inputs: Any) -> Any:
        threads.append(threading.current_thread().name)
        return run(inputs)

    monkeypatch.setattr(scorer, "run", noted)
    monkeypatch.setattr(surface, "LARGE", 1000)
    row = json.loads(ROW)["instances"][0]
    few, many = (json.dumps({"instances": [row] * count}).encode() for count in (2, 50))

    async def both() -> tuple[Any, Any]:
        small, large = (app.answer(Request("POST", "/predict", body)) for body in (few, many))
        assert isinstance(small, Soon) and not isinstance(large, Response | Soon)
        return await small, await large

    small, large = asyncio.run(both())
    large_at = [name.startswith("large-requests") for name in threads].index(True)
    assert threads[1 - large_at] == threading.current_thread().name
    assert json.loads(large.body)["predictions"] == json.loads(small.body)["predictions"][:1] * 50
    wrong = many.replace(b"null", b'"x"', 1)

    async def refused() -> Response:
        answer = app.answer(Request("POST", "/predict", wrong))
        assert not isinstance(answer, Response)
        return await answer

    assert asyncio.run(refused()).status == 400


@pytest.mark.parametrize(
    ("lineage", "expected"),
    [
        (None, {"null_values": [""], "separator": None, "decimal": ".", "pointed": [], "trim": False, "types": {}}),
        (
            {"data": {"query": {}}},
            {"null_values": [""], "separator": None, "decimal": ".", "pointed": [], "trim": False, "types": {}},
        ),
        (
            {
                "data": {
                    "query": {
                        "null_values": ["", "NA"],
                        "separator": ";",
                        "decimal": ",",
                        "trim": True,
                        "pointed": ["plan", "gone"],
                    }
                }
            },
            {
                "null_values": ["", "NA"],
                "separator": ";",
                "decimal": ",",
                "pointed": ["plan"],
                "trim": True,
                "types": {},
            },
        ),
        (
            {"data": {"query": {"types": {"tenure": "amount", "plan": "string", "other": "amount"}}}},
            {
                "null_values": [""],
                "separator": None,
                "decimal": ".",
                "pointed": [],
                "trim": False,
                "types": {"tenure": "amount"},
            },
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
