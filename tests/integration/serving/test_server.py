"""The server as a process: its routes, limits, signals and start, over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tiny_bundle import INPUTS, body, random_instances

from headrace.artifacts import folder
from headrace.artifacts.bundle import FORMAT, Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import Client, predict
from headrace.serving.local import running_server
from headrace.serving.verify import verify_samples

GOOD = {"tenure": 12, "spend per month": 1020.5, "is_new": True, "plan": "pro", "signup": "2022-03-01"}


@pytest.fixture(scope="module")
def url(bundles: dict[str, Path]) -> Iterator[str]:
    with running_server(bundles["binary"]) as url:
        yield url


def ask(
    url: str, method: str, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, path, data, headers or {})
        response = connection.getresponse()
        text = response.read()
        kind = response.headers["content-type"]
        found = {name.lower(): value for name, value in response.headers.items()}
        return response.status, found, json.loads(text) if kind == "application/json" and text else text
    finally:
        connection.close()


@contextmanager
def process(*arguments: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "headrace.serving", *map(str, arguments)]
    started = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def url_of(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    line = started.stdout.readline()
    assert " at http://" in line, started.communicate()
    return line.rpartition(" at ")[2].strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_samples_are_answered_as_the_trained_model_did(kind: str, bundles: dict[str, Path]) -> None:
    with running_server(bundles[kind]) as url:
        report = verify_samples(url, Bundle.open(bundles[kind]), requests=30)
    assert report.passed, report.mismatches
    assert report.requests == 30
    assert 0 < report.p50_ms <= report.p99_ms < 10_000


def test_the_root_describes_the_model(url: str, binary: Bundle) -> None:
    status, _, about = ask(url, "GET", "/")
    assert status == 200
    assert (about["name"], about["version"], about["digest"]) == ("tiny", "3", binary.digest)
    assert [(item["name"], item["type"]) for item in about["inputs"]] == [(i.name, i.type) for i in INPUTS]
    assert (about["task"], about["classes"], about["predict"]) == ("classification", ["0", "1"], "/predict")
    assert about["outputs"] == [{"name": "probabilities", "type": "number", "size": 2}]


def test_health(url: str) -> None:
    for path in ("/health", "/healthz"):
        assert ask(url, "GET", path)[::2] == (200, {"status": "ok"})
    assert ask(url, "HEAD", "/health")[0] == 200


def test_a_wrong_path_method_or_body_says_so(url: str) -> None:
    routes = "GET /, GET /metrics, GET /health, GET /healthz, POST /predict"
    assert ask(url, "GET", "/nope")[::2] == (404, {"error": f"expected one of {routes}. Received: /nope"})
    status, headers, answer = ask(url, "GET", "/predict")
    assert (status, answer) == (405, {"error": "expected POST /predict. Received: GET"})
    assert headers["allow"] == "POST"
    assert ask(url, "POST", "/health", b"{}")[0] == 405
    status, _, answer = ask(url, "POST", "/predict", body({**GOOD, "tenure": "abc"}))
    assert (status, answer) == (
        400,
        {"error": 'instances[0].tenure: expected a number or null. Received: "abc"'},
    )
    assert ask(url, "POST", "/predict", b"")[0] == 400
    assert ask(url, "POST", "/predict", b'{"instances":[]}')[::2][1]["predictions"] == []


def test_the_content_type_does_not_matter(url: str) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        assert ask(url, "POST", "/predict", body(GOOD), {"Content-Type": kind})[0] == 200


def test_a_body_in_pieces_is_put_together(url: str) -> None:
    instances = random_instances(INPUTS, 3000, seed=2)
    data = body(*instances)
    assert len(data) > 200_000
    whole = ask(url, "POST", "/predict", data)[2]["predictions"]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    pieces = (data[i : i + 10_000] for i in range(0, len(data), 10_000))
    connection.request("POST", "/predict", pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["predictions"] == whole
    connection.close()
    assert len(whole) == 3000


def rss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def test_a_body_over_the_limit_is_refused_without_being_held(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0, "--max-body", 1_000_000) as started:
        url = url_of(started)
        before = rss_mib(started.pid)
        expected = {"error": "body: expected at most 1000000 bytes. Received: 3500000 bytes"}
        large = b" " * 3_500_000
        assert ask(url, "POST", "/predict", large)[::2] == (413, expected)
        chunks = [large[:500_000]] * 7
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        connection.request("POST", "/predict", iter(chunks), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (413, expected)
        connection.request("POST", "/predict", body(GOOD))  # the connection is still good
        assert connection.getresponse().status == 200
        connection.close()
        assert rss_mib(started.pid) - before < 3  # MiB: less than the body


def test_ten_megabytes_are_refused_by_default(url: str) -> None:
    status, _, answer = ask(url, "POST", "/predict", b"x" * 10_000_000)
    assert (status, answer) == (
        413,
        {"error": "body: expected at most 8388608 bytes. Received: 10000000 bytes"},
    )


def test_a_huge_body_is_refused_before_it_is_sent(url: str) -> None:
    host, _, port = urlsplit(url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n" + b" " * 100_000)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


def connect(url: str) -> socket.socket:
    host, _, port = urlsplit(url).netloc.partition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_until(client: socket.socket, ending: bytes) -> bytes:
    received = b""
    while not received.endswith(ending):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def test_a_client_that_waits_for_leave_gets_it(url: str) -> None:
    data = body(GOOD)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(data)}\r\n\r\n"
    with connect(url) as client:
        client.sendall(head.encode())
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(data)
        assert read_until(client, b"}").startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_order(url: str) -> None:
    first, second = body(GOOD), b'{"instances": []}'
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
    with connect(url) as client:
        client.sendall(head.format(len(first)).encode() + first + head.format(len(second)).encode() + second)
        client.sendall(b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert 0 < received.index(b'"label"') < received.index(b'{"predictions":[],')
    assert received.endswith(b"connection: close\r\n\r\n")


def test_a_client_that_leaves_early_harms_nobody(url: str) -> None:
    for _ in range(20):
        with connect(url) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    for rubbish in (
        b"\0\0\0\0",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ):
        with connect(url) as client:
            client.sendall(rubbish)
            client.recv(65536)
    assert len(predict(url, [GOOD])) == 1


def test_many_clients_get_their_own_answers(url: str) -> None:
    instances = random_instances(INPUTS, 64, seed=11)
    expected = predict(url, instances)

    def work(start: int) -> bool:
        with Client(url) as client:
            order = [(start + step) % 64 for step in range(64)]
            return [client.predict([instances[i]])[0] for i in order] == [expected[i] for i in order]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))


def test_metrics_count_what_was_answered(bundles: dict[str, Path], binary: Bundle) -> None:
    with running_server(bundles["binary"]) as url:
        predict(url, [GOOD, {**GOOD, "plan": "platinum"}])
        predict(url, [])
        ask(url, "POST", "/predict", b"{")
        ask(url, "GET", "/predict")
        ask(url, "GET", "/nope")
        status, headers, text = ask(url, "GET", "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    values = dict(line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#"))
    assert values['headrace_requests_total{status="200"}'] == "2"
    assert values['headrace_requests_total{status="400"}'] == "1"
    assert values['headrace_requests_total{status="405"}'] == "1"
    assert values["headrace_rows_total"] == "2"
    assert values["headrace_unseen_categories_total"] == "1"
    assert values["headrace_latency_seconds_count"] == values['headrace_latency_seconds_bucket{le="+Inf"}'] == "2"
    assert float(values["headrace_latency_seconds_sum"]) > 0
    assert values[f'headrace_model_info{{model="tiny",version="3",digest="{binary.digest}"}}'] == "1"


def test_a_request_in_flight_is_answered_when_the_server_is_stopped(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0) as started:
        host, _, port = urlsplit(url_of(started)).netloc.partition(":")
        data = body(GOOD)
        with (
            socket.create_connection((host, int(port)), timeout=20) as client,
            socket.create_connection((host, int(port)), timeout=20) as idle,
        ):
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
            client.sendall(head.encode() + data[:20])
            time.sleep(0.2)
            started.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert started.poll() is None  # it waits
            with pytest.raises(OSError):
                socket.create_connection((host, int(port)), timeout=2).close()  # and takes no more
            client.sendall(data[20:])
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b'"predictions"' in answer  # head and body in one piece
            assert idle.recv(10) == b""
        assert started.wait(10) == 0
        assert started.stderr is not None
        assert started.stderr.read() == ""


def test_ctrl_c_ends_it_quietly(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0) as started:
        url_of(started)
        started.send_signal(signal.SIGINT)
        assert started.wait(10) == 0
        assert started.communicate() == ("", "")


def refused(*arguments: object, **environment: str) -> str:
    """What the server says when it will not start: one line, with exit code 1."""
    with process(*arguments, **environment) as started:
        out, err = started.communicate(timeout=30)
        assert (started.returncode, out, err.count("\n")) == (1, "", 1), err
        return err.strip()


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
    assert "expected a folder or a file:// address. Received: gs://bucket/model." in refused("gs://bucket/model")


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


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_workers_share_a_port_and_are_replaced(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0, "--workers", 2) as started:
        url = url_of(started)
        workers = children(started.pid)
        assert len(workers) == 2
        assert all(len(predict(url, [GOOD])) == 1 for _ in range(20))
        time.sleep(5.0)  # a worker that dies younger is not replaced
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(children(started.pid)) == 2 and workers[0] not in children(started.pid))
        wait_until(lambda: len(predict(url, [GOOD])) == 1)
        started.send_signal(signal.SIGTERM)
        assert started.wait(10) == 0
        assert started.stderr is not None
        assert f"worker {workers[0]} ended with status -9; starting another" in started.stderr.read()
    assert gone(workers[1])


def test_a_worker_that_cannot_live_stops_the_server(bundles: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundles["binary"], broken)
    (broken / "matrix.onnx").write_bytes(b"no graph")
    (broken / "manifest.json").unlink()
    folder.seal(broken, FORMAT, 1, {})
    with process(broken, "--port", 0, "--workers", 2) as started:
        out, err = started.communicate(timeout=30)
    assert (started.returncode, out) == (1, "")
    assert "expected a graph that ONNX Runtime can load" in err
    assert "error: worker: expected it to load the model. Received: its end; see above" in err
    assert "Traceback" not in err


def test_the_server_of_a_killed_process_ends_too(bundles: dict[str, Path]) -> None:
    code = (
        "import sys, time; from headrace.serving.local import running_server\n"
        f"with running_server({str(bundles['binary'])!r}) as url: print(url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://")
        (server,) = children(parent.pid)
        parent.kill()
    wait_until(lambda: gone(server))


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(HeadraceError, match=r"server: expected it to start. Received: .*none there"),
        running_server(tmp_path),
    ):
        pytest.fail("there is nothing to serve")


def test_the_running_server_is_gone_afterwards(bundles: dict[str, Path]) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), running_server(bundles["binary"]) as url:
        predict(url, [GOOD])
        raise ZeroDivisionError
    with pytest.raises(HeadraceError, match=r"connection refused. Start one with `headrace serve MODEL`"):
        predict(url, [GOOD])
    assert threading.active_count() == before


def test_the_access_log_is_off_unless_asked_for(bundles: dict[str, Path]) -> None:
    for arguments, lines in (((), 0), (("--access-log",), 1)):
        with process(bundles["binary"], "--port", 0, *arguments) as started:
            predict(url_of(started), [GOOD])
            started.send_signal(signal.SIGTERM)
            _, err = started.communicate(timeout=10)
        assert err.count("POST /predict HTTP/1.1") == lines


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
