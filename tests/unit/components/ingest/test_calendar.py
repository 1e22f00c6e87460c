"""Dates and times that no calendar has, which databases write for "never" and Parquet lets through."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest.aggregate import aggregate_tables
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.columns import within_calendar
from tests.unit.components.ingest.ingesting import column, take

N = 300
NOTE = "`{}`: {} dates or times that are infinite or beyond the years 1 to 9999 count as missing"
FIRST, LAST = datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)


def numbered(type: pa.DataType, *first: int) -> pa.Array:
    """A column of the numbers behind a type's values, which begins with these."""
    width = pa.int32() if type == pa.date32() else pa.int64()
    return pa.array([*first, *[0] * (N - len(first))], width).cast(type)


def rows(**columns: pa.Array) -> pa.Table:
    return pa.table({"id": list(range(N)), "y": [i % 2 for i in range(N)], **columns})


COLUMNS = {
    "days": numbered(pa.date32(), 2**31 - 1, -(2**31)),
    "days in ms": numbered(pa.date64(), 10**10 * 86_400_000, -(10**10) * 86_400_000),
    "ms": numbered(pa.timestamp("ms"), 2**63 - 1, -(2**63)),
    "us": numbered(pa.timestamp("us"), 2**63 - 1, -(2**63)),
    "zoned": numbered(pa.timestamp("us", "Europe/Berlin"), 2**63 - 1, -(2**63)),
    "held by a dictionary": numbered(pa.timestamp("ms"), 2**63 - 1, -(2**63)).dictionary_encode(),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("types", [{}, {"t": "date"}, {"t": "timestamp"}, {"t": "string"}], ids=str)
def test_they_are_missing_with_a_note(tmp_path: Path, name: str, types: dict[str, str]) -> None:
    pq.write_table(rows(t=COLUMNS[name]), tmp_path / "t.parquet")
    found, dataset = take(str(tmp_path / "t.parquet"), tmp_path / "s", types=types)
    assert found.notes == [NOTE.format("t", 2)]
    assert dataset.info.coerced == {"t": {"beyond the calendar": 2}}
    assert [value is None for value in column(dataset, "t")[:3]] == [True, True, False]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("9999-12-31T23:59:59-05:00", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("0000-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59+05:00", datetime.datetime(9999, 12, 31, 18, 59, 59)),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
@pytest.mark.parametrize("types", [{}, {"t": "timestamp"}], ids=["guessed", "declared"])
def test_texts_too(
    tmp_path: Path, suffix: str, written: str, read: datetime.datetime | None, types: dict[str, str]
) -> None:
    texts = [written, *["2024-01-01T00:00:00Z"] * (N - 1)]
    lines = {
        "csv": ["id,y,t", *(f"{i},{i % 2},{text}" for i, text in enumerate(texts))],
        "jsonl": [f'{{"id": {i}, "y": {i % 2}, "t": "{text}"}}' for i, text in enumerate(texts)],
    }
    (tmp_path / f"t.{suffix}").write_text("\n".join(lines[suffix]) + "\n")
    found, dataset = take(str(tmp_path / f"t.{suffix}"), tmp_path / "s", types=types)
    assert found.notes == ([] if read else [NOTE.format("t", 1)])
    assert column(dataset, "t")[:2] == [read, datetime.datetime(2024, 1, 1)]


def test_the_first_and_the_last_moment_are_kept() -> None:
    for type in (pa.timestamp("us"), pa.timestamp("ms"), pa.timestamp("s"), pa.date32(), pa.date64()):
        edges = pa.array([FIRST, LAST, None]).cast(type, safe=False)
        assert within_calendar(edges) == (edges, 0)


def test_of_a_joined_source_too(tmp_path: Path) -> None:
    pq.write_table(rows(), tmp_path / "t.parquet")
    pq.write_table(pa.table({"id": list(range(N)), "ended": COLUMNS["ms"]}), tmp_path / "ends.parquet")
    joins = [{"source": str(tmp_path / "ends.parquet"), "on": "id"}]
    found, dataset = take(str(tmp_path / "t.parquet"), tmp_path / "s", join=joins)
    assert found.notes == [NOTE.format("ended", 2)]
    assert column(dataset, "ended")[1:3] == [None, datetime.datetime(1970, 1, 1)]


def test_of_a_child_table_too() -> None:
    data = pa.table({"k": ["a"], "now": [datetime.datetime(2024, 1, 1)]})
    times = pa.array([2**63 - 1, -(2**63), 0], pa.int64()).cast(pa.timestamp("ms"))
    child = pa.table({"k": ["a"] * 3, "t": times, "until": times})
    compute = {"n": "count()", "until": "max(until)"}
    section = Aggregate.model_validate({"source": "c.csv", "on": "k", "time": "t", "as_of": "now", "compute": compute})
    found = aggregate_tables(data, {"c": child}, {"c": section})
    assert found["c_n_all"].to_pylist() == [1]
    assert found["c_until_all"].to_pylist() == [datetime.datetime(1970, 1, 1)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"watermark": {"column": "t"}}, "expected a watermark in every row. Received: none in `t`, first row 1"),
        ({"split": {"by": "time", "column": "t"}}, "data.split: expected a value of `t` in every row"),
        ({"id": "t"}, "expected an id in every row. Received: 2 rows without `t`, first row 1"),
    ],
)
def test_where_a_value_is_needed_in_every_row_there_is_none(tmp_path, settings, message) -> None:
    pq.write_table(rows(t=COLUMNS["ms"]), tmp_path / "t.parquet")
    with pytest.raises(HeadraceError, match=message):
        take(str(tmp_path / "t.parquet"), tmp_path / "s", **settings)
