"""Trials in processes of their own, forked from the one that holds the data, which is not copied.

A forked process must not use OpenMP that its parent has used: it would wait for threads that are not there. So the
parent only prepares, suggests and records, and trains nothing, also where one trial runs at a time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any

from headrace.trainer.memory import free_memory
from headrace.trainer.models import KINDS
from headrace.trainer.tuning.problem import Problem
from headrace.trainer.tuning.trial import Orphaned, Result, Task, run_trial

GRACE = 10.0  # seconds that a trial without rounds may go on after its deadline
COPIES = 2  # of the two matrices that a learner makes beside them: bins, its own order, statistics


@dataclass(frozen=True)
class Budget:
    """How many trials run at a time, and with how many threads each."""

    workers: int
    threads: int


def budget(parallel: int, bytes: int) -> Budget:
    """What this process may use: the threads that it was told, and half of the memory that is free.

    Args:
        parallel: most trials at a time.
        bytes: of the data that they share.
    """
    told = os.environ.get("HEADRACE_THREADS") or os.environ.get("OMP_NUM_THREADS")
    threads = int(told) if told and told.isdigit() and int(told) else len(os.sched_getaffinity(0))
    room = free_memory() // 2 // max(1, COPIES * bytes)
    workers = max(1, min(parallel, threads, room))
    return Budget(workers, max(1, threads // workers))


def preload(kind: str) -> None:
    """Imports what trials of a kind need, once for all; nothing of it is executed."""
    import_module(KINDS[kind])


def run_tasks(problem: Problem, tasks: Sequence[Task], budget: Budget) -> Iterator[tuple[Task, Result]]:
    """Runs trials, so many at a time; yields each as it ends. Ended before, it leaves no process behind."""
    waiting = list(tasks)
    running: dict[Any, tuple[Task, ForkProcess, float]] = {}  # by connection
    overdue: set[ForkProcess] = set()
    try:
        while waiting or running:
            while waiting and len(running) < budget.workers:
                task = waiting.pop(0)
                connection, process = _start(problem, task, budget.threads)
                running[connection] = (task, process, time.monotonic())
            ended: list[Any] = wait(list(running), timeout=0.5)
            for connection in ended:
                task, process, begun = running.pop(connection)
                result = _result(connection, process, time.monotonic() - begun)
                yield task, replace(result, state="late") if process in overdue else result
            for task, process, _ in running.values():
                if task.deadline is not None and time.monotonic() > task.deadline + GRACE:
                    overdue.add(process)
                    process.kill()
    finally:
        for connection, (_, process, _) in running.items():
            process.kill()
            process.join()
            connection.close()


def _start(problem: Problem, task: Task, threads: int) -> tuple[Connection, ForkProcess]:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    sys.stdout.flush()
    sys.stderr.flush()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_child, args=(receiver, sender, problem, task, threads, os.getpid()))
    process.start()
    sender.close()
    return receiver, process


def _child(receiver: Connection, sender: Connection, problem: Problem, task: Task, threads: int, parent: int) -> None:
    receiver.close()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's way to end well is not the trial's
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told too, and ends its trials
    os.environ["HEADRACE_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        result = run_trial(problem, task, parent)
    except Orphaned:
        return  # nobody is left to be told
    except Exception as error:  # noqa: BLE001 (whatever a learner raises is this trial's failure, and recorded)
        traceback.print_exc()
        result = Result("failed", error=f"{type(error).__name__}: {error}")
    sender.send_bytes(json.dumps(asdict(result)).encode())
    sender.close()


def _result(connection: Connection, process: ForkProcess, seconds: float) -> Result:
    try:
        told = json.loads(connection.recv_bytes())
        curve = tuple((int(step), float(value)) for step, value in told["curve"])
        result = Result(**{**told, "curve": curve, "folds": tuple(told["folds"])})
    except EOFError:
        process.join()
        code = process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
        result = Result("failed", seconds=seconds, error=f"the trial's process was {how}")
    connection.close()
    process.join()
    return result
