"""One trial: a training, or one for each fold, that is given up where others did better at the same point.

Whether it is given up follows from the trials before its batch alone, and not from how fast those beside it are: the
same search always comes out the same.
"""

from __future__ import annotations

import math
import os
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal, TypeAlias

import numpy as np

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.model import Job, Rows
from headrace.trainer.models import fit
from headrace.trainer.tuning.problem import Problem, value_of

Curve: TypeAlias = tuple[tuple[int, float], ...]  # (step, best value so far), steps rising

# Kind of model -> the parameter by which its rounds count: ten trees at a rate of 0.2 have gone as far as a hundred at
# 0.02, and only there can the two be compared.
PACE = {"gbdt": "learning_rate"}
FEWEST = 4  # complete trials before any other is given up
WORST = 75  # percentile of the others above which one is given up
# The share of what others needed that each trial gets. Trees that are small or slow begin behind and end ahead:
# replayed on 32 trials of the churn example, giving up by the median after two steps lost the 25 best, this rule none.
FAIR = 0.8
FAIR_FOLDS = 2  # folds tell the same from the first to the last
DIGITS = 10  # LightGBM adds up a metric in as many parts as it has threads: the last digits are not the model's


class Pruned(Exception):
    """Others did better at the same point."""


class Late(Exception):
    """The time is over."""


class Orphaned(Exception):
    """The search that wanted this trial is no more."""


@dataclass(frozen=True)
class Task:
    """A trial that is to be run.

    Attributes:
        number: its place in the search.
        tried: parameter -> value; empty for the parameters as the spec has them.
        history: the curves of complete trials, to be given up by; empty for never.
        deadline: on the clock of `time.monotonic`; None where it is to end whatever the time.
        checkpoints: a folder of its own that outlives a killed process.
    """

    number: int
    tried: dict[str, Any]
    history: tuple[Curve, ...] = ()
    deadline: float | None = None
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Result:
    """What a trial came to; the fields are those of `headrace.artifacts.tuning.Trial`."""

    state: Literal["complete", "pruned", "late", "failed"]
    metric: str = ""
    value: float | None = None
    rounds: float | None = None
    seconds: float = 0.0
    curve: Curve = ()
    folds: tuple[float, ...] = ()
    error: str | None = None


class Watch:
    """Told of every round; keeps the curve, and ends the training that has no prospects."""

    def __init__(self, task: Task, pace: float, parent: int, folds: bool) -> None:
        self.curve: list[tuple[int, float]] = []
        lengths = [curve[-1][0] for curve in task.history]
        self._fair = FAIR_FOLDS if folds else FAIR * median(lengths) if lengths else 0
        self._task, self._pace, self._parent = task, pace, parent
        self._best = float("inf")

    def on_round(self, round: int, value: float) -> None:
        """A round of the one training: a step of the curve whenever enough of them have passed."""
        self.check()
        self._best = min(self._best, value)
        step = int(round * self._pace + 1e-9)
        if step > (self.curve[-1][0] if self.curve else 0):
            self.add(step, self._best)

    def on_round_of_fold(self, round: int, value: float) -> None:
        """A round within a fold, which is judged when it is over."""
        self.check()

    def add(self, step: int, value: float) -> None:
        """Adds a point.

        Raises:
            Pruned: others did better.
        """
        value = rounded(value)
        if not math.isfinite(value):
            return
        self.curve.append((step, value))
        if step >= self._fair and worse_than_most(step, value, self._task.history):
            raise Pruned

    def check(self) -> None:
        """Raises: Late, Orphaned."""
        if self._task.deadline is not None and time.monotonic() > self._task.deadline:
            raise Late
        if os.getppid() != self._parent:
            raise Orphaned


def worse_than_most(step: int, value: float, history: Sequence[Curve]) -> bool:
    """Whether a best value so far is worse than three quarters of what others had at the same step.

    The rule of Optuna's PercentilePruner over best values so far; one that has ended before keeps its last.
    """
    at = [curve[place - 1][1] for curve in history if (place := bisect_right(curve, (step, float("inf"))))]
    return len(at) >= FEWEST and value > float(np.percentile(at, WORST))


def run_trial(problem: Problem, task: Task, parent: int) -> Result:
    """Runs a trial.

    Args:
        problem: what all trials share.
        task: this one.
        parent: the process that wants the result; where it is no more, the trial ends.
    """
    begun = time.monotonic()
    parameters = problem.parameters(task.tried)
    pace = float(value_of(problem.base, PACE[problem.kind])) if problem.kind in PACE else 1.0
    pace = float(task.tried.get(PACE.get(problem.kind, ""), pace))
    watch = Watch(task, pace, parent, bool(problem.folds))
    folds: list[float] = []
    try:
        if problem.folds:
            metric, rounds = _cross_validate(problem, parameters, task, watch, folds)
            value = rounded(fmean(folds))
        else:
            metric, value, rounds = _train(problem, parameters, (problem.train, problem.evaluation), task, watch)
    except (Pruned, Late) as reason:
        last = watch.curve[-1][1] if watch.curve else None
        state: Literal["pruned", "late"] = "pruned" if isinstance(reason, Pruned) else "late"
        return Result(state, "", last, None, time.monotonic() - begun, tuple(watch.curve), tuple(folds))
    if not math.isfinite(value):
        raise HeadraceError(f"expected a finite {metric} on what judges. Received: {value}")
    return Result("complete", metric, value, rounds, time.monotonic() - begun, tuple(watch.curve), tuple(folds))


def _train(
    problem: Problem, parameters: Any, pair: tuple[Rows, Rows], task: Task, watch: Watch, fold: int | None = None
) -> tuple[str, float, float]:
    """Trains once: the metric's name, its value, and the rounds that the model keeps."""
    folder = task.checkpoints
    if folder is not None and fold is not None:
        folder = folder / f"fold-{fold}"
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    on_round = watch.on_round if fold is None else watch.on_round_of_fold
    job = Job(*pair, problem.features, problem.classes, parameters, problem.seed, folder, on_round)
    model = fit(problem.kind, job)
    return model.metric, rounded(model.curve["eval"][model.rounds - 1]), float(model.rounds)


def _cross_validate(
    problem: Problem, parameters: Any, task: Task, watch: Watch, folds: list[float]
) -> tuple[str, float]:
    """Trains once a fold, and fills `folds` with the values; the metric's name, and the mean number of rounds."""
    rounds, metric = [], ""
    for number, pair in enumerate(problem.pairs()):
        watch.check()
        metric, value, kept = _train(problem, parameters, pair, task, watch, number)
        folds.append(value)
        rounds.append(kept)
        watch.add(number + 1, fmean(folds))
    return metric, fmean(rounds)


def rounded(value: float) -> float:
    """A metric without the digits that depend on the number of threads."""
    return float(f"{value:.{DIGITS}g}")
