"""Which features a model gets: by variance, correlation, mutual information, chi-squared, importance, elimination.

All of it is measured on the train split, on a sample of its rows; features that were fitted on the label by their
values out of fold. Methods are applied in the order of `METHODS`, each to what those before it have left.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.artifacts.transform import Feature
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.training_rows import TrainRows

METHODS = ("variance", "correlation", "mutual_information", "chi_squared", "importance", "recursive")
ROWS = 50_000  # that are looked at
_BINS = 10  # quantiles of a number, where it is held against the label
_TREES = 60
_BLOCK = 256  # features that are held against those before them at a time
_STEP = 0.2  # share of the features that a round of elimination takes away

Matrix = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Measured:
    """What the methods look at.

    Attributes:
        values: float32 (n, W); NaN is missing.
        label: class numbers, or the number of the label's tenth; (n,).
        target: the label itself, (n,).
        classes: how many; 0 for a regression.
        features: what the columns are.
    """

    values: Matrix
    label: Matrix
    target: Matrix
    classes: int
    features: Sequence[Feature]


def select(
    train: TrainRows,
    graph: FeatureGraph,
    whole: str,
    outputs: Sequence[Feature],
    held_out: Mapping[str, Matrix],
    wanted: Mapping[str, float],
) -> tuple[list[int], dict[str, str], list[str]]:
    """Chooses features.

    Returns:
        the places of those that stay; why each other one does not; and a note for each method.
    """
    measured = _measured(train, graph, whole, outputs, held_out)
    chosen, left_out, notes = list(range(len(outputs))), dict[str, str](), []
    for method in METHODS:
        if method not in wanted:
            continue
        bound = wanted[method]
        kept, why = _METHODS[method](measured, chosen, bound)
        kept = kept or chosen[:1]  # a model needs something to look at
        left_out |= {outputs[place].name: f"{method}: {why}" for place in chosen if place not in set(kept)}
        notes.append(f"select.{method}: {bound:g}: {len(kept):,} of {len(chosen):,} features stay; what has {why} goes")
        chosen = sorted(kept)
    return chosen, left_out, notes


def _measured(
    train: TrainRows, graph: FeatureGraph, whole: str, outputs: Sequence[Feature], held_out: Mapping[str, Matrix]
) -> Measured:
    """The sample's features; as few rows as keep them within some hundred MiB."""
    step = max(1, len(train.sampled) // min(ROWS, max(2_000, 100_000_000 // len(outputs))))
    parts, place = [], 0
    for batch in train.batches_of_sample(graph, whole, TensorProto.FLOAT, len(outputs)):
        parts.append(batch[-place % step :: step])
        place += len(batch)
    rows = train.sampled[::step]
    values = np.concatenate(parts)
    for column, feature in enumerate(outputs):
        if feature.name in held_out:
            values[:, column] = held_out[feature.name][rows]
    target = train.label[rows]
    classes = len(train.classes)
    label = target.astype(np.int64) if classes else _codes(target.astype(np.float64))
    return Measured(values, label, target, classes, outputs)


def _variance(measured: Measured, places: list[int], bound: float) -> tuple[list[int], str]:
    found = [place for place in places if _spread(measured.values[:, place]) > bound]
    return found, f"a variance of at most {bound:g}"


def _spread(column: Matrix) -> float:
    """The variance of what is there; that of being missing, where this is all that varies."""
    there = column[np.isfinite(column)].astype(np.float64)
    share = len(there) / max(1, len(column))
    return max(float(there.var()) if len(there) else 0.0, share * (1 - share))


def _correlation(measured: Measured, places: list[int], bound: float) -> tuple[list[int], str]:
    """Of two features that go together, the one that says more about the label stays."""
    scores = _information(measured, places)
    ordered = [places[rank] for rank in np.argsort(-scores, kind="stable")]
    values = measured.values[:, ordered].astype(np.float64)
    mean = np.nan_to_num(np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0))
    values = np.where(np.isfinite(values), values, mean) - mean
    length = np.sqrt((values**2).sum(0))
    values = (values / np.where(length > 0, length, 1.0)).astype(np.float32)
    kept: list[int] = []
    chosen = np.empty(values.shape, np.float32, order="F")  # those kept, side by side
    for start in range(0, len(ordered), _BLOCK):
        block = values[:, start : start + _BLOCK]
        before = np.abs(chosen[:, : len(kept)].T @ block).max(axis=0, initial=0.0)
        own = len(kept)  # from here on they are of this block
        for place in range(block.shape[1]):
            among = np.abs(chosen[:, own : len(kept)].T @ block[:, place]).max(initial=0.0)
            if max(before[place], among) <= bound:
                chosen[:, len(kept)] = block[:, place]
                kept.append(start + place)
    return [ordered[rank] for rank in kept], f"a correlation above {bound:g} with one that says more of the label"


