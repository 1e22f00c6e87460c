"""How equally groups of people are treated, by fairlearn."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from headrace.artifacts.evaluation import LEAST_ROWS, Fairness, Group
from headrace.artifacts.metrics import FAIRNESS
from headrace.components.evaluate.groups import groups
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
        _group(part.value, actual[member == code], selected[member == code]) for code, part in enumerate(large)
    )
    metrics, undefined = _metrics(actual.astype(int), selected.astype(int), member, described)
    return Fairness(name, described, metrics, undefined, small)


def _group(value: str, actual: Array, selected: Array) -> Group:
    return Group(value, len(actual), float(selected.mean()), _rate(selected[actual]), _rate(selected[~actual]))


def _rate(selected: Array) -> float | None:
    return float(selected.mean()) if len(selected) else None


def _metrics(
    actual: Array, selected: Array, member: Array, described: tuple[Group, ...]
) -> tuple[dict[str, float], dict[str, str]]:
    from fairlearn import metrics as fl  # only where it is asked for: it takes pandas and a while to import

    functions = {
        "selection_rate": fl.selection_rate,
        "tpr": fl.true_positive_rate,
        "fpr": fl.false_positive_rate,
    }
    frame = fl.MetricFrame(metrics=functions, y_true=actual, y_pred=selected, sensitive_features=member)
    with np.errstate(divide="ignore", invalid="ignore"):
        spreads = {"difference": frame.difference(), "ratio": frame.ratio()}
    metrics, undefined = {}, {}
    for name in FAIRNESS:
        stem, kind = name.rsplit("_", 1)
        rates = _RATES[stem]
        reason = _lacking(described, rates)
        values = [float(spreads[kind][rate]) for rate in rates]
        if reason is None and not np.isfinite(values).all():
            reason = "the rate is zero in each group"
        if reason is None:
            # Of two rates the one that is less equal counts, as in fairlearn's equalized odds.
            metrics[name] = max(values) if kind == "difference" else min(values)
        else:
            undefined[name] = reason
    return metrics, undefined


_RATES = {
    "demographic_parity": ("selection_rate",),
    "equal_opportunity": ("tpr",),
    "equalized_odds": ("tpr", "fpr"),
}


def _lacking(described: tuple[Group, ...], rates: tuple[str, ...]) -> str | None:
    """Which group has no row that a rate is of: fairlearn puts 0 there, which would be an invention."""
    for group in described:
        for rate in rates:
            if getattr(group, rate) is None:
                return f"{group.value} has no {'positive' if rate == 'tpr' else 'negative'} row"
    return None
