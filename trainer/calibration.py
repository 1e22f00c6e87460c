"""Calibration: a trained model's probabilities, mended on the eval split so that they come true as often as they say.

All three ways map a probability through its logarithm's odds, or the logarithm itself, and are part of the graph:

- sigmoid (Platt 1999, "Probabilistic Outputs for Support Vector Machines"): odds are scaled and shifted
- isotonic (Zadrozny and Elkan 2002, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates"):
  any rising function, here made of straight pieces between knots that are not arbitrarily close
- temperature (Guo et al. 2017, "On Calibration of Modern Neural Networks"): log probabilities are divided by one number

With more than two classes, sigmoid and isotonic mend each class against the rest, and the sum is made 1 again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.calibration_graph import mended_graph
from headrace.trainer.loss import loss
from headrace.trainer.model import Features, Model, Rows
from headrace.trainer.parameters import Calibration
from headrace.trainer.rows import mean_one
from headrace.trainer.threads import one_blas_thread

SURE = 1e-5  # a probability counts as at least this far from 0 and 1: float32 tells no more of it near 1
SPACING = 0.25  # of an isotonic map's knots, in log odds: else a step would tell neighbouring float32 apart
_FLOAT32_SHARE = 0.1  # of a model's tolerance that the rounding to float32 costs; only that is multiplied by a slope


@dataclass(frozen=True)
class Map:
    """Log odds to log odds, of one class against the rest: straight pieces between knots, flat or straight beyond.

    Attributes:
        scale, shift: of a sigmoid calibration; with knots, 1 and 0.
        knots: rising log odds, (K,); none for a sigmoid calibration.
        values: the log odds at the knots, (K,).
    """

    scale: float = 1.0
    shift: float = 0.0
    knots: np.ndarray = field(default_factory=lambda: np.empty(0))
    values: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __call__(self, odds: np.ndarray) -> np.ndarray:
        if len(self.knots):
            return np.asarray(np.interp(odds, self.knots, self.values))
        return self.scale * odds + self.shift


@dataclass(frozen=True)
class Calibrated:
    """A model whose probabilities are mended (a `headrace.trainer.model.Model`)."""

    model: Model
    maps: tuple[Map, ...]  # one for two classes, of the second; else one for each class; none with a temperature
    temperature: float | None
    classes: int
    parameters: dict[str, Any]
    tolerance: float

    @property
    def kind(self) -> str:
        """As the model's."""
        return self.model.kind

    @property
    def metric(self) -> str:
        """As the model's, before it was calibrated."""
        return self.model.metric

    @property
    def curve(self) -> dict[str, list[float]]:
        """As the model's, before it was calibrated."""
        return self.model.curve

    @property
    def rounds(self) -> int:
        """As the model's."""
        return self.model.rounds

    def predict(self, features: Features) -> np.ndarray:
        """The model's own answer, mended."""
        return mend(self.model.predict(features), self.maps, self.temperature)

    def graph(self, output: str) -> onnx.ModelProto:
        """The model's own graph, and the mending behind it."""
        return mended_graph(self.model.graph(output), output, self.maps, self.temperature, SURE)

    def importance(self) -> np.ndarray | None:
        """As the model's: mending changes no order."""
        return self.model.importance()

    def thresholds(self) -> dict[int, np.ndarray]:
        """As the model's."""
        return self.model.thresholds()


def calibrated(model: Model, method: Calibration, rows: Rows, classes: int) -> Model:
    """Fits the mending on rows that the model was not trained on; the same on any number of threads.

    Args:
        model: the trained model.
        method: how; `none` gives the model back as it is.
        rows: the eval split, with the rows' own weights; those of weight 0 count for nothing.
        classes: how many; 0 for a regression.

    Raises:
        HeadraceError: a regression has no probabilities; or the rows that count lack a class.
    """
    if method == "none":
        return model
    if not classes:
        raise HeadraceError("train.calibrate: expected a classification. Received: a regression")
    rows = _counted(rows)
    present = np.unique(rows.labels)
    if len(present) < classes:
        which = "" if rows.weights is None else " with a weight above 0"
        raise HeadraceError(
            f"train.calibrate: expected rows of each of the {classes} classes{which} in the eval split. "
            f"Received: rows of {len(present)}; make data.split.eval larger, or do without"
        )
    with one_blas_thread():
        return _calibrated(model, method, rows, classes)


def _counted(rows: Rows) -> Rows:
    """The rows of a weight above 0, with weights of mean 1: none of the others is evidence of anything."""
    if rows.weights is None or rows.weights.all():
        return rows
    kept = rows.weights > 0
    return Rows(rows.features[kept], rows.labels[kept], mean_one(rows.weights[kept]))


def _calibrated(model: Model, method: Calibration, rows: Rows, classes: int) -> Calibrated:
    answers = model.predict(rows.features)
    maps: tuple[Map, ...] = ()
    temperature = None
    if method == "temperature":
        temperature = fitted_temperature(answers, rows)
    else:
        one = _sigmoid if method == "sigmoid" else _isotonic
        chosen = (1,) if classes == 2 else range(classes)
        maps = tuple(one(log_odds(answers[:, place]), rows.labels == place, rows.weights) for place in chosen)
    mended = mend(answers, maps, temperature)
    record = {
        "method": method,
        "eval_log_loss": {
            "before": float(f"{loss(answers, rows.labels, rows.weights, classes):.10g}"),
            "after": float(f"{loss(mended, rows.labels, rows.weights, classes):.10g}"),
        },
        **({"temperature": temperature} if temperature else {"maps": [_record(each) for each in maps]}),
    }
    tolerance = model.tolerance * max(1.0, _FLOAT32_SHARE * _steepest(maps, temperature))
    return Calibrated(model, maps, temperature, classes, {**model.parameters, "calibration": record}, tolerance)


