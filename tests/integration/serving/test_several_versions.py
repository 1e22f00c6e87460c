"""Several versions in one server: keys stay where they are, plans change under load, and no shadow is ever felt."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import body, write_tiny_bundle

from headrace.artifacts import folder
from headrace.artifacts.slots import deal
from headrace.serving.target import Member, Plan, Target
from tests.integration.serving.servers import GOOD, ask, children, url_of, wait_until
from tests.integration.serving.test_swap import Clients

# Follows a file that holds a plan, as `headrace serve` follows an endpoint. A trouble befalls the shadow's process.
SERVER = """
import ctypes, json, sys, time
from pathlib import Path
from headrace.serving import shadow
from headrace.serving.server import serve
from headrace.serving.settings import Settings
from headrace.serving.target import Plan

def follow():
    return Plan.from_dict(json.loads(Path(sys.argv[1]).read_text()))

def trouble(self, copy):
    what = sys.argv[3]
    if what == "sleeps":
        time.sleep(600)
    elif what == "raises":
        raise OSError("the shadow's trouble")
    elif what == "eats":
        kept = []
        while True:
            kept.append(bytearray(16 * 1024 * 1024))
    elif what == "crashes":
        ctypes.string_at(0)

if sys.argv[3] == "raises":
    def decode(*_):
        raise OSError("the shadow's trouble")
    shadow.codec_of = lambda name: lambda served: type("Codec", (), {"decode": decode})()
elif sys.argv[3]:
    shadow.Scoring.score = trouble
