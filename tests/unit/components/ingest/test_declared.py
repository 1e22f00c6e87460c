"""Types that the spec declares, for columns that have one of their own: of Parquet, say."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.declared import declared_type, may_be, to_declared
from tests.unit.components.ingest.ingesting import column, take

N = 300
DAY, MOMENT = datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1, 23, 30)
BAD = object()  # a value that rejects its row
CASES: list[tuple[str, pa.Array, list[Any]]] = [
    ("number", pa.array([2**53 + 1, 2**64 - 1, None], pa.uint64()), [2.0**53, 2.0**64, None]),
    ("number", pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), [1.5, None]),
    ("amount", pa.array([2**53 + 1, -3]), [2.0**53, -3.0]),
    ("number", pa.array([True, False, None]), [1.0, 0.0, None]),
    ("number", pa.array(["1.5", "x", None]), [1.5, BAD, None]),
    ("number", pa.array(["1.5", "x", None], pa.large_string()), [1.5, BAD, None]),
    ("number", pa.array(["1.5", "x", None], pa.string_view()), [1.5, BAD, None]),
    ("number", pa.array(["1.5", "x", None, "1.5"]).dictionary_encode(), [1.5, BAD, None, 1.5]),
    ("number", pa.array(["1.5", "x"], pa.large_string()).dictionary_encode(), [1.5, BAD]),
    ("number", pa.array([7, 7]).dictionary_encode(), [7.0, 7.0]),
    ("integer", pa.array([1.0, 1.5, float("nan"), float("inf"), None]), [1, BAD, None, BAD, None]),
    ("integer", pa.array([Decimal("1.00"), Decimal("1.50")], pa.decimal128(5, 2)), [1, BAD]),
    ("integer", pa.array([Decimal("1.00"), Decimal("1.50")], pa.decimal32(5, 2)), [1, BAD]),
    ("integer", pa.array([True, None]), [1, None]),
    ("boolean", pa.array([0, 1, 2, None], pa.int8()), [False, True, BAD, None]),
    ("boolean", pa.array([0.0, 1.0, 0.5, float("nan")], pa.float32()), [False, True, BAD, None]),
    ("boolean", pa.array([0.0, 1.0], pa.float16()), [False, True]),
    ("boolean", pa.array([Decimal("0.0"), Decimal("1.0")], pa.decimal128(2, 1)), [False, True]),
    ("date", pa.array([MOMENT, None], pa.timestamp("us")), [DAY, None]),
    ("date", pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")), [DAY]),  # in UTC, as all times
    ("date", pa.array([DAY], pa.date64()), [DAY]),
    ("date %d/%m/%Y", pa.array([DAY]), [DAY]),
    ("timestamp", pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
     [datetime.datetime(2023, 11, 14, 22, 13, 20, 123456)]),
    ("timestamp", pa.array([DAY]), [datetime.datetime(2024, 1, 1)]),
    ("string", pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)), ["1.50", None]),
    ("string", pa.array([2**53 + 1]), [str(2**53 + 1)]),
    ("string", pa.array([True]), ["true"]),
    ("string", pa.array([DAY]), ["2024-01-01"]),
    ("boolean", pa.nulls(2), [None, None]),
    ("date", pa.nulls(2), [None, None]),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "values", "read"), CASES, ids=lambda case: str(getattr(case, "type", "")))
def test_a_column_that_has_a_type_takes_the_declared_one(declared: str, values: pa.Array, read: list[Any]) -> None:
    assert may_be(values.type, declared)
    found, bad = to_declared(values, declared, ".")
    assert found.type == declared_type(declared)
    assert found.to_pylist() == [None if value is BAD else value for value in read]
    assert bad == [place for place, value in enumerate(read) if value is BAD]


@pytest.mark.parametrize("declared", ["string", "number", "integer", "boolean", "date", "timestamp", "amount"])
def test_each_type_for_each_column_works_or_is_refused(declared: str) -> None:
    columns = [
        pa.array([0, 1], type)
        for type in (pa.int8(), pa.uint8(), pa.int32(), pa.int64(), pa.uint64(), pa.float16(), pa.float32())
    ]
    columns += [pa.array([Decimal(0), Decimal(1)], type) for type in (pa.decimal128(38, 5), pa.decimal256(50, 2))]
    columns += [pa.array([MOMENT, None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
    columns += [pa.array(["0", "x"]), pa.array([True, False]), pa.array([DAY]), pa.array([DAY], pa.date64())]
    for values in columns:
        held = pa.DictionaryArray.from_arrays(pa.array(range(len(values))), values)
        for one in (values, values[:0], held):
            if may_be(one.type, declared):
                found, bad = to_declared(one, declared, ".")
                assert (found.type, len(found)) == (declared_type(declared), len(one))
                assert not bad or pa.types.is_string(values.type)


@pytest.mark.parametrize(
    ("declared", "values", "shown"),
    [
        ("a number", pa.array([DAY] * N), "date32"),
        ("an integer", pa.array([MOMENT] * N), r"timestamp\[us\]"),
        ("a boolean", pa.array([DAY] * N), "date32"),
        ("a date", pa.array([0.5] * N), "float64"),
        ("a timestamp", pa.array([1_700_000_000] * N), "int64"),  # seconds or microseconds?
        ("a number", pa.array([DAY] * N).dictionary_encode(), "date32"),
        ("a string", pa.array([b"x"] * N), "binary"),
        ("a number", pa.array([[1]] * N), "list<"),
    ],
)
def test_a_type_that_a_column_cannot_have(tmp_path: Path, declared: str, values: pa.Array, shown: str) -> None:
    rows = {"id": list(range(N)), "y": [i % 2 for i in range(N)], "x": values}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    message = (
        rf"t.parquet: expected `x` of a type that can be {declared}, as `types` says. Received: {shown}.*; "
        "take it out of `types`, or convert it before"
    )
    with pytest.raises(HeadraceError, match=message):
        take(str(tmp_path / "t.parquet"), tmp_path / "s", types={"x": declared.split()[1]})


def test_values_that_do_not_fit_reject_their_row_in_parquet_too(tmp_path: Path) -> None:
    rows = {"id": list(range(N)), "y": [i % 2 for i in range(N)], "x": pa.array([2, *[1] * (N - 1)], pa.int8())}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    with pytest.raises(HeadraceError, match="row 1: expected a boolean in `x`. Received: '2'"):
        take(str(tmp_path / "t.parquet"), tmp_path / "s", types={"x": "boolean"})
    _, dataset = take(str(tmp_path / "t.parquet"), tmp_path / "s", types={"x": "boolean"}, rejects={"at_most": 1})
    assert column(dataset, "x") == [True] * (N - 1)


def test_a_nul_in_a_text_is_refused_where_it_is_declared_one_too(tmp_path: Path) -> None:
    rows = {"id": list(range(N)), "y": [i % 2 for i in range(N)], "x": ["a\0b", *["a"] * (N - 1)]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    with pytest.raises(HeadraceError, match="column `x`, row 1: expected text. Received: a NUL byte in it"):
        take(str(tmp_path / "t.parquet"), tmp_path / "s", types={"x": "string"})
