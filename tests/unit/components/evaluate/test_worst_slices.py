"""The search for the worst parts of the rows: it finds what was planted, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.dataset import DatasetInfo
from headrace.components.evaluate import worst_slices as module
from headrace.components.evaluate.losses import each, excess, losses, sums_of, worse
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.worst_slices import Candidates, candidates, worst_slices

INFO = DatasetInfo("classification", [], "y", {}, id="id", leaks=["refund"])
NAMES = ["plan", "region", "age", "device"]


def columns(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    return {
        "plan": rng.choice(["basic", "premium", "family"], count),
        "region": rng.choice(["north", "south", "east", "west"], count),
        "age": rng.integers(18, 90, count),
        "device": rng.choice(["phone", "tv"], count),
    }


def binary(seed: int, count: int = 6000, bad=lambda data: np.zeros(1, bool)) -> tuple[Scores, pa.Table]:
    """Probabilities that are right, except that they are turned round where `bad` says so."""
    rng = np.random.default_rng(seed)
    data = columns(rng, count)
    chance = rng.beta(0.7, 2, count)
    truth = (rng.random(count) < chance).astype(np.int64)
    said = np.where(np.broadcast_to(bad(data), count), 1 - chance, chance)
    return Scores("classification", truth, np.column_stack([1 - said, said]), ("0", "1"), 1), pa.table(data)


def search(scores: Scores, table: pa.Table):
    return worst_slices(scores, table, Candidates(NAMES, {}), 0)


def test_a_bad_value_is_found_as_such():
    found = search(*binary(1, bad=lambda data: data["region"] == "north")).found
    assert [(item.by, item.value) for item in found] == [("region", "north")]
    only = found[0]
    assert only.p_value < 1e-6 and only.error > 2 * only.others and 0 < only.excess < 1
    assert only.misjudged is True and only.predicted > only.observed + 0.2
    assert only.metrics["auc"] < 0.5


def test_a_bad_pair_is_found_as_a_pair_and_not_as_either_of_its_columns():
    found = search(*binary(2, bad=lambda data: (data["region"] == "north") & (data["plan"] == "basic"))).found
    assert len(found) == 1
    assert set(found[0].by.split(" × ")) == {"region", "plan"}
    assert set(found[0].value.split(" × ")) == {"north", "basic"}


def test_two_bad_parts_are_both_found_the_one_with_more_error_first():
    def bad(data):
        return (data["plan"] == "family") | ((data["device"] == "tv") & (data["region"] == "west"))

    found = search(*binary(3, bad=bad)).found
    assert found[0].by == "plan" and found[0].value == "family"
    assert set(found[1].by.split(" × ")) == {"region", "device"}
    assert found[0].excess > found[1].excess


def test_numbers_are_searched_by_their_quartiles():
    found = search(*binary(4, bad=lambda data: data["age"] >= 73)).found
    assert found[0].by == "age" and found[0].value.endswith("89]")


def test_a_regression_is_searched_by_its_squared_error():
    rng = np.random.default_rng(5)
    data = columns(rng, 4000)
    truth = rng.normal(50, 10, 4000)
    off = rng.normal(0, 1, 4000) + 3 * (data["plan"] == "basic")
    scores = Scores("regression", truth, (truth + off).reshape(-1, 1))
    result = search(scores, pa.table(data))
    assert result.loss == "squared_error"
    assert [(item.by, item.value, item.misjudged) for item in result.found] == [("plan", "basic", True)]
    assert result.found[0].predicted - result.found[0].observed == pytest.approx(3, abs=0.2)


def test_rows_that_are_only_harder_to_tell_are_not_called_misjudged():
    rng = np.random.default_rng(6)
    data = columns(rng, 8000)
    chance = np.where(data["region"] == "north", 0.5, 0.05)
    truth = (rng.random(8000) < chance).astype(np.int64)
    scores = Scores("classification", truth, np.column_stack([1 - chance, chance]), ("0", "1"), 1)
    found = search(scores, pa.table(data)).found
    assert [(item.value, item.misjudged) for item in found] == [("north", False)]


def test_several_classes_have_no_level_to_compare():
    rng = np.random.default_rng(7)
    data = columns(rng, 4000)
    outputs = rng.dirichlet([1, 1, 1], 4000)
    truth = np.array([rng.choice(3, p=row) for row in outputs])
    truth = np.where(data["device"] == "tv", outputs.argmin(axis=1), truth)
    found = search(Scores("classification", truth, outputs, ("a", "b", "c")), pa.table(data)).found
    assert [(item.value, item.misjudged, item.predicted) for item in found] == [("tv", None, None)]


def test_where_the_model_is_equally_good_everywhere_nothing_is_listed_in_19_of_20_cases():
    listed = sum(bool(search(*binary(seed, 1500)).found) for seed in range(200))
    assert listed <= 17  # 10 of 200 are allowed on average; more than 17 would be so in 1 % of such tests


def test_a_slice_of_rows_that_are_all_alike_is_no_certainty():
    """Welch's own error would be 0 there, and any difference infinitely significant."""
    values = np.concatenate([np.full(50, 1.0), np.random.default_rng(8).exponential(0.9, 5000)])
    part = each(np.repeat([0, 1], [50, 5000]), values, 2)
    t, p = worse(part, sums_of(values))
    assert np.isfinite(t).all() and 0.05 < p[0] < 0.5


