"""Runs of pipelines by the local runner, as jobs: what Vertex AI's pipeline jobs and Kubeflow's runs have in common."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.emulator import jobs
from headrace.emulator.documents import Document
from headrace.emulator.refusals import Refusal
from headrace.pipelines.local.record.record import RecordError, load_run
from headrace.pipelines.local.record.results import RunResult

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

REQUEST, ERROR = "run.json", "error.txt"  # in a run's folder: what runs, and why it failed where no task did
KIND = "PipelineRun"  # documents: of a run, by its job's name: `run`, its id in the home, and `root`
_ITERATION = re.compile(r"(.+)\[(\d+)\]")


@dataclass(frozen=True)
class RunRequest:
    """What is to run.

    Attributes:
        ir: the pipeline spec; with a platform spec `{"pipelineSpec": ..., "platformSpec": ...}`.
        name: what the run is called; the placeholder of the job's name.
        parameters: values of the pipeline's parameters.
        labels: kept with the run in the home.
        cache: False runs every task.
        root: a folder of this machine into which the outputs are copied; empty for none.
        fail_fast: once a task has failed, none begins any more.
        containers: whether tasks run in their images, by the engine of DOCKER_HOST.
        replaced: placeholders that stand for something else than the local runner says, and what for.
    """

    ir: Mapping[str, Any]
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    cache: bool = True
    root: str = ""
    containers: bool = False
    fail_fast: bool = False
    replaced: Mapping[str, str] = field(default_factory=dict)


def check(ir: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
    """Whether a pipeline can be read, and its parameters are given.

    Raises:
        Refusal: INVALID_ARGUMENT.
    """
    from headrace.pipelines.local.inputs import pipeline_parameters
    from headrace.pipelines.local.ir.reading import read_graph

    try:
        pipeline_parameters(read_graph(ir), parameters)
    except HeadraceError as error:
        raise Refusal("INVALID_ARGUMENT", str(error)) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        told = f"{type(error).__name__}: {error}"
        raise Refusal("INVALID_ARGUMENT", f"The pipeline spec cannot be read: {told}") from None


def submit(emulator: Emulator, kind: str, name: str, request: RunRequest) -> str:
    """Puts a run into the queue, within the transaction that goes on, if one does; returns its id in the home.

    Call `emulator.jobs.wake()` behind the transaction.

    Args:
        emulator: whose.
        kind: of the job, `jobs.listen(kind, ...)`.
        name: of the job: the full name of the resource that it belongs to.
        request: what runs.
    """
    from headrace.pipelines.local.head_start import new_run_id  # which loads what workers need

    run = new_run_id()
    folder = _folder(emulator, run)
    folder.mkdir(parents=True, exist_ok=True)
    told = {**asdict(request), "ir": _replaced(request.ir, request.replaced), "run": run, "home": str(emulator.home)}
    _write(folder / REQUEST, json.dumps(told))
    emulator.documents.create(KIND, name, {"run": run, "root": request.root})
    _start(emulator, kind, name, run)
    return run


def retry(emulator: Emulator, kind: str, name: str) -> None:
    """Goes on with a run that failed or was cancelled.

    Raises:
        Refusal: NOT_FOUND; ALREADY_EXISTS where it has not ended.
    """
    _start(emulator, kind, name, emulator.documents.get(KIND, name)["run"], "--retry")


def result(emulator: Emulator, name: str) -> RunResult | None:
    """What there is of a run in the home; None before it has begun, and where it never could."""
    found = emulator.documents.find(KIND, name)
    if found is None:
        return None
    try:
        return load_run(emulator.home, found["run"])
    except RecordError:
        return None


def error_text(emulator: Emulator, name: str) -> str:
    """Why a run failed, in words, with the place of the log of the task that did; empty where it did not."""
    found = emulator.documents.find(KIND, name)
    if found is None:
        return ""
    folder = _folder(emulator, found["run"])
    told = result(emulator, name)
    failed = told.failed() if told else []
    lines = []
    for task in failed:
        assert task.error is not None
        log = f" Its log: {task.log}" if task.log else ""
        lines.append(f"{task.path} failed: {task.error.type}: {task.error.message}{log}")
    if not lines:
        with contextlib.suppress(OSError):
            lines = [(folder / ERROR).read_text(encoding="utf-8")]
    return "\n".join(line for line in lines if line) or f"The run's process failed. Its log: {folder / jobs.LOG}"


def log(emulator: Emulator, name: str) -> Path | None:
    """The log of a run's process; None where the run is not known."""
    found = emulator.documents.find(KIND, name)
    return _folder(emulator, found["run"]) / jobs.LOG if found else None


def forget(emulator: Emulator, kind: str, name: str) -> None:
    """Removes a run's job. Its record and outputs stay in the home, and what lies below its root.

    Raises:
        Refusal: FAILED_PRECONDITION: it has not ended.
    """
    emulator.jobs.forget(kind, name)
    if emulator.documents.find(KIND, name):
        emulator.documents.delete(KIND, name)


def task_number(run: str, path: str) -> int:
    """A task's number in answers of the API: of 19 digits at most, the same each time."""
    return int.from_bytes(hashlib.sha256(f"{run}/{nested(path)}".encode()).digest()[:8], "big") >> 2 or 1


def nested(path: str) -> str:
    """A task's path with iterations below their loops: `loop[3]/train` is `loop/loop[3]/train`."""
    pieces: list[str] = []
    for piece in path.split("/"):
        found = _ITERATION.fullmatch(piece)
        if found and pieces[-1:] != [found[1]]:
            pieces.append(found[1])
        pieces.append(piece)
    return "/".join(pieces)


def place(run: str, path: str, output: str, index: int = 0) -> str:
    """Where a task's output lies below the run's root: `train_123/model`; `_1` behind it for the second of a list."""
    name = path.rpartition("/")[2]
    return f"{name}_{task_number(run, path)}/{output}" + (f"_{index}" if index else "")


def local(emulator: Emulator, uri: str) -> Path:
    """Where a file or folder lies on this machine: of Cloud Storage, below the emulator's state.

    Raises:
        Refusal: INVALID_ARGUMENT: it is elsewhere.
    """
    if uri.startswith("gs://"):
        found: Path = emulator.objects.path(uri)
        return found
    if "://" in uri and not uri.startswith("file://"):
        raise Refusal("INVALID_ARGUMENT", f"expected gs://BUCKET/OBJECT or a path of this machine. Received: {uri}")
    return Path(uri.removeprefix("file://"))


def _start(emulator: Emulator, kind: str, name: str, run: str, *options: str) -> Document:
    folder = _folder(emulator, run)
    argv = [sys.executable, "-m", "headrace.emulator.run_program", str(folder), *options]
    return emulator.jobs.start(kind, name, argv, folder)


def _folder(emulator: Emulator, run: str) -> Path:
    return emulator.folder / "runs" / run


def _write(file: Path, text: str) -> None:
    """All of it or none, and durably: the job that reads it is acknowledged next."""
    partial = file.with_suffix(".part")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def _replaced(value: Any, replaced: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for placeholder, text in replaced.items():
            value = value.replace(placeholder, text)
        return value
    if isinstance(value, Mapping):
        return {key: _replaced(one, replaced) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(one, replaced) for one in value]
    return value
