"""Every way in which a task's process can end is reported as what it is, and leaves nothing behind."""

# What stands in components is what users write.
# ruff: noqa: PTH110, PTH123, SIM115

import functools
import os
import re
import signal
import time
from pathlib import Path

import pytest
from kfp import dsl

from headrace.pipelines.local import engine
from headrace.pipelines.local.run import Cancelled, run_pipeline
from headrace.pipelines.local.store.digests import artifact_digest
from headrace.pipelines.local.workers import execution, resources
from headrace.pipelines.local.workers.environments import default_environments

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def segfault():
    import ctypes

    def into_nothing():
        ctypes.string_at(0)

    into_nothing()


@component
def abort():
    import os

    os.abort()


@component
def leave(code: int):
    import os

    os._exit(code)


@component
def die(number: int):
    import os

    os.kill(os.getpid(), number)


@component
def cry():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    raise Odd


@component
def shout(text: str, times: int):
    raise ValueError(text * times)


DAEMON = """
import os, signal, subprocess, sys, time
if sys.argv[2:]:  # the second process leaves a third behind
    subprocess.Popen([sys.executable, "-c", sys.argv[2], sys.argv[1]], env={}, start_new_session=True)
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.fork()
    with open(sys.argv[1], "a") as stream:
        stream.write(f"{os.getpid()} ")
    time.sleep(600)
"""


