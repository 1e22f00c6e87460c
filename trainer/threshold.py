"""The threshold from which on a row is predicted positive: given, or chosen on rows that the model did not learn from.

Chosen is among all thresholds that divide these rows differently, whatever is best on them: the value of the decisions,
F1 (the harmonic mean of precision and recall), or Youden's J (recall plus specificity; Youden 1950, "Index for rating
diagnostic tests").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.trainer.model import Rows
from headrace.trainer.parameters import Objective, Training

Floats = npt.NDArray[np.float64]

TITLES: Mapping[str, str] = {"value": "the value of the decisions", "f1": "F1", "youden": "Youden's J"}


@dataclass(frozen=True)
class Chosen:
    """A threshold, and what it reaches on the rows that it was chosen on.

    Attributes:
        at: the threshold, from 0 to 1.
        by: what it is best by; `given` where nothing was chosen.
        reached: what the objective comes to there; `at_half`, at 0.5. None where nothing was chosen.
        share: of the rows that are predicted positive; None where nothing was chosen.
        rows: how many it was chosen on.
    """

    at: float
    by: str = "given"
    reached: float | None = None
    at_half: float | None = None
    share: float | None = None
    rows: int = 0

    @property
    def record(self) -> dict[str, Any]:
        """For the lineage."""
        if self.by == "given":
            return {"chosen": self.by, "at": self.at}
        reached = {name: float(f"{getattr(self, name):.10g}") for name in ("reached", "at_half", "share")}
        return {"chosen": self.by, "at": self.at, "split": "eval", "rows": self.rows, **reached}

    @property
    def words(self) -> str:
        """For people: `0.13, best by F1 on 7,500 rows of the eval split (0.62; at 0.5: 0.41)`."""
        if self.by == "given":
            return f"{self.at:g}"
        reached = f"{self.reached:,.4g}; at 0.5: {self.at_half:,.4g}"
        return f"{self.at:g}, best by {TITLES[self.by]} on {self.rows:,} rows of the eval split ({reached})"


def threshold_of(
    training: Training, positive: int | None, answers: Callable[[], np.ndarray], rows: Rows, snapshot: Dataset
) -> Chosen | None:
    """The threshold of a model of two classes; None where there are not two.

    Args:
        training: says which threshold, or what chooses it.
        positive: the number of the positive class.
        answers: the model's probabilities for the eval split, (rows, 2); asked for only where something is chosen.
        rows: the eval split, with the rows' own weights.
        snapshot: whose eval split has the columns of the gains.

    Raises:
        HeadraceError: the eval split lacks a class, or the numbers that gains are read from.
    """
    by = training.threshold
    if positive is None:
        if by != 0.5:
            raise HeadraceError(f"train.threshold: expected a label of two classes. Received: {by} without")
        return None
    if not isinstance(by, str):
        return Chosen(by)
    actual, gains = rows.labels == positive, None
    if by == "value":
        if training.gains is None:
            raise HeadraceError("train.threshold: expected gains to choose by value: evaluate.value. Received: none")
        known = [column.name for column in snapshot.info.columns]
        wanted = [snapshot.info.label, *(name for name in training.gains.columns if name in known)]
        gains = training.gains.of(snapshot.table("eval", wanted), actual)
    return choose(by, answers()[:, positive], actual, rows.weights, gains)


def choose(
    by: Objective,
    score: Floats,
    actual: np.ndarray,
    weights: Floats | None = None,
    gains: tuple[Floats, Floats] | None = None,
) -> Chosen:
    """Chooses the threshold that is best on N rows; of equally good ones the one nearest to 0.5.

    Args:
        by: what is made most of.
        score: (N,) probabilities of the positive class.
        actual: (N,) whether a row is positive.
        weights: (N,) how much each row counts; None where all count the same.
        gains: (N,) what each row brings if it is acted on, and if not; for `value` alone.

    Raises:
        HeadraceError: the rows lack a class, or are none.
    """
    count = np.ones(len(score)) if weights is None else weights
    if not (count[actual].sum() and count[~actual].sum()):
        which = "positive" if not count[actual].sum() else "negative"
        raise HeadraceError(
            f"train.threshold: expected rows of both classes in the eval split, to choose a threshold by {by}. "
            f"Received: {len(score):,} rows, none of them {which}; make data.split.eval larger, or give a number"
        )
    kept = np.asarray(score, np.float32)  # as the server has them
    values, inverse = np.unique(kept, return_inverse=True)
    terms = _terms(by, count, actual, gains)
    summed = np.stack([np.bincount(inverse, term, len(values)) for term in terms])
    # (terms, cuts): what is at or above each of the distinct scores; last, what is above all of them, nothing.
    above = np.concatenate([np.cumsum(summed[:, ::-1], axis=1)[:, ::-1], np.zeros((len(terms), 1))], axis=1)
    # The value is told per row: the eval split is as long as it happens to be.
    reached = _objective(by, above, summed.sum(axis=1), count, gains)
    if values[-1] >= 1:
        reached[-1] = -np.inf  # a threshold is at most 1, which this score reaches: nothing can be above it
    most = reached.max()
    best = np.flatnonzero(reached >= most - 1e-12 * max(1.0, abs(most)))
    edges = np.concatenate([[0.0], values.astype(np.float64), [1.0]])
    place = int(best[np.argmin(np.abs((edges[best] + edges[best + 1]) / 2 - 0.5))])
    at = _between(values[place - 1] if place else None, values[place] if place < len(values) else None)
    share = float(count[inverse >= place].sum() / count.sum())
    half = int(np.searchsorted(values, np.float32(0.5)))
    return Chosen(at, by, float(reached[place]), float(reached[half]), share, len(score))


def _terms(
    by: Objective, count: Floats, actual: np.ndarray, gains: tuple[Floats, Floats] | None
) -> tuple[np.ndarray, ...]:
    if by != "value":
        return count * actual, count * ~actual
    if gains is None:
        raise ValueError("expected gains to choose a threshold by value. Received: none")
    acted, left = gains
    return (count * (acted - left),)


def _objective(
    by: Objective, above: np.ndarray, whole: np.ndarray, count: Floats, gains: tuple[Floats, Floats] | None
) -> np.ndarray:
    """What is made most of, at each cut."""
    if by == "value" and gains is not None:
        return np.asarray((above[0] + (count * gains[1]).sum()) / count.sum())
    found, wrong = above
    if by == "f1":
        return np.asarray(2 * found / (found + wrong + whole[0]))
    return np.asarray(found / whole[0] - wrong / whole[1])


def _between(below: np.float32 | None, above: np.float32 | None) -> float:
    """The shortest number between two scores, in the middle half; `above` itself where float32 has none between.

    None stands for the end of the scale: no score lies there, and the threshold is 0, or above all scores.
    """
    if below is None:
        return 0.0
    above = np.float32(1) if above is None else above
    middle, room = (float(below) + float(above)) / 2, (float(above) - float(below)) / 4
    for digits in range(1, 18):
        short = round(middle, digits)
        if abs(short - middle) <= room and below < np.float32(short) <= above:
            return short
    return float(above)
