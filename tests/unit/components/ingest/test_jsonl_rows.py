"""JSON Lines decoded to the types that were seen so far: whatever a file holds, it is read as value by value."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.ingest import jsonl_rows
from headrace.components.ingest.jsonl_rows import TypedRows
from headrace.components.ingest.jsonl_source import open_jsonl
from headrace.components.ingest.opened import local_file
from headrace.components.ingest.spec import DataSpec

DATA = DataSpec.model_validate({"source": "x.jsonl", "label": "y"})
KINDS: dict[str, list[Any]] = {
    "number": [1, 2.5, -3],
    "whole": [0, 7, 2**63 - 1, -(2**63)],
    "large": [1, 2**63, 10**30],
    "truth": [True, False],
    "text": ["a", "", "ü", "2024-02-30"],
    "date": ["2024-02-29", "2024-03-01"],
    "time": ["2024-02-29T10:00:00", "2024-03-01 00:00:00.25"],
    "zoned": ["2024-02-29T10:00:00Z", "2024-03-01T00:00:00+02:00"],
    "list": [[1], []],
    "object": [{"b": 1}, {"b": "x", "c": {"d": 1}}, {}],
    "none": [None],
}
BROKEN = [b"\n", b"[1]\n", b"null\n", b"{\n", b'{"a": NaN}\n', b'{"a": 1}{"a": 2}\n', b'{"a": "\xff"}\n', b"  \r\n"]


def lines(chance: random.Random) -> list[bytes]:
    """Columns of mostly one kind each, which may change later on; fields missing, new ones, broken lines, odd names."""
    names = chance.sample(["a", "b", "a.b", "y", "ö"], chance.randint(1, 4))
    if chance.random() < 0.05:
        names.append(chance.choice(['q"', "back\\slash"]))
    usual = [kind for kind in KINDS if kind not in ("object", "large")]
    now = {name: chance.choice(usual) for name in names}
    strange = chance.choice([0, 0, 0.03])
    found = []
    for _ in range(chance.choice([3, 12, 40])):
        if chance.random() < strange:
            found.append(chance.choice(BROKEN))
        if chance.random() < 0.02:
            now[chance.choice(names)] = chance.choice(list(KINDS))
        row = {n: None if chance.random() < 0.1 else chance.choice(KINDS[k]) for n, k in now.items()}
        kept = {n: value for n, value in row.items() if chance.random() > 0.05}
        found.append(json.dumps(kept).encode() + chance.choice([b"\n", b"\n", b" \r\n"]))
    return found


def read(file: Path) -> Any:
    """All that is told of a file."""
    try:
        opened = open_jsonl(local_file(file), DATA)
    except HeadraceError as error:
        return str(error)
    rows = [row for batch in opened.batches() for row in batch.to_pylist()]
    rejected = opened.rejected()
    told = (opened.schema, opened.notes, opened.left_out, opened.coerced, rejected.count, rejected.first)
    return repr((told, rows))  # repr tells 1 from 1.0 and from True


@pytest.mark.parametrize("seed", range(8))
def test_decoding_by_types_reads_what_decoding_by_values_does(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl_rows, "_LINES", 4)
    decoded = []
    original = TypedRows.decode

    def counted(self: TypedRows, some: list[bytes]) -> Any:
        found = original(self, some)
        decoded.append(found is not None)
        return found

    chance = random.Random(seed)
    file = tmp_path / "x.jsonl"
    for _ in range(60):
        file.write_bytes(b"".join(lines(chance)))
        with monkeypatch.context() as patched:
            patched.setattr(TypedRows, "decode", counted)
            by_types = read(file)
        with monkeypatch.context() as patched:
            patched.setattr(TypedRows, "of", lambda types: None)
            assert by_types == read(file), file.read_text(errors="replace")
    assert decoded.count(True) > 100 and decoded.count(False) > 10  # both ways were taken


def test_a_kind_that_comes_late_counts_all_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_rows, "_LINES", 4)
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps({"a": value}) + "\n" for value in [*range(20), "x"]))
    opened = open_jsonl(local_file(file), DATA)
    assert opened.coerced == {"a": {"read as text": 20}}
    assert [row["a"] for batch in opened.batches() for row in batch.to_pylist()] == [*map(str, range(20)), "x"]
