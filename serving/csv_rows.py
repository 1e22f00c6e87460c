"""Rows of a CSV file as instances of a model, on the standard library alone."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from headrace.artifacts.csv_text import BLANKS, column_names, repeated, separator_of
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import EXACT
from headrace.artifacts.written import COMMA_NUMBER, plain_text

_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def read_csv(
    file: Path | str,
    inputs: Sequence[dict[str, Any]],
    null_values: Iterable[str] = (),
    separator: str | None = None,
    *,
    decimal: str = ".",
    pointed: Collection[str] = (),
    trim: bool = False,
    types: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file as instances of a model, read as the training data was.

    Args:
        file: in UTF-8, with a header.
        inputs: the model's, each with name and type.
        null_values: cells that are null, beside empty ones.
        separator: of cells; where none is given a comma, and in a file named `.tsv` a tab.
        decimal: what stands before a number's fraction.
        pointed: inputs where that is a point, whatever `decimal` says.
        trim: whether spaces around a cell are none of its value.
        types: inputs that are written as people write them; see `artifacts.written`.

    Raises:
        HeadraceError: the file is missing or no CSV in UTF-8, lacks a column or names one twice, or a cell does not
        fit its type.
    """
    try:
        with Path(file).open(newline="", encoding="utf-8-sig") as stream:
            lines: Iterable[list[str]] = csv.reader(stream, delimiter=separator_of(file, separator), strict=True)
            read: dict[str, Callable[[str], str]] = {}
            if decimal == ",":
                numbers = (item["name"] for item in inputs if item["type"] == "number" and item["name"] not in pointed)
                read |= dict.fromkeys(numbers, _with_point)
            read |= {name: partial(plain_text, type=type, decimal=decimal) for name, type in types.items()}
            if trim:
                lines = ([cell.strip(BLANKS) for cell in cells] for cells in lines)
            yield from _rows(lines, inputs, frozenset(null_values) | {""}, read, str(file))
    except OSError as error:
        raise HeadraceError(f"{file}: expected a CSV file. Received: {error.strerror}") from None
    except UnicodeDecodeError:
        raise HeadraceError(
            f"{file}: expected text in UTF-8. Received: other bytes; convert it first, e.g. `iconv -f cp1252 -t utf-8`"
        ) from None
    except csv.Error as error:
        raise HeadraceError(f"{file}: expected CSV. Received: {error}") from None


def _rows(
    lines: Iterable[list[str]],
    inputs: Sequence[dict[str, Any]],
    nulls: frozenset[str],
    read: Mapping[str, Callable[[str], str]],
    file: str,
) -> Iterator[dict[str, Any]]:
    lines = iter(lines)
    first = next(lines, None)
    header = column_names(first or [])
    missing = [item["name"] for item in inputs if item["name"] not in header]
    if missing:
        received = ", ".join(header) or ("an empty file" if first is None else "an empty line, the first")
        raise HeadraceError(f"{file}: expected the columns {', '.join(missing)}. Received: {received}")
    if twice := repeated(header):
        raise HeadraceError(f"{file}: expected each column name once. Received: {', '.join(twice)} more than once")
    places = [(item["name"], item["type"], header.index(item["name"]), read.get(item["name"], str)) for item in inputs]
    for number, cells in enumerate(lines, start=1):
        if not cells:
            continue  # a blank line
        if len(cells) != len(header):
            raise HeadraceError(f"{file}: row {number}: expected {len(header)} cells. Received: {len(cells)}")
        where = f"{file}: row {number}, "
        yield {
            name: None if cells[place] in nulls else _cell(cells[place], plain, kind, where + name)
            for name, kind, place, plain in places
        }


def _with_point(number: str) -> str:
    """1.234,5 as 1234.5; nothing where a point groups no thousands, as without it 132.5 would be 1325."""
    if not re.match(COMMA_NUMBER, number):
        return ""
    return number.replace(".", "").replace(",", ".")


def _cell(text: str, plain: Callable[[str], str], kind: str, where: str) -> Any:
    if kind == "number":
        digits = plain(text)
        try:
            value: int | float = math.nan if "_" in digits else float(digits)  # 1_000 is Python's, and no data's
            if abs(value) < EXACT and digits.lstrip("+-").isdigit():
                value = int(digits)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise HeadraceError(f"{where}: expected a number or nothing. Received: {text!r}")
        return value
    if kind == "boolean":
        if text.lower() not in _BOOLEANS:
            raise HeadraceError(f"{where}: expected true, false, 1, 0 or nothing. Received: {text!r}")
        return _BOOLEANS[text.lower()]
    return plain(text)
