"""Parquet columns of types that a snapshot does not have."""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import ingest, read_table, source_notes
from headrace.components.ingest.rows import head_rows
from headrace.components.ingest.spec import DataSpec

N = 100
GOOD = {"id": list(range(N)), "y": [i % 2 for i in range(N)], "x": [i / 3 for i in range(N)]}
ODD = {
    "tags": pa.array([["a"]] * N),
    "point": pa.array([{"lat": 1.0}] * N),
    "photo": pa.array([b"\x00"] * N),
    "at": pa.array([datetime.time(1)] * N),
}


def write(folder: Path, **columns) -> Path:
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    return folder / "rows.parquet"


def read_parquet(file: Path) -> tuple[pa.Table, list[str]]:
    table = read_table([str(file)], DataSpec(source=file.name, label="y"))
    return head_rows(table, 1_000), source_notes(table)


def take(file: Path, **more):
    data = DataSpec(**{"source": file.name, "label": "y", "id": "id", **more})
    return ingest(str(file), fingerprint(str(file)), "classification", data, file.parent / "snapshot")


def test_columns_of_other_types_are_left_out_with_a_note(tmp_path):
    notes = take(write(tmp_path, **GOOD, **ODD)).notes
    assert [note.split(":")[0] for note in notes] == [f"`{name}` is left out" for name in ODD]
    snapshot = Dataset.open(tmp_path / "snapshot")
    assert snapshot.table("train").column_names == ["id", "y", "x"]
    assert snapshot.info.source["left_out"] == list(ODD)


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"label": "tags"}, "data.label"),
        ({"id": "tags"}, "data.id"),
        ({"label": {"name": "z", "expression": "tags > 1"}}, "data.label"),
    ],
)
def test_but_not_where_the_spec_needs_them(tmp_path, more, place):
    with pytest.raises(HeadraceError, match=rf"in `tags`, which {place} names. Received: list<"):
        take(write(tmp_path, **GOOD, **ODD), **more)


def test_nanoseconds_are_cut_to_microseconds(tmp_path):
    rows, _ = read_parquet(write(tmp_path, at=pa.array([1_700_000_000_123_456_789], pa.timestamp("ns"))))
    assert rows["at"].type == pa.timestamp("us")
    assert rows["at"].cast(pa.int64()).to_pylist() == [1_700_000_000_123_456]


def test_unsigned_numbers_stay_exact(tmp_path):
    rows, notes = read_parquet(
        write(tmp_path, a=pa.array([2**64 - 1, None], pa.uint64()), b=pa.array([7, 8], pa.uint64()))
    )
    assert rows.to_pydict() == {"a": ["18446744073709551615", None], "b": [7, 8]}
    assert notes == ["`a` is read as text: its whole numbers do not all fit 64 bits"]


@pytest.mark.parametrize("name", ['say "x"', "a\\b", "a\tb", " "])
def test_names_that_cannot_be_served(tmp_path, name):
    with pytest.raises(HeadraceError, match="in the source$"):
        read_parquet(write(tmp_path, **{name: [1]}))


def test_a_nul_in_a_text(tmp_path):
    with pytest.raises(HeadraceError, match="column `x`, row 2: expected text. Received: a NUL byte"):
        read_parquet(write(tmp_path, x=["a", "b\0c"]))


def test_infinite_and_nan_become_missing(tmp_path):
    x = [float("inf"), float("nan"), *[1.0] * (N - 2)]
    assert take(write(tmp_path, **{**GOOD, "x": x})).notes == [
        "`x`: 1 infinite values count as missing; a server cannot receive them"
    ]
    snapshot = Dataset.open(tmp_path / "snapshot")
    assert sum(snapshot.table(split)["x"].null_count for split in ("train", "eval", "test")) == 2
