"""The worker processes themselves: their threads, their memory, and what they say."""

import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace.components
from headrace.pipelines.local.store.closure import default_closures
from headrace.pipelines.local.workers import task_process, worker
from headrace.pipelines.local.workers.environments import default_environments
from headrace.pipelines.local.workers.zygote import Zygote, environment


class Harness:
    """A zygote of its own, without a run around it."""

    def __init__(self, name: str, home: Path, threads: int = 2) -> None:
        prefix = default_environments().prefix(name)
        self.home = home
        self.zygote = Zygote(name, prefix, environment(prefix, home, "test", threads), home / "zygote.log")
        self.count = 0
        self.events: list[dict[str, Any]] = []  # not waited for yet

    @property
    def pid(self) -> int:
        return self.zygote.process.pid

    def fork(self, words: list[str], python: bool = False, needs: tuple[str, ...] = ()) -> str:
        self.count += 1
        request = {"id": f"{self.count}", "python": python, "words": words, "needs": needs, "env": {}}
        places = {"log": str(self.home / "log"), "report": str(self.home / f"report-{self.count}"), "cwd": "/"}
        self.zygote.fork({**request, **places})
        return request["id"]

    def wait(self, event: str, task: str, seconds: float = 120.0) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.zygote.flush()
            found = self.zygote.read()
            assert found is not None, (self.home / "zygote.log").read_text()
            self.events += found
            for one in self.events:
                if (one["event"], one["id"]) == (event, task):
                    self.events.remove(one)
                    return one
            time.sleep(0.0005)
        raise AssertionError(f"no {event} of {task}: {(self.home / 'zygote.log').read_text()}")

    def threads(self) -> list[str]:
        return [(task / "comm").read_text().strip() for task in Path(f"/proc/{self.pid}/task").iterdir()]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def private_kib(self) -> int:
        """Memory that is this process's alone."""
        lines = Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@contextlib.contextmanager
def harness(name: str, home: Path, threads: int = 2) -> Iterator[Harness]:
    one = Harness(name, home, threads)
    try:
        yield one
    finally:
        one.zygote.close()
        assert one.zygote.process.returncode == 0


def modules_of(environment_name: str) -> tuple[str, ...]:
    """All that the components of an environment import, as far as it is not ours."""
    closures = default_closures()
    modules: dict[str, None] = {}
    for file in sorted(Path(headrace.components.__file__).parent.glob("*/component.py")):
        source = file.read_text()
        if (file.parent.name == "statistics") == (environment_name == "tfx"):
            modules.update(dict.fromkeys(closures.of_source(source).preload))
    return tuple(modules)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["main", "tfx"])
def test_one_thread_after_all_imports(name, tmp_path):
    """OpenBLAS's threads, if it is allowed any, end before a fork, by its own handler; there are no others."""
    modules = modules_of(name)
    assert modules
    with harness(name, tmp_path, threads=4) as one:
        one.zygote.preload(modules)
        first = one.fork(["true"], needs=modules)
        one.wait("exit", first)
        assert one.threads() == ["python"]
        log = (tmp_path / "zygote.log").read_text()
        assert not [line for line in log.splitlines() if line.startswith("zygote: ") and "No module named" not in line]


def test_one_thread_after_the_imports_that_start_some(tmp_path):
    with harness("main", tmp_path, threads=4) as one:
        one.wait("exit", one.fork(["true"], needs=("numpy", "pyarrow", "pyarrow.parquet")))
        assert one.threads() == ["python"]


