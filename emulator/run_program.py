"""A pipeline's run, in a process of its own: begun, or gone on with where an earlier process left off.

    python -m headrace.emulator.run_program FOLDER [--retry]

FOLDER has `run.json`, as `pipeline_runs.submit` writes it. Beside it comes `error.txt`, why the run as a whole failed,
where no task did. With `--retry` a run that failed is gone on with.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.pipeline_runs import ERROR, REQUEST, place
from headrace.emulator.storage.places import PARTIAL
from headrace.pipelines.local.events import RUN_STARTED, TASK_FINISHED, Event
from headrace.pipelines.local.head_start import HeadStart
from headrace.pipelines.local.record.record import RecordError, load_run
from headrace.pipelines.local.record.results import FAILED, SUCCEEDED, RunResult, TaskResult
from headrace.pipelines.local.run import Cancelled, resume_pipeline, run_pipeline
from headrace.pipelines.local.workers.environments import Environments, default_environments
from headrace.pipelines.local.workers.resources import cores


def main(arguments: list[str] | None = None) -> int:
    """Runs it; returns the exit status: 0 when the run succeeded."""
    folder, *options = sys.argv[1:] if arguments is None else arguments
    request = json.loads(Path(folder, REQUEST).read_text(encoding="utf-8"))
    error = Path(folder, ERROR)
    try:
        result = _run(request, retry="--retry" in options)
    except HeadraceError as problem:
        error.write_text(str(problem), encoding="utf-8")
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except Cancelled as cancelled:
        return cancelled.exit_code
    error.write_text(result.error, encoding="utf-8")
    return 0 if result.succeeded else 1


def _run(request: Mapping[str, Any], *, retry: bool) -> RunResult:
    home = Path(request["home"])
    teller = _Teller(request)
    before = _before(home, request["run"])
    if before and (before.state == SUCCEEDED or (before.state == FAILED and not retry)):
        for task in before.tasks.values():
            teller.publish(task)
        return before
    environments = _environments(request)
    if before:
        return resume_pipeline(before.id, home=home, environments=environments, on_event=teller)
    return run_pipeline(
        request["ir"],
        parameters=request["parameters"],
        home=home,
        environments=environments.reading(request["ir"], request["parameters"], ()),
        name=request["name"],
        labels={**request["labels"], **environments.labels(())},
        max_parallel=cores(),
        use_cache=request["cache"],
        fail_fast=request["fail_fast"],
        on_event=teller,
        early=HeadStart(home, environments, cores(), request["run"]),
    )


def _before(home: Path, run: str) -> RunResult | None:
    try:
        return load_run(home, run)
    except RecordError:
        return None


def _environments(request: Mapping[str, Any]) -> Environments:
    if request["containers"]:
        from headrace.pipelines.local.containers.images import container_environments

        return container_environments(lambda text: print(text, flush=True))
    return default_environments()


class _Teller:
    """Writes down what happens, and puts outputs where the run's root is."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._run, self._home = request["run"], Path(request["home"])
        self._root = Path(request["root"]) if request["root"] else None

    def __call__(self, event: Event) -> None:
        """Listens to the runner."""
        if event.kind == RUN_STARTED:
            print(f"run {event.run}", flush=True)
        elif event.task is not None:
            told = event.task.error.message if event.task.error else event.message
            print(f"{event.kind} {event.task.path} {event.task.state} {told}".rstrip(), flush=True)
            if event.kind == TASK_FINISHED:
                self.publish(event.task)
        elif event.message:
            print(event.message, flush=True)

    def publish(self, task: TaskResult) -> None:
        """Copies a task's outputs below the root."""
        if self._root is None or not task.leaf:
            return
        for name, artifacts in task.artifacts.items():
            for index, artifact in enumerate(artifacts):
                if artifact.path is not None and artifact.path.is_relative_to(self._home):  # others are imported
                    _copy(artifact.path, self._root / place(self._run, task.path, name, index))


def _copy(source: Path, target: Path) -> None:
    """A file or folder of the store, by links where that is possible: neither is written to again, only replaced."""
    if not source.exists() or target.exists():
        return
    partial = _partial(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, partial, copy_function=_link)
        for folder, _, _ in os.walk(partial):
            Path(folder).chmod(0o755)  # the store's are read-only
    else:
        _link(str(source), str(partial))
    with contextlib.suppress(FileExistsError):
        partial.rename(target)


def _partial(target: Path) -> Path:
    """Where what is being copied lies: outside of the buckets, where the target is in one, as all in them is listed."""
    name = f".{target.name[:100]}.{os.urandom(6).hex()}"
    storage = os.environ.get("HEADRACE_STORAGE", "")
    if storage and target.is_relative_to(storage):
        folder = Path(storage, PARTIAL)
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name
    return target.with_name(name)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


if __name__ == "__main__":
    sys.exit(main())
