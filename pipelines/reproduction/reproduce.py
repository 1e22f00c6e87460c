"""Trains a registered model again, from the snapshot that it names, by the pipeline that its run recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import LINEAGE
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_json
from headrace.pipelines.data_versions.finding import find_version
from headrace.pipelines.data_versions.inventory import DataVersion, from_folder, known_versions, placed
from headrace.pipelines.data_versions.of_models import Trained, trained_models
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskResult
from headrace.pipelines.local.store.entries import Prover
from headrace.pipelines.reproduction.bundles import BundleDiff, compare_bundles
from headrace.pipelines.reproduction.derived import Derived, derive
from headrace.platforms.interface import ModelVersion
from headrace.platforms.open import open_platform

_PARTS = ("environment", "command", "code", "variables")  # what tasks are made of, beside their inputs


@dataclass(frozen=True)
class Prepared:
    """All that is needed to train a registered model again."""

    model: ModelVersion
    data: DataVersion
    run: RunResult  # that registered it
    options: Mapping[str, Any]  # how that was started
    path: str  # the task that put the model out
    output: str  # and the name of the output
    pipeline: Derived

    @property
    def label(self) -> str:
        return f"{self.model.name}:{self.model.version}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the derived pipeline."""
        return {name: self.run.parameters[name] for name in self.pipeline.parameters if name in self.run.parameters}


@dataclass(frozen=True)
class PartChange:
    """Something that a task is made of, beside its inputs, and that is not what it was: its code, its environment."""

    task: str
    part: str
    before: str
    after: str


@dataclass(frozen=True)
class Reproduction:
    """What came of training a model again."""

    model: str  # "churn:3"
    data: str  # digest of the snapshot
    run: str  # that reproduced it
    bundle: Path  # the new one
    diff: BundleDiff
    parts: tuple[PartChange, ...]


def prepare(home: Path, name: str, folder: Path | None = None) -> Prepared:
    """Finds what a registered version was made of, and derives the pipeline that makes it again.

    Args:
        home: the `.headrace` folder.
        name: `MODEL` for its champion, or `MODEL:VERSION`.
        folder: where the snapshot was checked out to; by default it is taken from the store.

    Raises:
        HeadraceError: there is no such model, or its run, its snapshot or the pipeline between them is gone.
    """
    platform = open_platform("local", home)
    title, _, number = name.partition(":")
    _known_model(platform.registry.models(), title)
    model = platform.registry.get(title, number or "champion")
    if not (home / "runs.db").exists():
        raise HeadraceError(f"{home}: expected the record of the run {model.run}. Received: no record of runs")
    with contextlib.closing(Record(home)) as record:
        models = trained_models(platform)
        data = _data(model, folder, known_versions(record, models), models)
        snapshot = data.open()  # every file against its hash: what is wrong is found before anything runs
        run = record.run(model.run)
        task, output = _producer(run, model)
        prover = Prover(home)
        bundles = {version.model.digest: version.model.uri for version in models}

        def place(recorded: ArtifactRecord) -> str | None:
            artifact = placed(home, recorded)
            if artifact.digest == data.digest:
                return str(snapshot.path)
            if artifact.path is None or not prover.damage(artifact):
                return artifact.uri
            return bundles.get(str(artifact.digest))  # the registry keeps models that the store has lost

        source = _source(run, data)
        pipeline = derive(
            record.ir(run.id), run.tasks, source, task.path.split("/")[0].split("[")[0], _moments(run), place
        )
        return Prepared(model, data, run, record.options(run.id), task.path, output, pipeline)


def conclude(prepared: Prepared, result: RunResult) -> Reproduction:
    """Compares what a run of the derived pipeline put out with what is registered.

    Raises:
        HeadraceError: the run failed, or a bundle is damaged.
    """
    if not result.succeeded:
        raise HeadraceError(
            f"{prepared.label}: expected to train it again. Received: {result.state}{_origin(prepared)}"
        )
    (artifact,) = result.tasks[prepared.path].artifacts[prepared.output]
    assert artifact.path is not None  # this machine's runner put it out
    return Reproduction(
        model=prepared.label,
        data=prepared.data.digest,
        run=result.id,
        bundle=artifact.path,
        diff=compare_bundles(Path(prepared.model.uri), artifact.path),
        parts=tuple(_parts(prepared.run, result)),
    )


def _origin(prepared: Prepared) -> str:
    """What made the model: where the code has changed too much since, that is where it can be made again."""
    try:
        origin = read_json(Path(prepared.model.uri) / LINEAGE)["origin"]
    except (HeadraceError, OSError, KeyError, TypeError):
        return ""
    made = [f"{name} {origin[name]}" for name in ("headrace", "commit") if origin.get(name)]
    return f"; it was made by {', '.join(made)}" if made else ""


def _known_model(models: list[str], name: str) -> None:
    import difflib

    if name not in models:
        near = difflib.get_close_matches(name, models, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise HeadraceError(
            f"expected a registered model{hint}. Received: {name}; there is {', '.join(models) or 'none yet'}"
        )


def _data(model: ModelVersion, folder: Path | None, versions: list[DataVersion], models: list[Trained]) -> DataVersion:
    wanted = find_version(f"{model.name}:{model.version}", versions, None, models)
    if folder is None:
        return wanted
    found = from_folder(folder, models)
    if found.digest != wanted.digest:
        raise HeadraceError(f"{folder}: expected the snapshot {wanted.digest}. Received: {found.digest}")
    return found


def _producer(run: RunResult, model: ModelVersion) -> tuple[TaskResult, str]:
    """The task that trained a model, and its output's name; not one that only fetched it."""
    for task in run.tasks.values():
        for name, artifacts in task.artifacts.items() if task.leaf else ():
            if task.inputs and any(artifact.digest == model.digest for artifact in artifacts):
                return task, name
    raise HeadraceError(f"expected a task of {run.id} that put out {model.digest}. Received: none in the record")


def _source(run: RunResult, data: DataVersion) -> str:
    """The task that the snapshot is taken from: the last, where another had only fetched what nothing was added to."""
    for task in reversed(list(run.tasks.values())):
        if any(item.digest == data.digest for items in task.artifacts.values() for item in items):
            return task.path.split("/")[0].split("[")[0]
    raise HeadraceError(f"expected a task of {run.id} that put out {data.digest}. Received: none in the record")


def _moments(run: RunResult) -> dict[str, str]:
    """What placeholders stood for in a run: its age checks, say, are to see the same time again."""
    started = datetime.fromtimestamp(run.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "{{$.pipeline_job_create_time_utc}}": started,
        "{{$.pipeline_job_schedule_time_utc}}": started,
        "{{$.pipeline_job_uuid}}": run.id,
        "{{$.pipeline_job_name}}": run.name,
    }


def _parts(before: RunResult, after: RunResult) -> list[PartChange]:
    found = []
    for path, task in after.tasks.items():
        old = before.tasks.get(path)
        if old is None or not old.made_of or not task.made_of:
            continue
        changed = [part for part in _PARTS if old.made_of.get(part) != task.made_of.get(part)]
        found += [PartChange(task.label, p, old.made_of.get(p, ""), task.made_of.get(p, "")) for p in changed]
    return found
