"""The transform: fitted on train alone, with what is left out said and why."""

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.dataset import Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.transform import Transform, open_transform
from headrace.components.transform.fit import TableSplit, fit
from headrace.components.transform.fit import fit_transform as fit_split
from headrace.components.transform.inputs import offset
from headrace.components.transform.spec import FeaturesSpec
from headrace.trainer.features.vocabulary import vocabulary

ROWS = 400


def table() -> pa.Table:
    numbers = np.arange(ROWS)
    return pa.table(
        {
            "id": [f"u{i}" for i in numbers],
            "y": [str(i % 2) for i in numbers],
            "amount": pa.array(numbers / 7),
            "plan": pa.array([("pro", "basic", "basic", None)[i % 4] for i in numbers]),
            "new": pa.array(numbers % 3 == 0),
            "since": pa.array([datetime.date(2024, 1, 1) + datetime.timedelta(days=int(i)) for i in numbers]),
            "empty": pa.nulls(ROWS, pa.float64()),
            "same": pa.array([5] * ROWS),
            "note": [f"free text {i}" for i in numbers],
            "tips": pa.array(numbers % 5),
            "unnamed_11": pa.array(numbers),
        }
    )


def info(**more) -> DatasetInfo:
    facts = {
        "task": "classification",
        "columns": [],
        "label": "y",
        "rows": {},
        "classes": ["0", "1"],
        "id": "id",
        "leaks": ["tips"],
    }
    return DatasetInfo(**(facts | more))


def features(**sections) -> FeaturesSpec:
    return FeaturesSpec.model_validate(sections)


def fit_transform(train: pa.Table, info: DatasetInfo, features: FeaturesSpec, **more) -> Transform:
    return fit_split(TableSplit(train), info, features, **more)[0]


def test_what_is_no_feature_and_why():
    transform = fit_transform(table(), info(), features(drop=["new"]))
    assert [item.name for item in transform.inputs] == ["amount", "plan", "since"]
    assert transform.excluded == {
        "id": "the id",
        "y": "the label",
        "new": "dropped by the spec",
        "empty": "no value in the train split",
        "same": "the same value in every row of the train split",
        "note": "400 different texts in 400 rows (features.text learns from their words)",
        "tips": "the label is computed from it (features.keep overrules)",
        "unnamed_11": "an unnamed row number (features.keep overrules)",
    }


@pytest.mark.parametrize("number", [2**60, -(2**60)])
def test_whole_numbers_that_no_float_holds_are_no_feature_unless_kept_or_read_by_expressions(number):
    big = table().append_column("big", pa.array([number + 1000 * i for i in range(ROWS)]))
    edge = big.append_column("edge", pa.array([2**53 - i % 7 for i in range(ROWS)]))
    transform = fit_transform(edge, info(), features())
    assert transform.excluded["big"].startswith("whole numbers beyond 2^53")
    assert "edge" in [item.name for item in transform.inputs]
    assert "big" in [item.name for item in fit_transform(big, info(), features(keep=["big"])).inputs]
    constructed = fit_transform(big, info(), features(construct={"share": "big / 1000"}))
    assert "big" in [item.name for item in constructed.inputs]


def test_keep_overrules():
    transform = fit_transform(table(), info(), features(keep=["tips", "note", "same"]))
    assert {"tips", "note", "same"} <= {item.name for item in transform.inputs}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"drop": ["amont"]},
            "features.drop: expected a column of the data. Received: `amont`; did you mean `amount`?",
        ),
        ({"keep": ["y"]}, "features.keep: expected a column that may be learned from. Received: `y`, the label"),
        ({"keep": ["id"]}, "Received: `id`, the id"),
        ({"construct": {"amount": "1"}}, "features.construct: expected a new name. Received: `amount`"),
        (
            {"drop": ["amount", "plan", "new", "since"]},
            "features: expected at least one column to learn from. Received: none",
        ),
    ],
)
def test_refused(sections, message):
    with pytest.raises(HeadraceError) as raised:
        fit_transform(table(), info(), features(**sections))
    assert message in str(raised.value)