@pytest.mark.slow
def test_a_thousand_tasks_leave_nothing_in_the_worker(tmp_path):
    (tmp_path / "c.py").write_text("def f():\n    pass\n")
    given = json.dumps({"inputs": {}, "outputs": {"outputFile": str(tmp_path / "out.json")}})
    words = ["--component_module_path", str(tmp_path / "c.py"), "--executor_input", given, "--function_to_execute", "f"]
    with harness("main", tmp_path) as one:

        def run(times: int) -> None:
            for _ in range(times):
                task = one.fork(words, python=True)
                assert one.wait("result", task)["error"] is None, (tmp_path / "log").read_text()
                one.wait("exit", task)
            one.events.clear()

        run(100)
        before, descriptors = one.private_kib(), one.descriptors()
        run(1000)
        assert one.private_kib() - before < 1024, "KiB more than after the first hundred"
        assert one.descriptors() == descriptors
        assert Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text() == ""
        assert one.zygote.tasks == {}
        assert not one.zygote.outgoing


def test_a_helper_that_an_import_started_lives_on(tmp_path, monkeypatch):
    (tmp_path / "starts_a_helper.py").write_text("import subprocess\nprocess = subprocess.Popen(['sleep', '600'])\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with harness("main", tmp_path) as one:
        one.wait("exit", one.fork(["sh", "-c", "setsid sleep 600 & exit 3"], needs=("starts_a_helper",)))
        (helper,) = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_text().split()
        assert "sleep" in Path(f"/proc/{helper}/cmdline").read_text()
    assert not Path(f"/proc/{helper}").exists()


# --- reports


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        yield here, there


def test_what_does_not_fit_into_a_packet_goes_into_a_file(pair, tmp_path):
    here, there = pair
    with pytest.raises(OSError, match=os.strerror(errno.EMSGSIZE)):
        there.send(b"x" * (1 << 20))  # why
    file = tmp_path / "report.json"
    reporter = task_process.Reporter(there, {"id": "7", "report": str(file)})
    error = task_process.failure("E", "\U0001f600" * 40_000, "\U0001f600" * 40_000)
    reporter.send(event="result", error=error)
    assert json.loads(file.read_bytes()) == {"event": "result", "error": error, "id": "7"}
    assert [len(error["message"]), len(error["trace"])] == [30_000, 30_000]
    reporter.send(event="result", error=None)
    assert json.loads(here.recv(1 << 18)) == {"event": "result", "error": None, "id": "7"}


def test_a_report_never_goes_into_what_the_task_has_opened(tmp_path):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine, theirs = socket.socketpair()
    reporter = task_process.Reporter(there, {"id": "7", "report": str(tmp_path / "report.json")})
    os.dup2(theirs.fileno(), there.fileno())  # closed by the task, and the number used again
    reporter.send(event="result", error=None)
    assert (tmp_path / "report.json").exists()
    mine.setblocking(False)
    with pytest.raises(BlockingIOError):
        mine.recv(1)
    for one in (here, there, mine, theirs):
        one.close()


def test_text_that_is_no_text():
    found = task_process.failure("E", "a\udcff", "b\ud800")
    assert (found["message"], found["trace"]) == ("a\\udcff", "b\\ud800")


def test_the_worker_imports_nothing_of_ours():
    names = {name.partition(".")[0] for name in (*vars(worker), *vars(task_process))}
    assert "headrace" not in names
    for module in (worker, task_process):
        source = Path(module.__file__).read_text()
        top = [line for line in source.splitlines() if line.startswith(("import ", "from "))]
        assert {line.split()[1].partition(".")[0] for line in top} <= set(sys.stdlib_module_names)


def test_an_import_that_swallows_whatever_is_raised_does_not_keep_the_worker_alive(tmp_path, monkeypatch):
    module = tmp_path / "modules" / "swallower.py"
    module.parent.mkdir()
    module.write_text(
        "import pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'importing')!r}).touch()\n"
        "for _ in range(10):\n"
        "    try:\n"
        "        time.sleep(0.1)\n"
        "    except BaseException:\n"
        "        pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(module.parent))
    with harness("main", tmp_path) as one:
        one.zygote.preload(["swallower"])
        end = time.monotonic() + 20
        while not (tmp_path / "importing").exists() and time.monotonic() < end:
            time.sleep(0.01)
        one.zygote.process.terminate()  # what the kernel does when the runner dies
        one.zygote.control.close()
        assert one.zygote.process.wait(timeout=10) == 0