def _mutual_information(measured: Measured, places: list[int], most: float) -> tuple[list[int], str]:
    return _best(places, _information(measured, places), most), "less mutual information with the label"


def _chi_squared(measured: Measured, places: list[int], most: float) -> tuple[list[int], str]:
    scores = np.array([_chi(table) for table in map(_tables(measured), places)])
    return _best(places, scores, most), "a weaker chi-squared test against the label"


def _importance(measured: Measured, places: list[int], most: float) -> tuple[list[int], str]:
    return _best(places, _gain(measured, places), most), "less gain in trees"


def _recursive(measured: Measured, places: list[int], most: float) -> tuple[list[int], str]:
    """Trees are fitted again and again, and the least important fifth goes each time (Guyon et al. 2002)."""
    left = list(places)
    while len(left) > most:
        fewer = max(int(most), min(len(left) - 1, int(len(left) * (1 - _STEP))))
        left = _best(left, _gain(measured, left), fewer)
    return left, "least gain in trees, round by round"


_METHODS: dict[str, Callable[[Measured, list[int], float], tuple[list[int], str]]] = {
    "variance": _variance, "correlation": _correlation, "mutual_information": _mutual_information,
    "chi_squared": _chi_squared, "importance": _importance, "recursive": _recursive,
}  # fmt: skip


def _best(places: Sequence[int], scores: Matrix, most: float) -> list[int]:
    return [places[rank] for rank in np.argsort(-scores, kind="stable")[: int(most)]]


def _information(measured: Measured, places: Sequence[int]) -> Matrix:
    """Mutual information with the label in nats, of tenths; less what chance alone gives (Miller 1955)."""
    return np.array([_mutual(table) for table in map(_tables(measured), places)])


def _tables(measured: Measured) -> Callable[[int], Matrix]:
    """Feature -> the counts of its values or tenths against the label's."""
    height = int(measured.label.max(initial=0)) + 1

    def table(place: int) -> Matrix:
        codes = _codes(measured.values[:, place])
        counts = np.bincount(codes * height + measured.label, minlength=(codes.max(initial=0) + 1) * height)
        return np.asarray(counts.reshape(-1, height))

    return table


def _codes(column: Matrix) -> Matrix:
    """Few values as they are, many by their tenths; missing ones are one more."""
    there = np.isfinite(column)
    values = column[there]
    edges = np.unique(values) if len(values) else np.zeros(1)
    if len(edges) > 5 * _BINS:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)))[:-1]
    codes = np.zeros(len(column), np.int64)
    codes[there] = np.searchsorted(edges, values, side="right")
    return codes


def _without_empty(table: Matrix) -> Matrix:
    return np.asarray(table[table.sum(1) > 0][:, table.sum(0) > 0], np.float64)


def _mutual(table: Matrix) -> float:
    cells = _without_empty(table)
    if min(cells.shape) < 2:
        return 0.0
    shares = cells / cells.sum()
    expected = shares.sum(1, keepdims=True) * shares.sum(0, keepdims=True)
    there = shares > 0
    information = float((shares[there] * np.log(shares[there] / expected[there])).sum())
    return float(information - (cells.shape[0] - 1) * (cells.shape[1] - 1) / (2 * cells.sum()))


def _chi(table: Matrix) -> float:
    """Minus the logarithm of the p-value: features with more values are not favoured."""
    from scipy.stats import chi2  # takes most of a second to import

    cells = _without_empty(table)
    if min(cells.shape) < 2:
        return 0.0
    expected = cells.sum(1, keepdims=True) * cells.sum(0, keepdims=True) / cells.sum()
    statistic = ((cells - expected) ** 2 / expected).sum()
    return float(-chi2.logsf(statistic, (cells.shape[0] - 1) * (cells.shape[1] - 1)))


def _gain(measured: Measured, places: Sequence[int]) -> Matrix:
    """What each feature gains in a few small trees."""
    import lightgbm as lgb

    dense = isinstance(measured.values, np.ndarray)
    objective = "regression" if measured.classes == 0 else "binary" if measured.classes == 2 else "multiclass"
    settings = {
        "objective": objective, "num_leaves": 15, "learning_rate": 0.1, "min_child_samples": 5, "verbosity": -1,
        "deterministic": True, "force_row_wise": dense, "force_col_wise": not dense, "seed": 0, "feature_fraction": 0.8,
        "num_threads": int(os.environ.get("OMP_NUM_THREADS", 0)) or os.cpu_count() or 1,
        **({"num_class": measured.classes} if objective == "multiclass" else {}),
    }  # fmt: skip
    rows = lgb.Dataset(measured.values[:, list(places)], measured.target)
    booster = lgb.train(settings, rows, num_boost_round=_TREES)
    return np.asarray(booster.feature_importance("gain"), np.float64)
