"""What CSV text means: separators and column names."""

from __future__ import annotations

import pytest

from headrace.artifacts.csv_text import column_names, repeated, separator_of


@pytest.mark.parametrize(
    ("file", "given", "separator"),
    [
        ("a.csv", None, ","),
        ("a.csv", ";", ";"),
        ("a.tsv", None, "\t"),
        ("A.TSV", None, "\t"),
        ("a.tsv", ";", ";"),
        ("a", None, ","),
    ],
)
def test_the_separator(file: str, given: str | None, separator: str) -> None:
    assert separator_of(file, given) == separator


def test_names_are_cleaned() -> None:
    assert column_names([" a ", "", "b c", "  "]) == ["a", "unnamed_2", "b c", "unnamed_4"]


def test_repeated_names_are_found() -> None:
    assert repeated(["a", "b", "a", "c", "b", "a"]) == ["a", "b"]
