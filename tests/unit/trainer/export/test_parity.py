"""The rows that parity is tried on: on every threshold, extreme, missing, unseen; and not more with more columns."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from headrace.artifacts.raw_inputs import raw_inputs
from headrace.artifacts.signature import Input
from headrace.artifacts.transform import Feature, Transform
from headrace.trainer.export.parity import _EXTREMES, difficult_rows, raw_thresholds
from headrace.trainer.models.gbdt import Trees

OFFSET = 1_700_000_000.0


def numbers(width: int) -> tuple[Input, ...]:
    return tuple(Input(f"n{place}", "number", offset=OFFSET if place == 1 else 0.0) for place in range(width))


def grown(width: int, rows: int = 400) -> tuple[dict[str, np.ndarray], pa.Table]:
    """The thresholds of trees that split by every number, and their rows with a category beside."""
    values = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    parameters = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2, "num_leaves": 40}
    booster = lgb.train(parameters, lgb.Dataset(values, values.sum(axis=1)), 20)
    trees = Trees(booster, width, 0, "rmse", {}, 20, {})
    outputs = tuple(Feature(item.name, (item.name,), "as it is", raw=item.name) for item in numbers(width))
    columns = {item.name: values[:, place] + np.float64(item.offset) for place, item in enumerate(numbers(width))}
    thresholds = raw_thresholds(trees, Transform(numbers(width), outputs, {}))
    return thresholds, pa.table({**columns, "plan": ["basic"] * rows})


def test_every_threshold_and_its_neighbours_occur() -> None:
    inputs = (*numbers(20), Input("plan", "category", vocabulary=("basic",)))
    thresholds, rows = grown(20)
    assert len(thresholds) == 20
    tables = list(difficult_rows(thresholds, inputs, rows))
    by_name = {item.name: item for item in inputs}
    for name, at in thresholds.items():
        item = by_name[name]
        seen = np.concatenate([raw_inputs(table, inputs)[item.name].ravel() for table in tables])
        encoded = (seen - item.offset).astype(np.float32)
        wanted = [at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))]
        spacing = np.spacing(OFFSET) if item.offset else 0.0  # finer than this, raw values do not tell
        for value in np.concatenate(wanted):
            assert np.nanmin(np.abs(encoded - value)) <= spacing
        assert set(np.isnan(seen)) == {True, False}


def test_each_number_is_each_extreme_while_others_are_not() -> None:
    thresholds, rows = grown(20)
    *_, last = difficult_rows(thresholds, numbers(20), rows)
    matrix = np.column_stack([np.array(last[f"n{place}"], float) for place in range(20)])
    repeated = np.tile(_EXTREMES, 3)[:, None]
    extreme = (matrix == repeated) | (np.isnan(matrix) & np.isnan(repeated))
    for place in range(20):
        assert {str(value) for value in matrix[extreme[:, place], place]} == {str(value) for value in _EXTREMES}
    assert 0.2 < extreme.mean() < 0.5


def test_categories_are_unseen_and_everything_is_missing() -> None:
    inputs = (*numbers(3), Input("plan", "category", vocabulary=("basic",)))
    thresholds, rows = grown(3)
    missing, unseen, *_ = difficult_rows(thresholds, inputs, rows)
    assert missing["n0"].null_count == missing["plan"].null_count == missing.num_rows == 64
    assert set(unseen["plan"].to_pylist()) == {"never seen"}


def test_more_columns_do_not_make_more_rows() -> None:
    thresholds, rows = grown(300)
    longest = max(map(len, thresholds.values()))
    count = sum(table.num_rows for table in difficult_rows(thresholds, numbers(300), rows))
    assert count < 8 * (3 * longest + len(_EXTREMES)) + 200


def test_a_model_without_numbers_has_difficult_rows_too() -> None:
    thresholds, rows = grown(3)
    tables = list(difficult_rows(thresholds, (Input("plan", "category", vocabulary=("basic",)),), rows))
    assert all(table.column_names == ["plan"] and table.num_rows for table in tables)


def test_only_features_that_are_a_raw_number_have_raw_thresholds() -> None:
    values = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    booster = lgb.train(
        {"objective": "regression", "verbose": -1, "num_threads": 1}, lgb.Dataset(values, values.sum(1)), 5
    )
    outputs = (Feature("n0", ("n0",), "as it is", raw="n0"), Feature("double", ("n1",), "n1 * 2"))
    found = raw_thresholds(Trees(booster, 2, 0, "rmse", {}, 5, {}), Transform(numbers(2), outputs, {}))
    assert list(found) == ["n0"]


def test_texts_are_tried_without_words_and_with_odd_ones() -> None:
    inputs = (*numbers(2), Input("note", "text"), Input("title", "text"))
    rows = pa.table({"n0": [1.0] * 90, "n1": [2.0] * 90, "note": ["some words"] * 90, "title": ["others"] * 90})
    tables = list(difficult_rows({}, inputs, rows))
    wordless = [
        table for table in tables if set(table["note"].to_pylist()) == {"!?"} == set(table["title"].to_pylist())
    ]
    assert {table.num_rows for table in wordless} >= {1, 64}  # alone too: a graph then has no words in the whole batch
    tried = {text for table in tables for text in table["note"].to_pylist()}
    assert tried >= {None, " ", "Never SEEN before", "some words"} and any(text and len(text) > 4_000 for text in tried)