def test_the_test_agrees_with_scipys_where_both_parts_vary_alike():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(9)
    values = rng.normal(1, 1, 3000)
    values[:1000] += 0.1
    part = each(np.repeat([0, 1], [1000, 2000]), values, 2)
    expected = ttest_ind(values[:1000], values[1000:], equal_var=False, alternative="greater")
    t, p = worse(part, sums_of(values))
    assert t[0] <= expected.statistic + 1e-9  # never surer than Welch
    assert t[0] == pytest.approx(expected.statistic, rel=0.02)
    assert p[0] == pytest.approx(expected.pvalue, rel=0.2)


def test_the_excess_is_what_would_be_gone():
    values = np.array([3.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    part = each(np.array([0, 0, 1, 1, 1, 1]), values, 2)
    assert excess(part, sums_of(values))[0] == pytest.approx(4 / 10)


def test_losses_are_those_of_scikit_learn():
    from sklearn.metrics import log_loss

    scores, _ = binary(10)
    assert losses(scores).mean() == pytest.approx(log_loss(scores.truth, scores.outputs))


def test_columns_that_name_rows_or_the_label_are_not_searched():
    count = 300
    table = pa.table(
        {
            "id": [str(i) for i in range(count)],
            "email": [f"{i}@example.org" for i in range(count)],
            "refund": np.arange(count) % 2,
            "plan": ["a", "b", "c"] * 100,
            "y": ["0", "1"] * 150,
            "picture": pa.array([b"x"] * count, pa.binary()),
        }
    )
    chosen = candidates(table, INFO)
    assert chosen.columns == ["plan"]
    assert set(chosen.left_out) == {"id", "email", "refund", "y", "picture"}


def test_very_many_rows_are_sampled_and_wide_tables_paired_in_part(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 2000)
    monkeypatch.setattr(module, "MOST_PAIRED", 2)
    result = search(*binary(11, bad=lambda data: data["region"] == "north"))
    assert result.rows == 2000 and len(result.paired) == 2 and set(result.columns) == set(NAMES)
    assert "region" in result.paired and result.found


def test_constant_columns_and_broken_outputs_are_no_error():
    scores, table = binary(12)
    constant = pa.table({name: ["same"] * table.num_rows for name in NAMES})
    result = search(scores, constant)
    assert result.found == () and result.tried == 0 and set(result.left_out) == set(NAMES)
    broken = Scores(scores.task, scores.truth, scores.outputs * np.nan, scores.classes, 1)
    assert search(broken, table) is None
