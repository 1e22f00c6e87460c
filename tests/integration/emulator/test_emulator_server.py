"""The emulator's HTTP server, as a process: what it bears, and how it ends."""

import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

HEADRACE = [sys.executable, "-m", "headrace.pipelines.cli"]
# The emulator with routes of this test's own beside its others.
PROGRAM = """
import asyncio, sys, time, types
from pathlib import Path
from aiohttp import web
from headrace.artifacts.errors import HeadraceError
from headrace.emulator import server
from headrace.emulator.routing import Response, Route

def slow(emulator, call):
    Path(call.one("mark")).touch()
    time.sleep(float(call.one("seconds")))
    emulator.documents.create("Slow", call.one("mark"), {"made": True})
    Path(call.one("mark")).write_text("done")
    return {"done": True}

def fail(emulator, call):
    raise {"error": HeadraceError("a: expected b"), "defect": ZeroDivisionError("oh")}[call.params["how"]]

def echo(emulator, call):
    return {"length": len(call.body), "query": call.query, "json": call.one("json") and call.json, "path": call.path,
            "numbers": [float("nan"), float("-inf"), 1.5] if call.one("nan") else []}

async def stream(emulator, call):
    answer = web.StreamResponse()
    await answer.prepare(call.request)
    for number in range(int(call.one("count"))):
        await answer.write(b"x" * 65536)
        if call.one("fail"):
            raise ValueError("in the middle")
    await answer.write_eof()
    return answer

async def whole(emulator, call):
    return {"length": len(await call.request.read())}

sys.modules["headrace.emulator.testing"] = types.SimpleNamespace(ROUTES=(
    Route("GET", "/v1/slow", slow, ""), Route("GET", "/v1/fail/{how}", fail, ""), Route("POST", "/v1/echo", echo, ""),
    Route("GET", "/v1/echo", echo, ""), Route("GET", "/v1/stream", stream, ""), Route("POST", "/v1/whole", whole, ""),
))
server.MODULES += ("testing",)
server.serve(Path(sys.argv[1]), "127.0.0.1", 0, on_ready=lambda emulator: print(emulator.address, flush=True))
"""


@contextmanager
def emulator(state, argv=None):
    log = (state.parent / "log").open("w+")
    command = argv or [sys.executable, "-c", PROGRAM, str(state)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        line = process.stdout.readline()
        assert "http://" in line, (state.parent / "log").read_text()
        process.address = next(word.rstrip(",") for word in line.split() if word.startswith("http://"))
        process.port = int(process.address.rpartition(":")[2])
        process.log = state.parent / "log"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        log.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with emulator(tmp_path_factory.mktemp("served") / "state") as process:
        yield process


@pytest.fixture
def client(served):
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    yield connection
    connection.close()


def ask(client, method, path, body=None, headers=None):
    client.request(method, path, body, headers or {})
    answer = client.getresponse()
    return answer.status, answer.read(), answer


def test_health_over_one_connection(client):
    ask(client, "GET", "/")
    own = client.sock
    for path in ("/", "/healthz", "//healthz"):
        status, body, _ = ask(client, "GET", path)
        assert status == 200 and json.loads(body)["emulator"] == "headrace emulator"
    status, body, answer = ask(client, "HEAD", "/healthz")
    assert (status, body) == (200, b"") and int(answer.headers["Content-Length"]) > 0
    assert ask(client, "GET", "/healthz")[0] == 200 and client.sock is own


@pytest.mark.parametrize(
    ("path", "status", "code", "message"),
    [
        ("/v1/nothing", 501, "UNIMPLEMENTED", "GET /v1/nothing: the emulator does not serve this call"),
        ("/ui/projects/p/locations/l/operations/1", 404, "NOT_FOUND", "does not exist"),
        ("/v1/fail/error", 400, "FAILED_PRECONDITION", "a: expected b"),
        ("/v1/fail/defect", 500, "INTERNAL", "ZeroDivisionError: oh"),
        ("/v1/projects/p/locations/l/operations?filter=(", 400, "INVALID_ARGUMENT", "Invalid filter"),
    ],
)
def test_errors_as_google_writes_them(client, path, status, code, message):
    found, body, _ = ask(client, "GET", path)
    error = json.loads(body)["error"]
    assert (found, error["code"], error["status"]) == (status, status, code) and message in error["message"]


def test_errors_as_kubeflow_writes_them(client):
    status, body, _ = ask(client, "GET", "/apis/v9/nothing")
    assert status == 501 and json.loads(body)["code"] == 12 and "does not serve" in json.loads(body)["error"]


def test_a_web_page_is_refused(client):
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:8971"},
        {"Host": "127.0.0.1.evil.example"},
    ):
        status, body, _ = ask(client, "GET", "/healthz", headers=headers)
        assert status == 403 and json.loads(body)["error"]["status"] == "PERMISSION_DENIED"
    for host in ("localhost", "LOCALHOST:1", "127.0.0.9:80", "[::1]:80", "a.localhost"):
        assert ask(client, "GET", "/healthz", headers={"Host": host})[0] == 200


