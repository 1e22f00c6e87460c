"""How equally groups of rows are treated: fairlearn's parities, with intervals, and every metric of each group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from headrace.artifacts.by import By, by_name
from headrace.artifacts.fairness_found import SMALLEST_GROUP, Fairness, Group
from headrace.artifacts.metrics import FAIRNESS
from headrace.components.evaluate.bootstrap import intervals
from headrace.components.evaluate.groups import groups
from headrace.components.evaluate.measure import calibration, measure
from headrace.components.evaluate.parities import REASONS, parities, rates, rates_of, rows_of, terms_of
from headrace.components.evaluate.parity_limits import limits_of
from headrace.components.evaluate.resample import BOTH, resampled_sums, resamples_for
from headrace.components.evaluate.scores import Array, Floats, Scores

MOST_GROUPS = 100  # beyond, the least equal two are mostly chance


@dataclass(frozen=True)
class _Part:
    """A group's rows, with resampled sums of their terms (resamples, K)."""

    value: str
    rows: Array
    scores: Scores
    draws: Floats


def fairness(
    scores: Scores, table: pa.Table, columns: Iterable[By], least_rows: int = SMALLEST_GROUP, seed: int = 0
) -> tuple[Fairness, ...]:
    """Compares the groups of each column, or of several columns where they meet.

    Args:
        scores: N rows.
        table: the columns of the same rows.
        columns: what to compare by.
        least_rows: of a group to be compared; smaller ones are named.
        seed: of the resampling that gives the intervals.

    Raises:
        HeadraceError: there is no such column.
    """
    return tuple(_compare(scores, table, by, least_rows, seed) for by in columns)


def _compare(scores: Scores, table: pa.Table, by: By, least_rows: int, seed: int) -> Fairness:
    parts = groups(table, by)
    large = [part for part in parts if len(part.rows) >= least_rows]
    small = parts[len(large) :]
    known = [name for name, info in FAIRNESS.items() if scores.kind in info.tasks]
    beyond = {name: "it is measured where there are two classes" for name, info in FAIRNESS.items()
              if info.fits(scores.task) and name not in known}  # fmt: skip
    flaw = scores.flaw()
    if flaw is None and len(large) < 2:
        flaw = f"fewer than two groups have {least_rows} rows"
    weightless = [part.value for part in large if not scores.counts()[part.rows].any()]
    if flaw is None and weightless:  # such a group has no rate at all, and must not pass for an equal one
        flaw = f"all rows of {weightless[0]} have weight 0"
    if flaw is None and len(large) > MOST_GROUPS:
        flaw = f"there are {len(large):,} groups: expected at most {MOST_GROUPS}"
    names, rest = tuple(part.value for part in small), sum(len(part.rows) for part in small)
    if flaw:
        return Fairness(
            by_name(by), (), {}, {**dict.fromkeys(known, flaw), **beyond}, names, least_rows, small_rows=rest
        )
    rng, resamples = np.random.default_rng(seed), resamples_for(len(scores))
    compared = [_part(part.value, part.rows, scores, resamples, rng) for part in large]
    member = np.repeat(np.arange(len(compared)), [len(part.rows) for part in compared])
    chosen = scores.take(np.concatenate([part.rows for part in compared]))
    values = rates_of(chosen, member)
    metrics, undefined = parities(values, [part.value for part in compared], known)
    drawn = rates(scores.kind, np.stack([part.draws for part in compared], axis=1))
    told = [rows_of(part.scores) for part in compared]
    rows = {rate: np.array([item[rate] for item in told]) for rate in told[0]}
    limits = limits_of(metrics, values, drawn, rows)
    return Fairness(
        by=by_name(by),
        groups=tuple(_group(part, values, place, drawn, seed) for place, part in enumerate(compared)),
        metrics=metrics,
        undefined={**undefined, **beyond},
        small_groups=names,
        least_rows=least_rows,
        intervals={name: found[f"{BOTH:g}"] for name, found in limits.items()},
        limits=limits,
        small_rows=rest,
    )


def _part(value: str, rows: Array, scores: Scores, resamples: int, rng: np.random.Generator) -> _Part:
    chosen = scores.take(rows)
    return _Part(value, rows, chosen, resampled_sums(terms_of(chosen), resamples, rng))


def _group(part: _Part, values: Mapping[str, Floats], place: int, drawn: Mapping[str, Floats], seed: int) -> Group:
    """One group on its own: the metrics of its rows, and the rates that it is compared by."""
    metrics, undefined = measure(part.scores)
    spread = intervals(part.scores, seed)
    for name in (name for name in _OWN if name in drawn):
        value, draws = float(values[name][place]), drawn[name][:, place]
        if not np.isfinite(value):
            undefined[name] = f"it {REASONS.get(name, 'has no such value')}"
            continue
        metrics[name] = value
        if np.isfinite(draws).all():
            low, high = np.quantile(draws, [1 - BOTH, BOTH])
            spread[name] = (float(low), float(high))
    binary = part.scores.kind == "binary"
    return Group(
        value=part.value,
        rows=len(part.rows),
        selection_rate=metrics.get("selection_rate"),
        tpr=metrics.get("tpr"),
        fpr=metrics.get("fpr"),
        positives=int(part.scores.actual.sum()) if binary else 0,
        metrics=metrics,
        undefined=undefined,
        intervals=spread,
        calibration=tuple((p[0], p[1], p[2]) for p in calibration(part.scores)) if binary else (),
    )


# The rates that a group is told with beside the task's metrics.
_OWN = ("selection_rate", "tpr", "fpr", "observed", "predicted", "mean_prediction")
