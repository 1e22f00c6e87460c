"""Tunes a kind of model for a table: snapshot and transform in, the best parameters and all that was tried out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import scipy.sparse

from headrace import __version__
from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import open_transform
from headrace.artifacts.tuning import Trial, Tuning
from headrace.trainer.parameters import Training
from headrace.trainer.rows import ready
from headrace.trainer.tuning.checkpoint import Checkpoint, checkpoint_root, key_of, open_checkpoint
from headrace.trainer.tuning.folds import count_folds, make_folds
from headrace.trainer.tuning.problem import Problem, value_of
from headrace.trainer.tuning.search import ENDLESS, Plan, Search, importance
from headrace.trainer.tuning.space import Space, space_for
from headrace.trainer.tuning.trial import Result, Task
from headrace.trainer.tuning.workers import Budget, budget, preload, run_tasks


@dataclass(frozen=True)
class Settings:
    """How a search goes; what the fields mean, `headrace.components.tune.spec.TuneSpec` says."""

    trials: int | None = 20
    minutes: float | None = None
    folds: int | None = None
    parallel: int = 4
    prune: bool = True
    sampler: str = "tpe"
    space: Space = field(default_factory=dict)
    settled: tuple[str, ...] = ()
    shard: int = 0
    shards: int = 1


def tune(
    dataset: Path,
    transform: Path,
    training: Training,
    settings: Settings,
    root: Path | None = None,
    told: Callable[[Trial], None] = lambda trial: None,
    keep: Callable[[Tuning], None] = lambda tuning: None,
) -> Tuning:
    """Searches the parameters with which a kind of model does best; the test split is never read.

    Args:
        dataset: the snapshot.
        transform: the fitted transform; the features are made once, for all trials.
        training: the kind of model, its parameters as the spec has them, and the seed.
        settings: of the search.
        root: a folder that outlives a killed process; by default the platform's.
        told: of every trial that has ended.
        keep: stores the outcome. The checkpoint is removed after it, and not where it fails.

    Returns:
        all that was tried; never worse than the parameters as they are, on what judges.

    Raises:
        HeadraceError: the parameters as they are cannot be trained with, or no trial was complete.
    """
    snapshot, opened = Dataset.open(dataset), open_transform(transform)
    facts = {
        "data": snapshot.digest,
        "transform": opened.digest,
        "training": asdict(training),
        "settings": asdict(settings),
        "versions": [__version__, _optuna_version()],
    }
    rows = ready(snapshot, opened, training)
    wanted, fewer = count_folds(settings.folds, snapshot), settings.folds is None
    folds = make_folds(wanted, snapshot, rows.train.labels, training.seed, rows.train.weights, fewer)
    problem = Problem(
        training.kind,
        training.parameters,
        rows.train,
        rows.evaluation,
        opened.recipe.outputs,
        rows.classes,
        training.seed,
        folds,
    )
    del rows
    preload(training.kind)
    with open_checkpoint(root or checkpoint_root(), key_of(facts)) as checkpoint:
        tuning = search(problem, settings, checkpoint, told)
        tuning = replace(tuning, dataset=snapshot.digest, transform=opened.digest)
        keep(tuning)
        checkpoint.remove()
    return tuning


def search(
    problem: Problem, settings: Settings, checkpoint: Checkpoint, told: Callable[[Trial], None] = lambda trial: None
) -> Tuning:
    """Searches, from where the checkpoint stands to the end of the budget.

    Raises:
        HeadraceError: the parameters as they are cannot be trained with, or no trial was complete.
    """
    begun = time.monotonic()
    count = problem.train.features.shape[0]
    space = space_for(problem.kind, count, settings.space, settings.settled, alone=settings.sampler == "grid")
    plan = Plan(
        settings.sampler,
        share(settings.trials or ENDLESS, settings),
        settings.parallel,
        problem.seed,
        settings.shard,
        settings.shards,
    )
    found = Search(checkpoint, space, plan, _values(problem, space))
    before = found.spent
    deadline = None if settings.minutes is None else begun + 60 * settings.minutes - before
    power = budget(settings.parallel, problem.bytes)

    def record(number: int, result: Result) -> None:
        if result.state == "failed" and number == 0 and settings.shard == 0:
            raise HeadraceError(f"tune: expected the parameters as they are to train. Received: {result.error}")
        found.tell(number, result, before + time.monotonic() - begun)
        told(next(trial for trial in found.trials() if trial.number == number))

    while deadline is None or time.monotonic() < deadline or all(trial.number for trial in found.trials()):
        batch = found.next()
        if not batch:
            break
        _run_batch(problem, found, batch, settings, deadline, power, checkpoint, record)
    tuning = conclude(problem, found.trials(), found.metric(), space, settings, before + time.monotonic() - begun)
    found.close()
    return tuning


def _run_batch(
    problem: Problem,
    found: Search,
    batch: Sequence[tuple[int, dict[str, Any]]],
    settings: Settings,
    deadline: float | None,
    power: Budget,
    checkpoint: Checkpoint,
    record: Callable[[int, Result], None],
) -> None:
    """Runs what is left of a batch; what was tried before with the same values is not trained again."""
    history = found.history() if settings.prune else ()
    tasks = []
    for number, tried in batch:
        if tried and (known := found.same_as(tried)) is not None:
            record(number, replace(known, seconds=0.0))
        elif number == 0:  # what all others are compared with: it ends, whatever the time
            tasks.append(Task(number, tried, checkpoints=checkpoint.of_trial(number)))
        else:
            tasks.append(Task(number, tried, history, deadline, checkpoint.of_trial(number)))
    for task, result in run_tasks(problem, tasks, power):
        record(task.number, result)


def conclude(
    problem: Problem, trials: Sequence[Trial], metric: str, space: Space, settings: Settings, seconds: float
) -> Tuning:
    """What a search came to.

    Raises:
        HeadraceError: no trial was complete.
    """
    best = best_of(trials)
    if best is None:
        errors = [trial.error for trial in trials if trial.error]
        raise HeadraceError(f"tune: expected a trial to be complete. Received: {errors[0] if errors else 'none was'}")
    return Tuning(
        kind=problem.kind,
        metric=metric,
        judged="folds" if problem.folds else "eval",
        chosen={} if trials[best].defaults else trials[best].parameters,
        best=best,
        space={name: dimension.words() for name, dimension in space.items()},
        sampler=settings.sampler,
        trials=tuple(trials),
        importance=importance(trials, space),
        seconds=seconds,
    )


def best_of(trials: Sequence[Trial]) -> int | None:
    """The place of the complete trial with the least value, of equal ones the first; None where none is complete."""
    complete = [
        (trial.value, place)
        for place, trial in enumerate(trials)
        if trial.state == "complete" and trial.value is not None
    ]
    return min(complete)[1] if complete else None


def share(trials: int, settings: Settings) -> int:
    """How many of the trials this search runs, of several beside each other."""
    return trials // settings.shards + (settings.shard < trials % settings.shards)


def _values(problem: Problem, space: Space) -> dict[str, Any]:
    """What the parameters in the space are as the spec has them, with what goes by the rows decided."""
    decided, features = problem.base, problem.train.features
    if hasattr(decided, "for_rows"):
        decided = decided.for_rows(features.shape[0], scipy.sparse.issparse(features))
    return {name: value_of(decided, name) for name in space}


def _optuna_version() -> str:
    from importlib.metadata import version

    return version("optuna")
