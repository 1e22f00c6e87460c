"""What `model.onnx` answers from raw columns, for tests that hold the server's way to an answer against it.

No server, no encoding in Python: a table of raw columns goes into the graph as it is; image files, in a column of bytes,
as their pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import batches, contents, raw_inputs, run_pictures
from headrace.artifacts.signature import DATE_PATTERN, Input
from headrace.serving.scorer import open_session

BATCH_ROWS = 10_000
BATCH_PICTURES = 256

Columns: TypeAlias = "pa.Table | Mapping[str, Any]"
Column = Any  # pyarrow.ChunkedArray, whose type parameter depends on the data


class OnnxModel:
    """`model.onnx`, loaded; on one thread."""

    def __init__(self, bundle: Bundle) -> None:
        """Loads the graph.

        Raises:
            ArtifactError: ONNX Runtime refuses it.
        """
        self.signature = bundle.signature
        self._session = open_session(bundle.model)
        self._output = [self._session.get_outputs()[0].name]

    def predict(self, columns: Columns) -> npt.NDArray[np.float32]:
        """Outputs of every row: float32 [N, C] probabilities or [N, 1] values.

        Raises:
            HeadraceError: a column is missing, or of a type that does not fit.
        """
        parts = list(self.batches(columns))
        width = max(1, len(self.signature.classes))
        return np.concatenate(parts) if parts else np.empty((0, width), np.float32)

    def batches(self, columns: Columns, rows: int = BATCH_ROWS) -> Iterator[npt.NDArray[np.float32]]:
        """The same, at most `rows` rows at a time: the strings of one batch at most are in memory twice."""
        table = columns if isinstance(columns, pa.Table) else _table(columns)
        if item := self.signature.image:
            for start in range(0, table.num_rows, min(rows, BATCH_PICTURES)):
                part = table.slice(start, min(rows, BATCH_PICTURES))
                yield run_pictures(self._session, contents(part, item))
            return
        for part in batches(table, self.signature.inputs, rows):
            batch = normalized(part, self.signature.inputs)
            yield self._session.run(self._output, raw_inputs(batch, self.signature.inputs))[0]


def normalized(table: pa.Table, inputs: tuple[Input, ...]) -> pa.Table:
    """The inputs' columns, each of the one type that carries it into the graph; other columns are left out.

    number: integers, floats, decimals and booleans; boolean: booleans and the numbers 0 and 1; category
    and text: strings; date: dates, timestamps (without a zone: UTC) and strings. A column of nulls fits every type.

    Raises:
        HeadraceError: a column is missing, of another type, or a string is no date.
    """
    columns: dict[str, Any] = {}
    for item in inputs:
        if item.name not in table.column_names:
            received = ", ".join(table.column_names)
            raise HeadraceError(f"table: expected the column {item.name!r}. Received: {received}")
        column = table.column(item.name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        columns[item.name] = _KINDS[item.type](column, item) if not pa.types.is_null(column.type) else column
    return pa.table(columns)


def _number(column: Column, item: Input) -> Column:
    kind = column.type
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8()).cast(pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64(), safe=False)  # beyond 2^53 rounded, as in training
    raise _misfit(column, item, "numbers")


def _boolean(column: Column, item: Input) -> Column:
    values = _number(column, item)
    strange = pc.filter(values, pc.not_equal(pc.multiply(values, values), values))
    strange = strange.filter(pc.is_finite(strange))
    if len(strange):
        received = strange[0].as_py()
        raise HeadraceError(f"column {item.name!r}: expected true, false, 0 or 1. Received: {received}")
    return values


def _category(column: Column, item: Input) -> Column:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.string())
    raise _misfit(column, item, "strings")


def _date(column: Column, item: Input) -> Column:
    if pa.types.is_timestamp(column.type):  # without its zone it is the same moment in UTC
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
        column = column.cast(pa.int64()).cast(pa.timestamp("us"))
    elif not pa.types.is_date(column.type):
        column = _category(column, item)
    if pa.types.is_date64(column.type):
        column = column.cast(pa.date32())
    texts = column.cast(pa.string())
    fine = pc.match_substring_regex(pc.fill_null(texts, ""), f"^(?:{DATE_PATTERN})?$")
    strange = texts.filter(pc.invert(fine))
    if len(strange):
        expected = "dates such as 2024-03-01 or 2024-03-01T10:20:30Z, of the years 1 to 9999"
        raise HeadraceError(f"column {item.name!r}: expected {expected}. Received: {strange[0].as_py()!r}")
    return texts


_KINDS = {"number": _number, "boolean": _boolean, "category": _category, "date": _date, "text": _category}


def _misfit(column: Column, item: Input, expected: str) -> HeadraceError:
    expected = f"{expected} for a {item.type}"
    return HeadraceError(f"column {item.name!r}: expected {expected}. Received: {column.type}")


def _table(columns: Mapping[str, Any]) -> pa.Table:
    arrays: dict[str, Any] = {
        name: value if isinstance(value, pa.Array | pa.ChunkedArray) else pa.array(value, from_pandas=True)
        for name, value in columns.items()
    }
    return pa.table(arrays)
