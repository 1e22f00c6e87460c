"""One run of a compiled pipeline on this machine, from the first look to the last record."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import events, store
from headrace.pipelines.local.cache import Catalogue, foresee, look_up
from headrace.pipelines.local.closure import default_closures
from headrace.pipelines.local.environments import Environments, is_plain_python
from headrace.pipelines.local.execution import GRACE, Job, Outcome, Settings, Workers
from headrace.pipelines.local.graph import Graph, read_graph
from headrace.pipelines.local.head_start import HeadStart, new_run_id, threads_for
from headrace.pipelines.local.importer import ImportRefused, import_artifact
from headrace.pipelines.local.inputs import pipeline_parameters
from headrace.pipelines.local.processes import myself
from headrace.pipelines.local.record import Record
from headrace.pipelines.local.results import (
    CANCELLED,
    FAILED,
    RUNNING,
    SUCCEEDED,
    RunResult,
    RunSummary,
    TaskError,
    TaskResult,
)
from headrace.pipelines.local.signals import caught
from headrace.pipelines.local.tree import FINAL, Node, Tree


class Cancelled(KeyboardInterrupt):
    """The run was ended by a signal and is recorded; `result` is what there is of it."""

    def __init__(self, result: RunResult, signal_number: int) -> None:
        super().__init__(f"run {result.id} cancelled")
        self.result = result
        self.exit_code = 128 + signal_number


def run_pipeline(
    ir: Mapping[str, Any],
    *,
    parameters: Mapping[str, Any] | None = None,
    home: Path,
    environments: Environments,
    name: str | None = None,
    labels: Mapping[str, str] | None = None,
    max_parallel: int | None = None,
    timeouts: Mapping[str, float] | None = None,
    on_event: events.Listener = lambda event: None,
    use_cache: bool = True,
    early: HeadStart | None = None,
) -> RunResult:
    """Executes a compiled pipeline and returns its record, whether it succeeded or not.

    Args:
        ir: the pipeline spec as `yaml.safe_load` or `json.load` gives it.
        parameters: values of the pipeline's parameters.
        home: the `.headrace` folder; made where there is none.
        environments: which Python stands in for which image.
        name: of the run; the pipeline's name where there is none.
        labels: recorded with the run.
        max_parallel: tasks at the same time; as many as there are cores where not given.
        timeouts: seconds by task name, after which a task is ended and has failed.
        on_event: told of everything that happens, in this thread.
        use_cache: False runs every task, and still stores what it puts out.
        early: environments that were started beforehand, see `head_start`.

    Raises:
        HeadraceError: the pipeline cannot run at all: unsupported, a parameter missing, no environment.
        Cancelled: a signal ended it (a KeyboardInterrupt whose `exit_code` is 130 after Ctrl-C).
    """
    home = Path(home).absolute()
    graph = read_graph(ir)
    values = pipeline_parameters(graph, parameters or {})
    _check_environments(graph, environments)
    with store.disk_full_is_clear(home), contextlib.closing(Record(home)) as record:
        store.clean_up(home, record)
        closures = default_closures(record.imports())
        run = Run(
            graph,
            values,
            home,
            environments,
            record,
            closures=closures,
            on_event=on_event,
            use_cache=use_cache,
            name=name or graph.name,
            labels=dict(labels or {}),
            max_parallel=max_parallel or os.cpu_count() or 1,
            timeouts=dict(timeouts or {}),
            ir_digest=_ir_digest(ir),
            early=early,
        )
        return run.execute()


def _check_environments(graph: Graph, known: Environments) -> None:
    """Before anything runs: every image has an environment, and it is built."""
    for component in graph.components.values():
        if component.executor and component.executor.kind == "container":
            try:
                known.prefix(known.name_for(component.executor.image))
            except HeadraceError as error:
                raise type(error)(f"{component.name.removeprefix('comp-')}: {error}") from None


def _ir_digest(ir: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(ir, sort_keys=True, default=str).encode()).hexdigest()


class Run:
    """Binds the tree of tasks to the workers, the cache, the record and the listener."""

    def __init__(
        self,
        graph: Graph,
        parameters: Mapping[str, Any],
        home: Path,
        known: Environments,
        record: Record,
        *,
        closures: Any,
        on_event: events.Listener,
        use_cache: bool,
        name: str,
        labels: Mapping[str, str],
        max_parallel: int,
        timeouts: Mapping[str, float],
        ir_digest: str,
        early: HeadStart | None,
    ) -> None:
        now = time.time()
        self.id = early.run_id if early else new_run_id()
        self.summary = RunSummary(self.id, name, graph.name, RUNNING, now, 0.0, labels)
        self._graph, self._parameters, self._home, self._record = graph, parameters, home, record
        self._listener, self._use_cache, self._ir_digest = on_event, use_cache, ir_digest
        self._closures = closures
        self._catalogue = Catalogue(graph, known, closures)
        self._constants = _constants(self.id, name, home, now)
        settings = Settings(
            run_id=self.id,
            home=home,
            cwd=Path.cwd(),
            max_parallel=max_parallel,
            threads=threads_for(max_parallel),
            timeouts=timeouts,
            constants=self._constants,
        )
        self._workers = Workers(settings, known, self._catalogue, self._on_started, self._on_done)
        if early:
            self._workers.adopt(early.zygotes)
        self._tree = Tree(graph, parameters, self._constants, self._on_leaf, self._on_final)
        self._expected: set[str] = set()
        self._results: dict[str, TaskResult] = {}
        self._signals: list[int] = []
        self._position = 0

    def execute(self) -> RunResult:
        """Runs the pipeline to its end."""
        self._record.start_run(self.summary, self._parameters, self._ir_digest, myself())
        state, error = FAILED, ""
        try:
            self._tell(events.RUN_STARTED, self.summary.name)
            self._notices()
            with caught(self._signals, self._workers):
                self._first_look()
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
            store.remove_tmp(self._home, self.id)  # before the record is written: the disk may be full
            outputs = self._tree.outputs() if state == SUCCEEDED else {}
            self._record.learn_imports(self._closures.learned)
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
        )
        self._tell(events.RUN_FINISHED, state=state)
        if self._signals:
            raise Cancelled(result, self._signals[0])
        return result

    def _notices(self) -> None:
        notices = list(self._graph.notices)
        leaves = [c for c in self._graph.components.values() if c.executor and c.executor.kind == "container"]
        if plain := sorted({c.executor.image for c in leaves if c.executor and is_plain_python(c.executor.image)}):
            notices.append(f"components on {', '.join(plain)} run in the environment `main`")
        installs = sorted({package for c in leaves for package in self._catalogue.command(c).installs})
        if installs:
            notices.append(f"nothing is installed at run time; the environment must have {', '.join(installs)}")
        for notice in notices:
            self._tell(events.NOTICE, notice)

    def _first_look(self) -> None:
        expected = foresee(
            self._graph, self._parameters, self._constants, self._catalogue, self._record, self._use_cache
        )
        self._expected = {component.name for component in expected}
        self._workers.warm_up(expected)

    def _loop(self) -> None:
        ticks = bool(getattr(self._listener, "wants_ticks", False))
        self._tree.work()
        while not self._tree.done and not self._signals:
            self._workers.step(0.1 if ticks else 0.5)
            self._tree.work()
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
        key = self._catalogue.key(node) or ""
        node.details = replace(node.details, key=key)
        found = look_up(self._record, key) if key and node.task.cache and self._use_cache else None
        if found:
            node.outputs, node.output_artifacts = found
            node.details = replace(node.details, cached=True)
            self._tree.finish(node, SUCCEEDED)
            return
        if node.component.name not in self._expected:
            self._surprise()
        self._workers.submit(node)

    def _surprise(self) -> None:
        """The first look was wrong: whatever is still to come may have to run."""
        rest = [c for c in self._graph.components.values() if c.executor and c.executor.kind == "container"]
        over = {node.component.name for node in self._tree.nodes if node.state in FINAL}
        self._expected.update(component.name for component in rest)
        self._workers.warm_up([component for component in rest if component.name not in over])

    def _import(self, node: Node) -> None:
        try:
            node.output_artifacts = import_artifact(node, self._constants)
        except ImportRefused as error:
            self._tree.finish(node, FAILED, TaskError("ImportRefused", str(error), user=True))
        else:
            self._tree.finish(node, SUCCEEDED)

    def _on_started(self, job: Job) -> None:
        started = time.time() if job.number == 1 else job.node.details.started
        job.node.details = replace(job.node.details, started=started, attempts=job.number, log=job.log)
        self._record.save_task(self.id, self._place(job.node), job.node.details)
        self._tell(events.TASK_STARTED, task=job.node.details)

    def _on_done(self, job: Job, outcome: Outcome) -> None:
        node, retry = job.node, job.node.task.retry
        node.details = replace(node.details, max_rss_kib=max(node.details.max_rss_kib, outcome.max_rss_kib))
        if outcome.error is None:
            node.outputs, node.output_artifacts = outcome.outputs, outcome.artifacts
            self._tree.finish(node, SUCCEEDED)
        elif job.ended_by == "cancel":
            self._tree.finish(node, CANCELLED)
        elif retry and job.number <= retry.max_retries:
            delay = min(retry.delay * retry.factor ** (job.number - 1), retry.max_delay)
            self._tell(events.TASK_RETRIED, outcome.error.message, task=node.details)
            self._workers.submit(node, job.number + 1, delay)
        else:
            self._tree.finish(node, FAILED, outcome.error)

    def _on_final(self, node: Node) -> None:
        """Writes down how a task ended, and puts new outputs into the cache."""
        details = node.details or TaskResult(
            path=node.path,
            name=node.task.display,
            component=node.component.name,
            state=node.state,
            leaf=node.leaf,
            parameters=node.parameters,
            inputs=node.artifacts,
            started=node.begun if node.state in (SUCCEEDED, FAILED) else time.time(),
        )
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
        self._record.save_task(self.id, self._place(node), result, node.task.cache if new else None)
        self._results[node.path] = result
        self._tell(events.TASK_FINISHED, task=result)

    def _place(self, node: Node) -> int:
        """The task's position in the record: that of its first mention."""
        if not node.position:
            self._position += 1
            node.position = self._position
        return node.position

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
        "{{$.pipeline_job_create_time_utc}}": time_text,
        "{{$.pipeline_job_schedule_time_utc}}": time_text,
    }
