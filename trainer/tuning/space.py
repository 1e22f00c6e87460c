"""Search spaces: which parameters of a kind of model are tried, and over which values. Light to import."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

from headrace.artifacts.errors import HeadraceError

DIGITS = 4  # significant ones of a tried value: what a person would write into a spec


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        log: tried evenly over the logarithm; `low` is above 0 then.
        whole: integers alone.
        step: only `low`, `low + step`, ...; None for all.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(f"expected a finite low that is not above high. Received: {self.low:g} to {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"expected a low above 0 for a range with log. Received: {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError(f"expected log or a step, not both. Received: log and the step {self.step:g}")
        if self.whole and not all(float(edge).is_integer() for edge in (self.low, self.high, self.step or 1)):
            raise ValueError(f"expected whole numbers. Received: {self.low:g} to {self.high:g}")

    def tidy(self, value: float) -> float | int:
        """A value within the range, with as many digits as a person would write."""
        inside = min(max(value, self.low), self.high)
        if self.whole:
            return int(inside)
        return min(max(float(f"{inside:.{DIGITS}g}"), self.low), self.high)

    def nearest(self, value: float) -> float | int:
        """The value of the range that is nearest to one that may lie outside of it."""
        points = self.points()
        return self.tidy(value) if points is None else min(points, key=lambda point: abs(point - value))

    @property
    def middle(self) -> float | int:
        """What is tried in place of a value that is not known."""
        return self.nearest(math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2)

    def words(self) -> str:
        """For people."""
        kind = ", whole" if self.whole else ""
        step = f", in steps of {self.step:g}" if self.step else ""
        return f"{self.low:g} to {self.high:g}{step}{', by its logarithm' if self.log else ''}{kind}"

    def points(self) -> list[float | int] | None:
        """Every value, where they can be counted; else None."""
        step = self.step or (1 if self.whole else None)
        if step is None:
            return None
        count = int((self.high - self.low) / step + 1e-9) + 1
        return [self.tidy(self.low + place * step) for place in range(count)]


@dataclass(frozen=True)
class Choice:
    """One of some values. Numbers are taken in their order: what lies beside a good one is tried next."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("expected at least one value. Received: none")

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers."""
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    def words(self) -> str:
        """For people."""
        return ", ".join(json.dumps(value) for value in self.values)


Dimension: TypeAlias = Range | Choice
Space: TypeAlias = dict[str, Dimension]


def gbdt_space(rows: int) -> Space:
    """Boosted trees. The more rows, the larger the trees that are tried; early stopping finds how many."""
    return {
        "learning_rate": Range(0.02, 0.2, log=True),
        "num_leaves": Range(4, min(255, max(15, rows // 40)), log=True, whole=True),
        "min_child_samples": Range(2, min(200, max(20, rows // 20)), log=True, whole=True),
        "feature_fraction": Range(0.4, 1.0),
        "bagging_fraction": Range(0.5, 1.0),
        "lambda_l2": Range(0.01, 100.0, log=True),
    }


def linear_space(rows: int) -> Space:
    """A linear model: how much penalty, and of which kind. Where trees need none, words need much."""
    return {"alpha": Range(1e-6, 1.0, log=True), "l1_ratio": Choice((0.0, 0.1, 0.5, 0.9, 1.0))}


def mlp_space(rows: int) -> Space:
    """A network: its shape, its speed, and what keeps it from learning by heart."""
    return {
        "hidden_units": Choice(((64,), (128, 64), (256, 128), (128, 64, 32), (256, 128, 64))),
        "learning_rate": Range(3e-4, 1e-2, log=True),
        "dropout": Range(0.0, 0.5),
        "weight_decay": Range(1e-4, 0.3, log=True),
        "embedding_size": Choice((4, 8, 16, 32)),
    }


# kind of model -> its space for so many training rows
SPACES: dict[str, Callable[[int], Space]] = {"gbdt": gbdt_space, "linear": linear_space, "mlp": mlp_space}


def space_for(kind: str, rows: int, own: Space, settled: Collection[str] = (), *, alone: bool = False) -> Space:
    """The space that is searched.

    Args:
        kind: of model; one's own module has no space but what the spec says.
        rows: of the train split.
        own: what the spec says of the space; it goes before the default.
        settled: parameters that the spec sets: they stay as they are, unless `own` names them.
        alone: nothing but what `own` names is tried, as in a grid.

    Raises:
        HeadraceError: nothing is left to be tried.
    """
    usual = SPACES[kind](rows) if kind in SPACES and not alone else {}
    space = {name: values for name, values in usual.items() if name not in settled} | own
    if not space:
        raise HeadraceError(
            f"train.tune.space: expected a parameter of `{kind}` to be tried. Received: none"
            + (", as the spec sets all that are by default" if usual else "; there is no space by default here")
        )
    return space


def grid(space: Space, seed: int) -> list[dict[str, Any]]:
    """Every combination, in an order that the seed gives: a budget that ends early has seen all corners.

    Raises:
        HeadraceError: a range has no steps.
    """
    axes: list[list[Any]] = []
    for name, dimension in space.items():
        points = list(dimension.values) if isinstance(dimension, Choice) else dimension.points()
        if points is None:
            raise HeadraceError(
                f"train.tune.space.{name}: expected a list of values, or a step, for a grid. "
                f"Received: {dimension.words()}"
            )
        axes.append(points)
    combinations = [dict(zip(space, values, strict=True)) for values in itertools.product(*axes)]
    random.Random(seed).shuffle(combinations)
    return combinations
