"""How equally groups of people are treated, by fairlearn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.artifacts.evaluation import Fairness, Group
from headrace.artifacts.metrics import FAIRNESS
from headrace.components.evaluate.groups import LEAST_ROWS, groups
from headrace.components.evaluate.scores import Array, Scores


def fairness(scores: Scores, table: pa.Table, columns: Iterable[str]) -> tuple[Fairness, ...]:
    """Compares the groups of each column. Groups of fewer than 20 rows are named and not compared.

    Raises:
        HeadraceError: there is no such column.
    """
    return tuple(_compare(scores, table, name) for name in columns)


def _compare(scores: Scores, table: pa.Table, name: str) -> Fairness:
    parts = groups(table, name)
    large = [part for part in parts if len(part.rows) >= LEAST_ROWS]
    small = tuple(part.value for part in parts[len(large) :])
    flaw = scores.flaw()
    if flaw is None and scores.positive is None:
        flaw = "fairness is measured where there are two classes"
    if flaw is None and len(large) < 2:
        flaw = f"fewer than two groups have {LEAST_ROWS} rows"
    if flaw:
        return Fairness(name, (), {}, dict.fromkeys(FAIRNESS, flaw), small)
    rows = np.concatenate([part.rows for part in large])
    member = np.repeat(np.arange(len(large)), [len(part.rows) for part in large])
    chosen = scores.take(rows)
    actual, selected = chosen.actual, chosen.predicted == scores.positive
    described = tuple(
        _group(part.value, actual[member == code], selected[member == code])
        for code, part in enumerate(large)
    )
    metrics, undefined = _metrics(actual.astype(int), selected.astype(int), member, described)
    return Fairness(name, described, metrics, undefined, small)


def _group(value: str, actual: Array, selected: Array) -> Group:
    return Group(
        value, len(actual), float(selected.mean()), _rate(selected[actual]), _rate(selected[~actual])
    )


def _rate(selected: Array) -> float | None:
    return float(selected.mean()) if len(selected) else None


def _metrics(
    actual: Array, selected: Array, member: Array, described: tuple[Group, ...]
) -> tuple[dict[str, float], dict[str, str]]:
    metrics, undefined = {}, {}
    for name, function in _functions().items():
        # fairlearn puts 0 for a rate that no row of a group can have; that would be an invention.
        needed = {"demographic": (), "equal": ("tpr",), "equalized": ("tpr", "fpr")}[name.split("_")[0]]
        lacking = [
            (group.value, rate) for group in described for rate in needed if getattr(group, rate) is None
        ]
        if lacking:
            value, rate = lacking[0]
            undefined[name] = f"{value} has no {'positive' if rate == 'tpr' else 'negative'} row"
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            result = float(function(actual, selected, sensitive_features=member))
        if np.isfinite(result):
            metrics[name] = result
        else:
            undefined[name] = "the rate is zero in each group"
    return metrics, undefined


def _functions() -> dict[str, Callable[..., Any]]:
    from fairlearn import metrics  # only where it is asked for: it takes pandas and a while to import

    return {name: getattr(metrics, name) for name in FAIRNESS}
