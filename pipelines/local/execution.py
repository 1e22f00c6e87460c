"""Running leaves: slots, warm workers, timeouts, retries, cancellation. One thread, one selector."""

from __future__ import annotations

import collections
import heapq
import os
import selectors
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import store, zygote
from headrace.pipelines.local.cache import Catalogue
from headrace.pipelines.local.environments import Environments
from headrace.pipelines.local.graph import Component
from headrace.pipelines.local.inputs import as_executor_input
from headrace.pipelines.local.placeholders import resolve_command
from headrace.pipelines.local.results import TaskError
from headrace.pipelines.local.tree import Artifacts, Node

GRACE = 3.0  # seconds between asking a task to end and killing it


@dataclass
class Job:
    """One attempt at one task, under way."""

    id: str
    node: Node
    number: int
    attempt: store.Attempt
    log: Path
    zygote: zygote.Zygote
    limit: float | None  # seconds
    deadline: float | None = None  # once it has started
    ended_by: str = ""  # why we ended it: "timeout" or "cancel"
    kill_at: float | None = None


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


class Workers:
    """Runs tasks in forked children of zygotes. `on_started` and `on_done` are told of every attempt."""

    def __init__(
        self,
        settings: Settings,
        known: Environments,
        catalogue: Catalogue,
        on_started: Callable[[Job], None],
        on_done: Callable[[Job, Outcome], None],
    ) -> None:
        self._settings, self._known, self._catalogue = settings, known, catalogue
        self._on_started, self._on_done = on_started, on_done
        self._zygotes: dict[str, zygote.Zygote] = {}
        self._selector = selectors.DefaultSelector()
        self._ready: collections.deque[tuple[Node, int]] = collections.deque()
        self._later: list[tuple[float, int, Node, int]] = []  # (when, order, node, attempt)
        self._jobs: dict[str, Job] = {}
        self._count = 0
        self.logs = settings.home / "logs" / settings.run_id

    @property
    def idle(self) -> bool:
        return not (self._jobs or self._ready or self._later)

    def submit(self, node: Node, attempt: int = 1, delay: float = 0.0) -> None:
        """Queues an attempt at a task; it starts when a slot is free and the delay has passed."""
        if delay > 0:
            self._count += 1
            heapq.heappush(self._later, (time.monotonic() + delay, self._count, node, attempt))
        else:
            self._ready.append((node, attempt))

    def adopt(self, zygotes: Mapping[str, zygote.Zygote]) -> None:
        """Takes over zygotes that are running already."""
        for name, one in zygotes.items():
            self._zygotes[name] = one
            self._selector.register(one.events, selectors.EVENT_READ, one)

    def warm_up(self, components: list[Component]) -> None:
        """Starts the environments of components that will run, to import their modules early."""
        wanted: dict[str, dict[str, None]] = {}
        for component in components:
            modules = wanted.setdefault(self._catalogue.environment(component), {})
            if self._catalogue.command(component).python:
                modules.update(dict.fromkeys(self._catalogue.closure(component).preload))
        for name, modules in wanted.items():
            if modules:
                self._zygote(name).preload(modules)

    def step(self, timeout: float) -> None:
        """Starts what can start, then waits for something to happen, at most `timeout` seconds."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, _, node, attempt = heapq.heappop(self._later)
            self._ready.append((node, attempt))
        while self._ready and len(self._jobs) < self._settings.max_parallel:
            self._start(*self._ready.popleft())
        for key, mask in self._selector.select(max(0.0, self._until(now + timeout) - time.monotonic())):
            if key.data is None:  # the wake-up pipe of signals
                os.read(key.fd, 4096)
            elif mask & selectors.EVENT_WRITE:
                key.data.flush()
                self._watch(key.data)
            elif mask & selectors.EVENT_READ:
                self._read(key.data)
        self._check_clocks()

    def wake_on(self, fd: int) -> None:
        """Also ends a wait when there is something to read from `fd`."""
        self._selector.register(fd, selectors.EVENT_READ, None)

    def forget(self, fd: int) -> None:
        """Undoes `wake_on`."""
        self._selector.unregister(fd)

    def cancel(self, *, at_once: bool) -> None:
        """Ends everything: what waits is dropped, what runs is asked to end, or killed."""
        self._ready.clear()
        self._later.clear()
        for job in list(self._jobs.values()):
            self._end(job, "cancel", at_once=at_once)

    def close(self) -> None:
        """Leaves no process behind."""
        for one in self._zygotes.values():
            one.close()
        self._zygotes.clear()
        self._selector.close()

    def _zygote(self, name: str) -> zygote.Zygote:
        if name not in self._zygotes:
            prefix = self._known.prefix(name)
            self.logs.mkdir(parents=True, exist_ok=True)
            settings = self._settings
            env = zygote.environment(prefix, settings.home, settings.run_id, settings.threads)
            self.adopt({name: zygote.Zygote(name, prefix, env, self.logs / f"_environment-{name}.log")})
        return self._zygotes[name]

    def _watch(self, one: zygote.Zygote) -> None:
        """Waits for a zygote's request socket only while something is left to be written to it."""
        watched = one.control in self._selector.get_map()
        if one.outgoing and not watched:
            self._selector.register(one.control, selectors.EVENT_WRITE, one)
        elif watched and not one.outgoing:
            self._selector.unregister(one.control)

    def _start(self, node: Node, number: int) -> None:
        settings, component = self._settings, node.component
        assert component.executor is not None
        self._count += 1
        inputs = {"parameterValues": node.parameters, "artifacts": as_executor_input(node.artifacts)}
        log = self.logs / f"{store.safe_name(node.path)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        attempt = store.prepare(settings.home, settings.run_id, node.path, number, component, inputs)
        command = self._catalogue.command(component)
        constants = {
            **settings.constants,
            "{{$.pipeline_task_name}}": node.task.name,
            "{{$.pipeline_task_uuid}}": f"{settings.run_id}-{self._count}",
            "{{$.pipeline_root}}": str(settings.home / "store"),
        }
        words = resolve_command(command.words, attempt.executor_input, constants)
        if command.source is not None:
            attempt.source.write_text(command.source, encoding="utf-8")
            words = ["--component_module_path", str(attempt.source), *words]
        one = self._zygote(self._catalogue.environment(component))
        limit = settings.timeouts.get(node.task.name, settings.timeouts.get(node.path))
        job = Job(f"{self._count}", node, number, attempt, log, one, limit)
        self._jobs[job.id] = job
        one.fork(
            {
                "id": job.id,
                "python": command.python,
                "words": words,
                "needs": self._catalogue.needs(component),
                "log": str(log),
                "cwd": str(settings.cwd),
                "env": {
                    **component.executor.env,
                    "HEADRACE_TASK": node.path,
                    "HEADRACE_THREADS": str(self._share()),
                },
            }
        )
        self._watch(one)
        self._on_started(job)

    def _share(self) -> int:
        """The cores for a task that starts now, beside those that run or could."""
        beside = min(self._settings.max_parallel, len(self._jobs) + len(self._ready))
        return max(1, (os.cpu_count() or 1) // max(1, beside))

    def _read(self, one: zygote.Zygote) -> None:
        events = one.read()
        for event in events or ():
            job = self._jobs.get(event.get("id", ""))
            if job is None:
                continue  # it has said its result before
            if event["event"] == "started":
                job.deadline = time.monotonic() + job.limit if job.limit else None
                if job.ended_by:
                    self._end(job, job.ended_by, at_once=False)
            elif event["event"] == "result":
                self._done(job, event["error"], event.get("max_rss_kib", 0))
            elif event["event"] == "refused":
                self._done(job, _error("OSError", f"cannot start another process: {event['message']}"))
            elif event["event"] == "exit":
                self._done(job, _exit_error(event["code"]), event.get("max_rss_kib", 0))
        if events is None:
            self._lost(one)

    def _lost(self, one: zygote.Zygote) -> None:
        """A zygote has died: the kernel ends its children, this their groups. A new one starts on demand."""
        self._selector.unregister(one.events)
        if one.control in self._selector.get_map():
            self._selector.unregister(one.control)
        self._zygotes.pop(one.name, None)
        one.close()
        code = one.process.returncode
        how = (_exit_error(code) or {"message": "ended with exit status 0"})["message"]
        log = self.logs / f"_environment-{one.name}.log"
        for job in [j for j in self._jobs.values() if j.zygote is one]:
            message = f"the worker process of the environment `{one.name}` was lost: {how}; see {log}"
            self._done(job, _error("WorkerLost", message))

    def _done(self, job: Job, said: Mapping[str, Any] | None, max_rss_kib: int = 0) -> None:
        """Publishes the outputs of an attempt that went well, and passes on what it came to."""
        del self._jobs[job.id]
        error = self._explain(job, said)
        outputs: dict[str, Any] = {}
        artifacts: Artifacts = {}
        if error is None:
            settings = self._settings
            try:
                with store.disk_full_is_clear(settings.home):
                    outputs, artifacts = store.publish(
                        settings.home, settings.run_id, job.node.path, job.attempt, job.node.component
                    )
            except HeadraceError as problem:
                error = TaskError(type(problem).__name__, str(problem), user=True, exit_code=problem.exit_code)
        shutil.rmtree(job.attempt.folder, ignore_errors=True)
        self._on_done(job, Outcome(error, outputs, artifacts, max_rss_kib))

    def _explain(self, job: Job, said: Mapping[str, Any] | None) -> TaskError | None:
        if job.ended_by == "timeout":
            return TaskError("Timeout", f"took longer than its timeout of {job.limit:g} s and was ended")
        if job.ended_by == "cancel":
            return TaskError("Cancelled", "cancelled")
        if said is None:
            return None
        if said.get("errno") in store.FULL:
            full = store.disk_full(self._settings.home)
            return TaskError("DiskFull", str(full), trace=said["trace"], user=True)
        return TaskError(said["type"], said["message"], said["trace"], said["user"], said.get("exit_code", 1))

    def _end(self, job: Job, why: str, *, at_once: bool) -> None:
        job.ended_by = job.ended_by or why
        job.zygote.kill(job.id, signal.SIGKILL if at_once else signal.SIGTERM)
        if job.kill_at is None:
            job.kill_at = time.monotonic() + GRACE

    def _check_clocks(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.kill_at is not None and now >= job.kill_at:
                job.zygote.kill(job.id, signal.SIGKILL)
                job.kill_at = now + GRACE
            elif job.deadline is not None and now >= job.deadline and not job.ended_by:
                self._end(job, "timeout", at_once=False)
        for one in list(self._zygotes.values()):
            if one.process.poll() is not None:
                self._read(one)
                if one.name in self._zygotes:
                    self._lost(one)

    def _until(self, limit: float) -> float:
        """The next moment at which something is due."""
        moments = [limit]
        moments += [
            m for job in self._jobs.values() for m in (job.deadline if not job.ended_by else None, job.kill_at) if m
        ]
        if self._later:
            moments.append(self._later[0][0])
        return min(moments)


def _error(kind: str, message: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "trace": "", "user": False}


def _exit_error(code: int) -> dict[str, Any] | None:
    if code == 0:
        return None
    if code > 0:
        return _error("ExitStatus", f"ended with exit status {code}")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    hint = " (perhaps out of memory)" if -code == signal.SIGKILL else ""
    return _error("Killed", f"killed by signal {-code}{hint or f' ({name})'}")
