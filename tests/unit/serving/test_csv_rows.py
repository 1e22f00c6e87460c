"""Rows of a CSV file as a model's instances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.csv_rows import read_csv

INPUTS: list[dict[str, Any]] = [
    {"name": "n", "type": "number"},
    {"name": "b", "type": "boolean"},
    {"name": "c", "type": "category"},
    {"name": "d", "type": "date"},
]


def rows(tmp_path: Path, text: str | bytes) -> list[dict[str, Any]]:
    file = tmp_path / "rows.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(read_csv(file, INPUTS))


def test_cells_are_converted_by_the_models_types(tmp_path: Path) -> None:
    text = "﻿id,d,c,b,n\n7,2024-03-01,007,true,42\n8,,,,\n9,2024-03-01T10:00,a b,0,-1.5e3\n\n"
    assert rows(tmp_path, text) == [
        {"n": 42, "b": True, "c": "007", "d": "2024-03-01"},
        {"n": None, "b": None, "c": None, "d": None},
        {"n": -1500.0, "b": False, "c": "a b", "d": "2024-03-01T10:00"},
    ]


def test_whole_numbers_that_are_not_exact_are_written_as_floats_and_greater_ones_are_refused(tmp_path: Path) -> None:
    text = "n,b,c,d\n9007199254740991,,,\n-9007199254740993,,,\n3482141295234237649,,,\n"
    values = [row["n"] for row in rows(tmp_path, text)]
    assert values == [9007199254740991, -9007199254740992.0, 3482141295234237649.0]
    assert [type(value) for value in values] == [int, float, float]
    with pytest.raises(HeadraceError, match="row 1, n: expected a number or nothing. Received: '999"):
        rows(tmp_path, f"n,b,c,d\n{'9' * 400},,,\n")


def test_what_was_missing_in_training_is_missing_here(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("n,b,c,d\nNA,NA,NA,NA\n1,true,na,\n")
    assert list(read_csv(file, INPUTS, ["", "NA"])) == [
        {"n": None, "b": None, "c": None, "d": None},
        {"n": 1, "b": True, "c": "na", "d": None},
    ]


def test_headers_are_read_as_in_training(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(" n ,\n5,x\n")
    inputs = [{"name": "n", "type": "number"}, {"name": "unnamed_2", "type": "category"}]
    assert list(read_csv(file, inputs)) == [{"n": 5, "unnamed_2": "x"}]


@pytest.mark.parametrize(("name", "separator", "text"), [("a.tsv", None, "n\tb\tc\td"), ("a.csv", ";", "n;b;c;d")])
def test_separators_are_those_of_training(tmp_path: Path, name: str, separator: str | None, text: str) -> None:
    file = tmp_path / name
    file.write_text(f"{text}\n{text.replace('n', '1').replace('b', 'true')}\n")
    assert list(read_csv(file, INPUTS, separator=separator)) == [{"n": 1, "b": True, "c": "c", "d": "d"}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns n, b, c, d. Received: an empty file"),
        ("\nn,b,c,d\n", "expected the columns n, b, c, d. Received: an empty line, the first"),
        ("n,c,d\n", "expected the columns b. Received: n, c, d"),
        ("n,b,c,d\n1,1,x\n", "row 1: expected 4 cells. Received: 3"),
        ("n,b,c,d\n1,1,x,\nNA,1,x,\n", "row 2, n: expected a number or nothing. Received: 'NA'"),
        ("n,b,c,d\nnan,1,x,\n", "row 1, n: expected a number or nothing. Received: 'nan'"),
        ("n,b,c,d\n1_000,1,x,\n", "row 1, n: expected a number or nothing. Received: '1_000'"),
        ("n,b,c,d\n1e999,1,x,\n", "row 1, n: expected a number or nothing. Received: '1e999'"),
        ("n,b,c,d, n\n1,1,x,,2\n", "expected each column name once. Received: n more than once"),
        ("n,b,c,d\n1,yes,x,\n", "row 1, b: expected true, false, 1, 0 or nothing. Received: 'yes'"),
        (
            b"n,b,c,d\n1,1,\xff,\n",
            "expected text in UTF-8. Received: other bytes; convert it first, e.g. `iconv -f cp1252 -t utf-8`",
        ),
        ('n,b,c,d\n1,1,"x\n', "expected CSV. Received: unexpected end of data"),
    ],
)
def test_a_wrong_file_says_where(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(HeadraceError) as refused:
        rows(tmp_path, text)
    assert str(refused.value) == f"{tmp_path / 'rows.csv'}: {message}"


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match=r"expected a CSV file\. Received: No such file or directory"):
        list(read_csv(tmp_path / "none.csv", INPUTS))


def test_numbers_and_dates_are_written_as_in_training(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    inputs = [*INPUTS, {"name": "e", "type": "number"}]
    file.write_text('n,b,c,d,e\n"1.234,5",1,x,31.12.2023,"1.000,50 €"\n,0,y,2023-12-31,\n')
    types = {"d": "date %d.%m.%Y", "e": "amount"}
    assert list(read_csv(file, inputs, decimal=",", types=types)) == [
        {"n": 1234.5, "b": True, "c": "x", "d": "2023-12-31", "e": 1000.5},
        {"n": None, "b": False, "c": "y", "d": "2023-12-31", "e": None},
    ]
    file.write_text('n,b,c,d,e\n"1.5x",1,x,,\n')
    with pytest.raises(HeadraceError, match=r"row 1, n: expected a number or nothing. Received: '1\.5x'"):
        list(read_csv(file, inputs, decimal=","))


def test_spaces_around_a_cell_are_dropped_where_training_dropped_them(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("n, b, c, d\n 1 ,\ttrue, a b\u00a0, NA\n\n", encoding="utf-8")
    assert list(read_csv(file, INPUTS, ["NA"], trim=True)) == [{"n": 1, "b": True, "c": "a b", "d": None}]
    file.write_text("n, b, c, d\n 1 ,true, a b , NA\n")
    assert list(read_csv(file, INPUTS, ["NA"])) == [{"n": 1.0, "b": True, "c": " a b ", "d": " NA"}]


def test_a_point_that_groups_no_thousands_is_refused_where_a_comma_stands_before_the_fraction(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("n,b,c,d\n132.5,1,x,\n")
    with pytest.raises(HeadraceError, match=r"row 1, n: expected a number or nothing. Received: '132\.5'"):
        list(read_csv(file, INPUTS, decimal=","))
    assert next(read_csv(file, INPUTS, decimal=",", pointed=["n"]))["n"] == 132.5