def test_bodies(client):
    status, body, _ = ask(client, "POST", "/v1/echo?a=1&a=2&b=%C3%A4%2F", b"x" * 3_000_000)
    assert status == 200 and json.loads(body)["length"] == 3_000_000
    assert json.loads(body)["query"] == {"a": ["1", "2"], "b": ["ä/"]}
    status, body, _ = ask(client, "POST", "/v1/echo?json=1", b"{")
    assert status == 400 and json.loads(body)["error"]["status"] == "INVALID_ARGUMENT"
    assert json.loads(ask(client, "GET", "/v1/echo?nan=1")[1])["numbers"] == ["NaN", "-Infinity", 1.5]
    chunks = (b"y" * 1000 for _ in range(100))
    assert json.loads(ask(client, "POST", "/v1/echo", chunks)[1])["length"] == 100_000
    assert ask(client, "GET", "/v1/echo?filter=" + "x" * 30_000)[0] == 200
    assert ask(client, "GET", "http://elsewhere.example/v1/echo?a=1", headers={"Host": "localhost"})[0] == 200


def test_a_body_that_is_too_large(served, client):
    client.putrequest("POST", "/v1/echo")
    client.putheader("Content-Length", str(300 * 1024 * 1024))
    client.endheaders()
    block = b"x" * 1024 * 1024
    with suppress(ConnectionError):
        for _ in range(300):
            client.sock.sendall(block)
    answer = client.getresponse()
    assert answer.status == 413 and json.loads(answer.read())["error"]["status"] == "INVALID_ARGUMENT"


def test_streams(served, client):
    status, body, _ = ask(client, "GET", "/v1/stream?count=20")
    assert status == 200 and len(body) == 20 * 65536
    assert json.loads(ask(client, "POST", "/v1/whole", b"x" * 100_000)[1])["length"] == 100_000
    with pytest.raises(http.client.IncompleteRead):  # an answer that broke off must not look whole
        ask(client, "GET", "/v1/stream?count=20&fail=1")
    client.close()
    assert ask(client, "GET", "/healthz")[0] == 200


def test_clients_that_leave(served, client, tmp_path):
    before = served.log.read_text()
    for request in (
        b"GET /v1/stream?count=2000 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nxx",
        b"POST /v1/whole HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nxx",
        f"GET /v1/slow?seconds=0.3&mark={tmp_path}/left HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"GET /v1/ec",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ):
        with socket.create_connection(("127.0.0.1", served.port)) as other:
            other.sendall(request)
            time.sleep(0.1)
    assert ask(client, "GET", "/healthz")[0] == 200
    # What had begun is done: the client cannot know how far it came.
    deadline = time.monotonic() + 60
    while (tmp_path / "left").read_text() != "done" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "left").read_text() == "done"
    assert served.log.read_text() == before, "a client that leaves is no error of ours"


def test_slow_requests_do_not_hold_up_others(served, client, tmp_path):
    def slow(number):
        other = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
        assert ask(other, "GET", f"/v1/slow?seconds=3&mark={tmp_path}/{number}")[0] == 200
        other.close()

    threads = [threading.Thread(target=slow, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for number in range(8):
        while not (tmp_path / str(number)).exists():
            time.sleep(0.01)
    assert ask(client, "POST", "/v1/whole", b"x")[0] == 200 and ask(client, "GET", "/healthz")[0] == 200
    assert not all((tmp_path / str(number)).read_text() for number in range(8)), "answered only after all of them"
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.iterdir())) == 8


def test_sigterm_while_it_works(tmp_path):
    """What it is at is answered, nobody new is let in, and the state is free for the next."""
    state = tmp_path / "state"
    with emulator(state) as process:
        answers = []

        def slow():
            client = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
            answers.append(ask(client, "GET", f"/v1/slow?seconds=1&mark={tmp_path}/mark")[:2])
            client.close()

        idle = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        assert ask(idle, "GET", "/healthz")[0] == 200
        thread = threading.Thread(target=slow)
        thread.start()
        while not (tmp_path / "mark").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        thread.join()
        assert answers == [(200, b'{"done": true}')]
        idle.close()
        with pytest.raises(ConnectionError):
            socket.create_connection(("127.0.0.1", process.port))
    with emulator(state):
        pass