@component
def stubborn(daemon: str, pids: str):
    """Cannot be asked to end, nor can the daemons that it starts, which know nothing of us."""
    import signal
    import subprocess
    import sys
    import time

    subprocess.run([sys.executable, "-c", daemon, pids, daemon], check=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_ways_to_fail(runner, tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "GRACE", 0.5)
    pids = tmp_path / "pids"

    def failing(pids: str, daemon: str):
        segfault()
        abort()
        leave(code=3)
        leave(code=0)
        die(number=int(signal.SIGKILL))
        die(number=int(signal.SIGTERM))
        cry()
        shout(text="\U0001f600", times=40_000)
        stubborn(daemon=daemon, pids=pids)

    parameters = {"pids": str(pids), "daemon": DAEMON}
    result = runner.run(failing, parameters=parameters, timeouts={"stubborn": 6.0}, max_parallel=4)
    errors = {path: task.error for path, task in result.tasks.items()}
    messages = {path: error.message for path, error in errors.items()}
    peak = rf"{result.tasks['die'].max_rss_kib / 1024:.3g} MiB"
    assert messages == {
        "segfault": "killed by signal 11 (SIGSEGV)",
        "abort": "killed by signal 6 (SIGABRT)",
        "leave": "ended with exit status 3",
        "leave-2": "ended with exit status 0 before its function had returned (os._exit?)",
        "die": f"killed by signal 9 (SIGKILL), perhaps out of memory: at its peak it held {peak}, "
        f"the machine has {resources.memory_text(resources.machine().memory)}",
        "die-2": "killed by signal 15 (SIGTERM)",
        "cry": "an error whose text cannot be had: RuntimeError",
        "shout": "\U0001f600" * 30_000,
        "stubborn": "took longer than its timeout of 6 s and was ended",
    }
    assert errors["segfault"].trace.startswith("Fatal Python error: Segmentation fault\n")
    assert " in into_nothing\n" in errors["segfault"].trace
    assert "executor_main" not in errors["segfault"].trace
    assert "task_process" not in errors["segfault"].trace
    assert errors["segfault"].trace.endswith("killed by signal 11 (SIGSEGV)")
    assert errors["shout"].trace.endswith("\U0001f600\n")
    assert runner.processes() == []
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    assert all(map(gone, started))
    assert not Path(runner.home, "tmp", result.id).exists()


# --- what is no failure


@component
def close_everything() -> str:
    import os

    os.closerange(0, 1000)
    return "still here"


@component
def noise(file: dsl.Output[dsl.Dataset]) -> str:
    import os
    import sys

    os.write(1, b"\xff\xfe not UTF-8 \x80\n")
    line = b"x" * (1 << 20)
    for _ in range(100):
        os.write(1, line)
    open(file.path, "w").write(repr(sys.stdin.read()))
    return "said"


@component
def linger() -> str:
    """Its thread goes on when the function has returned: as in any program, that is waited for."""
    import os
    import threading
    import time

    def later():
        time.sleep(0.3)
        print("thread", "done")

    threading.Thread(target=later, name="laggard").start()
    os.fork() or time.sleep(0.2)  # and a child that comes back from the function too
    return "returned"


@component
def scribble(file: dsl.Output[dsl.Dataset]):
    """Leaves behind a daemon that goes on writing to the output."""
    import os
    import time

    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            while True:
                with open(file.path, "a") as stream:
                    stream.write("x")
        os._exit(0)
    os.wait()
    while not os.path.exists(file.path):
        time.sleep(0.01)


@component
def big(size: int) -> str:
    return "y" * size


@component
def length(text: str) -> int:
    return len(text)


def test_ways_not_to_fail(runner):
    def odd():
        close_everything()
        noise()
        linger()
        scribble()
        length(text=big(size=1 << 20).output)

    result = runner.run(odd, max_parallel=2)
    assert result.succeeded
    outputs = {path: task.outputs.get("Output") for path, task in result.tasks.items() if path != "big"}
    assert outputs == {
        "close-everything": "still here",
        "noise": "said",
        "linger": "returned",
        "scribble": None,
        "length": 1 << 20,
    }
    log = result.tasks["noise"].log
    assert log.stat().st_size >= 100 << 20
    assert b"\n\xff\xfe not UTF-8 \x80\n" in log.read_bytes()[:10_000]
    log.unlink()
    assert result.tasks["noise"].artifacts["file"][0].path.read_text() == "''"
    said = result.tasks["linger"].log.read_text()
    assert "the function has returned; waiting for its threads: laggard" in said
    assert "thread done" in said
    (written,) = result.tasks["scribble"].artifacts["file"]
    assert artifact_digest(written.path) == written.digest
    assert runner.processes() == []


# --- the kernel, the worker and the limit of processes


def test_killed_for_want_of_memory(runner, tmp_path, monkeypatch):
    counter = tmp_path / "memory.events"
    counter.write_text("oom 0\noom_kill 0\n")
    monkeypatch.setattr(resources, "kill_counter", lambda: counter)

    @component
    def swell(counter: str):
        import os

        open(counter, "w").write("oom 1\noom_kill 1\n")  # as the kernel would
        os.kill(os.getpid(), 9)

    def grows(counter: str = str(counter)):
        swell(counter=counter)

    error = runner.run(grows).tasks["swell"].error
    assert error.type == "OutOfMemory"
    assert error.message.startswith("killed by the kernel for want of memory: at its peak it held ")


def test_the_kernel_rather_kills_a_task_than_its_worker(runner):
    @component
    def score() -> str:
        import os

        own, worker = (open(f"/proc/{pid}/oom_score_adj").read() for pid in ("self", os.getppid()))
        return f"{int(own) > int(worker) or int(own) == 1000}"

    def scores():
        score()

    assert runner.run(scores).tasks["score"].outputs == {"Output": "True"}


@component
def kill_worker(file: str, times: int) -> int:
    import os
    import subprocess
    import time

    count = len(open(file).read()) if os.path.exists(file) else 0
    open(file, "a").write("x")
    if count < times:
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        os.kill(os.getppid(), 9)
        time.sleep(600)
    return count


def test_a_lost_worker_costs_a_task_nothing_once(runner, tmp_path):
    def unlucky(file: str, times: int):
        kill_worker(file=file, times=times).set_retry(num_retries=1, backoff_duration="0s")

    ir = runner.compile(unlucky)
    result = runner.run(ir, parameters={"file": str(tmp_path / "one"), "times": 1})
    assert result.tasks["kill-worker"].outputs == {"Output": 1}
    assert result.tasks["kill-worker"].attempts == 2
    (told,) = [e.message for e in runner.events if e.kind == "task_retried"]
    lost = "the worker process of the environment `main` was lost: killed by signal 9"
    assert told.startswith(lost)
    # Not counted as a retry: of those there is one more, and then it is a failure.
    result = runner.run(ir, parameters={"file": str(tmp_path / "many"), "times": 9})
    assert result.tasks["kill-worker"].error.type == "WorkerLost"
    assert result.tasks["kill-worker"].error.message.startswith(lost)
    assert result.tasks["kill-worker"].attempts == 3
    assert runner.processes() == []


NARROW = """
import errno, os

left = [{refusals}]
real = os.fork

def fork():
    if left[0]:
        left[0] -= 1
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real()

os.fork = fork
"""


@pytest.mark.parametrize(("refusals", "state"), [(3, "SUCCEEDED"), (99, "FAILED")])
def test_no_room_for_another_process(runner, tmp_path, monkeypatch, refusals, state):
    (tmp_path / "narrow_system.py").write_text(NARROW.format(refusals=refusals))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(execution, "PAUSE", 0.01)

    @component
    def fit() -> int:
        import narrow_system

        return narrow_system.left[0]

    def fits():
        fit()

    task = runner.run(fits).tasks["fit"]
    assert task.state == state
    if state == "FAILED":
        assert task.error.message == "cannot start another process: Resource temporarily unavailable"
    else:
        assert (task.outputs, task.attempts) == ({"Output": 0}, 1)


@component
def wait_for_imports():
    import endless_import

    print(endless_import)


def awaits():
    wait_for_imports()


@pytest.fixture
def endless(tmp_path, monkeypatch):
    (tmp_path / "endless_import.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))


def test_imports_without_end_are_a_timeout_too(runner, monkeypatch, endless):
    monkeypatch.setattr(execution, "IMPORTS", 0.3)
    error = runner.run(awaits, timeouts={"wait-for-imports": 0.2}).tasks["wait-for-imports"].error
    assert re.fullmatch(r"could not start in \d+\.\d s: the imports of its environment do not end", error.message)
    assert runner.processes() == []


def test_a_run_is_cancelled_while_it_imports(runner, monkeypatch, endless):
    monkeypatch.setattr(engine, "GRACE", 600.0)  # for tasks that run; this one has not started

    def interrupt(event):
        if event.kind == "task_started":
            os.kill(os.getpid(), signal.SIGINT)

    ir = runner.compile(awaits)
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        run_pipeline(ir, home=runner.home, environments=default_environments(), on_event=interrupt)
    assert time.monotonic() - begun < 60
    assert runner.processes() == []
