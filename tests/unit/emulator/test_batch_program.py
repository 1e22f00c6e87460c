"""Which instances a batch prediction job makes of its input, and what it says of the answers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.batch_program import Refused, Row, _rows, _write


def rows(tmp_path: Path, text: str, kind: str, **config: Any) -> list[Row]:
    file = tmp_path / f"input.{kind}"
    file.write_text(text)
    return list(_rows({"format": kind, "sources": [str(file)], "instances": config}))


def test_a_row_of_csv_is_an_array_of_numbers_and_of_texts_in_quotes(tmp_path: Path) -> None:
    text = '\ufeff"input1","input2","input3"\n0.1,1.2,"cat1"\n\n4,5e3,"7, ""x"""\n'
    assert [row.instance for row in rows(tmp_path, text, "csv")] == [[0.1, 1.2, "cat1"], [4.0, 5000.0, '7, "x"']]
    assert rows(tmp_path, '"a","b"\n1,"k"\n', "csv", keyField="b") == [Row({"key": "k"}, [1.0])]


@pytest.mark.parametrize("line", ["text,1", "1", "1,2,3"])
def test_a_row_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(HeadraceError, match=r"input\.csv, line 3"):
        rows(tmp_path, f'"a","b"\n1,2\n{line}\n', "csv")


def test_fields_of_lines_are_chosen(tmp_path: Path) -> None:
    line = '{"id": 7, "b": 2, "a": 1}\n'
    array = {"instanceType": "array", "includedFields": ["a", "b"]}
    assert rows(tmp_path, line, "jsonl", **array) == [Row({"instance": [1, 2]}, [1, 2])]
    assert rows(tmp_path, line, "jsonl", keyField="id") == [Row({"key": 7}, {"b": 2, "a": 1})]
    excluded = rows(tmp_path, line, "jsonl", excludedFields=["id"])
    assert excluded == [Row({"instance": {"b": 2, "a": 1}, "id": 7}, {"b": 2, "a": 1})]
    with pytest.raises(HeadraceError, match="expected c"):
        rows(tmp_path, line, "jsonl", includedFields=["c"])
    with pytest.raises(HeadraceError, match="expected an object"):
        rows(tmp_path, "[1]\n", "jsonl", keyField="id")


def test_one_row_that_is_refused_takes_no_other_with_it() -> None:
    asked: list[list[int]] = []

    def ask(instances: list[int]) -> list[int]:
        asked.append(instances)
        if 3 in instances:
            raise Refused("no threes")
        return [2 * one for one in instances]

    results, errors = io.StringIO(), io.StringIO()
    counted = _write(ask, (Row({"instance": one}, one) for one in range(5)), 2, results, errors)
    assert counted == (4, 1) and asked == [[0, 1], [2, 3], [2], [3], [4]]
    assert json.loads(errors.getvalue()) == {"instance": 3, "error": {"code": 3, "message": "no threes"}}
    assert [json.loads(line)["prediction"] for line in results.getvalue().splitlines()] == [0, 2, 4, 8]
