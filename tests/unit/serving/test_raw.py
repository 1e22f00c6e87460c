"""The raw-feature graph in process: Arrow's types by the signature's rules, batch by batch."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tiny_bundle import INPUTS, body, random_instances

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving.raw import OnnxModel, normalized
from headrace.serving.scorer import Scorer


@pytest.fixture(scope="module")
def model(binary: Bundle) -> OnnxModel:
    return OnnxModel(binary)


def table(**columns: Any) -> pa.Table:
    usual = {
        "tenure": pa.array([1.0]),
        "spend per month": pa.array([1000.0]),
        "is_new": pa.array([True]),
        "plan": pa.array(["pro"]),
        "signup": pa.array(["2022-03-01"]),
    }
    return pa.table({**usual, **columns})


def column(name: str, values: pa.Array) -> list[Any]:
    result: list[Any] = normalized(table(**{name: values}), INPUTS).column(name).to_pylist()
    return result


@pytest.mark.parametrize(
    "values",
    [
        pa.array([3], pa.int8()),
        pa.array([3], pa.uint64()),
        pa.array([3.0], pa.float32()),
        pa.array([Decimal("3.00")]),
        pa.array([3.0]).dictionary_encode(),
    ],
)
def test_every_arrow_number_is_a_number(values: pa.Array) -> None:
    assert column("tenure", values) == [3.0]


def test_every_arrow_date_is_a_date() -> None:
    moment = dt.datetime(2024, 3, 1, 10, 20, 30, 5, tzinfo=dt.UTC)
    naive = moment.replace(tzinfo=None)
    assert column("signup", pa.array([dt.date(2024, 3, 1)])) == ["2024-03-01"]
    assert column("signup", pa.array([dt.date(2024, 3, 1)], pa.date64())) == ["2024-03-01"]
    for kind in (pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", tz="UTC")):
        assert column("signup", pa.array([naive], kind)) == ["2024-03-01 10:20:30.000005"]
    in_paris = pa.array([naive], pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us", tz="Europe/Paris"))
    assert column("signup", in_paris) == ["2024-03-01 10:20:30.000005"]
    assert column("signup", pa.array([None, "", "2024-03-01T10:20+02:00"])[2:]) == ["2024-03-01T10:20+02:00"]


@pytest.mark.parametrize("name", [item.name for item in INPUTS])
def test_a_column_of_nulls_is_missing(name: str, model: OnnxModel) -> None:
    empty = pa.nulls(1)
    kind = pa.float64() if name in ("tenure", "spend per month", "is_new") else pa.string()
    typed = model.predict(table(**{name: pa.nulls(1, kind)}))
    assert np.array_equal(model.predict(table(**{name: empty})), typed)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("tenure", pa.array(["1"]), "column 'tenure': expected numbers for a number. Received: string"),
        ("plan", pa.array([7]), "column 'plan': expected strings for a category. Received: int64"),
        ("is_new", pa.array([2]), "column 'is_new': expected true, false, 0 or 1. Received: 2.0"),
        ("is_new", pa.array(["x"]), "column 'is_new': expected numbers for a boolean. Received: string"),
        ("signup", pa.array([19000]), "column 'signup': expected strings for a date. Received: int64"),
        ("signup", pa.array(["March"]), "of the years 1 to 9999. Received: 'March'"),
        (
            "signup",
            pa.array([10**7], pa.int32()).cast(pa.date32()),
            "of the years 1 to 9999. Received: '29349-",
        ),
    ],
)
def test_a_column_that_does_not_fit_is_named(name: str, values: pa.Array, message: str, model: OnnxModel) -> None:
    with pytest.raises(HeadraceError) as refused:
        model.predict(table(**{name: values}))
    assert message in str(refused.value)


def test_a_missing_column_is_named_and_others_are_left_out(model: OnnxModel) -> None:
    whole = table(id=pa.array([7]), churned=pa.array(["1"]))
    assert model.predict(whole).shape == (1, 2)
    with pytest.raises(HeadraceError, match="expected the column 'plan'"):
        model.predict(whole.drop_columns(["plan"]))


def test_batches_are_bounded_and_put_together(model: OnnxModel, bundles: dict[str, Path]) -> None:
    instances = random_instances(INPUTS, 2500, seed=9)
    columns = {item.name: [instance[item.name] for instance in instances] for item in INPUTS}
    batches = list(model.batches(columns, rows=1000))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    outputs = model.predict(columns)
    assert np.array_equal(np.concatenate(batches), outputs)
    answers = json.loads(Scorer(Bundle.open(bundles["binary"])).score(body(*instances)).body)["predictions"]
    assert [list(each["probabilities"].values()) for each in answers] == outputs.tolist()


def test_no_rows_are_no_outputs(model: OnnxModel, bundles: dict[str, Path]) -> None:
    assert model.predict(table().slice(0, 0)).shape == (0, 2)
    assert OnnxModel(Bundle.open(bundles["regression"])).predict(table().slice(0, 0)).shape == (0, 1)
