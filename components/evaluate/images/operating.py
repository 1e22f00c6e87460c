"""The threshold that finds a required share of one class: chosen on one split, measured on another, and its price."""

from __future__ import annotations

import difflib
import math

import numpy as np

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.image_evaluation import OperatingPoint, Operation
from headrace.components.evaluate.images.shares import share, share_of
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.spec import RecallSpec

_MOST_POINTS = 200


def operating_point(asked: RecallSpec, choose: Scores, measured: Scores, splits: tuple[str, str]) -> OperatingPoint:
    """Chooses on the one split the greatest threshold that reaches the recall, and measures it on the other.

    Chosen and measured on the same images, the recall would look better than it is: by construction it could not
    fall short.

    Args:
        asked: the class and the least recall.
        choose: the split to choose on.
        measured: the split to measure on, with the same classes.
        splits: the names of both.

    Raises:
        HeadraceError: there is no such class.
    """
    code = _code(asked.name, measured.classes)
    usual = _operation(splits[1], measured, measured.predicted, code)
    threshold = _threshold(choose, code, asked.at_least)
    if threshold is None:
        return OperatingPoint(asked.name, asked.at_least, None, None, None, usual)
    return OperatingPoint(
        name=asked.name,
        at_least=asked.at_least,
        threshold=threshold,
        chosen=_operation(splits[0], choose, decided(choose.outputs, code, threshold), code),
        reached=_operation(splits[1], measured, decided(measured.outputs, code, threshold), code),
        usual=usual,
        curve=_curve(measured, code, threshold),
    )


def decided(outputs: Floats, code: int, threshold: float) -> Array:
    """(N,) class codes: `code` where its probability is at least the threshold, else the most probable other."""
    others = outputs.copy()
    others[:, code] = -np.inf
    return np.where(outputs[:, code] >= threshold, code, others.argmax(axis=1))


def _code(name: str, classes: tuple[str, ...]) -> int:
    if name in classes:
        return classes.index(name)
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"the classes are {', '.join(classes)}"
    raise HeadraceError(f"evaluate.recall: expected one of the label's classes. Received: {name}; {hint}")


def _threshold(scores: Scores, code: int, at_least: float) -> float | None:
    """The greatest threshold at which at least this share of the class is found; None where there is no image of it."""
    own = np.sort(scores.outputs[scores.truth == code, code])[::-1]
    if not len(own) or scores.flaw():
        return None
    # Binary fractions: 0.95 * 20 is a hair above 19, and must not ask for all of the 20.
    needed = max(1, math.ceil(at_least * len(own) - 1e-9))
    return float(own[needed - 1])


def _operation(split: str, scores: Scores, predicted: Array, code: int) -> Operation:
    actual, said = np.asarray(scores.truth == code), np.asarray(predicted == code)
    return Operation(
        split=split,
        recall=share_of(said, actual),
        precision=share_of(actual, said),
        flagged=share(int(said.sum()), len(scores)),
        accuracy=share(int((predicted == scores.truth).sum()), len(scores)),
    )


def _curve(scores: Scores, code: int, threshold: float) -> tuple[tuple[float, float, float], ...]:
    """Recall and precision at the thresholds that tell images apart, the highest first: down to the chosen one, and
    until all are found. Below, there is nothing to win."""
    actual = scores.truth == code
    order = np.argsort(-scores.outputs[:, code], kind="stable")
    values = scores.outputs[order, code]
    found = np.cumsum(actual[order])
    ends = np.flatnonzero(np.r_[np.diff(values) != 0, True])  # of runs of the same probability
    if not actual.any():
        return ()
    complete = int(np.searchsorted(found[ends], found[-1])) + 1
    ends = ends[: max(complete, int((values[ends] >= threshold).sum()))]
    kept = ends[np.unique(np.linspace(0, len(ends) - 1, min(len(ends), _MOST_POINTS)).round().astype(int))]
    return tuple((float(values[i]), float(found[i] / found[-1]), float(found[i] / (i + 1))) for i in kept)