def mend(answers: np.ndarray, maps: Sequence[Map], temperature: float | None) -> np.ndarray:
    """Mends probabilities, (rows, classes) float64."""
    if temperature is not None:
        return _softmax(np.log(np.clip(answers, SURE, 1)) / temperature)
    if len(maps) == 1:
        positive = _expit(maps[0](log_odds(answers[:, 1])))
        return np.column_stack([1 - positive, positive])
    each = np.column_stack([_expit(map(log_odds(answers[:, place]))) for place, map in enumerate(maps)])
    return np.asarray(each / each.sum(axis=1, keepdims=True))


def log_odds(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), of p not nearer to 0 or 1 than `SURE`."""
    clipped = np.clip(probability, SURE, 1 - SURE)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))


def _sigmoid(odds: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> Map:
    """Platt's fit, with his targets that are not quite 0 and 1."""
    from scipy.optimize import minimize

    weights = np.ones(len(truth)) if weights is None else weights
    right, wrong = weights[truth].sum(), weights[~truth].sum()
    target = np.where(truth, (right + 1) / (right + 2), 1 / (wrong + 2))

    def cost(place: np.ndarray) -> tuple[float, np.ndarray]:
        z = place[0] * odds + place[1]
        slope = weights * (_expit(z) - target)
        return float(weights @ (np.logaddexp(0, z) - target * z)), np.array([slope @ odds, slope.sum()])

    # A negative scale would turn the order round: then the model has learned nothing, and the odds say nothing.
    found = minimize(cost, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)])
    return Map(scale=float(found.x[0]), shift=float(found.x[1]))


def _isotonic(odds: np.ndarray, truth: np.ndarray, weights: np.ndarray | None) -> Map:
    """The rising step function of least squares, as straight lines between knots that stand apart.

    A knot's value is the weighted mean of the steps around it. Neither 0 nor 1 is reached: within the eval split
    there is no evidence of never or always (Laplace's rule for the outermost steps).
    """
    from sklearn.isotonic import IsotonicRegression

    weights = np.ones(len(truth)) if weights is None else weights
    steps = IsotonicRegression(y_min=0, y_max=1).fit_transform(odds, truth.astype(np.float64), sample_weight=weights)
    inverse = np.unique(np.round(odds / SPACING), return_inverse=True)[1]
    total = np.bincount(inverse, weights)
    kept = total > 0
    knots = (np.bincount(inverse, weights * odds)[kept]) / total[kept]
    knots, values = _apart(knots, np.bincount(inverse, weights * steps)[kept] / total[kept], total[kept])
    least = 1 / (weights.sum() + 2)
    return Map(knots=knots, values=log_odds(np.clip(values, least, 1 - least)))


def _apart(knots: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Knots nearer to each other than half the spacing become one, at their mean."""
    kept: list[list[float]] = []
    for knot, value, weight in zip(knots, values, weights, strict=True):
        if kept and knot - kept[-1][0] < SPACING / 2:
            last = kept[-1]
            total = last[2] + weight
            kept[-1] = [
                (last[0] * last[2] + knot * weight) / total,
                (last[1] * last[2] + value * weight) / total,
                total,
            ]
        else:
            kept.append([float(knot), float(value), float(weight)])
    return np.array([each[0] for each in kept]), np.maximum.accumulate(np.array([each[1] for each in kept]))


def fitted_temperature(answers: np.ndarray, rows: Rows) -> float:
    """The number by which log probabilities are divided so that the log loss is least; features are not looked at."""
    from scipy.optimize import minimize_scalar

    logs = np.log(np.clip(answers, SURE, 1))
    classes = answers.shape[1]

    def cost(log_temperature: float) -> float:
        return loss(_softmax(logs / np.exp(log_temperature)), rows.labels, rows.weights, classes)

    found = minimize_scalar(cost, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(found.x))


def _steepest(maps: Sequence[Map], temperature: float | None) -> float:
    """How much a difference in a probability grows at most: by it the graph's tolerance grows."""
    grid = np.concatenate([np.geomspace(SURE, 0.5, 2_000), 1 - np.geomspace(0.5, SURE, 2_000)[1:]])
    if temperature is not None:
        answers = [mend(np.column_stack([1 - grid, grid]), (), temperature)[:, 1]]
    else:
        answers = [_expit(each(log_odds(grid))) for each in maps]
    return max(float(np.max(np.diff(answer) / np.diff(grid))) for answer in answers)


def _record(map: Map) -> dict[str, Any]:
    if len(map.knots):
        return {"knots": map.knots.tolist(), "values": map.values.tolist()}
    return {"scale": map.scale, "shift": map.shift}


def _expit(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-np.logaddexp(0, -values)))


def _softmax(logs: np.ndarray) -> np.ndarray:
    shifted = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))
