"""Columns that are named as what ingestion itself adds to its rows."""

from __future__ import annotations

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.components.check.check import check_rows
from headrace.components.ingest.aggregate import aggregate_tables
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.merge import ROW_NUMBER, database, numbered, quoted
from headrace.components.validate.spec import ValidateSpec
from tests.unit.components.ingest.ingesting import column, take, whole

N = 300
NAMES = [
    "file_row_number",
    "FILENAME",
    "rowid",
    "row",
    "moment",
    "time",
    "k0",
    "x0",
    "split",
    "number",
    "whole",
    "label",
]
MOMENTS = [datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=i) for i in range(N)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    named = {name: [float(N - i) for i in range(N)] for name in NAMES}
    rows = {"id": list(range(N)), "y": [i % 2 for i in range(N)], "now": MOMENTS, **named}
    pq.write_table(pa.table(rows), folder / "t.parquet")
    pq.write_table(pa.table({"file_row_number": named["row"], "more": rows["id"]}), folder / "more.parquet")
    return folder


@pytest.mark.parametrize("name", ["file_row_number", "File_Row_Number", "x"])
def test_rows_are_numbered_whatever_their_columns_are_called(tmp_path: Path, name: str) -> None:
    pq.write_table(pa.table({name: list(range(N, 0, -1))}), tmp_path / "t.parquet", row_group_size=7)
    with database(tmp_path) as connection:
        query = f"SELECT {quoted(ROW_NUMBER)}, {quoted(name)} FROM {numbered(tmp_path / 't.parquet')} ORDER BY 1"
        assert connection.sql(query).fetchall() == [(i, N - i) for i in range(N)]
        assert connection.sql(f"SELECT * FROM {numbered(tmp_path / 't.parquet')}").columns == [name, ROW_NUMBER]


def test_ingestion_and_its_checks_take_them(tmp_path: Path, source: Path) -> None:
    take(str(source / "t.parquet"), tmp_path / "s")
    found = check_rows(tmp_path / "s", tmp_path / "found", ValidateSpec.model_validate({"duplicates": "error"}))
    assert {one.check for one in found.found}.isdisjoint({"duplicates", "split_overlap", "label_conflicts"})
    assert set(found.profile["powers"]) >= set(NAMES)


def test_a_join_takes_them_as_columns_and_as_keys(tmp_path: Path, source: Path) -> None:
    joins = [{"source": str(source / "more.parquet"), "on": "file_row_number"}]
    found, dataset = take(str(source / "t.parquet"), tmp_path / "s", join=joins)
    assert found.notes == []
    assert column(dataset, "more") == list(range(N))
    assert set(NAMES) <= set(whole(dataset).column_names)


def test_a_watermark_takes_them(tmp_path: Path, source: Path) -> None:
    take(str(source / "t.parquet"), tmp_path / "first", watermark={"column": "now"})
    _, dataset = take(
        str(source / "t.parquet"), tmp_path / "second", previous=tmp_path / "first", watermark={"column": "now"}
    )
    assert column(dataset, "file_row_number") == [float(N - i) for i in range(N)]


def test_aggregates_take_them(source: Path) -> None:
    compute = {"sum": "sum(file_row_number)", "max": "max(row)"}
    section = Aggregate.model_validate({"on": "y", "time": "now", "as_of": "now", "compute": compute})
    found = aggregate_tables(pq.read_table(source / "t.parquet"), {}, {"own": section})
    assert found["own_sum_all"].to_pylist()[:5] == [0.0, 0.0, 300.0, 299.0, 598.0]
    assert found["own_max_all"].to_pylist()[:4] == [None, None, 300.0, 299.0]
