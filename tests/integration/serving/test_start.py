"""How the server process starts: its settings, what it says, and the one line when it will not."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bundle import body

from headrace.artifacts import folder
from headrace.artifacts.bundle import FORMAT
from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import predict
from headrace.serving.local import running_server
from tests.integration.serving.servers import GOOD, ask, connect, process, refused, url_of
from tests.ports import free_port


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use_is_one_line(workers: int, bundles: dict[str, Path]) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(bundles["binary"], "--port", port, "--workers", workers)
    expected = f"error: 127.0.0.1:{port}: expected a free port. Received: Address already in use."
    assert said == f"{expected} Give another with --port, or 0 for any."


def test_a_bundle_that_cannot_be_served_is_one_line(bundles: dict[str, Path], tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bundles["binary"], damaged)
    with (damaged / "matrix.onnx").open("ab") as file:
        file.write(b"\0")
    assert "matrix.onnx: expected content with sha256" in refused(damaged, "--port", 0)
    with folder.write_folder(tmp_path / "newer", FORMAT, 2, {}) as path:
        (path / "file").write_text("x")
    assert "Received: version 2. Upgrade headrace to read it." in refused(tmp_path / "newer", "--port", 0)
    assert "Received: none there" in refused(tmp_path / "none", "--port", 0)


def test_wrong_settings_are_one_line(bundles: dict[str, Path]) -> None:
    model = bundles["binary"]
    assert refused() == "error: model: expected a bundle's folder, or AIP_STORAGE_URI. Received: neither"
    assert refused(model, "--port", 70000) == "error: port: expected 0 to 65535. Received: 70000"
    assert refused(model, "--workers", 0) == "error: workers: expected 1 or more. Received: 0"
    assert refused(model, AIP_HTTP_PORT="x") == "error: AIP_HTTP_PORT: expected a port number. Received: x"
    assert "a path that begins with /. Received: predict" in refused(model, AIP_PREDICT_ROUTE="predict")
    assert "expected an address of this machine. Received: no.such.host.invalid" in refused(
        model, "--host", "no.such.host.invalid"
    )
    assert (
        "an address such as gs://BUCKET/FOLDER, s3://BUCKET/FOLDER or file:///FOLDER. Received: nope://a/b"
        in refused("nope://a/b")
    )


def test_vertex_says_where_and_what_through_the_environment(bundles: dict[str, Path]) -> None:
    port = free_port()
    environment = {
        "AIP_HTTP_PORT": str(port),
        "AIP_PREDICT_ROUTE": "/v1/endpoints/1/deployedModels/2:predict",
        "AIP_HEALTH_ROUTE": "/v1/endpoints/1/deployedModels/2",
        "AIP_STORAGE_URI": bundles["binary"].as_uri(),
        "AIP_DEPLOYED_MODEL_ID": "2",
    }
    with process(**environment) as started:
        url = url_of(started)
        assert url == f"http://127.0.0.1:{port}"
        assert ask(url, "GET", environment["AIP_HEALTH_ROUTE"])[0] == 200
        status, _, answer = ask(url, "POST", environment["AIP_PREDICT_ROUTE"], body(GOOD))
        assert (status, answer["deployedModelId"]) == (200, "2")
        assert answer["predictions"] == predict(url, [GOOD])
        assert predict(url + environment["AIP_PREDICT_ROUTE"], [GOOD]) == answer["predictions"]
        assert ask(url, "GET", "/")[2]["predict"] == environment["AIP_PREDICT_ROUTE"]


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(HeadraceError, match=r"server: expected it to start. Received: .*none there"),
        running_server(tmp_path),
    ):
        pytest.fail("there is nothing to serve")


def test_the_access_log_is_off_unless_asked_for(bundles: dict[str, Path]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "x-request-id": "mine-1", "user-agent": 'a"b'}
    for arguments, lines in (((), 0), (("--access-log",), 3)):
        with process(bundles["binary"], "--port", 0, *arguments) as started:
            url = url_of(started)
            ask(url, "POST", "/predict", body(GOOD), headers)
            ask(url, "GET", "/nope?token=secret")
            with connect(url) as client:
                client.sendall(b"rubbish\r\n\r\n")
                client.recv(1000)
            started.send_signal(signal.SIGTERM)
            _, err = started.communicate(timeout=10)
        said = [json.loads(line) for line in err.splitlines()]
        assert len(said) == lines and "secret" not in err
    first, second, third = said
    assert (first["message"], first["status"], first["level"]) == ("POST /predict 200", 200, "info")
    assert (first["request_id"], first["trace_id"], first["span_id"]) == ("mine-1", trace, "00f067aa0ba902b7")
    assert (first["agent"], first["model"], first["version"], first["peer"]) == ('a"b', "tiny", "3", "127.0.0.1")
    assert 0 < first["ms"] < 1000 and first["time"].endswith("Z")
    assert (second["path"], second["status"]) == ("/nope", 404)
    assert third["status"] == 400 and "method" not in third


@pytest.mark.parametrize("workers", [1, 2])
def test_who_starts_it_is_told_when_it_is_ready(workers: int, bundles: dict[str, Path]) -> None:
    code = (
        "import os, signal\n"
        "from headrace.serving.server import serve\n"
        "from headrace.serving.settings import Settings\n"
        "def ready(url):\n"
        "    print('ready', url, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        f"serve({str(bundles['binary'])!r}, Settings(port=0, workers={workers}), on_ready=ready)\n"
        "print('ended')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    first, second, third = ended.stdout.splitlines()
    assert first.endswith(second.removeprefix("ready"))
    assert (third, ended.returncode, ended.stderr) == ("ended", 0, "")
