"""Large outputs go into the store beside the loop: other tasks go on, and nothing is lost or written too late."""

# What stands in components is what users write.
# ruff: noqa: PTH123

import functools
import os
import signal
import threading
import time

import pytest
from kfp import dsl

from headrace.pipelines.local import engine
from headrace.pipelines.local.record.record import load_run
from headrace.pipelines.local.run import Cancelled
from headrace.pipelines.local.store import attempts
from headrace.pipelines.local.workers import execution

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def fill(size: int, file: dsl.Output[dsl.Dataset]):
    with open(file.path, "wb") as stream:
        stream.write(b"z" * size)


@component
def tick(after: int = 0) -> int:
    return after + 1


def slow_publish(monkeypatch, finished, wait):
    """Has publications beside the loop wait, and notes each one's task, and whether it was beside the loop."""
    real = attempts.publish

    def publish(*arguments, **options):
        beside = threading.current_thread() is not threading.main_thread()
        if beside:
            wait()
        found = real(*arguments, **options)
        finished.append((arguments[1], beside))
        return found

    monkeypatch.setattr(attempts, "publish", publish)


def test_large_outputs_are_published_while_others_go_on(runner, monkeypatch):
    def both():
        written = fill(size=5 << 20)
        tick(after=5).after(written)
        step = tick()
        for _ in range(4):
            step = tick(after=step.output)

    finished = []
    slow_publish(monkeypatch, finished, lambda: runner.wait_for(lambda: len(finished) == 5))
    result = runner.run(both, max_parallel=2)
    assert result.succeeded
    ticks = [f"tick-{number}" for number in range(2, 7)]
    assert finished == [*((path, False) for path in ticks), ("fill", True), ("tick", False)]
    kinds = [(e.kind, e.task.path) for e in runner.events if e.kind.startswith("task_")]
    assert kinds.index(("task_finished", "fill")) < kinds.index(("task_started", "tick"))


@pytest.mark.parametrize(("grace", "seconds", "state"), [(60.0, 0.5, "SUCCEEDED"), (0.0, 2.5, "CANCELLED")])
def test_a_cancelled_run_ends_after_the_last_publication(runner, monkeypatch, grace, seconds, state):
    monkeypatch.setattr(engine, "GRACE", grace)
    finished = []
    slow_publish(monkeypatch, finished, lambda: time.sleep(seconds))
    real = execution.Workers._done

    def done(self, job, *rest):
        real(self, job, *rest)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(execution.Workers, "_done", done)

    def fills():
        fill(size=5 << 20)

    with pytest.raises(Cancelled):
        runner.run(fills)
    assert finished == [("fill", True)]  # to its end, and nothing is written from now on
    assert load_run(runner.home, "latest").tasks["fill"].state == state
