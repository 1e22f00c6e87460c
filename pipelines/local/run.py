"""Runs of compiled pipelines on this machine: begun, and resumed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import events
from headrace.pipelines.local.engine import Cancelled, Engine, Options
from headrace.pipelines.local.head_start import HeadStart
from headrace.pipelines.local.inputs import pipeline_parameters
from headrace.pipelines.local.ir.graph import Graph, UnsupportedPipeline
from headrace.pipelines.local.ir.platform_spec import check_variables
from headrace.pipelines.local.ir.reading import read_graph
from headrace.pipelines.local.record.record import Record, RecordError
from headrace.pipelines.local.record.results import SUCCEEDED, RunResult
from headrace.pipelines.local.store import attempts, lock
from headrace.pipelines.local.store.closure import CLOSURES, default_closures
from headrace.pipelines.local.workers import resources
from headrace.pipelines.local.workers.environments import Environments

__all__ = ["Cancelled", "resume_pipeline", "run_pipeline"]


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
    fail_fast: bool = False,
    early: HeadStart | None = None,
    meanwhile: Iterable[Callable[[], object]] = (),
) -> RunResult:
    """Executes a compiled pipeline and returns its record, whether it succeeded or not.

    Args:
        ir: the pipeline spec as `yaml.safe_load` or `json.load` gives it; where there is a platform spec too,
            `{"pipelineSpec": ..., "platformSpec": ...}` (`pipeline_file.load_pipeline` reads a file as that).
        parameters: values of the pipeline's parameters.
        home: the `.headrace` folder; made where there is none.
        environments: which Python stands in for which image.
        name: of the run; the pipeline's name where there is none.
        labels: recorded with the run.
        max_parallel: tasks at the same time; as many as there are cores where not given.
        timeouts: seconds by task name, after which a task is ended and has failed.
        on_event: told of everything that happens, in this thread.
        use_cache: False runs every task, and still stores what it puts out.
        fail_fast: once a task has failed, none begins any more, but for those that run however others ended. What
            runs by then goes on to its end.
        early: environments that were started beforehand, see `head_start`.
        meanwhile: what else there is to do in this process, in small pieces: one at a time, while tasks run.

    Raises:
        HeadraceError: the pipeline cannot run at all: unsupported, a parameter missing, no environment.
        Cancelled: a signal ended it (a KeyboardInterrupt whose `exit_code` is 130 after Ctrl-C).
    """
    home = Path(home).absolute()
    graph = read_graph(ir)
    values = pipeline_parameters(graph, parameters or {})
    _check_environments(graph, environments)
    options = Options(
        name=name or graph.name,
        cwd=str(Path.cwd()),
        labels=dict(labels or {}),
        max_parallel=max_parallel or resources.cores(),
        timeouts=dict(timeouts or {}),
        use_cache=use_cache,
        fail_fast=fail_fast,
    )
    with _opened(home, environments) as record:
        closures = (early and early.closures) or default_closures(record.imports, home / CLOSURES)
        return Engine(
            ir, graph, values, home, environments, record, options, closures=closures, on_event=on_event, early=early
        ).execute(meanwhile)


def resume_pipeline(
    run_id: str,
    *,
    home: Path,
    environments: Environments,
    max_parallel: int | None = None,
    on_event: events.Listener = lambda event: None,
) -> RunResult:
    """Goes on with a run that failed, was cancelled, or whose process died; under the same id, to its end.

    The recorded pipeline and parameters are used. A task that had succeeded is kept, whether its component may be
    cached or not, as long as its outputs are whole and nothing it was made of has changed; every other one runs.

    Args:
        run_id: its id, an unambiguous beginning of it, or "latest".
        home: the `.headrace` folder.
        environments: which Python stands in for which image.
        max_parallel: tasks at the same time; as in the run so far where not given.
        on_event: told of everything that happens, in this thread.

    Raises:
        HeadraceError: no such run, one that has succeeded, one that another process is running, or the working
            folder it was started in is gone.
        Cancelled: a signal ended it.
    """
    home = Path(home).absolute()
    if not (home / "runs.db").exists():
        raise RecordError(f"expected runs recorded in {home}. Received: none there yet. `headrace run SPEC` makes one.")
    with _opened(home, environments) as record:
        previous = record.run(run_id)
        if previous.state == SUCCEEDED:
            raise RecordError(f"expected a run that is not finished. Received: {previous.id}, which has succeeded")
        ir = record.ir(previous.id)
        recorded = record.options(previous.id)
        if max_parallel:
            recorded["max_parallel"] = max_parallel
        options = Options(**recorded)
        if not Path(options.cwd).is_dir():
            raise RecordError(f"expected the folder in which {previous.id} was started. Received: no {options.cwd}")
        graph = read_graph(ir)
        _check_environments(graph, environments)
        return Engine(
            ir,
            graph,
            previous.parameters,
            home,
            environments,
            record,
            options,
            closures=default_closures(record.imports, home / CLOSURES),
            on_event=on_event,
            previous=previous,
        ).execute()


@contextlib.contextmanager
def _opened(home: Path, environments: Environments) -> Iterator[Record]:
    """The record of a home in which runs whose process died are marked, and from whose store nothing is removed."""
    with attempts.disk_full_is_clear(home), contextlib.closing(Record(home)) as record, lock.shared(home):
        with lock.cleaning(home):
            attempts.clean_up(home, record)
            environments.clean_up(home, lambda: {run_id for run_id, _ in record.unfinished()})
        yield record


def _check_environments(graph: Graph, known: Environments) -> None:
    """Before anything runs: every image has an environment, and it is built; every secret is there."""
    check_variables(graph, os.environ)
    for component in graph.components.values():
        if component.executor and component.executor.kind == "container" and component.executor.image_is_known:
            try:
                known.prefix(known.name_for(component.executor.image))
            except HeadraceError as error:
                raise type(error)(f"{component.name.removeprefix('comp-')}: {error}") from None
            if not component.executor.command and not known.containers:
                raise UnsupportedPipeline(
                    f"{component.name.removeprefix('comp-')}: expected a command. Received: none, and what "
                    f"{component.executor.image} starts by itself is not known outside of it. Try --runner docker."
                )
