"""How the server process stops, and how its workers are replaced: no request is lost, no process stays."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import onnx
import pytest
from tiny_bundle import body

from headrace.artifacts import folder
from headrace.artifacts.bundle import FORMAT
from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import predict
from headrace.serving.local import running_server
from tests.integration.serving.servers import GOOD, children, gone, process, url_of, wait_until


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
        assert started.wait(60) == 0
        assert started.stderr is not None
        assert started.stderr.read() == ""


def test_ctrl_c_ends_it_quietly(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0) as started:
        url_of(started)
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == 0
        assert started.communicate() == ("", "")


def test_workers_share_a_port_and_are_replaced(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0, "--workers", 2) as started:
        url = url_of(started)
        workers = children(started.pid)
        assert len(workers) == 2
        assert all(len(predict(url, [GOOD])) == 1 for _ in range(20))
        os.kill(workers[0], signal.SIGKILL)
        wait_until(lambda: len(children(started.pid)) == 2 and workers[0] not in children(started.pid))
        wait_until(lambda: len(predict(url, [GOOD])) == 1)
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
        assert started.stderr is not None
        assert f"worker {workers[0]} ended with status -9; starting another" in started.stderr.read()
    assert gone(workers[1])


def test_workers_that_die_again_and_again_are_replaced_until_that_is_hopeless(bundles: dict[str, Path]) -> None:
    code = (
        "from headrace.serving import workers, server, settings\n"
        "workers.MOST_YOUNG = 3\n"
        f"server.serve({str(bundles['binary'])!r}, settings.Settings(port=0, workers=2))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        url = url_of(started)
        killed: list[int] = []
        for number in range(4):
            wait_until(lambda: len({*children(started.pid)} - {*killed}) == 2)
            assert len(predict(url, [GOOD])) == 1
            killed.append(sorted({*children(started.pid)} - {*killed})[number % 2])
            os.kill(killed[-1], signal.SIGKILL)
        _, err = started.communicate(timeout=20)
    assert started.returncode == 1
    assert err.count("starting another in") == 3
    assert "expected it to live. Received: its end with status -9" in err and "like the 3 before it" in err


def test_a_worker_that_cannot_live_stops_the_server(bundles: dict[str, Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundles["binary"], broken)
    node = onnx.helper.make_node("Add", ["matrix", "made_by_nobody"], ["probabilities"])
    ends = [onnx.helper.make_tensor_value_info(name, 1, [None, 4]) for name in ("matrix", "probabilities")]
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:])), broken / "matrix.onnx")
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


def test_the_running_server_is_gone_afterwards(bundles: dict[str, Path]) -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), running_server(bundles["binary"]) as url:
        predict(url, [GOOD])
        raise ZeroDivisionError
    with pytest.raises(HeadraceError, match=r"connection refused. Start one with `headrace serve MODEL`"):
        predict(url, [GOOD])
    assert threading.active_count() <= before