def test_encodings():
    by_name = {item.name: item for item in fit_transform(table(), info(), features()).inputs}
    assert by_name["plan"].vocabulary == ("pro", "basic")  # rarest first
    assert by_name["new"].type == "boolean"
    assert (by_name["since"].type, by_name["since"].min) == ("date", 19723.0)
    assert (by_name["amount"].min, by_name["amount"].max) == (0.0, 399 / 7)


def write_snapshot(path, train: pa.Table, other: pa.Table):
    import pyarrow.parquet as pq

    with write_dataset(path) as (files, details):
        for split, file in files.items():
            pq.write_table(train if split == "train" else other, file)
        details.update(describe(info()))


def test_only_the_train_split_is_looked_at(tmp_path):
    train = table()
    strange = train.set_column(3, "plan", pa.array(["enterprise"] * ROWS)).set_column(
        2, "amount", pa.array([1e9] * ROWS)
    )
    write_snapshot(tmp_path / "plain", train, train)
    write_snapshot(tmp_path / "strange", train, strange)
    first = fit(tmp_path / "plain", features(), tmp_path / "one")
    assert first == fit(tmp_path / "strange", features(), tmp_path / "two")


def test_the_file_is_opened_once_however_many_columns_it_has(tmp_path, monkeypatch):
    """Each time, what it says of all of its columns would be read again."""
    wide = table().select(["y", "amount"])
    for number in range(50):
        wide = wide.append_column(f"x{number}", wide["amount"])
    write_snapshot(tmp_path / "wide", wide, wide)
    opened, file = [], Dataset.file
    monkeypatch.setattr(Dataset, "file", lambda self, split: opened.append(split) or file(self, split))
    recipe = fit(tmp_path / "wide", features(), tmp_path / "out")
    assert len(recipe.inputs) == 51
    assert opened == ["train"]


def test_the_graph_does_what_the_recipe_says(tmp_path):
    write_snapshot(tmp_path / "data", table(), table())
    fit(tmp_path / "data", features(drop=["new", "since"], construct={"double": "amount * 2"}), tmp_path / "transform")
    transform = open_transform(tmp_path / "transform")
    matrix = run_graph(open_graph(transform.graph), table().slice(0, 4), transform.recipe.inputs)
    expected = [[0, 1, 0], [1 / 7, 2, 2 / 7], [2 / 7, 2, 4 / 7], [3 / 7, np.nan, 6 / 7]]
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)


def test_rare_values_count_as_unseen():
    column = pa.chunked_array([pa.array(["a"] * 50 + ["b"] * 20 + ["once"])])
    assert vocabulary(column) == ["b", "a"]
    assert vocabulary(column, {"once", "a", "never"}) == ["never", "once", "b", "a"]


def test_a_text_that_an_expression_names_keeps_its_code_however_rare():
    transform = fit_transform(table(), info(), features(construct={"gold": 'plan == "gold"', "pro": '"pro" != plan'}))
    assert {item.name: item for item in transform.inputs}["plan"].vocabulary == ("gold", "pro", "basic")


def test_epoch_seconds_get_an_offset_and_plain_numbers_do_not():
    assert offset(np.array([1_700_000_000.0, 1_700_000_001.0])) == 1_700_000_000.0
    assert offset(np.array([0.1, 0.2, 1e6])) == 0.0


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=50))
def test_an_offset_never_merges_more_values_than_none(values):
    distinct = np.unique(np.array(values, np.float64))
    plain = len(np.unique(distinct.astype(np.float32)))
    shifted = len(np.unique((distinct - offset(distinct)).astype(np.float32)))
    assert shifted >= plain


def test_an_offset_that_would_merge_more_is_not_taken():
    values = np.array([-(2.0**40), -(2.0**40) + 1, 0, 1, 2, 3, 4, 5])
    assert offset(values) == 0.0
