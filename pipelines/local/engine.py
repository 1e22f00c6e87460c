"""The engine of a run: binds the tree of tasks to the workers, the cache, the record and the listener."""

from __future__ import annotations

import functools
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import events
from headrace.pipelines.local.foresight import A_WHILE, Foresight, foresee
from headrace.pipelines.local.head_start import HeadStart, new_run_id, threads_for
from headrace.pipelines.local.importer import ImportRefused, import_artifact
from headrace.pipelines.local.ir.graph import Component, Graph
from headrace.pipelines.local.ir.placeholders import WORKSPACE
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import (
    CANCELLED,
    FAILED,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    RunResult,
    RunSummary,
    TaskError,
    TaskResult,
)
from headrace.pipelines.local.resolver import resolve_artifacts
from headrace.pipelines.local.signals import caught
from headrace.pipelines.local.store import attempts
from headrace.pipelines.local.store.cache import Catalogue, look_up
from headrace.pipelines.local.store.digests import look
from headrace.pipelines.local.store.entries import Prover, entry_of
from headrace.pipelines.local.tree import Node, Tree
from headrace.pipelines.local.workers.environments import Environments, is_plain_python
from headrace.pipelines.local.workers.execution import GRACE, Workers
from headrace.pipelines.local.workers.jobs import LONG, Job, Outcome, Settings
from headrace.pipelines.local.workers.processes import myself


@dataclass(frozen=True)
class Options:
    """How a run is to be carried out. Recorded with it, so that it can be resumed in the same way."""

    name: str
    cwd: str
    labels: Mapping[str, str] = field(default_factory=dict)
    max_parallel: int = 1
    timeouts: Mapping[str, float] = field(default_factory=dict)  # seconds by task name
    use_cache: bool = True
    fail_fast: bool = False  # once a task has failed, none begins but those that run however others ended


class Cancelled(KeyboardInterrupt):
    """The run was ended by a signal and is recorded; `result` is what there is of it."""

    def __init__(self, result: RunResult, signal_number: int) -> None:
        super().__init__(f"run {result.id} cancelled")
        self.result = result
        self.exit_code = 128 + signal_number


