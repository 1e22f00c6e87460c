"""A running server changes its model: no request is lost, and what cannot be loaded never answers."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tiny_bundle import body, write_tiny_bundle

from headrace.artifacts import folder
from headrace.artifacts.bundle import FORMAT
from headrace.serving.client import predict
from tests.integration.serving.servers import GOOD, ask, children, url_of, wait_until

# Follows a file that holds a bundle's path and its version, as `headrace serve` follows an endpoint.
SERVER = """
import sys
from pathlib import Path
from headrace.artifacts.errors import HeadraceError
from headrace.serving.server import serve
from headrace.serving.settings import Settings
from headrace.serving.target import Target

def follow():
    try:
        path, version = Path(sys.argv[1]).read_text().split()
    except OSError:
        raise HeadraceError(f"{sys.argv[1]}: expected an endpoint. Received: none")
    return Target(Path(path), version)

serve(follow(), Settings(port=0, workers=int(sys.argv[2])), follow=follow)
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two models that answer differently, and do not know their versions."""
    place = tmp_path_factory.mktemp("two")
    return tuple(write_tiny_bundle(place / str(trees), trees=trees, details={"name": "tiny"}) for trees in (10, 40))  # type: ignore[return-value]


def point(file: Path, bundle: Path, version: int) -> None:
    folder.write_text(file, f"{bundle} {version}")


@contextmanager
def following(file: Path, workers: int = 1) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER, str(file), str(workers)]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.communicate(timeout=20)
        finally:
            started.kill()


def serves(url: str) -> str:
    return str(ask(url, "GET", "/")[2]["version"])


def rewritten(bundle: Path, to: Path, file: str, content: bytes) -> Path:
    """The same bundle with another file in it, sealed as if it were meant."""
    shutil.copytree(bundle, to)
    (to / "manifest.json").unlink()
    (to / file).write_bytes(content)
    folder.seal(to, FORMAT, 1, {"name": "tiny"})
    return to


class Clients:
    """Ask without a pause, each on a connection of its own that it never opens anew."""

    def __init__(self, url: str, count: int) -> None:
        self._stop = threading.Event()
        self.answers: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._ask, args=(urlsplit(url).netloc,)) for _ in range(count)]

    def _ask(self, address: str) -> None:
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.connect()
        connection.auto_open = 0  # a connection that the server closed is a failure
        while not self._stop.is_set():
            try:
                connection.request("POST", "/predict", body(GOOD))
                response = connection.getresponse()
                answer = json.loads(response.read())
                if response.status == 200:
                    self.answers.append(answer)
                else:
                    self.failed.append(str(answer))
            except Exception as error:  # noqa: BLE001 (whatever goes wrong is what is looked for)
                self.failed.append(repr(error))
                return
        connection.close()

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("swaps", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_no_request_is_lost_in_swaps(two: tuple[Path, Path], tmp_path: Path, swaps: int) -> None:
    file = tmp_path / "endpoint"
    point(file, two[0], 1)
    with following(file, workers=2) as started:
        url = url_of(started)
        right = {"1": predict(url, [GOOD])}
        workers = children(started.pid)
        with Clients(url, 6) as clients:
            for number in range(2, swaps + 2):
                point(file, two[(number - 1) % 2], number)
                assert started.stdout is not None
                assert f"now serving tiny {number} (sha256:" in started.stdout.readline()
                if number == 2:
                    right["2"] = predict(url, [GOOD])
        assert clients.failed == []
        assert children(started.pid) == workers  # the very same processes
        versions = {answer["modelVersionId"] for answer in clients.answers}
        assert versions == {str(number) for number in range(1, swaps + 2)}
        assert right["1"] != right["2"]
        for answer in clients.answers:
            assert answer["predictions"] == right["1" if int(answer["modelVersionId"]) % 2 else "2"]
        started.send_signal(signal.SIGTERM)
        assert started.communicate(timeout=20) == ("", "")


def test_a_request_is_answered_by_the_model_of_the_moment_at_which_it_is_whole(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    """Not of its first byte: a client that sends slowly would hold on to a model that was rolled back."""
    file = tmp_path / "endpoint"
    point(file, two[0], 1)
    with following(file) as started:
        url = url_of(started)
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        data = body(GOOD)
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders()
        connection.send(data[:20])
        time.sleep(0.3)
        point(file, two[1], 2)
        wait_until(lambda: serves(url) == "2")
        connection.send(data[20:])
        assert json.loads(connection.getresponse().read())["modelVersionId"] == "2"
        connection.request("POST", "/predict", data)
        assert json.loads(connection.getresponse().read())["modelVersionId"] == "2"


def test_what_cannot_be_served_is_refused_and_the_one_before_goes_on(two: tuple[Path, Path], tmp_path: Path) -> None:
    broken = rewritten(two[1], tmp_path / "broken", "matrix.onnx", b"no graph")
    samples = json.loads((two[1] / "samples.json").read_text())
    samples["predictions"] = samples["predictions"][::-1]
    lying = rewritten(two[1], tmp_path / "lying", "samples.json", json.dumps(samples).encode())
    file = tmp_path / "endpoint"
    point(file, two[0], 1)
    with following(file, workers=2) as started:
        url = url_of(started)
        assert started.stderr is not None
        for version, bundle, why in (
            (2, broken, "matrix.onnx: expected an ONNX graph that is safe to load"),
            (3, lying, "expected the answers to its 20 samples"),
            (4, tmp_path / "nothing", "expected a headrace/bundle folder with a manifest.json. Received: none there"),
        ):
            point(file, bundle, version)
            line = started.stderr.readline()
            assert f"headrace: version {version} of tiny is not served: " in line and why in line
            assert re.search(r"[^.]\. tiny 1 \(sha256:[0-9a-f]{12}\) goes on\n$", line)
            about = ask(url, "GET", "/")[2]
            assert about["version"] == "1" and why in about["refused"]
            assert b"headrace_model_refused 1" in ask(url, "GET", "/metrics")[2]
            assert ask(url, "POST", "/predict", body(GOOD))[2]["modelVersionId"] == "1"
        point(file, two[0], 1)  # as it was: nothing is refused any more
        wait_until(lambda: "refused" not in ask(url, "GET", "/")[2])
        point(file, two[1], 5)
        wait_until(lambda: serves(url) == "5")
        page = ask(url, "GET", "/metrics")[2]
        assert b"headrace_model_swaps_total 1" in page and b"headrace_model_refused 0" in page
        assert b'version="5"' in page


def test_nobody_can_tell_what_to_serve(two: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "endpoint"
    point(file, two[0], 1)
    with following(file) as started:
        url = url_of(started)
        file.unlink()
        assert started.stderr is not None
        assert "what to serve is not known: " in started.stderr.readline()
        time.sleep(1.2)  # it is looked up again, and not complained about again
        assert serves(url) == "1"
        point(file, two[1], 2)
        wait_until(lambda: serves(url) == "2")
        started.terminate()
        assert started.communicate(timeout=20)[1] == ""


def test_a_worker_that_is_replaced_serves_what_the_others_do(two: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "endpoint"
    point(file, two[0], 1)
    with following(file, workers=2) as started:
        url = url_of(started)
        point(file, two[1], 2)
        wait_until(lambda: serves(url) == "2")
        assert started.stdout is not None
        started.stdout.readline()
        first = children(started.pid)
        subprocess.run(["kill", "-9", str(first[0])], check=True)
        wait_until(lambda: len(children(started.pid)) == 2 and first[0] not in children(started.pid))
        assert {serves(url) for _ in range(30)} == {"2"}
