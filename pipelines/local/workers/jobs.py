"""One attempt at one task, and what becomes of it: its outputs in the store, or why it failed."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.record.results import TaskError
from headrace.pipelines.local.store import attempts
from headrace.pipelines.local.tree import Artifacts, Node
from headrace.pipelines.local.workers import resources, zygote

LONG = 0.5  # seconds of work that a power cut must not undo


@dataclass
class Job:
    """One attempt at one task, under way."""

    id: str
    node: Node
    number: int
    excused: int  # of the attempts before, those that failed through no fault of the task's
    attempt: attempts.Attempt
    log: Path
    zygote: zygote.Zygote
    request: Mapping[str, Any]  # as it was sent
    claim: resources.Amount
    limit: float | None  # seconds
    kills: int  # of the kernel for want of memory, when it started
    begun: float = field(default_factory=time.monotonic)
    started: bool = False
    deadline: float | None = None
    ended_by: str = ""  # why we ended it: "timeout" or "cancel"
    kill_at: float | None = None
    refusals: int = 0
    again_at: float | None = None  # after a refusal
    said: Mapping[str, Any] | None = None  # its result, while its process still has to end

    @property
    def report(self) -> Path:
        """Where its process leaves a result that does not fit into a packet."""
        return Path(self.request["report"])


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to."""

    error: TaskError | None
    outputs: dict[str, Any] = field(default_factory=dict)
    artifacts: Artifacts = field(default_factory=dict)
    max_rss_kib: int = 0


@dataclass(frozen=True)
class Settings:
    """What is the same for all tasks of a run."""

    run_id: str
    home: Path
    cwd: Path
    max_parallel: int
    threads: int
    timeouts: Mapping[str, float]  # task name -> seconds
    constants: Mapping[str, str]


def conclude(settings: Settings, job: Job, said: Mapping[str, Any] | None, peak: int, durable: bool) -> Outcome:
    """Publishes the outputs of an attempt that went well, says why another failed, and removes its folder.

    Changes nothing but files, so that it may be done in a thread. `said` is what the process reported, None where
    nothing went wrong; `peak` its memory in KiB; `durable` outputs outlast a power cut.
    """
    error = _explain(settings, job, said)
    outputs: dict[str, Any] = {}
    artifacts: Artifacts = {}
    if error is None:
        try:
            with attempts.disk_full_is_clear(settings.home):
                outputs, artifacts = attempts.publish(
                    settings.home, job.node.path, job.attempt, job.node.component, durable=durable
                )
        except HeadraceError as problem:
            error = TaskError(type(problem).__name__, str(problem), user=True, exit_code=problem.exit_code)
        except OSError as problem:
            error = TaskError(type(problem).__name__, f"its outputs cannot be put into the store: {problem}")
        except Exception as problem:  # noqa: BLE001  (whatever a task leaves behind ends this task, and no other one)
            told = f"its outputs cannot be read: {problem}"
            error = TaskError(type(problem).__name__, told, trace=traceback.format_exc())
    shutil.rmtree(job.attempt.folder, ignore_errors=True)
    return Outcome(error, outputs, artifacts, peak)


def _explain(settings: Settings, job: Job, said: Mapping[str, Any] | None) -> TaskError | None:
    if job.ended_by == "timeout" and not job.started:
        waited = time.monotonic() - job.begun
        return TaskError("Timeout", f"could not start in {waited:.1f} s: the imports of its environment do not end")
    if job.ended_by == "timeout":
        return TaskError("Timeout", f"took longer than its timeout of {job.limit:g} s and was ended")
    if job.ended_by == "cancel":
        return TaskError("Cancelled", "cancelled")
    if said is None:
        return None
    if said.get("errno") in attempts.FULL:
        return TaskError("DiskFull", str(attempts.disk_full(settings.home)), trace=said["trace"], user=True)
    return TaskError(said["type"], said["message"], said["trace"], said["user"], said.get("exit_code", 1))
