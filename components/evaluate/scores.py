"""Truth and prediction of the same rows: what every metric is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.metrics import kind_of
from headrace.artifacts.signature import Signature

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scores:
    """N rows with what is true of them and what a model says.

    Attributes:
        task: classification or regression.
        truth: (N,) class codes as int64, or values as float64.
        outputs: (N, C) probabilities in the order of `classes`, or (N, 1) values.
        positive: code of the positive class, where there are two classes.
        threshold: a row is predicted positive where its probability is at least this.
        weights: (N,) how much each row counts; None where all count the same.
    """

    task: str
    truth: Array
    outputs: Floats
    classes: tuple[str, ...] = ()
    positive: int | None = None
    threshold: float = 0.5
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def kind(self) -> str:
        """`binary`, `multiclass` or `regression`."""
        return kind_of(self.task, len(self.classes))

    @property
    def predicted(self) -> Array:
        """(N,) class codes, decided as the server decides; or values."""
        if self.task == "regression":
            return self.outputs[:, 0]
        if self.positive is None:
            return np.asarray(self.outputs.argmax(axis=1))
        return np.where(self.score >= self.threshold, self.positive, 1 - self.positive)

    @property
    def score(self) -> Floats:
        """(N,) probability of the positive class."""
        return np.asarray(self.outputs[:, self._positive])

    @property
    def actual(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the row truly is of the positive class."""
        return np.asarray(self.truth == self._positive)

    @property
    def _positive(self) -> int:
        if self.positive is None:
            raise ValueError("expected two classes, one of them positive. Received: none that is positive")
        return self.positive

    def take(self, rows: Array) -> Scores:
        """The scores of some rows, by index or mask."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, truth=self.truth[rows], outputs=self.outputs[rows], weights=weights)

    def counts(self) -> Floats:
        """(N,) how much each row counts; ones where all count the same."""
        return np.ones(len(self)) if self.weights is None else self.weights

    def flaw(self) -> str | None:
        """Why nothing can be measured at all, if so."""
        if len(self) == 0:
            return "there are no rows"
        if self.weights is not None and not self.weights.any():
            return "all rows have weight 0"
        broken = int((~np.isfinite(self.outputs)).any(axis=1).sum())
        return f"the model's output is not a finite number in {broken:,} rows" if broken else None


def score(info: DatasetInfo, signature: Signature, labels: pa.ChunkedArray[Any], outputs: Array) -> Scores:
    """Puts a model's outputs beside the labels of the same rows.

    Classes that the model does not know get probability 0, so that rows of them count as wrong.

    Raises:
        HeadraceError: model and dataset do not speak of the same label, task or classes.
    """
    if (signature.task, signature.label) != (info.task, info.label):
        raise HeadraceError(
            f"expected a model of {info.task} of `{info.label}`, as the dataset has it. "
            f"Received: a model of {signature.task} of `{signature.label}`"
        )
    values = np.asarray(outputs, dtype=np.float64)
    width = len(signature.classes) or 1
    if values.shape != (len(labels), width):
        raise HeadraceError(f"expected outputs of shape {(len(labels), width)}. Received: {values.shape}")
    if info.task == "regression":
        return Scores(info.task, np.asarray(labels.to_numpy(), dtype=np.float64), values)
    known = tuple(info.classes or ())
    classes = known + tuple(name for name in signature.classes if name not in known)
    if len(known) == 2 and (len(classes) != 2 or signature.positive != info.positive):
        raise HeadraceError(
            f"expected a model of the classes {', '.join(known)}, of which {info.positive} is positive. "
            f"Received: {', '.join(signature.classes)}, of which {signature.positive} is positive"
        )
    aligned = in_order(values, signature.classes, classes)
    positive = classes.index(info.positive) if len(classes) == 2 and info.positive is not None else None
    threshold = 0.5 if signature.threshold is None else signature.threshold
    return Scores(info.task, codes(labels, classes), aligned, classes, positive, threshold)


def in_order(outputs: Array, own: Sequence[str], classes: Sequence[str]) -> Floats:
    """(N, own) probabilities as (N, classes); classes that the model does not know get 0."""
    aligned = np.zeros((len(outputs), len(classes)))
    aligned[:, [classes.index(name) for name in own]] = outputs
    return aligned


def codes(labels: pa.ChunkedArray[Any], classes: Sequence[str]) -> Array:
    """Class names to their places in `classes`, int64.

    Raises:
        HeadraceError: a label is not among the classes.
    """
    found = pc.index_in(labels.cast(pa.string()), value_set=pa.array(classes, pa.string()))
    if found.null_count:
        stranger = labels.filter(pc.is_null(found))[0].as_py()
        raise HeadraceError(f"expected labels among {', '.join(classes)}. Received: {stranger!r}")
    return np.asarray(found.to_numpy(), dtype=np.int64)


def constant(train: Scores, rows: Scores) -> Scores:
    """What a constant learned from the train split answers for `rows`: the classes' shares, or the mean."""
    if rows.task == "regression":
        answer = np.array([np.average(train.truth, weights=train.weights)])
    else:
        answer = np.bincount(train.truth, train.weights, len(rows.classes)) / max(float(train.counts().sum()), 1e-300)
    return replace(rows, outputs=np.tile(answer, (len(rows), 1)), threshold=0.5)
