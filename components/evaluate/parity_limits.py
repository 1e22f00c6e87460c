"""How sure a parity is: one-sided limits that hold whether groups are treated alike or not.

The largest difference of several groups is never below 0, and chance moves groups apart more often than together. So a
resample's largest difference tends to lie above that of the rows, which tends to lie above the true one:

- the less fair limit is the resamples' percentile, which errs on the strict side;
- the fairer one is what all pairs of groups allow at once (Tukey's method, with critical values from the resamples;
  Westfall and Young 1993, "Resampling-Based Multiple Testing"): equal groups are found unequal as seldom as stated.

Ratios are differences of logarithms.

A group whose rate is 0 or 1 has the same rate in every resample, however few its rows. Its less fair end is therefore
the exact limit of a share (Clopper and Pearson 1934): of 15 positives all found, 82 % with a confidence of 95 %.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headrace.artifacts.fairness_found import RATES
from headrace.artifacts.limits import CONFIDENCES
from headrace.components.evaluate.parities import spread_of
from headrace.components.evaluate.resample import percentile_limits
from headrace.components.evaluate.scores import Array, Floats

_SAME = 1e-9  # weighted shares of all rows are off by some 1e-16

Limits = dict[str, tuple[float, float]]


def limits_of(
    metrics: Mapping[str, float],
    values: Mapping[str, Floats],
    drawn: Mapping[str, Floats],
    rows: Mapping[str, Floats],
) -> dict[str, Limits]:
    """Parity -> its limits by confidence, as `artifacts.limits` keeps them; none where a resample does not define it.

    Args:
        metrics: parity -> its value.
        values: rate -> (groups,) as the rows have it.
        drawn: rate -> (resamples, groups) as the resamples have it.
        rows: rate that is a share of rows -> (groups,) how many equal rows it is a share of.
    """
    found: dict[str, Limits] = {}
    for name, value in metrics.items():
        spreads = spread_of(name, drawn)
        if not np.isfinite(spreads).all():
            continue
        stem, kind = name.rsplit("_", 1)
        outer = _unfair_limits(name, values, drawn, rows) or percentile_limits(spreads)
        own, draws = [values[rate] for rate in RATES[stem]], [drawn[rate] for rate in RATES[stem]]
        if kind == "difference":
            inner = _least_spread(own, draws)
            found[name] = {key: (min(inner[key], value), max(high, value)) for key, (_, high) in outer.items()}
        else:
            inner = _greatest_ratio(own, draws)
            found[name] = {key: (min(low, value), max(inner[key], value)) for key, (low, _) in outer.items()}
    return found


def _unfair_limits(
    name: str, values: Mapping[str, Floats], drawn: Mapping[str, Floats], rows: Mapping[str, Floats]
) -> Limits:
    """Percentiles of the resamples with each rate of 0 or 1 as far off as its rows allow; none where there is none."""
    stem, kind = name.rsplit("_", 1)
    shares = [rate for rate in RATES[stem] if rate in rows]
    if not any((_at(values[rate], 0.0) | _at(values[rate], 1.0)).any() for rate in shares):
        return {}
    found = {}
    for confidence in CONFIDENCES:
        spreads = []
        for rate in RATES[stem]:
            least = most = drawn[rate]
            if rate in rows:
                # What none of n rows shows has a share of at most 1 - (1 - confidence)^(1 / n).
                room = 1 - (1 - confidence) ** (1 / rows[rate])
                least = np.where(_at(values[rate], 1.0), np.minimum(least, 1 - room), least)
                most = np.where(_at(values[rate], 0.0), np.maximum(most, room), most)
            low, high = least.min(-1), most.max(-1)
            spreads.append(high - low if kind == "difference" else low / high)
        worst = np.max(spreads, axis=0) if kind == "difference" else np.min(spreads, axis=0)
        found[f"{confidence:g}"] = (float(np.quantile(worst, 1 - confidence)), float(np.quantile(worst, confidence)))
    return found


def _at(values: Floats, end: float) -> Array:
    return np.abs(values - end) <= _SAME


def _greatest_ratio(values: list[Floats], drawn: list[Floats]) -> dict[str, float]:
    """Upper limits of the smallest ratio of rates; 1 where one of them may be 0."""
    if min(min(own.min(), draws.min()) for own, draws in zip(values, drawn, strict=True)) <= 0:
        return {f"{confidence:g}": 1.0 for confidence in CONFIDENCES}
    least = _least_spread([np.log(own) for own in values], [np.log(draws) for draws in drawn])
    return {key: float(np.exp(-spread)) for key, spread in least.items()}


def _least_spread(values: list[Floats], drawn: list[Floats]) -> dict[str, float]:
    """Lower limits of the largest difference between groups, of one rate or of the one that differs most."""
    extremes = np.zeros(len(drawn[0]))  # of each resample: how many errors the worst estimated pair is off by
    gaps, errors = [], []
    for own, draws in zip(values, drawn, strict=True):
        centred = draws - own
        for place in range(len(own)):
            off = centred[:, place, None] - centred
            error = off.std(axis=0)
            sure = error <= 0
            extremes = np.maximum(extremes, np.where(sure, 0.0, off / np.where(sure, 1.0, error)).max(axis=1))
            gaps.append(own[place] - own)
            errors.append(error)
    gap, error = np.concatenate(gaps), np.concatenate(errors)
    critical = {f"{confidence:g}": np.quantile(extremes, confidence) for confidence in CONFIDENCES}
    return {key: max(0.0, float((gap - factor * error).max())) for key, factor in critical.items()}
