"""What the evaluation's page says of fairness and of value: of good models, of bad ones, and of none."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation
from headrace.components.evaluate.fairness import fairness
from headrace.components.evaluate.fairness_page import fairness_blocks
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.value import valued
from headrace.components.evaluate.value_page import money, value_blocks
from headrace.components.evaluate.value_spec import ValueSpec

SPEC = ValueSpec(true_positive=40, false_positive=-5, false_negative=-40, currency="USD")
EMPTY = Evaluation(True, "classification", "churned", "test", 4000, "sha256:d", classes=("0", "1"), positive="1")


def text(blocks) -> str:
    page = r.page("Evaluation", "x", blocks, facts=[])
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.split("<body", 1)[1]))


@pytest.fixture(scope="module")
def rows() -> tuple[Scores, pa.Table]:
    rng = np.random.default_rng(0)
    score = rng.beta(1, 3, 4000)
    truth = (rng.random(4000) < score).astype(int)
    scores = Scores("classification", truth, np.column_stack([1 - score, score]), ("0", "1"), 1, 0.5)
    table = pa.table({"g": rng.choice(["a<b", "c"], 4000), "few": ["x"] * 3990 + ["y"] * 10})
    return scores, table


def test_nothing_was_asked_for():
    assert fairness_blocks(EMPTY) == [] and value_blocks(EMPTY) == []


def test_groups_their_distance_and_who_they_are(rows):
    found = replace(EMPTY, threshold=0.5, fairness=fairness(*rows, ["g", "few"]))
    said = text(fairness_blocks(found))
    assert "By g" in said and "a&lt;b" in said and "Demographic parity" in said and "Difference, 0 is fair" in said
    assert "Whether probabilities come true" in said and "Calibration by g" in said
    assert "By few nothing was compared: fewer than two groups have 20 rows." in said
    assert "Too small to compare, fewer than 20 rows: y (10 rows in all)." in said
    assert re.search(r"a&lt;b \d+\.\d %, c \d+\.\d %|c \d+\.\d %, a&lt;b \d+\.\d %", said)


def test_a_regression_is_told_by_its_errors():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    scores = Scores("regression", truth, (truth + rng.normal(size=400))[:, None])
    table = pa.table({"g": rng.choice(["a", "b"], 400)})
    found = Evaluation(True, "regression", "price", "test", 400, "sha256:d", fairness=fairness(scores, table, ["g"]))
    said = text(fairness_blocks(found))
    assert "MAE" in said and "Mean prediction" in said and "Demographic" not in said and "Calibration" not in said


def test_a_model_worth_having(rows):
    scores, table = replace(rows[0], threshold=0.06), rows[1]
    said = text(value_blocks(replace(EMPTY, value=valued(scores, table, SPEC, 0, lambda: rows))))
    assert "The model is worth more than acting on every row." in said and "USD" in said
    assert "Knowing the truth" in said and "Value by threshold" in said and "acted on, and positive 40 USD" in said


def test_a_model_worth_less_than_acting_on_all_is_told_what_to_do(rows):
    said = text(value_blocks(replace(EMPTY, value=valued(*rows, SPEC, 0, lambda: rows))))
    assert "The model as it is served is worth less than acting on every row." in said
    assert "train: {threshold: value} serves it so." in said


def test_thresholds_are_told_in_full(rows):
    scores, table = replace(rows[0], threshold=0.061234567), rows[1]
    value = replace(valued(scores, table, SPEC, 0, lambda: rows), best_threshold=0.059876543)
    said = text(value_blocks(replace(EMPTY, value=value)))
    assert "The model, as it is served, from 0.061234567 on" in said and "The model from 0.059876543 on" in said
    assert "Served from 0.061234567 on; best on the eval split from 0.059876543 on." in said
    found = replace(EMPTY, threshold=0.061234567, fairness=fairness(*rows, ["g"]))
    assert "predicted from a probability of 0.061234567 on." in text(fairness_blocks(found))


def test_no_value_says_why(rows):
    spec = ValueSpec(true_positive="price")
    said = text(value_blocks(replace(EMPTY, value=valued(*rows, spec, 0))))
    assert "Nothing was valued. evaluate.value.true_positive: expected a column of the data." in said


def test_money():
    assert [money(value) for value in (0, -0.001, 5.256, -1234567.8, 999.5)] == [
        "0",
        "0.00",
        "5.26",
        "−1,234,568",
        "999.50",
    ]
    assert money(-5, "USD") == "−5.00 USD"


def test_a_best_threshold_that_is_not_known_is_said(rows):
    one_class = rows[0].take(np.flatnonzero(rows[0].truth == 0))
    other = one_class, rows[1].slice(0, len(one_class))
    said = text(value_blocks(replace(EMPTY, value=valued(*rows, SPEC, 0, lambda: other))))
    assert "The best threshold is not known." in said and "on the eval split: expected rows of both classes" in said
    assert "Who decides" in said and "Value by threshold" in said