settings = Settings(port=0, workers=int(sys.argv[2]), load_memory=256)
serve(follow(), settings, follow=follow)
"""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("versions")
    return {
        str(trees): write_tiny_bundle(place / str(trees), trees=trees, details={"name": "tiny"}) for trees in (1, 2, 3)
    }


class Plans:
    """The file that says what is to be served."""

    def __init__(self, file: Path, bundles: dict[str, Path]) -> None:
        self.file, self._bundles = file, bundles
        self._slots: tuple[str, ...] = ()

    def set(self, *shadows: str, **shares: int) -> None:
        """`set("3", v1=90, v2=10)`: slots follow from those before, as the registry has it."""
        wanted = {name[1:]: share for name, share in shares.items()}
        self._slots = deal(wanted, self._slots)
        members = [Member(Target(self._bundles[v], v), share) for v, share in wanted.items()]
        members += [Member(Target(self._bundles.get(v, self.file.parent / v), v), 0, shadow=True) for v in shadows]
        places = list(wanted)
        slots = tuple(places.index(version) for version in self._slots) if len(wanted) > 1 else ()
        folder.write_text(self.file, json.dumps(Plan(tuple(members), "", "e" if slots else "", slots).to_dict()))


@pytest.fixture
def plans(tmp_path: Path, bundles: dict[str, Path]) -> Plans:
    return Plans(tmp_path / "plan.json", bundles)


@contextmanager
def serving(plans: Plans, workers: int = 1, trouble: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVER, str(plans.file), str(workers), trouble]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.communicate(timeout=20)
        finally:
            started.kill()


def answered_by(url: str, key: str) -> tuple[str, dict[str, str]]:
    status, headers, answer = ask(url, "POST", "/predict", body(GOOD), {"x-routing-key": key})
    assert status == 200 and headers["x-model-version"] == answer["modelVersionId"]
    return str(answer["modelVersionId"]), headers


def metric(url: str, name: str) -> float:
    page = ask(url, "GET", "/metrics")[2].decode()
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:\{{.*)? ([0-9.e+-]+)$", page, re.MULTILINE))


def now(started: subprocess.Popen[str]) -> str:
    assert started.stdout is not None
    return started.stdout.readline()


def test_who_was_answered_by_a_version_goes_on_to_be_while_its_share_grows(plans: Plans) -> None:
    plans.set(v1=90, v2=10)
    keys = [f"user-{number}" for number in range(50)]
    with serving(plans, workers=2) as started:
        url = url_of(started)
        dealt = [answered_by(url, key)[0] for key in keys]
        assert dealt == [answered_by(url, key)[0] for key in keys] and 0 < dealt.count("2") < 20
        assert answered_by(url, "a")[1]["x-experiment"] == "e"
        for shares in ({"v1": 60, "v2": 40}, {"v1": 30, "v2": 45, "v3": 25}, {"v1": 10, "v2": 50, "v3": 40}):
            plans.set(**shares)
            assert "now serving tiny 1 (" in (line := now(started)) and f"{shares['v2']}%" in line
            after = [answered_by(url, key)[0] for key in keys]
            assert all(version == before for before, version in zip(dealt, after, strict=True) if before != "1")
            dealt = after
        assert set(dealt) == {"1", "2", "3"}
        about = ask(url, "GET", "/")[2]["split"]
        assert about == {"experiment": "e", "key": "x-routing-key", "traffic": {"1": 10, "2": 50, "3": 40}}
        plans.set(v1=100)
        assert "now serving tiny 1 (" in now(started)
        status, headers, answer = ask(url, "POST", "/predict", body(GOOD), {"x-routing-key": keys[0]})
        assert (status, answer["modelVersionId"], "x-experiment" in headers) == (200, "1", False)
        assert metric(url, "headrace_requests_total") == 5 * 50 + 2


@pytest.mark.slow
def test_any_plan_takes_over_from_any_other_and_nothing_is_dropped(plans: Plans) -> None:
    plans.set(v1=100)
    with serving(plans, workers=2) as started:
        url = url_of(started)
        workers = set(children(started.pid))
        with Clients(url, 4) as clients:
            for shadows, shares in (
                ((), {"v1": 50, "v2": 50}),
                (("3",), {"v1": 50, "v2": 50}),
                (("1",), {"v3": 100}),
                ((), {"v1": 20, "v2": 20, "v3": 60}),
                (("2", "3"), {"v1": 100}),
                ((), {"v2": 100}),
            ):
                plans.set(*shadows, **shares)
                assert "now serving " in now(started)
        assert clients.failed == [] and workers <= set(children(started.pid))
        assert {answer["modelVersionId"] for answer in clients.answers} == {"1", "2", "3"}
        wait_until(lambda: set(children(started.pid)) == workers)  # the shadows have ended
        started.send_signal(signal.SIGTERM)
        assert started.communicate(timeout=20) == ("", "")


def test_a_weight_changes_without_a_load_and_a_broken_version_changes_nothing(plans: Plans, tmp_path: Path) -> None:
    plans.set(v1=90, v2=10)
    (tmp_path / "9").mkdir()
    with serving(plans) as started:
        url = url_of(started)
        plans._bundles = {**plans._bundles, "9": tmp_path / "9"}
        plans.set(v1=50, v9=50)
        assert started.stderr is not None
        line = started.stderr.readline()
        assert "version 1 50%, version 9 50% of tiny is not served: " in line and "90%, tiny 2 (" in line
        assert ask(url, "GET", "/")[2]["split"]["traffic"] == {"1": 90, "2": 10}
        plans.set(v1=1, v2=99)
        assert "99%" in now(started)
        assert "refused" not in ask(url, "GET", "/")[2]


def test_a_shadow_sees_copies_of_what_was_answered(plans: Plans) -> None:
    plans.set("3", v1=100)
    with serving(plans, workers=2) as started:
        url = url_of(started)
        wait_until(lambda: 'version="3"' in ask(url, "GET", "/metrics")[2].decode())
        large = body(*[GOOD] * 1000)
        for data in (body(GOOD), body(GOOD), large):
            assert ask(url, "POST", "/predict", data)[2]["modelVersionId"] == "1"
        assert ask(url, "POST", "/predict", body({}))[0] == 400
        wait_until(lambda: metric(url, "headrace_shadow_rows_total") == 1002)
        assert metric(url, 'headrace_errors_total{kind="shadow"}') == 0
        status, _, answer = ask(url, "POST", "/predict", body(GOOD), {"x-model-version": "3"})
        assert status == 404 and "expected a version that is served (1)" in answer["error"]


@pytest.mark.parametrize(
    "trouble", ["sleeps", *(pytest.param(name, marks=pytest.mark.slow) for name in ("raises", "eats", "crashes"))]
)
def test_no_trouble_of_a_shadow_reaches_an_answer(plans: Plans, trouble: str) -> None:
    plans.set("3", v1=100)
    with serving(plans, trouble=trouble) as started:
        url = url_of(started)
        workers = set(children(started.pid))
        with Clients(url, 2) as clients:
            wait_until(lambda: len(clients.answers) > 1500, 30)
        assert clients.failed == [] and {answer["modelVersionId"] for answer in clients.answers} == {"1"}
        if trouble == "sleeps":
            assert metric(url, 'headrace_errors_total{kind="shadow_dropped"}') > 0
        elif trouble == "raises":
            wait_until(lambda: metric(url, 'headrace_errors_total{kind="shadow"}') > 100)
        else:  # it has ended, and is started again in a while
            wait_until(lambda: len(set(children(started.pid)) & workers) == 1, 20)
            started.terminate()
            told = started.communicate(timeout=20)[1]
            assert "the shadow version 3 ended with status" in told and "started again in 30 seconds" in told


def test_a_shadow_that_cannot_be_loaded_is_told_and_not_missed(plans: Plans) -> None:
    plans.set("nothing", v1=100)
    with serving(plans) as started:
        url = url_of(started)
        assert started.stderr is not None
        assert "headrace: the shadow version nothing is not served: " in started.stderr.readline()
        answers: list[Any] = [ask(url, "POST", "/predict", body(GOOD))[0] for _ in range(5)]
        assert answers == [200] * 5
