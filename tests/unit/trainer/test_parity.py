"""The rows that parity is tried on: on every threshold, extreme, missing, unseen; and not more with more columns."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pyarrow as pa

from headrace.artifacts.raw_inputs import raw_inputs
from headrace.artifacts.signature import Input
from headrace.trainer.parity import _EXTREMES, difficult_rows, split_thresholds

OFFSET = 1_700_000_000.0


def numbers(width: int) -> tuple[Input, ...]:
    return tuple(Input(f"n{place}", "number", offset=OFFSET if place == 1 else 0.0) for place in range(width))


def grown(width: int, rows: int = 400) -> tuple[lgb.Booster, pa.Table]:
    """Trees that split by every number, and their rows with a category beside."""
    values = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    parameters = {"objective": "regression", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2, "num_leaves": 40}
    booster = lgb.train(parameters, lgb.Dataset(values, values.sum(axis=1)), 20)
    columns = {item.name: values[:, place] + np.float64(item.offset) for place, item in enumerate(numbers(width))}
    return booster, pa.table({**columns, "plan": ["basic"] * rows})


def test_every_threshold_and_its_neighbours_occur() -> None:
    inputs = (*numbers(20), Input("plan", "category", vocabulary=("basic",)))
    booster, rows = grown(20)
    thresholds = split_thresholds(booster)
    assert len(thresholds) == 20
    tables = list(difficult_rows(booster, inputs, rows))
    for position, at in thresholds.items():
        item = inputs[position]
        seen = np.concatenate([raw_inputs(table, inputs)[item.name].ravel() for table in tables])
        encoded = (seen - item.offset).astype(np.float32)
        wanted = [at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))]
        spacing = np.spacing(OFFSET) if item.offset else 0.0  # finer than this, raw values do not tell
        for value in np.concatenate(wanted):
            assert np.nanmin(np.abs(encoded - value)) <= spacing
        assert set(np.isnan(seen)) == {True, False}


def test_each_number_is_each_extreme_while_others_are_not() -> None:
    booster, rows = grown(20)
    *_, last = difficult_rows(booster, numbers(20), rows)
    matrix = np.column_stack([np.array(last[f"n{place}"], float) for place in range(20)])
    repeated = np.tile(_EXTREMES, 3)[:, None]
    extreme = (matrix == repeated) | (np.isnan(matrix) & np.isnan(repeated))
    for place in range(20):
        assert {str(value) for value in matrix[extreme[:, place], place]} == {str(value) for value in _EXTREMES}
    assert 0.2 < extreme.mean() < 0.5


def test_categories_are_unseen_and_everything_is_missing() -> None:
    inputs = (*numbers(3), Input("plan", "category", vocabulary=("basic",)))
    booster, rows = grown(3)
    missing, unseen, *_ = difficult_rows(booster, inputs, rows)
    assert missing["n0"].null_count == missing["plan"].null_count == missing.num_rows == 64
    assert set(unseen["plan"].to_pylist()) == {"never seen"}


def test_more_columns_do_not_make_more_rows() -> None:
    booster, rows = grown(300)
    longest = max(map(len, split_thresholds(booster).values()))
    count = sum(table.num_rows for table in difficult_rows(booster, numbers(300), rows))
    assert count < 8 * (3 * longest + len(_EXTREMES)) + 200


def test_a_model_without_numbers_has_difficult_rows_too() -> None:
    booster, rows = grown(3)
    tables = list(difficult_rows(booster, (Input("plan", "category", vocabulary=("basic",)),), rows))
    assert all(table.column_names == ["plan"] and table.num_rows for table in tables)
