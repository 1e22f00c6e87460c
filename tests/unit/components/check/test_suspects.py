"""Columns to be suspicious of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headrace.components.check.check import check_rows
from headrace.components.validate.spec import ValidateSpec
from tests.unit.components.check.snapshots import snapshot

ROWS = 3_000
CHANCE = np.random.default_rng(1)
LABEL = CHANCE.random(ROWS) < 0.4
BASE: dict[str, list[Any]] = {
    "id": [f"r{i}" for i in range(ROWS)],
    "usage": CHANCE.normal(LABEL * 1.0, 1.0).tolist(),
    "y": np.where(LABEL, "left", "stays").tolist(),
}


def found(path: Path, settings: dict[str, Any] | None = None, **columns: Any) -> list[tuple[str, str, str]]:
    data = {**BASE, **{name: list(values) for name, values in columns.items()}}
    snapshot(path / "data", data, id="id")
    result = check_rows(path / "data", path / "out", ValidateSpec.model_validate(settings or {}))
    return [(finding.check, finding.level, finding.where) for finding in result.found]


def test_honest_columns_are_not_suspected(tmp_path: Path) -> None:
    assert found(tmp_path, town=CHANCE.choice(["a", "b"], ROWS), mail=[f"{i}@x" for i in range(ROWS)]) == []


def test_a_leak_stops_the_run_and_can_be_allowed(tmp_path: Path) -> None:
    closed = np.where(LABEL, 1, 0).tolist()
    assert found(tmp_path / "a", closed=closed) == [("leakage", "error", "closed")]
    assert found(tmp_path / "b", {"leakage": {"except": ["closed"]}}, closed=closed) == []
    assert found(tmp_path / "c", {"leakage": {"level": "warn"}}, closed=closed) == [("leakage", "warn", "closed")]
    assert found(tmp_path / "d", {"leakage": False}, closed=closed) == []


def test_a_dropped_column_is_no_suspect(tmp_path: Path) -> None:
    snapshot(tmp_path / "data", {**BASE, "closed": LABEL.tolist()}, id="id")
    assert check_rows(tmp_path / "data", tmp_path / "out", None, ["closed"]).found == []
    snapshot(tmp_path / "computed", {**BASE, "closed": LABEL.tolist()}, id="id", leaks=["closed"])
    assert check_rows(tmp_path / "computed", tmp_path / "other").found == []


def test_gaps_that_tell_the_label(tmp_path: Path) -> None:
    reason = [None if i % 3 else f"reason {i % 5}" for i in range(ROWS)]
    assert found(tmp_path / "a", reason=reason) == []
    told = ["asked" if late and i % 5 else None for i, late in enumerate(LABEL)]
    assert ("missing_tells_label", "warn", "reason") in found(tmp_path / "b", reason=told)


def test_a_number_of_the_row(tmp_path: Path) -> None:
    assert found(tmp_path / "a", line=CHANCE.permutation(ROWS) + 1_000) == [("near_unique", "warn", "line")]
    assert found(tmp_path / "b", cents=CHANCE.permutation(ROWS) * 997) == []  # unique, but no running number
    assert found(tmp_path / "c", age=CHANCE.integers(0, 90, ROWS)) == []


def test_few_rows_are_said_to_be_too_few(tmp_path: Path) -> None:
    columns = {name: values[:150] for name, values in BASE.items()}
    snapshot(tmp_path / "data", columns, id="id")
    result = check_rows(tmp_path / "data", tmp_path / "out")
    assert result.notes == ["leakage is not looked for: 105 rows of train are too few to hold some out"]
    assert result.found == []
