"""Logged requests as they are read: what Arrow would take for something else, and what does not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.statistics import DescribedColumn
from headrace.components.examine import serving
from headrace.components.examine.serving import Requests, describe_requests

KINDS = {"plan": "string", "count": "int64", "amount": "float64", "day": "date32", "flag": "bool"}
COLUMNS = [DescribedColumn(name, kind) for name, kind in KINDS.items()]
TYPES = {"binary": "STRING", "string": "STRING", "int64": "INT", "double": "FLOAT", "date32[day]": "INT", "bool": "INT"}

Read = dict[str, list[Any]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """The values that TFDV would be given, which is not in this environment."""
    values: Read = {}

    def describe(batches: Any) -> statistics_pb2.DatasetFeatureStatistics:
        table = pa.Table.from_batches(list(batches))
        values.update(table.to_pydict())
        found = statistics_pb2.DatasetFeatureStatistics(num_examples=table.num_rows)
        for column in table.schema:
            found.features.add(type=TYPES[str(column.type)]).path.step.append(column.name)
        return found

    monkeypatch.setitem(sys.modules, f"{serving.__package__}.request_statistics", SimpleNamespace(describe=describe))
    return values


def described(folder: Path, *requests: dict[str, Any]) -> Requests:
    (folder / "log.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    return describe_requests(folder, COLUMNS)


def types(requests: Requests) -> dict[str, str]:
    name = statistics_pb2.FeatureNameStatistics.Type.Name
    return {feature.path.step[0]: name(feature.type) for feature in requests.statistics.features}


@pytest.mark.parametrize("first", [{"count": 1}, {"instance": {"count": 1}}, {"instance": None}], ids=str)
def test_texts_that_look_like_dates_are_texts_though_the_first_request_has_none(
    first: dict[str, Any], tmp_path: Path, read: Read
) -> None:
    plans = ["2024-01-05", "2024-02-01 10:00:00", "2024-01-05T00:00:00Z"]
    others = [{"plan": plan, "count": 1} for plan in plans]
    described(tmp_path, first, *([{"instance": row} for row in others] if "instance" in first else others))
    assert read["plan"] == [None, *plans]


def test_a_text_that_no_request_has_is_absent_and_one_that_is_always_null_is_not(tmp_path: Path, read: Read) -> None:
    assert described(tmp_path, {"count": 1}).absent == ["plan", "amount", "day", "flag"]
    found = described(tmp_path, {"count": 1}, {"plan": None, "count": 1})
    assert "plan" not in found.absent and "plan" in types(found)


def test_a_fraction_makes_real_numbers_of_whole_ones(tmp_path: Path, read: Read) -> None:
    assert types(described(tmp_path, {"count": 1, "amount": 2}, {"count": 3}))["count"] == "INT"
    assert read["count"] == [1, 3]
    found = described(tmp_path, {"count": 1, "amount": 2}, {"count": 2.5})
    assert types(found) == {"count": "FLOAT", "amount": "FLOAT"} and not found.unfit
    assert read["count"] == [1, 2.5]


def test_fractions_may_come_in_a_later_file(tmp_path: Path, read: Read) -> None:
    (tmp_path / "a.jsonl").write_text('{"count": 1}\n')
    pq.write_table(pa.table({"instance": pa.array([{"count": 2.5}, {"count": float("nan")}])}), tmp_path / "b.parquet")
    assert types(describe_requests(tmp_path, COLUMNS)) == {"count": "FLOAT"}
    (tmp_path / "b.parquet").unlink()
    pq.write_table(pa.table({"count": pa.array([2.0, None])}), tmp_path / "b.parquet")
    assert types(describe_requests(tmp_path, COLUMNS)) == {"count": "INT"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("count", "n/a"),
        ("count", [1, "a"]),
        ("count", {"a": 1}),
        ("amount", "much"),
        ("day", "soon"),
        ("flag", "maybe"),
    ],
)
def test_a_column_that_cannot_be_what_it_was_in_training_is_left_out_and_told(
    name: str, wrong: Any, tmp_path: Path, read: Read
) -> None:
    right = {"plan": "2024-01-05", "count": 1, "amount": 1.5, "day": "2024-01-05", "flag": True, "other": {"a": 1}}
    found = described(tmp_path, right, {**right, name: wrong, "other": [1]}, right)
    assert list(found.unfit) == [name] and not found.absent
    assert found.unfit[name].startswith(f"log.jsonl with `{name}` of another type than {KINDS[name]}: ")
    assert types(found).keys() == KINDS.keys() - {name}
    assert read["plan"] == ["2024-01-05"] * 3


def test_whole_numbers_beyond_float64_are_numbers(tmp_path: Path, read: Read) -> None:
    found = described(tmp_path, {"count": 2**53 + 1, "amount": 2**60 + 1})
    assert types(found) == {"count": "INT", "amount": "FLOAT"}


def test_lines_that_are_no_objects_are_refused(tmp_path: Path, read: Read) -> None:
    (tmp_path / "log.jsonl").write_text('{"count": 1}\n{"count": }\n')
    with pytest.raises(HeadraceError, match="log.jsonl, which is no log of requests: "):
        describe_requests(tmp_path, COLUMNS)