class Engine:
    """Carries out one run. `previous` is what there is of it, where it is resumed."""

    def __init__(
        self,
        ir: Mapping[str, Any],
        graph: Graph,
        parameters: Mapping[str, Any],
        home: Path,
        known: Environments,
        record: Record,
        options: Options,
        *,
        closures: Any,
        on_event: events.Listener,
        early: HeadStart | None = None,
        previous: RunResult | None = None,
    ) -> None:
        started = previous.started if previous else time.time()
        self.id = previous.id if previous else early.run_id if early else new_run_id()
        self.summary = RunSummary(self.id, options.name, graph.name, RUNNING, started, 0.0, options.labels)
        self._ir, self._graph, self._parameters, self._options = ir, graph, parameters, options
        self._home, self._record, self._listener, self._closures = home, record, on_event, closures
        self._previous = previous.tasks if previous else {}
        self._resumed = previous is not None
        self._known = known
        self._catalogue = Catalogue(graph, known, closures)
        self._prover = Prover(home)
        self._constants = _constants(self.id, options.name, home, started)
        settings = Settings(
            run_id=self.id,
            home=home,
            cwd=Path(options.cwd),
            max_parallel=options.max_parallel,
            threads=threads_for(options.max_parallel),
            timeouts=options.timeouts,
            constants=self._constants,
        )
        self._workers = Workers(
            settings, known, self._catalogue, self._on_started, self._on_done, self._on_again, self._notice
        )
        if early:
            early.begun = True
            self._workers.adopt(early.zygotes)
        self._tree = Tree(graph, parameters, self._constants, self._on_leaf, self._on_final)
        of_run = graph, parameters, self._constants, self._catalogue, record, options.name, options.use_cache
        self._foresight = Foresight(functools.partial(foresee, *of_run), self._prepare)
        self._results: dict[str, TaskResult] = {}
        self._signals: list[int] = []
        self._positions = {path: index for index, path in enumerate(self._previous, start=1)}
        self._meanwhile: deque[Callable[[], object]] = deque()
        self._seen: dict[str, dict[Path, tuple[int, int, int]]] = {}  # task -> its inputs, when it started

    def execute(self, meanwhile: Iterable[Callable[[], object]] = ()) -> RunResult:
        """Runs the pipeline to its end; `meanwhile` is what else there is to do, in small pieces."""
        self._meanwhile.extend(meanwhile)
        if self._resumed:
            self._record.claim_run(self.id, myself())
        else:
            self._record.start_run(self.summary, self._parameters, self._ir, myself(), asdict(self._options))
        state, error = FAILED, ""
        try:
            self._tell(events.RUN_STARTED, self.summary.name)
            self._notices()
            if self._graph.workspace:
                attempts.workspace(self._home, self.id).mkdir(parents=True, exist_ok=True)
            with caught(self._signals, self._workers):
                self._foresight.look()
                self._loop()
            state = CANCELLED if self._signals else self._tree.state()
            if self._signals:
                error = f"cancelled by {signal.Signals(self._signals[0]).name}"
        except HeadraceError as problem:
            error = str(problem)
            raise
        except BaseException as problem:
            error = f"{type(problem).__name__}: {problem}"
            raise
        finally:
            self._workers.close()
            self._known.end_run(self._home, self.id)
            attempts.remove_tmp(self._home, self.id)  # before the record is written: the disk may be full
            if state == SUCCEEDED:  # otherwise the run can be resumed, and its tasks find there what others have left
                shutil.rmtree(attempts.workspace(self._home, self.id), ignore_errors=True)
            outputs = self._tree.outputs() if state == SUCCEEDED else {}
            self._record.learn_imports(self._closures.learned)
            self._closures.keep()
            self._record.finish_run(self.id, state, error, outputs)
        result = RunResult(
            id=self.id,
            name=self.summary.name,
            pipeline=self._graph.name,
            state=state,
            started=self.summary.started,
            seconds=time.time() - self.summary.started,
            labels=self.summary.labels,
            parameters=self._parameters,
            tasks=self._results,
            outputs=outputs,
            error=error,
            home=self._home,
            ir_digest=self._record.ir_digest(self.id),
        )
        self._tell(events.RUN_FINISHED, state=state)
        if self._signals:
            raise Cancelled(result, self._signals[0])
        return result

    def _notices(self) -> None:
        notices = list(self._graph.notices)
        leaves = [c for c in self._graph.components.values() if c.executor and c.executor.kind == "container"]
        images = {c.executor.image for c in leaves if c.executor and not self._known.containers}
        if plain := sorted(image for image in images if is_plain_python(image)):
            notices.append(f"components on {', '.join(plain)} run in the environment `main`")
        installs = sorted({package for c in leaves for package in self._catalogue.command(c).installs})
        if installs:
            notices.append(f"nothing is installed at run time; the environment must have {', '.join(installs)}")
        for notice in notices:
            self._notice(notice)
        self._workers.announce(self._graph)

    def _notice(self, text: str) -> None:
        self._tell(events.NOTICE, text)

    def _prepare(self, components: list[Component], fully: bool) -> None:
        """Pieces of work for `_meanwhile`: to find out what a component imports takes a while where its code is new,
        for which the first tasks need not wait."""
        words = self._graph.words
        warm = [functools.partial(self._workers.warm_up, [one], words, fully=fully) for one in components]
        self._meanwhile.extendleft(reversed(warm))

    def _loop(self) -> None:
        ticks = bool(getattr(self._listener, "wants_ticks", False))
        pause = 0.1 if ticks else 0.5
        self._tree.work()
        while not self._tree.done and not self._signals:
            self._workers.step(0.0 if self._meanwhile else min(pause, A_WHILE) if self._foresight.watches else pause)
            self._tree.work()
            self._foresight.after_a_while()
            if self._meanwhile and not self._tree.done:
                self._meanwhile.popleft()()
            if ticks:
                self._tell(events.TICK)
        if self._signals:
            self._cancel()

    def _cancel(self) -> None:
        """The first signal asks the tasks to end; a second one, or a while, kills them."""
        give_up = time.monotonic() + GRACE + 1.0
        self._workers.cancel(at_once=len(self._signals) > 1)
        while not self._workers.idle and time.monotonic() < give_up and len(self._signals) < 2:
            self._workers.step(0.1)
        if not self._workers.idle:
            self._workers.cancel(at_once=True)
        for node in list(self._tree.unfinished()):
            self._tree.finish(node, CANCELLED)

    def _on_leaf(self, node: Node) -> None:
        """A task is ready: from the cache, by the importer, or in a worker."""
        executor = node.component.executor
        assert executor is not None
        if self._options.fail_fast and not node.task.always and self._has_failed():
            self._tree.finish(node, SKIPPED, reason="another task failed, after which none begins")
            return
        node.details = TaskResult(
            path=node.path,
            name=node.task.display,
            component=node.component.name,
            state=RUNNING,
            parameters=node.parameters,
            inputs=node.artifacts,
            started=time.time(),
        )
        if executor.kind == "importer":
            self._import(node)
            return
        if executor.kind == "resolver":
            node.output_artifacts = resolve_artifacts(node, self._record, self._graph.name)
            self._tree.finish(node, SUCCEEDED)
            return
        key = self._catalogue.key(node) or ""
        node.details = replace(node.details, key=key, made_of=self._catalogue.made_of(node.component))
        if (before := self._previous.get(node.path)) and self._still_holds(before, node.details):
            node.details, node.outputs, node.output_artifacts = before, dict(before.outputs), dict(before.artifacts)
            self._tree.finish(node, SUCCEEDED)
            return
        use_cache = bool(key) and node.task.cache and self._options.use_cache
        found = look_up(self._record, key, self._prover) if use_cache else None
        if found:
            node.outputs, node.output_artifacts = found
            node.details = replace(node.details, cached=True)
            self._tree.finish(node, SUCCEEDED)
            return
        self._workers.submit(node)

    def _has_failed(self) -> bool:
        return any(task.leaf and task.state == FAILED for task in self._results.values())

    def _still_holds(self, before: TaskResult, now: TaskResult) -> bool:
        """Whether a resumed run keeps what one of its tasks did before: nothing it was made of has changed."""
        outputs = [item for items in before.artifacts.values() for item in items if item.digest and item.path]
        return (
            before.state == SUCCEEDED
            and before.key == now.key
            and before.parameters == now.parameters
            and (bool(now.key) or before.inputs == now.inputs)
            and not any(self._prover.damage(item) for item in outputs)
        )

    def _import(self, node: Node) -> None:
        try:
            node.output_artifacts = import_artifact(node, self._constants)
        except ImportRefused as error:
            self._tree.finish(node, FAILED, TaskError("ImportRefused", str(error), user=True))
        else:
            self._tree.finish(node, SUCCEEDED)

    def _on_started(self, job: Job) -> None:
        self._foresight.begun(job.node)
        started = time.time() if job.number == 1 else job.node.details.started
        before = self._previous.get(job.node.path)
        attempts = job.number + (before.attempts if before else 0)
        job.node.details = replace(job.node.details, started=started, attempts=attempts, log=job.log)
        self._seen[job.node.path] = self._look_at_inputs(job.node)
        self._record.save_task(self.id, self._place(job.node), job.node.details)
        self._tell(events.TASK_STARTED, task=job.node.details)

    def _on_again(self, job: Job, message: str) -> None:
        self._tell(events.TASK_RETRIED, message, task=job.node.details)

    def _on_done(self, job: Job, outcome: Outcome) -> None:
        node, retry = job.node, job.node.task.retry
        self._foresight.ended(node)
        node.details = replace(node.details, max_rss_kib=max(node.details.max_rss_kib, outcome.max_rss_kib))
        written = self._written_to(node)
        if outcome.error is None and written is not None:
            self._tree.finish(node, FAILED, written)
        elif outcome.error is None:
            node.outputs, node.output_artifacts = outcome.outputs, outcome.artifacts
            if self._foresight.wants_another_look(node):
                self._meanwhile.appendleft(lambda: self._foresight.look_again(self._results))
            self._tree.finish(node, SUCCEEDED)
        elif job.ended_by == "cancel":
            self._tree.finish(node, CANCELLED)
        elif retry and job.number - job.excused <= retry.max_retries:
            delay = min(retry.delay * retry.factor ** (job.number - job.excused - 1), retry.max_delay)
            self._tell(events.TASK_RETRIED, outcome.error.message, task=replace(node.details, error=outcome.error))
            self._workers.submit(node, job.number + 1, delay)
        else:
            self._tree.finish(node, FAILED, outcome.error)

    def _look_at_inputs(self, node: Node) -> dict[Path, tuple[int, int, int]]:
        paths = [item.path for items in node.artifacts.values() for item in items if item.path]
        return {path: look(path) for path in paths if entry_of(self._home, path)}

    def _written_to(self, node: Node) -> TaskError | None:
        """The error of a task that has written to its inputs: others read them, and the cache relies on them."""
        before = self._seen.pop(node.path, {})
        changed = [path for path, seen in before.items() if look(path) != seen]
        if not changed:
            return None
        names = sorted(n for n, items in node.artifacts.items() if any(item.path in changed for item in items))
        return TaskError(
            "InputChanged",
            f"expected the inputs to stay as they are. Received: a change in {', '.join(names)} ({changed[0]}) while "
            "the task ran. Write to an output, or to a copy. What was changed is made anew when next needed.",
            user=True,
        )

    def _on_final(self, node: Node) -> None:
        """Writes down how a task ended, and puts new outputs into the cache."""
        details: TaskResult = node.details or TaskResult(
            path=node.path,
            name=node.task.display,
            component=node.component.name,
            state=node.state,
            leaf=node.leaf,
            parameters=node.parameters,
            inputs=node.artifacts,
            started=node.begun if node.state in (SUCCEEDED, FAILED) else time.time(),
        )
        if node.details is not None and node.details is self._previous.get(node.path):  # kept as it is recorded
            self._results[node.path] = details
            self._tell(events.TASK_FINISHED, task=replace(details, cached=True))
            return
        new = node.state == SUCCEEDED and node.leaf and not details.cached and bool(details.key)
        result = replace(
            details,
            state=node.state,
            reason=node.reason,
            error=node.error,
            outputs=node.outputs,
            artifacts=node.output_artifacts,
            seconds=time.time() - details.started,
        )
        with self._record.durably(new and result.seconds > LONG):
            self._record.save_task(self.id, self._place(node), result, node.task.cache if new else None)
        self._results[node.path] = result
        self._tell(events.TASK_FINISHED, task=result)

    def _place(self, node: Node) -> int:
        """The task's position in the record: that of its first mention."""
        return self._positions.setdefault(node.path, len(self._positions) + 1)

    def _tell(self, kind: str, message: str = "", state: str = "", task: TaskResult | None = None) -> None:
        log = task.log if task else None
        self._listener(events.Event(kind, self.id, time.time(), message, state, task, log))


def _constants(run_id: str, name: str, home: Path, now: float) -> dict[str, str]:
    """KFP's placeholders without a key; the ones of a task are added for each."""
    time_text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "{{$.pipeline_job_name}}": name,
        "{{$.pipeline_job_resource_name}}": f"{name}-{run_id}",
        "{{$.pipeline_job_uuid}}": run_id,
        "{{$.pipeline_root}}": str(home / "store"),
        WORKSPACE: str(attempts.workspace(home, run_id)),
        "{{$.pipeline_job_create_time_utc}}": time_text,
        "{{$.pipeline_job_schedule_time_utc}}": time_text,
    }
