"""What a server of artifacts answers is a stranger's word: its names must not lead out of the folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from headrace.platforms.ledger.store import StoreError
from headrace.platforms.mlflow.store import MlflowStore


class Answers(BaseHTTPRequestHandler):
    """MLflow's service of artifacts, as far as a download asks for it: a list of names, and one content for each."""

    names: tuple[str, ...] = ()

    def do_GET(self) -> None:
        files = [{"path": name, "is_dir": False, "file_size": 4} for name in self.names]
        content = json.dumps({"files": files}).encode() if "?path=" in self.path else b"evil"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as service:
        thread = Thread(target=service.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{service.server_port}"
        service.shutdown()
        thread.join()


def test_artifacts_do_not_land_outside_the_folder(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, place = MlflowStore(server), tmp_path / "deep" / "er"
    place.mkdir(parents=True)
    monkeypatch.setattr(Answers, "names", ("model.onnx",))
    store.fetch("mlflow-artifacts:/1/run/artifacts/bundle", place / "bundle")
    assert (place / "bundle" / "model.onnx").read_bytes() == b"evil"  # the server is one that files come from
    for name in ("../../evil.txt", "../../../evil.txt", f"{tmp_path}/evil.txt", "%2e%2e/%2e%2e/%2e%2e/evil.txt"):
        monkeypatch.setattr(Answers, "names", ("model.onnx", name))
        with pytest.raises(StoreError, match="expected an MLflow registry that answers. Received: Invalid path"):
            store.fetch("mlflow-artifacts:/1/run/artifacts/bundle", place / "second")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["model.onnx"]
