"""A snapshot's rows as a learner takes them: features, labels, and how much each row counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.row_weights import row_weights
from headrace.artifacts.transform import TransformFiles
from headrace.trainer.matrix import feature_matrix
from headrace.trainer.model import Rows
from headrace.trainer.parameters import Training


@dataclass(frozen=True)
class Ready:
    """What a training is given. The test split is nowhere in it.

    Attributes:
        train: what is learned from; weights are those of the rows times those of their classes.
        evaluation: the eval split, weighted alike.
        unweighted: the eval split with the rows' own weights alone: of these, probabilities shall be true.
        held_out: the eval split's raw columns that are inputs.
        classes: how many; 0 for a regression.
    """

    train: Rows
    evaluation: Rows
    unweighted: Rows
    held_out: pa.Table
    classes: int


def ready(snapshot: Dataset, transform: TransformFiles, training: Training) -> Ready:
    """Reads train and eval, and makes them what a learner takes.

    Raises:
        HeadraceError: the weights' column is missing, has no weights in it, or is a feature; a class is unknown.
    """
    info, recipe, weight = snapshot.info, transform.recipe, training.sample_weight
    _check_weight_column(weight, info, recipe.columns)
    wanted = [*recipe.columns, info.label, *([weight] if weight else [])]
    made: dict[str, tuple[Rows, Rows]] = {}
    each: np.ndarray | None = None
    for split in ("train", "eval"):
        table = snapshot.table(split, wanted)
        y = labels(table[info.label], info)
        own = sample_weights(table[weight], f"{weight}, in {split}") if weight else None
        if split == "train":
            each = class_weights(training.class_weight, y, own, info)
        features = feature_matrix(transform, table, split)
        made[split] = Rows(features, y, combined(own, each, y)), Rows(features, y, own)
    return Ready(
        made["train"][0], made["eval"][0], made["eval"][1], table.select(recipe.columns), len(info.classes or ())
    )


def labels(column: pa.ChunkedArray, info: DatasetInfo) -> np.ndarray:
    """The label as the learner takes it: class numbers (int32) or values (float64); shape (rows,).

    Raises:
        HeadraceError: a row's class is not among the snapshot's.
    """
    if info.classes is None:
        return np.asarray(column.to_numpy(), np.float64)
    numbers = pc.index_in(column, pa.array(info.classes))
    if numbers.null_count:
        unknown = column.filter(pc.is_null(numbers))[0]
        raise HeadraceError(f"label `{info.label}`: expected one of {', '.join(info.classes)}. Received: {unknown}")
    return np.asarray(numbers.to_numpy(), np.int32)


def sample_weights(column: pa.ChunkedArray, name: str) -> np.ndarray:
    """A column of weights, scaled to a mean of 1; float64 (rows,).

    Raises:
        HeadraceError: a value is missing, negative or no number, or all are 0.
    """
    values = row_weights(column, name, "train.sample_weight")
    if len(values) and not values.any():
        raise HeadraceError(f"train.sample_weight: expected a row that counts in {name}. Received: 0 in every row")
    return mean_one(values)


def class_weights(
    wanted: Literal["balanced"] | Mapping[str, float] | None, y: np.ndarray, own: np.ndarray | None, info: DatasetInfo
) -> np.ndarray | None:
    """How much a row of each class counts, (classes,); None where all count the same.

    `balanced` is scikit-learn's: rows / (classes * rows of the class), with the rows' own weights where they have some.

    Raises:
        HeadraceError: a class is named that the label does not have, or the label has no classes.
    """
    if wanted is None:
        return None
    if info.classes is None:
        raise HeadraceError(f"train.class_weight: expected a classification. Received: a {info.task} of {info.label}")
    if wanted == "balanced":
        sums = np.bincount(y, own, minlength=len(info.classes)).astype(np.float64)
        return np.asarray(np.divide(sums.sum(), len(sums) * sums, out=np.ones_like(sums), where=sums > 0))
    for name in wanted:
        if name not in info.classes:
            known = ", ".join(info.classes)
            raise HeadraceError(f"train.class_weight: expected a class of `{info.label}`: {known}. Received: {name}")
    weights = np.array([wanted.get(name, 1.0) for name in info.classes], np.float64)
    if not weights[np.unique(y)].any():
        raise HeadraceError("train.class_weight: expected a class that counts. Received: 0 for all that are in train")
    return weights


def _check_weight_column(weight: str | None, info: DatasetInfo, inputs: list[str]) -> None:
    if weight is None:
        return
    names = [column.name for column in info.columns]
    if weight not in names:
        hint = nearest_column(weight, names)
        raise HeadraceError(f"train.sample_weight: expected a column of the data. Received: `{weight}`; {hint}")
    if weight == info.label:
        raise HeadraceError(f"train.sample_weight: expected another column. Received: the label, `{weight}`")
    if weight in inputs:
        raise HeadraceError(
            f"train.sample_weight: expected a column that is no feature: when a prediction is asked for, nobody knows "
            f"a weight. Received: `{weight}`, which the transform reads; add it to features.drop"
        )


def combined(own: np.ndarray | None, each: np.ndarray | None, y: np.ndarray) -> np.ndarray | None:
    """The rows' own weights times those of their classes, of mean 1; None where all count the same."""
    if each is None:
        return own
    weights = each[y] if own is None else each[y] * own
    return mean_one(weights)


def mean_one(weights: np.ndarray) -> np.ndarray:
    """The same weights with a mean of 1, as penalties and steps of a learner take them to have; unless all are 0."""
    return weights / weights.mean() if weights.any() else weights
