"""Small groups whose rate is 0 or 1: every resample says the same, and that is not how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.artifacts.limits import CONFIDENCES
from headrace.components.evaluate.fairness import fairness

from .test_fairness import make


def of(parts, weights=None):
    """Groups of (name, rows, positives, found, wrongly selected)."""
    group, truth, score = [], [], []
    for name, rows, positives, found, wrong in parts:
        group += [name] * rows
        truth += [1] * positives + [0] * (rows - positives)
        score += [0.9] * found + [0.1] * (positives - found) + [0.9] * wrong + [0.1] * (rows - positives - wrong)
    (made,) = fairness(*make(group, truth, score, weights), ["g"])
    return made


def test_all_positives_of_a_few_are_found():
    """Of b's 15 positives all are found, as are a's 500: b may yet find 82 %."""
    found = of([("a", 1000, 500, 500, 100), ("b", 60, 15, 15, 6)])
    name = "equal_opportunity"
    assert found.metrics[f"{name}_difference"] == 0 and found.metrics[f"{name}_ratio"] == 1
    uppers = []
    for confidence in CONFIDENCES:
        least = (1 - confidence) ** (1 / 15)
        assert found.limit(f"{name}_difference", confidence, True) == pytest.approx(1 - least)
        assert found.limit(f"{name}_ratio", confidence, False) == pytest.approx(least)
        assert found.limit(f"{name}_difference", confidence, False) == 0
        uppers.append(found.limit(f"{name}_difference", confidence, True))
    assert uppers == sorted(uppers)
    assert found.limit("false_negative_rate_difference", 0.95, True) == pytest.approx(1 - 0.05 ** (1 / 15))


def test_none_of_a_few_is_selected():
    found = of([("a", 1000, 500, 10, 0), ("b", 20, 10, 0, 0)])
    assert found.metrics["demographic_parity_difference"] == pytest.approx(0.01)
    upper = found.limit("demographic_parity_difference", 0.95, True)
    assert 1 - 0.05 ** (1 / 20) - 0.015 < upper < 1 - 0.05 ** (1 / 20) + 0.001
    assert found.limit("demographic_parity_ratio", 0.95, False) == 0


def test_weights_tell_as_much_as_fewer_rows():
    """One row of b's 15 counts as 15 others: Kish's rows are 30^2 / (14 + 15^2 + ...) of equal weight."""
    parts = [("a", 1000, 500, 500, 100), ("b", 60, 15, 15, 6)]
    weights = np.ones(1060)
    weights[1000] = 15.0
    rows = 29**2 / (14 + 15**2)
    found = of(parts, weights)
    assert found.limit("equal_opportunity_difference", 0.9, True) == pytest.approx(1 - 0.1 ** (1 / rows))


def test_rates_between_keep_the_limits_of_the_resamples():
    found = of([("a", 1000, 500, 400, 100), ("b", 200, 100, 70, 20)])
    low, high = found.limits["equal_opportunity_difference"]["0.95"]
    assert 0 < low < 0.1 < high < 0.2


def test_a_group_that_does_not_count_is_not_compared():
    weights = np.ones(1060)
    weights[1000:] = 0
    found = of([("a", 1000, 500, 400, 100), ("b", 60, 15, 15, 6)], weights)
    assert found.metrics == {} and found.limits == {}
    assert found.undefined["demographic_parity_difference"] == "all rows of b have weight 0"
