"""How sure a parity is: one-sided limits that hold whether groups are treated alike or not.

The largest difference of several groups is never below 0, and chance moves groups apart more often than together. So a
resample's largest difference tends to lie above that of the rows, which tends to lie above the true one:

- the less fair limit is the resamples' percentile, which errs on the strict side;
- the fairer one is what all pairs of groups allow at once (Tukey's method, with critical values from the resamples;
  Westfall and Young 1993, "Resampling-Based Multiple Testing"): equal groups are found unequal as seldom as stated.

Ratios are differences of logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from headrace.artifacts.fairness_found import RATES
from headrace.artifacts.limits import CONFIDENCES
from headrace.components.evaluate.parities import spread_of
from headrace.components.evaluate.resample import percentile_limits
from headrace.components.evaluate.scores import Floats

Limits = dict[str, tuple[float, float]]


def limits_of(
    metrics: Mapping[str, float], values: Mapping[str, Floats], drawn: Mapping[str, Floats]
) -> dict[str, Limits]:
    """Parity -> its limits by confidence, as `artifacts.limits` keeps them; none where a resample does not define it.

    Args:
        metrics: parity -> its value.
        values: rate -> (groups,) as the rows have it.
        drawn: rate -> (resamples, groups) as the resamples have it.
    """
    found: dict[str, Limits] = {}
    for name, value in metrics.items():
        spreads = spread_of(name, drawn)
        if not np.isfinite(spreads).all():
            continue
        stem, kind = name.rsplit("_", 1)
        outer = percentile_limits(spreads)
        own, draws = [values[rate] for rate in RATES[stem]], [drawn[rate] for rate in RATES[stem]]
        if kind == "difference":
            inner = _least_spread(own, draws)
            found[name] = {key: (min(inner[key], value), max(high, value)) for key, (_, high) in outer.items()}
        else:
            inner = _greatest_ratio(own, draws)
            found[name] = {key: (min(low, value), max(inner[key], value)) for key, (low, _) in outer.items()}
    return found


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
