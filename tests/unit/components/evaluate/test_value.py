"""What decisions are worth: totals by hand, the threshold chosen elsewhere, rivals on the same rows, intervals."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.value_found import value_from
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.value import row_gains, valued
from headrace.components.evaluate.value_spec import ValueSpec

SPEC = ValueSpec(true_positive=40, false_positive=-5, false_negative=-40, currency="USD")


def made(rng, count, threshold=0.5, weights=None) -> tuple[Scores, pa.Table]:
    score = rng.beta(1, 3, count)
    truth = (rng.random(count) < score).astype(int)
    outputs = np.column_stack([1 - score, score])
    scores = Scores("classification", truth, outputs, ("0", "1"), 1, threshold, weights)
    return scores, pa.table({"fee": rng.gamma(2, 5, count)})


def test_totals_by_hand():
    score = np.array([0.9, 0.8, 0.4, 0.1])
    scores = Scores("classification", np.array([1, 0, 1, 0]), np.column_stack([1 - score, score]), ("n", "y"), 1, 0.5)
    found = valued(scores, pa.table({"x": [1, 2, 3, 4]}), SPEC, 0)
    totals = {name: amount.total for name, amount in found.amounts.items()}
    assert totals == {"model": 40 - 5 - 40 + 0, "all": 40 - 5 + 40 - 5, "none": -80, "perfect": 80}
    assert found.over["all"].total == -5 - 70 and found.over["none"].total == -5 + 80
    assert found.amounts["model"].per_row == -5 / 4 and found.amounts["model"].share == 0.5
    assert found.best_threshold is None and found.threshold == 0.5 and found.currency == "USD" and found.rows == 4
    by_threshold = {point.threshold: point.total for point in found.curve}
    assert by_threshold[0.0] == 70 and by_threshold[0.8] == -5 and found.curve[-1].total == -80
    assert found.curve[0].share == 1 and found.curve[-1].share == 0


def test_columns_bring_what_is_in_each_row():
    rng = np.random.default_rng(0)
    scores, table = made(rng, 500)
    spec = ValueSpec(true_positive={"column": "fee", "times": 6, "plus": -5}, false_positive=-5)
    found = valued(scores, table, spec, 0)
    fee, chosen = table["fee"].to_numpy(), scores.score >= 0.5
    expected = (np.where(scores.truth == 1, 6 * fee - 5, -5) * chosen).sum()
    assert found.amounts["model"].total == pytest.approx(expected)
    acted, left = row_gains(scores, table, spec)
    assert np.where(chosen, acted, left).sum() == pytest.approx(expected)


def test_the_best_threshold_is_chosen_on_other_rows_and_valued_on_these():
    rng = np.random.default_rng(1)
    scores, table = made(rng, 4000)
    other = made(rng, 4000)
    found = valued(scores, table, SPEC, 0, lambda: other)
    # Acting pays where p * 80 > (1 - p) * 5: from 1 / 17 on.
    assert found.best_threshold == pytest.approx(1 / 17, abs=0.05) and found.chosen_on == "eval"
    chosen = scores.score >= found.best_threshold
    truth = scores.truth == 1
    by_hand = np.where(chosen, np.where(truth, 40, -5), np.where(truth, -40, 0)).sum()
    assert found.amounts["best"].total == by_hand
    assert found.over["best"].total == found.amounts["model"].total - by_hand < 0
    assert found.over["best"].high < 0
    totals = {name: amount.total for name, amount in found.amounts.items()}
    assert totals["perfect"] >= totals["best"] >= totals["all"] > totals["model"]


def test_differences_are_paired_and_so_far_surer_than_the_totals():
    rng = np.random.default_rng(2)
    scores, table = made(rng, 3000, threshold=0.06)
    found = valued(scores, table, SPEC, 0)
    width = {name: amount.high - amount.low for name, amount in found.amounts.items()}
    over = found.over["all"]
    assert over.high - over.low < 0.5 * width["model"]
    assert over.limit(0.975, upper=False) == over.low and over.limit(0.999, upper=True) is None
    assert valued(scores, table, SPEC, 0) == found


def test_weights_count():
    rng = np.random.default_rng(3)
    scores, table = made(rng, 400)
    twice = np.concatenate([np.arange(400), np.arange(100)])
    weights = np.where(np.arange(400) < 100, 2.0, 1.0)
    weighted = valued(Scores(**{**vars(scores), "weights": weights}), table, SPEC, 0)
    repeated = valued(scores.take(twice), table.take(pa.array(twice)), SPEC, 0)
    for name, amount in weighted.amounts.items():
        assert amount.total == pytest.approx(repeated.amounts[name].total)
        assert amount.share == pytest.approx(repeated.amounts[name].share)
    assert weighted.amounts["model"].per_row == pytest.approx(repeated.amounts["model"].per_row)


def test_what_cannot_be_valued_says_why():
    rng = np.random.default_rng(4)
    scores, table = made(rng, 100)
    spec = ValueSpec(true_positive="price")
    found = valued(scores, table, spec, 0)
    assert found.amounts == {} and "expected a column of the data. Received: `price`" in found.undefined
    assert row_gains(scores, table, spec) is None
    broken = valued(Scores(**{**vars(scores), "outputs": scores.outputs * np.nan}), table, SPEC, 0)
    assert broken.amounts == {} and "not a finite number in 100 rows" in broken.undefined
    several = Scores("classification", np.zeros(9, int), np.full((9, 3), 1 / 3), ("a", "b", "c"))
    assert valued(several, table.slice(0, 9), SPEC, 0).undefined == "decisions are valued where there are two classes"
    rows = np.flatnonzero(scores.truth == 0)
    one_class = scores.take(rows), table.take(pa.array(rows))
    assert "none of them positive" in valued(scores, table, SPEC, 0, lambda: one_class).no_best
    assert valued(scores, table, None, 0) is None


def test_it_reads_back_as_it_was_written():
    rng = np.random.default_rng(5)
    found = valued(*made(rng, 300), SPEC, 0, lambda: made(rng, 300))
    assert value_from(asdict(found)) == found and value_from(None) is None


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_a_model_that_says_one_thing_of_all_rows(score):
    rows = np.full(40, score)
    scores = Scores("classification", np.array([0, 1] * 20), np.column_stack([1 - rows, rows]), ("0", "1"), 1)
    found = valued(scores, pa.table({"x": range(40)}), SPEC, 0, lambda: (scores, pa.table({"x": range(40)})))
    assert found.amounts["best"].total == found.amounts["all"].total == 20 * 40 - 20 * 5
    assert found.curve[0].total == found.amounts["all"].total


def test_an_eval_split_that_tells_no_threshold_leaves_the_value_of_the_test_split():
    rng = np.random.default_rng(6)
    scores, table = made(rng, 200)
    plain = valued(scores, table, SPEC, 0)
    other, columns = made(rng, 100)
    nan = Scores(**{**vars(other), "outputs": other.outputs * np.nan})
    negative = np.flatnonzero(other.truth == 0)
    cases = {
        "none of them positive; make data.split.eval larger": (other.take(negative), columns.take(pa.array(negative))),
        "the model's output is not a finite number in 100 rows": (nan, columns),
        "there are no rows": (other.take(negative[:0]), columns.slice(0, 0)),
    }
    for words, split in cases.items():
        found = valued(scores, table, SPEC, 0, lambda split=split: split)
        assert found.undefined == "" and found.amounts == plain.amounts and found.over == plain.over
        assert found.best_threshold is None and found.chosen_on is None and "best" not in found.amounts
        assert found.no_best.startswith("no best threshold could be chosen on the eval split: ")
        assert words in found.no_best and "train.threshold" not in found.no_best
        assert value_from(asdict(found)) == found


def test_the_sum_of_the_weights_is_kept():
    scores, table = made(np.random.default_rng(7), 100, weights=np.full(100, 2.5))
    found = valued(scores, table, SPEC, 0)
    assert found.weight == found.count == 250 and found.rows == 100
    for amount in (*found.amounts.values(), *found.over.values()):
        assert amount.per_row * found.count == pytest.approx(amount.total)
    scores, table = made(np.random.default_rng(7), 100)
    assert valued(scores, table, SPEC, 0).count == 100


def test_a_flaw_of_the_whole_split_is_one_of_its_part():
    found = valued(*made(np.random.default_rng(8), 100), SPEC, 0, None, "it broke elsewhere")
    assert found.undefined == "it broke elsewhere" and found.amounts == {}
