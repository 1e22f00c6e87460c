"""Rows that stand there more than once, counted as a plain count over all rows counts them."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.artifacts.findings import Finding
from headrace.components.check.repeated import find_repeated
from headrace.components.check.rows import connect
from headrace.components.validate.spec import ValidateSpec
from tests.unit.components.check.snapshots import snapshot

ANY = {"at_most": 0.0}
STRICT = ValidateSpec.model_validate({"duplicates": ANY, "split_overlap": ANY, "label_conflicts": ANY})


def find(data: Dataset, settings: ValidateSpec = STRICT, dropped: tuple[str, ...] = ()) -> dict[str, Finding]:
    with connect() as connection:
        found = find_repeated(connection, data, settings, list(dropped))
    return {f"{f.check} {f.expected.split()[7]}" if f.check == "split_overlap" else f.check: f for f in found}


def table(rows: int) -> dict[str, list[Any]]:
    return {
        "id": [f"r{i}" for i in range(rows)],
        "a": list(range(rows)),
        "b": [f"text {i}" for i in range(rows)],
        "y": [str(i % 2) for i in range(rows)],
    }


def with_row(columns: dict[str, list[Any]], target: int, source: int, **values: Any) -> dict[str, list[Any]]:
    """The columns with a copy of one row in the place of another; its id stays."""
    for name, column in columns.items():
        if name != "id":
            column[target] = values.get(name, column[source])
    return columns


def test_rows_that_differ_are_no_finding(tmp_path: Path) -> None:
    assert find(snapshot(tmp_path / "data", table(100), id="id")) == {}


def test_a_duplicate_is_named_by_its_ids(tmp_path: Path) -> None:
    found = find(snapshot(tmp_path / "data", with_row(table(100), 7, 3), id="id"))
    assert list(found) == ["duplicates"]
    assert found["duplicates"].line() == (
        "(all rows): expected at most 0.00% of the rows to repeat another in all columns but `id`. "
        "Received: 1 of 100 rows that do (1.00%), such as r3, r7. Remove the repetitions at the source, "
        "or raise validate.duplicates.at_most where rows may well be equal"
    )
    assert found["duplicates"].rows == 2


def test_without_an_id_rows_are_named_by_number_and_content(tmp_path: Path) -> None:
    columns = {name: column for name, column in with_row(table(100), 7, 3).items() if name != "id"}
    found = find(snapshot(tmp_path / "data", columns))
    assert found["duplicates"].examples == ["train row 4 (a=3, b=text 3, y=1)", "train row 8 (a=3, b=text 3, y=1)"]


def test_a_row_of_test_that_train_has(tmp_path: Path) -> None:
    found = find(snapshot(tmp_path / "data", with_row(table(100), 90, 3), id="id"))
    assert set(found) == {"duplicates", "split_overlap test"}
    assert found["split_overlap test"].received == "1 of 15 rows that do (6.67%)"
    assert found["split_overlap test"].examples == ["r90"]


def test_a_row_of_test_that_train_has_with_another_label(tmp_path: Path) -> None:
    found = find(snapshot(tmp_path / "data", with_row(table(100), 90, 3, y="0"), id="id"))
    assert set(found) == {"label_conflicts", "split_overlap test"}
    overlap = found["split_overlap test"]
    assert overlap.expected == "at most 0.00% of the rows of test to stand in train too, the label aside"
    assert (overlap.received, overlap.examples) == ("1 of 15 rows that do (6.67%)", ["r90"])


def test_conflicting_labels_are_named_together(tmp_path: Path) -> None:
    columns = with_row(table(100), 8, 3, y="0")
    columns = with_row(columns, 50, 61, y="0")
    found = find(snapshot(tmp_path / "data", columns, id="id"))
    assert list(found) == ["label_conflicts"]
    assert found["label_conflicts"].received == "4 of 100 rows that have (4.00%)"
    assert found["label_conflicts"].examples == ["r3", "r8"]
    assert found["label_conflicts"].columns == ["y"]


def test_a_dropped_column_does_not_tell_rows_apart(tmp_path: Path) -> None:
    data = snapshot(tmp_path / "data", with_row(table(100), 8, 3, y="0", b="other"), id="id")
    assert find(data) == {}
    assert list(find(data, dropped=("b",))) == ["label_conflicts"]


def test_missing_values_are_equal_to_each_other(tmp_path: Path) -> None:
    columns = table(100)
    columns["a"][3] = columns["a"][7] = None
    columns["b"][3] = columns["b"][7] = None
    assert list(find(snapshot(tmp_path / "data", columns, id="id"))) == ["duplicates"]


def test_a_share_may_be_tolerated_and_a_check_be_off(tmp_path: Path) -> None:
    data = snapshot(tmp_path / "data", with_row(table(100), 90, 3), id="id")
    few = ValidateSpec.model_validate({"duplicates": {"at_most": 0.01}, "split_overlap": {"at_most": 0.07}})
    assert find(data, few) == {}
    off = ValidateSpec.model_validate({"duplicates": False, "split_overlap": "off", "label_conflicts": ANY})
    assert find(data, off) == {}
    error = ValidateSpec.model_validate({"duplicates": {"level": "error", "at_most": 0}})
    assert find(data, error)["duplicates"].level == "error"


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_a_plain_count(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    rows = 3_000
    columns = {
        "a": [chance.randrange(12) for _ in range(rows)],
        "b": [chance.choice(["x", "y", None]) for _ in range(rows)],
        "c": [chance.choice([0.5, 1.5, None]) for _ in range(rows)],
        "d": [chance.randrange(60) for _ in range(rows)],
        "y": [str(chance.randrange(2)) for _ in range(rows)],
    }
    data = snapshot(tmp_path / "data", columns)
    lines = list(zip(*columns.values(), strict=True))
    counts = Counter(lines)
    found = find(data)
    repeats = sum(number - 1 for number in counts.values())
    assert found["duplicates"].received.startswith(f"{repeats:,} of 3,000 rows")
    ends = [0, data.info.rows["train"], data.info.rows["train"] + data.info.rows["eval"], rows]
    train = {tuple(features) for *features, _ in lines[: ends[1]]}
    for place, split in enumerate(SPLITS[1:], 1):
        shared = sum(tuple(features) in train for *features, _ in lines[ends[place] : ends[place + 1]])
        assert found[f"split_overlap {split}"].rows == shared
    labels: dict[Any, set[str]] = {}
    for *features, label in lines:
        labels.setdefault(tuple(features), set()).add(label)
    conflicts = sum(len(labels[tuple(features)]) > 1 for *features, _ in lines)
    assert found["label_conflicts"].rows == conflicts
