"""One feature alone against the label, on rows that were held out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from headrace.components.check.predictive import power, ranked, roc_auc, target_of

ROWS = 4_000
CHANCE = np.random.default_rng(0)
LABEL = CHANCE.random(ROWS) < 0.3
CLASSES = pa.chunked_array([np.where(LABEL, "yes", "no")])
NOISE = CHANCE.random(ROWS)


def alone(values: Any, label: pa.ChunkedArray = CLASSES, task: str = "classification") -> float:
    target = target_of(label, task)
    assert target is not None
    return power(pa.chunked_array([pa.array(values)]), target)


def test_the_area_is_that_of_scikit_learn() -> None:
    for digits in (1, 2, 9):
        score = np.round(NOISE + 0.3 * LABEL, digits)
        assert roc_auc(LABEL.astype(float), score) == pytest.approx(roc_auc_score(LABEL, score), abs=1e-12)
    assert roc_auc(np.ones(3), np.arange(3.0)) == 0.5


@pytest.mark.parametrize(
    "values",
    [
        np.where(LABEL, 1.0, 0.0),
        np.where(LABEL, "cancelled", "active"),
        np.where(LABEL, 5.0 + NOISE, NOISE),
        [None if late else 3.5 for late in LABEL],  # only the gaps tell
        [f"{'left' if late else 'stays'}-{i % 7}" for i, late in enumerate(LABEL)],
        np.where(LABEL, np.where(NOISE < 0.5, -9.0, 9.0), NOISE),  # both ends: no threshold tells
    ],
    ids=["numbers", "texts", "range", "gaps", "many-texts", "both-ends"],
)
def test_a_column_that_tells_the_label_is_found(values: Any) -> None:
    assert alone(values) > 0.999


def test_noise_and_names_of_rows_tell_nothing() -> None:
    assert alone(NOISE) == pytest.approx(0.5, abs=0.04)
    assert alone([f"row-{i}" for i in range(ROWS)]) == 0.5
    assert alone([None] * ROWS) == 0.5
    assert alone(["same"] * ROWS) == 0.5


def test_a_good_feature_is_no_leak() -> None:
    assert 0.75 < alone(NOISE + 0.5 * LABEL) < 0.95


def test_many_classes() -> None:
    classes = np.array(["a", "b", "c", "d"])[CHANCE.integers(0, 4, ROWS)]
    label = pa.chunked_array([pa.array(classes)])
    assert alone(classes, label) == 1.0
    assert alone(NOISE, label) == pytest.approx(0.5, abs=0.04)


def test_a_number_as_label_is_compared_by_ranks() -> None:
    price = np.exp(CHANCE.normal(0, 2, ROWS))  # the greatest is a thousand times the median
    label = pa.chunked_array([pa.array(price)])
    assert alone(price * 1.19, label, "regression") > 0.995
    assert alone(NOISE, label, "regression") < 0.05
    assert 0.2 < alone(price * np.exp(CHANCE.normal(0, 2, ROWS)), label, "regression") < 0.9


def test_ranks_of_equal_values_are_equal() -> None:
    assert ranked(np.array([10.0, 20.0, 20.0, 30.0])).tolist() == pytest.approx([0, 0.5, 0.5, 1])


def test_too_few_rows_give_no_verdict() -> None:
    assert target_of(CLASSES.slice(0, 199), "classification") is None
    few = pa.chunked_array([pa.array(["yes"] * 3 + ["no"] * 997)])
    assert target_of(few, "classification") is None
