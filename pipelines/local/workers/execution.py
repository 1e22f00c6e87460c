"""Running leaves: a budget, warm workers, timeouts, retries, cancellation. One loop, one selector."""

from __future__ import annotations

import functools
import heapq
import json
import os
import selectors
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from headrace.pipelines.local.inputs import as_executor_input
from headrace.pipelines.local.ir.graph import Component, Graph
from headrace.pipelines.local.ir.placeholders import WORKSPACE, WORKSPACE_MOUNT, resolve_command, task_constants
from headrace.pipelines.local.store import attempts
from headrace.pipelines.local.store.cache import Catalogue
from headrace.pipelines.local.tree import Node
from headrace.pipelines.local.workers import deaths, resources, zygote
from headrace.pipelines.local.workers.environments import Environments
from headrace.pipelines.local.workers.jobs import LONG, Job, Outcome, Settings, conclude
from headrace.pipelines.local.workers.publishing import Publisher, is_small
from headrace.pipelines.local.workers.scheduling import Line

__all__ = ["GRACE", "Job", "Outcome", "Settings", "Workers"]

GRACE = 3.0  # seconds between asking a task to end and killing it
IMPORTS = 120.0  # seconds in which a task with a timeout must have started, beyond that timeout
REFUSALS = 5  # how often a fork that the system refuses is tried again
PAUSE = 0.2  # seconds before the first of those; each next one waits twice as long


