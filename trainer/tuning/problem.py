"""What is tuned: the data that every trial shares, and what each is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import Feature
from headrace.trainer.model import Rows
from headrace.trainer.parameters import ModuleParameters

FEW_ROWS = 2_000  # of train, below which eval alone would judge by chance
FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """A division of the train split: places of rows, int64, of those learned from and those judged on."""

    learned: np.ndarray
    judged: np.ndarray


@dataclass(frozen=True)
class Problem:
    """What every trial of a search shares.

    Attributes:
        kind: of model.
        base: the parameters as the spec has them.
        train, evaluation: the two splits as the learner takes them; the test split is never here.
        features: what their columns are.
        classes: how many; 0 for a regression.
        seed: of every training.
        folds: divisions of train to judge by; none where eval judges.
    """

    kind: str
    base: Any
    train: Rows
    evaluation: Rows
    features: Sequence[Feature]
    classes: int
    seed: int
    folds: tuple[Fold, ...] = ()

    @property
    def bytes(self) -> int:
        """How large the two matrices are in memory."""
        return sum(_bytes(rows.features) for rows in (self.train, self.evaluation))

    def parameters(self, tried: dict[str, Any]) -> Any:
        """The learner's parameters with some of them tried."""
        return with_values(self.base, tried)

    def pairs(self) -> list[tuple[Rows, Rows]]:
        """What is trained on and judged on: one pair, or one for each fold."""
        if not self.folds:
            return [(self.train, self.evaluation)]
        return [(part(self.train, fold.learned), part(self.train, fold.judged)) for fold in self.folds]


def with_values(base: Any, tried: dict[str, Any]) -> Any:
    """Parameters with some of them replaced; those of a user's own module are entries of its mapping."""
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in tried.items()}
    if isinstance(base, ModuleParameters):
        return replace(base, parameters={**base.parameters, **values})
    return replace(base, **values)


def value_of(base: Any, name: str) -> Any:
    """What a parameter is; None where that is left to the learner."""
    return base.parameters.get(name) if isinstance(base, ModuleParameters) else getattr(base, name)


def part(rows: Rows, places: np.ndarray) -> Rows:
    """Some of the rows."""
    weights = None if rows.weights is None else rows.weights[places]
    return Rows(rows.features[places], rows.labels[places], weights)


def count_folds(asked: int | None, snapshot: Dataset) -> int:
    """How many folds judge: as asked, else some where train is small; 0 where eval judges.

    Raises:
        HeadraceError: folds were asked for of rows that are split by time: they would learn from the future.
    """
    by_time = (snapshot.info.query.get("split") or {}).get("by") == "time"
    if asked is None:
        return FOLDS if snapshot.info.rows["train"] < FEW_ROWS and not by_time else 0
    if asked and by_time:
        raise HeadraceError(
            "train.tune.folds: expected 0 for data that is split by time: folds would learn from the future. "
            f"Received: {asked}"
        )
    return asked


def make_folds(count: int, snapshot: Dataset, labels: np.ndarray, seed: int) -> tuple[Fold, ...]:
    """Divides the train split: classes evenly, and rows of the same id together.

    Args:
        count: of folds; 0 for none.
        snapshot: its ids are read, of train alone.
        labels: class numbers (rows,), or values.
        seed: the same seed divides in the same way.

    Raises:
        HeadraceError: there are fewer rows than folds.
    """
    if not count:
        return ()
    if len(labels) < 2 * count:
        raise HeadraceError(
            f"train.tune.folds: expected at least {2 * count} rows in train for {count} folds. Received: {len(labels)}"
        )
    from sklearn import model_selection

    groups = _groups(snapshot)
    classes = snapshot.info.classes is not None and int(np.bincount(labels.astype(int)).max()) >= count
    options = {"n_splits": count, "shuffle": True, "random_state": seed}
    if groups is None:
        divider = (model_selection.StratifiedKFold if classes else model_selection.KFold)(**options)
    elif len(np.unique(groups)) < count:
        raise HeadraceError(
            f"train.tune.folds: expected at least {count} different values of `{snapshot.info.id}` for {count} folds. "
            f"Received: {len(np.unique(groups))}"
        )
    else:
        divider = (model_selection.StratifiedGroupKFold if classes else model_selection.GroupKFold)(**options)
    empty = np.zeros((len(labels), 1), np.float32)
    return tuple(Fold(learned, judged) for learned, judged in divider.split(empty, labels, groups))


def _groups(snapshot: Dataset) -> np.ndarray | None:
    """Which rows belong together, (rows,): those of the same id; None where each has its own."""
    if snapshot.info.id is None:
        return None
    ids: pa.ChunkedArray = snapshot.table("train", [snapshot.info.id])[snapshot.info.id]
    if pc.count_distinct(ids, mode="all").as_py() == len(ids):
        return None
    # A missing id says nothing of its row: each is its own group.
    numbers = ids.combine_chunks().dictionary_encode().indices
    alone = pa.array(np.arange(len(ids)) + len(ids))
    return np.asarray(pc.coalesce(numbers.cast(pa.int64()), alone).to_numpy(zero_copy_only=False))


def _bytes(features: Any) -> int:
    parts = [features] if isinstance(features, np.ndarray) else [features.data, features.indices, features.indptr]
    return sum(int(array.nbytes) for array in parts)
