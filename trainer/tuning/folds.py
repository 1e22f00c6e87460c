"""Folds: divisions of the train split that judge where eval, of few rows, would judge by chance.

Rows that belong together (see `trainer.groups`) are never on both sides of a fold: parameters that learn rows by heart
would look best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.trainer.groups import group_columns, groups_of

FEW_ROWS = 2_000  # of train, below which eval alone would judge by chance
FOLDS = 5


@dataclass(frozen=True)
class Fold:
    """A division of the train split: places of rows, int64, of those learned from and those judged on."""

    learned: np.ndarray
    judged: np.ndarray


def count_folds(asked: int | None, snapshot: Dataset) -> int:
    """How many folds judge: as asked, else some where train is small; 0 where eval judges.

    Raises:
        HeadraceError: one fold was asked for, or folds were asked for of rows that are split by time: they would learn
            from the future.
    """
    by_time = (snapshot.info.query.get("split") or {}).get("by") == "time"
    if asked is None:
        return FOLDS if snapshot.info.rows["train"] < FEW_ROWS and not by_time else 0
    if asked and by_time:
        raise HeadraceError(
            "train.tune.folds: expected 0 for data that is split by time: folds would learn from the future. "
            f"Received: {asked}"
        )
    if asked == 1:
        raise HeadraceError("train.tune.folds: expected 2 folds or more, or 0, which judges by eval. Received: 1")
    return asked


def make_folds(
    count: int,
    snapshot: Dataset,
    labels: np.ndarray,
    seed: int,
    weights: np.ndarray | None = None,
    fewer: bool = False,
) -> tuple[Fold, ...]:
    """Divides the train split: classes evenly, and rows of the same id or group together.

    Rows of weight 0 are in no fold. Nor is a row judged of a class that the fold's other rows lack, as may be where few
    groups have it: no parameters would answer it.

    Args:
        count: of folds; 0 for none.
        snapshot: its ids and groups are read, of train alone.
        labels: class numbers (rows,), or values.
        seed: the same seed divides in the same way.
        weights: how much each row counts, (rows,); None where all count the same.
        fewer: whether fewer folds will do, or none, where nobody has asked for so many.

    Raises:
        HeadraceError: there are too few rows, ids or groups for as many folds.
    """
    if not count:
        return ()
    counted = np.arange(len(labels)) if weights is None else np.flatnonzero(weights > 0)
    together = group_columns(snapshot.info, pq.read_schema(snapshot.file("train")).names)
    groups = groups_of(snapshot.table("train", list(together)), counted)
    different = len(counted) if groups is None else len(np.unique(groups))
    most = min(len(counted) // 2, different)
    if most < count and not fewer:
        raise HeadraceError(f"train.tune.folds: expected {_lack(count, len(counted), different, together)}")
    taken = min(count, most)
    folds = _divided(taken, labels[counted], groups, seed, snapshot.info.classes is not None) if taken > 1 else ()
    if len(folds) < 2 and not fewer:
        raise HeadraceError(
            "train.tune.folds: expected two classes or more in what is left to learn from beside a fold. "
            f"Received: {count} folds, {len(folds)} of them such; ask for more folds, or for 0, which judges by eval"
        )
    if len(folds) < count:
        judges = f"{len(folds)} folds judge" if len(folds) > 1 else "eval judges"
        print(f"tune: {judges} instead of {count} folds: train has too few rows or groups")
    return tuple(Fold(counted[fold.learned], counted[fold.judged]) for fold in folds) if len(folds) > 1 else ()


def _lack(count: int, rows: int, different: int, together: Sequence[str]) -> str:
    """What there should be more of for so many folds, and what there is."""
    if rows < 2 * count:
        return f"at least {2 * count} rows in train for {count} folds. Received: {rows}"
    named = " and ".join(f"`{name}`" for name in together)
    return f"at least {count} different values of {named} for {count} folds. Received: {different}"


def _divided(count: int, labels: np.ndarray, groups: np.ndarray | None, seed: int, classes: bool) -> tuple[Fold, ...]:
    """Divides rows; those folds that can be judged on."""
    from sklearn import model_selection

    evenly = classes and int(np.bincount(labels.astype(int)).max()) >= count
    options = {"n_splits": count, "shuffle": True, "random_state": seed}
    if groups is None:
        divider = (model_selection.StratifiedKFold if evenly else model_selection.KFold)(**options)
    else:
        divider = (model_selection.StratifiedGroupKFold if evenly else model_selection.GroupKFold)(**options)
    empty = np.zeros((len(labels), 1), np.float32)
    folds = []
    for learned, judged in divider.split(empty, labels, groups):
        known = np.unique(labels[learned])
        answerable = judged[np.isin(labels[judged], known)] if classes else judged
        if len(answerable) and (len(known) > 1 or not classes):
            folds.append(Fold(learned, answerable))
    return tuple(folds)