class Workers:
    """Runs tasks in forked children of zygotes.

    `on_started` and `on_done` are told of every attempt; `on_again` of one whose worker was lost, and which is
    followed by another; `on_notice` of what should be known about a task before it runs.
    """

    def __init__(
        self,
        settings: Settings,
        known: Environments,
        catalogue: Catalogue,
        on_started: Callable[[Job], None],
        on_done: Callable[[Job, Outcome], None],
        on_again: Callable[[Job, str], None] = lambda job, message: None,
        on_notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._settings, self._known, self._catalogue = settings, known, catalogue
        self._on_started, self._on_done = on_started, on_done
        self._on_again, self._on_notice = on_again, on_notice
        self._machine = resources.machine()
        self._kill_counter = resources.kill_counter()
        self._zygotes: dict[str, zygote.Zygote] = {}
        self._selector = selectors.DefaultSelector()
        self._line: Line[tuple[Node, int]] = Line(self._machine, settings.max_parallel)
        self._asked: dict[str, resources.Request] = {}  # by path, of the tasks not yet done
        self._noticed: set[str] = set()
        self._excused: dict[str, int] = {}  # by path
        self._later: list[tuple[float, int, Node, int]] = []  # (when, order, node, attempt)
        self._jobs: dict[str, Job] = {}
        self._publisher: Publisher[Outcome] = Publisher(resources.cores())
        self._publishing: dict[str, Job] = {}
        self._selector.register(self._publisher.wake, selectors.EVENT_READ, None)
        self._count = 0
        self.logs = settings.home / "logs" / settings.run_id

    @property
    def idle(self) -> bool:
        return not (self._jobs or self._publishing or self._line or self._later)

    def submit(self, node: Node, attempt: int = 1, delay: float = 0.0) -> None:
        """Queues an attempt at a task; it starts when there is room and the delay has passed.

        Raises:
            HeadraceError: its resource requests are no quantities.
        """
        assert node.component.executor is not None
        if node.path not in self._asked:
            inputs = {"inputs": {"parameterValues": node.parameters}}
            asked = resources.request(node.component.executor.resources, inputs, self._settings.constants)
            self._asked[node.path] = asked
            self._notice(resources.excess(node.component.name, asked, self._machine))
        if delay > 0:
            self._count += 1
            heapq.heappush(self._later, (time.monotonic() + delay, self._count, node, attempt))
        else:
            self._queue(node, attempt)

    def announce(self, graph: Graph) -> None:
        """Says which components ask for more than the machine has, as far as the pipeline tells before it runs."""
        for text in resources.notices(graph, self._machine):
            self._notice(text)

    def adopt(self, zygotes: Mapping[str, zygote.Zygote]) -> None:
        """Takes over zygotes that are running already."""
        for name, one in zygotes.items():
            self._zygotes[name] = one
            self._selector.register(one.events, selectors.EVENT_READ, one)

    def warm_up(self, components: list[Component], words: frozenset[str] = frozenset(), *, fully: bool = True) -> None:
        """Starts the environments of components that will run, to import their modules early.

        Args:
            components: which ones.
            words: the texts among the pipeline's constants: what is chosen by name is imported only if it is named.
            fully: what they may import on their way, too, and not only what they need to begin.
        """
        wanted: dict[str, dict[str, None]] = {}
        for component in components:
            if component.executor is None or not component.executor.image_is_known:
                continue
            name = self._known.worker(self._catalogue.environment(component))
            modules = wanted.setdefault(name, dict.fromkeys(self._known.preload))
            if self._catalogue.command(component).python:
                closure = self._catalogue.closure(component)
                modules.update(dict.fromkeys(closure.preload_for(words) if fully else closure.needs_for(words)))
        for name, modules in wanted.items():
            if modules:
                self._zygote(name).preload(modules)

    def step(self, timeout: float) -> None:
        """Starts what can start, then waits for something to happen, at most `timeout` seconds."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            _, _, node, attempt = heapq.heappop(self._later)
            self._queue(node, attempt)
        while found := self._line.take():
            (node, attempt), claim = found
            self._start(node, attempt, claim)
        for key, mask in self._selector.select(max(0.0, self._until(now + timeout) - time.monotonic())):
            if key.data is None:  # a wake-up, by a signal or by a publication
                os.read(key.fd, 4096)
            elif mask & selectors.EVENT_WRITE:
                key.data.flush()
                self._watch(key.data)
            elif mask & selectors.EVENT_READ:
                self._read(key.data)
        for name, future in self._publisher.finished():
            self._conclude(self._publishing.pop(name), future.result())
        self._check_clocks()

    def wake_on(self, fd: int) -> None:
        """Also ends a wait when there is something to read from `fd`."""
        self._selector.register(fd, selectors.EVENT_READ, None)

    def forget(self, fd: int) -> None:
        """Undoes `wake_on`."""
        self._selector.unregister(fd)

    def cancel(self, *, at_once: bool) -> None:
        """Ends everything: what waits is dropped, what runs is asked to end, or killed."""
        self._line.clear()
        self._later.clear()
        for job in list(self._jobs.values()):
            self._end(job, "cancel", at_once=at_once)

    def close(self) -> None:
        """Leaves no process behind, and no thread that writes. What was not concluded never is."""
        for one in self._zygotes.values():
            one.terminate()
        for one in self._zygotes.values():
            one.close()
        self._zygotes.clear()
        self._publisher.close()
        self._selector.close()

    def _notice(self, text: str | None) -> None:
        if text and text not in self._noticed:
            self._noticed.add(text)
            self._on_notice(text)

    def _queue(self, node: Node, attempt: int) -> None:
        claim = resources.claim(self._asked[node.path], self._machine, self._settings.max_parallel)
        self._line.put((node, attempt), claim)

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

    def _start(self, node: Node, number: int, claim: resources.Amount) -> None:
        settings, component = self._settings, node.component
        assert component.executor is not None
        self._count += 1
        constants = task_constants(settings.constants, node.task.name, node.path)
        inputs = {
            "parameterValues": node.parameters,
            "artifacts": as_executor_input(node.artifacts, constants.get(WORKSPACE, "")),
        }
        log = self.logs / f"{attempts.safe_name(node.path)}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        attempt = attempts.prepare(settings.home, settings.run_id, node.path, number, component, inputs)
        command = self._catalogue.command(component)
        mounted = (WORKSPACE_MOUNT, constants.get(WORKSPACE, "") if component.executor.workspace else WORKSPACE_MOUNT)
        words = [word.replace(*mounted) for word in resolve_command(command.words, attempt.executor_input, constants)]
        if command.source is not None:
            attempt.source.write_text(command.source.replace(*mounted), encoding="utf-8")
            words = ["--component_module_path", str(attempt.source), *words]
        one = self._zygote(self._known.worker(self._catalogue.environment(component)))
        request: dict[str, Any] = {
            "id": f"{self._count}",
            "python": command.python,
            "words": words,
            "needs": self._catalogue.needs(component),
            "log": str(log),
            "report": str(attempt.folder / "report.json"),
            "cwd": str(settings.cwd),
            "env": {**self._threads(node, claim), **component.executor.env, "HEADRACE_TASK": node.path},
        }
        request = self._known.request(request, node, attempt, constants)
        job = Job(
            id=request["id"],
            node=node,
            number=number,
            excused=self._excused.get(node.path, 0),
            attempt=attempt,
            log=log,
            zygote=one,
            request=request,
            claim=claim,
            limit=self._limit(node),
            kills=resources.kills(self._kill_counter),
        )
        job.deadline = job.begun + job.limit + IMPORTS if job.limit else None
        self._jobs[job.id] = job
        one.fork(request)
        self._watch(one)
        self._on_started(job)

    def _limit(self, node: Node) -> float | None:
        """The timeout of a task in seconds: the caller's, by its name or path, else the pipeline's."""
        timeouts = self._settings.timeouts
        given = timeouts.get(node.task.name, timeouts.get(node.path))
        return given if given is not None else (node.component.executor.timeout if node.component.executor else None)

    def _threads(self, node: Node, claim: resources.Amount) -> dict[str, str]:
        """How many threads a task that starts now may use: the cores it asks for, else a share of all.

        `HEADRACE_CORES` are those it asks for, else all, whatever else runs: for what rounds by its number of threads.
        """
        if self._asked[node.path].cpu is not None:
            threads = max(1, claim.cpu // resources.CORE)
            told = str(threads)
            return {**zygote.threads_environment(threads), "HEADRACE_THREADS": told, "HEADRACE_CORES": told}
        beside = min(self._settings.max_parallel, self._line.running + len(self._line))
        share = max(1, resources.cores() // max(1, beside))
        return {"HEADRACE_THREADS": str(share), "HEADRACE_CORES": str(resources.cores())}

    def _read(self, one: zygote.Zygote) -> None:
        events = one.read()
        for event in events or ():
            job = self._jobs.get(event.get("id", ""))
            if job is None:  # it has said its result before, or was given up before it started
                if event["event"] == "started":
                    one.kill(event["id"], signal.SIGKILL)
                continue
            if event["event"] == "started":
                job.started = True
                job.deadline = time.monotonic() + job.limit if job.limit else None
            elif event["event"] == "result":
                job.said, job.deadline = event, None
                if event["last"]:
                    self._done(job, event["error"], event.get("max_rss_kib", 0))
            elif event["event"] == "refused":
                self._refused(job, event["message"])
            elif event["event"] == "exit":
                self._exited(job, event["code"], event["max_rss_kib"])
        if events is None:
            self._lost(one)

    def _lost(self, one: zygote.Zygote) -> None:
        """A zygote has died: the kernel ends its children, this their groups. A new one starts on demand."""
        self._selector.unregister(one.events)
        if one.control in self._selector.get_map():
            self._selector.unregister(one.control)
        self._zygotes.pop(one.name, None)
        one.close()
        killed = resources.kills(self._kill_counter) > min((j.kills for j in self._of(one)), default=1 << 62)
        how = (deaths.of_process(one.process.returncode, killed) or {"message": "ended with exit status 0"})["message"]
        log = self.logs / f"_environment-{one.name}.log"
        for job in self._of(one):
            message = f"the worker process of the environment `{one.name}` was lost: {how}; see {log}"
            if job.said is not None:
                self._done(job, job.said["error"], job.said.get("max_rss_kib", 0))
            elif job.ended_by or job.excused:
                self._done(job, deaths.error("WorkerLost", message))
            else:
                self._again(job, message)

    def _of(self, one: zygote.Zygote) -> list[Job]:
        return [job for job in self._jobs.values() if job.zygote is one]

    def _again(self, job: Job, message: str) -> None:
        """Starts a task once more whose worker was lost: that is our affair, and does not count as a retry."""
        del self._jobs[job.id]
        self._line.release(job.claim)
        shutil.rmtree(job.attempt.folder, ignore_errors=True)
        self._excused[job.node.path] = job.excused + 1
        self._on_again(job, message)
        self.submit(job.node, job.number + 1)

    def _refused(self, job: Job, message: str) -> None:
        """The system has no room for another process. There may be soon: others end."""
        job.refusals += 1
        if job.refusals > REFUSALS:
            self._done(job, deaths.error("OSError", f"cannot start another process: {message}"))
        else:
            job.again_at = time.monotonic() + PAUSE * 2 ** (job.refusals - 1)

    def _exited(self, job: Job, code: int, peak: int) -> None:
        """A task's process, and all that it started, are gone."""
        if job.said is None and job.report.is_file():
            job.said = json.loads(job.report.read_bytes())
        if job.said is not None:
            self._done(job, job.said["error"], peak)
            return
        said = deaths.of_task(
            code,
            python=job.request["python"],
            killed_for_memory=resources.kills(self._kill_counter) > job.kills,
            peak=peak * 1024,
            memory=self._machine.memory,
            log=job.log,
        )
        self._done(job, said, peak)

    def _done(self, job: Job, said: Mapping[str, Any] | None, max_rss_kib: int = 0) -> None:
        """Publishes the outputs of an attempt that went well, and passes on what it came to."""
        del self._jobs[job.id]
        durable = time.monotonic() - job.begun > LONG
        work = functools.partial(conclude, self._settings, job, said, max_rss_kib, durable)
        if (durable and said is None) or not is_small(job.attempt.folder):
            self._publishing[job.id] = job
            self._publisher.submit(job.id, work)
        else:
            self._conclude(job, work())

    def _conclude(self, job: Job, outcome: Outcome) -> None:
        self._line.release(job.claim)
        self._asked.pop(job.node.path)
        self._on_done(job, outcome)

    def _end(self, job: Job, why: str, *, at_once: bool) -> None:
        job.ended_by = job.ended_by or why
        if not job.started:  # there is nothing to end yet; should it start after all, that is its end
            self._done(job, None)
            return
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
            elif job.again_at is not None and now >= job.again_at:
                job.again_at = None
                job.zygote.fork(job.request)
                self._watch(job.zygote)
        for one in list(self._zygotes.values()):
            if one.process.poll() is not None:
                self._read(one)
                if one.name in self._zygotes:
                    self._lost(one)

    def _until(self, limit: float) -> float:
        """The next moment at which something is due."""
        moments = [limit]
        moments += [
            m
            for job in self._jobs.values()
            for m in (job.deadline if not job.ended_by else None, job.kill_at, job.again_at)
            if m
        ]
        if self._later:
            moments.append(self._later[0][0])
        return min(moments)