def test_a_second_signal_ends_it_at_once(tmp_path):
    with emulator(tmp_path / "state") as process:
        client = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        client.request("GET", f"/v1/slow?seconds=30&mark={tmp_path}/mark")
        while not (tmp_path / "mark").exists():
            time.sleep(0.01)
        begun = time.monotonic()
        while process.poll() is None and time.monotonic() - begun < 20:  # two that come together are one
            process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert process.wait(timeout=1) == 128 + signal.SIGTERM
        client.close()


def test_the_command(tmp_path):
    state = tmp_path / "state"
    command = [*HEADRACE, "emulator", "--port", "0", "--state", str(state)]
    with emulator(state, command) as process:
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode == 1 and second.stdout == ""
        assert f"which has {process.address} (process {process.pid})" in second.stderr
        third = subprocess.run(
            [*HEADRACE, "emulator", "--port", str(process.port), "--state", str(tmp_path / "other")],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert third.returncode == 1 and "expected a free port. Received: " in third.stderr and "--port" in third.stderr
        os.kill(process.pid, signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(timeout=60) == 0
        assert f'api_endpoint="{process.address}"' in rest and 'api_transport="rest"' in rest
        assert (tmp_path / "log").read_text() == ""
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "below"):
        refused = subprocess.run(
            [*HEADRACE, "emulator", "--port", "0", "--state", str(bad)], capture_output=True, text=True, timeout=60
        )
        assert refused.returncode == 1 and "expected a folder to write to" in refused.stderr, refused.stderr


def test_a_full_disk_is_told_and_a_newer_state_is_left_alone(tmp_path):
    state = tmp_path / "state"
    limited = ["prlimit", "--fsize=600000", *HEADRACE, "emulator", "--quiet", "--port", "0", "--state", str(state)]
    with emulator(state, limited) as process:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        assert ask(connection, "POST", "/storage/v1/b?project=p", b'{"name": "bucket"}')[0] == 200
        upload = "/upload/storage/v1/b/bucket/o?uploadType=media&name=x"
        status, body, _ = ask(connection, "POST", upload, b"x" * 2_000_000)
        assert status == 507 and json.loads(body)["error"]["status"] == "RESOURCE_EXHAUSTED"
        status, body, _ = ask(connection, "GET", "/storage/v1/b/bucket/o")
        assert status == 200 and "items" not in json.loads(body)
        assert ask(connection, "POST", upload, b"small")[0] == 200
    assert not list((state / "gcs" / ".partial").iterdir())
    with sqlite3.connect(state / "emulator.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    command = [*HEADRACE, "emulator", "--port", "0", "--state", str(state)]
    newer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert newer.returncode == 1 and newer.stdout == "" and "--state" in newer.stderr, newer.stderr
    assert "Traceback" not in newer.stderr


def test_other_machines_reach_it_by_its_names_where_that_is_asked_for(tmp_path):
    """A container reaches it by the host's address, with whatever token its client has; a web page may not."""
    state = tmp_path / "state"
    with emulator(state, [*HEADRACE, "emulator", "--host", "0.0.0.0", "--port", "0", "--state", str(state)]) as process:
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
        for host in ("host.docker.internal:8971", "172.17.0.1:8971", "emulator.team.svc"):
            headers = {"Host": host, "Authorization": "Bearer x", "User-Agent": "Mozilla/5.0"}
            assert ask(connection, "GET", "/healthz", headers=headers)[0] == 200
            assert ask(connection, "GET", "/apis/v2beta1/experiments", headers=headers)[0] == 200
            for one in ({"Origin": f"http://{host}"}, {"Sec-Fetch-Site": "same-site"}):
                assert ask(connection, "GET", "/healthz", headers={**headers, **one})[0] == 403


def test_a_loopback_address_of_ipv6_is_one(tmp_path):
    state = tmp_path / "state"
    with emulator(state, [*HEADRACE, "emulator", "--host", "::1", "--port", "0", "--state", str(state)]) as process:
        connection = http.client.HTTPConnection("::1", process.port, timeout=30)
        assert ask(connection, "GET", "/healthz")[0] == 200
        assert ask(connection, "GET", "/healthz", headers={"Host": "evil.example"})[0] == 403


def test_nothing_heavy_is_imported(tmp_path):
    """It starts in less than a second, and clients' libraries are not its own."""
    code = "import sys; import headrace.emulator.server as s; s.routes(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {
        "google.protobuf",
        "kfp",
        "numpy",
        "pandas",
        "pyarrow",
        "onnxruntime",
        "requests",
        "pydantic",
    }
    assert not heavy & loaded
