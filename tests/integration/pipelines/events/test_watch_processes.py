"""`headrace watch` as real processes: killed, stopped and started anew; and the service under its real server."""

# What stands in components is what users write.
# ruff: noqa: PTH110, PTH118, PTH119, PTH120, PTH123

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from kfp import compiler, dsl

from headrace.pipelines.events.ledger import Ledger
from headrace.pipelines.events.store import SqliteStore
from headrace.pipelines.local.record.record import list_runs
from tests.ports import free_port

pytestmark = pytest.mark.slow
component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def work(source: str):
    import os
    import time

    folder = os.path.dirname(os.path.dirname(source))
    open(os.path.join(folder, "begun"), "a").close()
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.02)
    with open(os.path.join(folder, "ran"), "a") as ran:
        ran.write(f"{os.path.basename(source)}\n")


@dsl.pipeline(name="work")
def pipeline(source: str):
    work(source=source)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    file = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.Compiler().compile(pipeline, str(file))
    return file.read_text()


@pytest.fixture
def place(tmp_path, compiled):
    (tmp_path / "in").mkdir()
    (tmp_path / "work.yaml").write_text(compiled)
    return tmp_path


@contextlib.contextmanager
def watching(place, *words, **environment):
    command = [sys.executable, "-m", "headrace.pipelines.cli", "watch", *words, "--home", str(place / "home")]
    process = subprocess.Popen(
        command, cwd=place, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()
        process.stderr.close()


FILES = ("work.yaml", "--folder", "in", "--match", "*.csv", "--every", "0.05", "--settle", "0.1")


def until(wanted, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := wanted()):
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.02)
    return found


def entries(place):
    return Ledger(SqliteStore(place / "home" / "events.db")).entries()


def ended(place, state):
    return lambda: [entry for entry in entries(place) if entry.run.get("end") == state]


def runs(place):
    return list_runs(place / "home") if (place / "home" / "runs.db").exists() else []


def drop(place, name):
    (place / "part").write_text("1,2\n")
    (place / "part").rename(place / "in" / name)


def watched(place):
    return until(lambda: (place / "home" / "events.db").exists() and "watched/work.json" in SqliteStore(
        place / "home" / "events.db").names(""), "the first look")  # fmt: skip


def test_a_watcher_that_is_killed_leaves_its_run_alone_and_the_next_starts_nothing_twice(place):
    with watching(place, *FILES) as first:
        watched(place)
        drop(place, "may.csv")
        until(lambda: (place / "begun").exists() and entries(place)[0].state == "started", "the run")
        first.kill()
    (place / "go").touch()
    until(lambda: [run.state for run in runs(place)] == ["SUCCEEDED"], "the run's end")
    [name] = SqliteStore(place / "home" / "events.db").names("starts/")
    with watching(place, *FILES):
        drop(place, "june.csv")
        until(lambda: len(ended(place, "SUCCEEDED")()) == 2, "the second file")
    assert (place / "ran").read_text() == "may.csv\njune.csv\n"

    # as if it had been killed between the start and the ledger: the run is found by its label
    store = SqliteStore(place / "home" / "events.db")
    store.remove(name, store.read(name)[1])
    with watching(place, *FILES, "--once") as again:
        assert again.wait(60) == 0
    assert {entry.state for entry in entries(place)} == {"started"}
    assert len(runs(place)) == 2


def test_a_watcher_that_is_stopped_ends_its_run_and_the_next_goes_on_with_it(place):
    with watching(place, *FILES) as first:
        watched(place)
        drop(place, "may.csv")
        until(lambda: (place / "begun").exists() and entries(place)[0].state == "started", "the run")
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 0
    assert [run.state for run in runs(place)] == ["CANCELLED"]
    [before] = runs(place)
    (place / "go").touch()
    with watching(place, *FILES):
        [entry] = until(ended(place, "SUCCEEDED"), "the run's end")
    assert [run.id for run in runs(place)] == [before.id] == [entry.run["id"]]
    assert (place / "ran").read_text() == "may.csv\n"


def test_several_watchers_of_one_home_start_each_file_once(place):
    (place / "go").touch()
    with watching(place, *FILES), watching(place, *FILES):
        watched(place)
        for number in range(4):
            drop(place, f"{number}.csv")
        until(lambda: len(ended(place, "SUCCEEDED")()) == 4, "four runs", 120)
    assert sorted((place / "ran").read_text().split()) == ["0.csv", "1.csv", "2.csv", "3.csv"]


def test_the_service_under_its_server_starts_once_and_stops(place):
    (place / "go").touch()
    (place / "rules.yaml").write_text(
        "rules:\n  - name: asked\n    message: {where: {attributes.action: retrain}}\n"
        "    pipeline: work.yaml\n    parameters: {source: '{data.source}'}\n"
    )
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    headers = {
        "ce-id": "1", "ce-source": "urn:me", "ce-type": "t", "ce-specversion": "1.0", "ce-action": "retrain",
        "content-type": "application/json",
    }  # fmt: skip

    def health():
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{url}/health", timeout=5).status == 200
        return False

    with watching(place, "rules.yaml", "--http", "--port", str(port), HEADRACE_EVENTS_AUTH="none") as service:
        until(health, "the service")
        body = json.dumps({"source": str(place / "in" / "may.csv")}).encode()
        states = []
        for _ in range(2):
            with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
                states.append(json.loads(answer.read())["outcomes"][0]["state"])
        assert states == ["started", "done"]
        until(ended(place, "SUCCEEDED"), "the run")
        service.send_signal(signal.SIGTERM)
        assert service.wait(40) == 0
    assert (place / "ran").read_text() == "may.csv\n"


def test_a_service_that_is_not_told_who_may_call_does_not_begin(place):
    (place / "rules.yaml").write_text("rules:\n  - {name: a, message: {}, pipeline: work.yaml}\n")
    with watching(place, "rules.yaml", "--http", "--port", str(free_port())) as service:
        assert service.wait(60) == 1
        assert "HEADRACE_EVENTS_CALLERS: expected" in service.stderr.read()
