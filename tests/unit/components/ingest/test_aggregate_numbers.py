"""Aggregates of numbers that floats cannot tell apart, or that compare equal and are not the same bits."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import Dataset
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.aggregate import aggregate_tables
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.ingest import ingest
from headrace.components.ingest.spec import DataSpec
from tests.unit.components.ingest.ingesting import column

NOON = datetime(2026, 3, 10, 12)
N = 300


def section(**compute: str) -> Aggregate:
    given: dict[str, Any] = {"source": "x.csv", "on": "k", "time": "t", "as_of": "now", "compute": compute}
    return Aggregate.model_validate(given)


def child(**columns: Any) -> pa.Table:
    count = len(next(iter(columns.values())))
    return pa.table({"k": ["a"] * count, "t": [NOON - timedelta(hours=1)] * count, **columns})


def made(table: pa.Table, **compute: str) -> list[Any]:
    found = aggregate_tables(pa.table({"k": ["a"], "now": [NOON]}), {"c": table}, {"c": section(**compute)})
    return [found[f"c_{name}_all"][0].as_py() for name in compute]


def test_whole_numbers_beyond_2_53_count_as_the_next_float() -> None:
    table = child(x=pa.array([2**53 + 1, 2**53 + 1, None]))
    found = made(
        table, sum="sum(x)", mean="mean(x)", std="std(x)", max="max(x)", more="count(x > 1)", last="last(x + 0)"
    )
    assert found == [2.0**54, 2.0**53, 0.0, 2**53 + 1, 2, 2.0**53]


def test_zero_and_minus_zero_are_one_number() -> None:
    table = child(x=[0.0, -0.0, None, 1.0])
    assert made(table, plain="distinct(x)", computed="distinct(x * -1)") == [2, 2]


def test_what_is_ingested_counts_as_what_is_scored(tmp_path: Path) -> None:
    """And a time that no calendar has is missing in a child's source as in every other."""
    times = pa.array([2**63 - 1, 0, 1, 2], pa.int64()).cast(pa.timestamp("ms"))
    x = pa.array([9.0, 0.0, -0.0, 1.0])
    pq.write_table(pa.table({"k": ["a"] * 4, "t": times, "x": x}), tmp_path / "c.parquet")
    rows = {"id": list(range(N)), "y": [i % 2 for i in range(N)], "k": ["a"] * N, "now": [NOON] * N}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    source, one = str(tmp_path / "t.parquet"), section(n="distinct(x)")
    aggregates = {"c": one.model_copy(update={"source": str(tmp_path / "c.parquet")})}
    data = DataSpec.model_validate({"source": source, "label": "y", "id": "id"})
    digest = fingerprint(source, data.model_dump(mode="json"), {"c": aggregates["c"].model_dump(mode="json")})
    found = ingest(source, digest, "classification", data, tmp_path / "s", None, aggregates)
    assert column(Dataset.open(tmp_path / "s"), "c_n_all") == [2] * N
    assert made(pq.read_table(tmp_path / "c.parquet"), n="distinct(x)") == [2]
    assert "`t`: 1 dates or times that are infinite or beyond the years 1 to 9999 count as missing" in found.notes
    assert "1 of 4 rows of c have no `t` or no `k`, and count nowhere" in found.notes
