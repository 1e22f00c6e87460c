"""What the most wrong rows share, in words, and which they are."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from headrace.components.evaluate.error_analysis import analyse_errors, as_text
from headrace.components.evaluate.error_rules import error_rules
from headrace.components.evaluate.losses import losses
from headrace.components.evaluate.scores import Scores

COUNT = 6000
COLUMNS = ["age", "plan", "since", "score"]


def data(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=COUNT)
    return pa.table(
        {
            "id": [f"row-{i}" for i in range(COUNT)],
            "email": [f"{i}@example.org" for i in range(COUNT)],
            "age": rng.integers(18, 90, COUNT),
            "plan": rng.choice(["basic", "premium", "family"], COUNT),
            "since": pa.array((rng.integers(0, 1000, COUNT) + 19000).astype("datetime64[D]")),
            "score": pa.array(np.where(rng.random(COUNT) < 0.2, np.nan, score), from_pandas=True),
        }
    )


def binary(table: pa.Table, bad: np.ndarray, seed: int = 1) -> Scores:
    rng = np.random.default_rng(seed)
    chance = rng.beta(0.6, 2, COUNT)
    truth = (rng.random(COUNT) < chance).astype(np.int64)
    said = np.where(bad, 1 - chance, chance)
    return Scores("classification", truth, np.column_stack([1 - said, said]), ("no", "yes"), 1)


def analysed(table: pa.Table, scores: Scores, most: int = 5):
    return analyse_errors(scores, table, COLUMNS, ["plan", "age"], "id", most, 0)


def test_what_errors_share_is_said_in_words():
    table = data(1)
    bad = (np.asarray(table["plan"]) == "basic") & (np.asarray(table["age"]) > 61)
    found = analysed(table, binary(table, bad))
    assert found.rules[0].conditions == ("plan is basic", "age ≥ 62")
    rule = found.rules[0]
    assert rule.error > 2 * rule.others and rule.wrong > 0.5 > found.wrong and rule.p_value < 1e-6
    assert rule.rows == pytest.approx(bad.sum() / 3, rel=0.15) and found.measured == COUNT // 3


def test_figures_of_rules_are_of_rows_that_they_were_not_found_on():
    table = data(2)
    bad = np.asarray(table["age"]) > 70
    scores = binary(table, bad)
    values = losses(scores)
    rules = error_rules(table, COLUMNS, values, None, 0)
    assert rules.found[0].conditions == ("age ≥ 71",)
    own = rules.measured[np.asarray(table["age"])[rules.measured] > 70]
    assert rules.found[0].rows == len(own)
    assert rules.found[0].error == pytest.approx(values[own].mean())


def ruled(column: pa.Array, bad: np.ndarray):
    """The rules of a column alone whose rows are bad or not, and the measured rows."""
    loss = np.where(bad, 2.0, 0.2) + np.random.default_rng(0).exponential(0.1, len(bad))
    return error_rules(pa.table({"c": column}), ["c"], loss, None, 0)


def fulfil(column: pa.Array, words: str) -> np.ndarray:
    """The rows that have what the words ask for."""
    values, parts = np.asarray(column), words.split()
    read = np.datetime64 if pa.types.is_temporal(column.type) else int if values.dtype.kind in "iu" else float
    compare = {"≥": np.greater_equal, ">": np.greater, "≤": np.less_equal, "<": np.less}
    if len(parts) == 5:
        return compare[parts[1]](read(parts[0]), values) & compare[parts[3]](values, read(parts[4]))
    return compare[parts[1]](values, read(parts[2]))


@pytest.mark.parametrize("first", [2024, 2022, 10_000, 1236, 1_234_567, 20_000_001, 2**53 + 1, -2024])
def test_a_whole_numbers_bound_is_told_to_the_last_digit(first):
    step = max(1, abs(first) // 2**23)  # below it the tree, which compares float32, sees no difference
    whole = first + step * np.random.default_rng(0).integers(-6, 6, COUNT)
    for bad, words in ((whole >= first, "≥"), (whole < first, "≤")):
        rules = ruled(pa.array(whole), bad)
        (rule,) = rules.found
        assert rule.conditions[0].split()[1] == words
        assert rule.rows == fulfil(pa.array(whole), rule.conditions[0])[rules.measured].sum()
        assert step > 1 or rule.conditions == (f"c {words} {first if words == '≥' else first - 1}",)


STEPS = np.random.default_rng(1).integers(0, 12, COUNT)
NOON = np.datetime64("2024-03-01T12:00:00", "s")
BESIDE = np.random.default_rng(2).integers(0, 999, COUNT)


@pytest.mark.parametrize(
    "values",
    [
        2017.5 + STEPS,
        12_345.0 + STEPS,
        0.1 + 1e-6 * STEPS,
        -1234.5 + 1e-9 * BESIDE + STEPS,
        NOON + STEPS * 400,
        (NOON + STEPS * 400).astype("datetime64[us]") + BESIDE,
        (NOON + STEPS * 200).astype("datetime64[ns]") + BESIDE,
        NOON.astype("datetime64[us]") + np.random.default_rng(3).integers(0, 10**9, COUNT),
        (NOON + STEPS).astype("datetime64[ms]") + BESIDE,  # finer than the tree sees
        (NOON + STEPS * 86_400).astype("datetime64[D]"),
    ],
    ids=lambda values: f"{values.dtype} {values[0]}",
)
def test_the_words_of_a_bound_are_true_of_the_rows_that_it_was_measured_on(values):
    column = pa.array(values)
    rules = ruled(column, values > np.unique(values)[len(np.unique(values)) // 2])
    for rule in rules.found:
        assert rule.rows == fulfil(column, rule.conditions[0])[rules.measured].sum(), rule.conditions
    assert rules.found or "ms" in str(values.dtype)


def test_one_whole_number_between_two_bounds_is_named():
    whole = np.random.default_rng(0).integers(2018, 2030, COUNT)
    assert ruled(pa.array(whole), whole == 2024).found[0].conditions == ("c is 2024",)
    assert ruled(pa.array(whole), (whole > 2022) & (whole < 2026)).found[0].conditions == ("2023 ≤ c ≤ 2025",)


def test_where_nothing_is_shared_there_is_no_rule():
    said = 0
    for seed in range(40):
        table = data(seed + 100)
        said += bool(error_rules(table, COLUMNS, losses(binary(table, np.zeros(COUNT, bool), seed)), None, seed).found)
    assert said <= 6  # 2 of 40 are allowed on average


def test_missing_values_and_dates_are_told():
    table = data(3)
    gone = np.asarray(table["score"].is_null())
    found = analysed(table, binary(table, gone))
    assert any("missing" in words for words in found.rules[0].conditions)
    late = np.asarray(table["since"]) > np.datetime64("2024-01-01")
    found = analysed(table, binary(table, late))
    assert found.rules[0].conditions[0].startswith("since > 2024-01-0")


def test_the_worst_rows_are_listed_with_what_the_model_was_given_and_nothing_else():
    table = data(4)
    scores = binary(table, np.zeros(COUNT, bool))
    found = analysed(table, scores)
    worst = int(np.argmax(losses(scores)))
    first = found.worst[0]
    assert (first.row, first.id, first.truth) == (worst, f"row-{worst}", scores.classes[scores.truth[worst]])
    assert set(first.values) == {"plan", "age"}  # not the e-mail
    assert first.error == pytest.approx(-np.log(first.probability), rel=1e-6)
    assert [row.error for row in found.worst] == sorted((row.error for row in found.worst), reverse=True)
    assert len(found.worst) == 5 and 0.1 < found.tenth < 1


def test_rows_of_a_sample_keep_their_places_and_none_may_be_listed():
    table = data(5)
    scores = binary(table, np.zeros(COUNT, bool))
    found = analyse_errors(scores, table, COLUMNS, ["plan"], None, 3, 0, places=np.arange(COUNT) * 10)
    assert found.worst[0].row == 10 * int(np.argmax(losses(scores))) and found.worst[0].id is None
    assert analysed(table, scores, most=0).worst == ()


def test_a_regression_has_values_and_no_share_of_wrong_ones():
    table = data(6)
    truth = np.random.default_rng(7).normal(100, 10, COUNT)
    off = np.where(np.asarray(table["plan"]) == "family", 9.0, 1.0) * np.random.default_rng(8).normal(size=COUNT)
    found = analysed(table, Scores("regression", truth, (truth + off).reshape(-1, 1)))
    assert found.loss == "squared_error" and found.wrong is None
    assert found.rules[0].conditions == ("plan is family",) and found.rules[0].wrong is None
    assert found.worst[0].probability is None
    assert (float(found.worst[0].predicted) - float(found.worst[0].truth)) ** 2 == pytest.approx(
        found.worst[0].error, rel=0.01
    )


def test_few_rows_have_no_rules():
    table = data(9).slice(0, 80)
    scores = binary(data(9), np.zeros(COUNT, bool)).take(np.arange(80))
    found = analysed(table, scores)
    assert found.rules == () and found.measured == 0 and found.wrong is None and len(found.worst) == 5


def test_cells_as_text():
    assert [as_text(value) for value in (None, "", float("nan"), True, 1.23456789, 7, "x" * 100)] == [
        "(missing)", "(missing)", "(missing)", "true", "1.23457", "7", "x" * 79 + "…"]  # fmt: skip
    assert as_text(date(2026, 1, 2)) == "2026-01-02" and as_text(datetime(2026, 1, 2, 3)) == "2026-01-02 03:00:00"
