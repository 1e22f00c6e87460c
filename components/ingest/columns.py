"""What holds for the columns of every source: names that can be served, values that are, and what numbers the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError

_TYPE_NAMES = {"double": "float64", "date32[day]": "date32"}  # Arrow prints these otherwise than it names them
_DENSE = 2.0  # what numbers rows has a range of at most this many times their number
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # of the years 1 to 9999
_A_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}  # nanoseconds do not reach beyond the years 1 to 9999
_UNSERVABLE = re.compile(r'["\\\x00-\x1f\x7f-\x9f]')


def check_names(names: Iterable[str], where: str) -> None:
    """Refuses names that a request to a server, a graph or a database could not spell or tell apart.

    Args:
        names: the columns' names.
        where: what the message begins with, e.g. the file.

    Raises:
        HeadraceError: a name is empty, or has a quote, a backslash or a control character in it, or two differ only
            by upper and lower case, which DuckDB and BigQuery take for one.
    """
    lowered: dict[str, str] = {}
    for name in names:
        if problem := name_problem(name):
            raise HeadraceError(f"{where}: {problem}")
        other = lowered.setdefault(name.lower(), name)
        if other != name:
            raise HeadraceError(
                f"{where}: expected column names that differ by more than upper and lower case. "
                f"Received: {other!r} and {name!r}; rename one of them in the source"
            )


def name_problem(name: str) -> str | None:
    """What is wrong with a column's name, and what to do; None where nothing is."""
    if not name.strip():
        return f"expected a name for every column. Received: {name!r}; name the column in the source"
    found = _UNSERVABLE.search(name)
    if found is None:
        return None
    what = {'"': "a double quote", "\\": "a backslash"}.get(found[0], "a control character")
    return (
        f"expected column names without double quotes, backslashes and control characters. "
        f"Received: {name!r} with {what}; rename the column in the source"
    )


def type_name(type: pa.DataType) -> str:
    """What Arrow calls a type."""
    return _TYPE_NAMES.get(str(type), str(type))


def finite_or_missing(batch: pa.RecordBatch, label: str) -> tuple[pa.RecordBatch, dict[str, dict[str, int]]]:
    """Makes every float that is not finite null, as a server cannot receive one; the label is left as it is.

    Returns:
        the batch, and for each column that had such values how many were "infinite" and how many "nan".
    """
    counts: dict[str, dict[str, int]] = {}
    columns = list(batch.columns)
    for position, (name, column) in enumerate(zip(batch.schema.names, batch.columns, strict=True)):
        if name == label or not pa.types.is_floating(column.type):
            continue
        finite = pc.is_finite(column)
        if pc.all(finite).as_py() is not False:
            continue
        infinite, nan = (int(pc.sum(mask).as_py() or 0) for mask in (pc.is_inf(column), pc.is_nan(column)))
        counts[name] = {kind: count for kind, count in (("infinite", infinite), ("nan", nan)) if count}
        columns[position] = pc.if_else(finite, column, pa.scalar(None, column.type))
    return (pa.record_batch(columns, schema=batch.schema) if counts else batch), counts


def within_calendar(column: pa.Array) -> tuple[pa.Array, int]:
    """Makes dates and times null that no calendar of Python or pandas has: infinite, or beyond the years 1 to 9999.

    Returns:
        the column, which may be of any type, and how many such values it had.
    """
    if pa.types.is_date32(column.type):
        numbers, a_day = column.cast(pa.int32()), 1
    elif pa.types.is_date64(column.type):
        numbers, a_day = column.cast(pa.int64()), _A_DAY["ms"]
    elif pa.types.is_timestamp(column.type) and column.type.unit in _A_DAY:
        numbers, a_day = column.cast(pa.int64()), _A_DAY[column.type.unit]
    else:
        return column, 0
    first, last = _FIRST_DAY * a_day, (_LAST_DAY + 1) * a_day - 1
    least, greatest = pc.min_max(numbers).as_py().values()
    if least is None or first <= least <= greatest <= last:
        return column, 0
    known = pc.and_(pc.greater_equal(numbers, first), pc.less_equal(numbers, last))
    return pc.if_else(known, column, pa.scalar(None, column.type)), int(pc.sum(pc.invert(known)).as_py())


def beyond_note(name: str, count: int) -> str:
    """What a person is told of a column with such values."""
    return f"`{name}`: {count:,} dates or times that are infinite or beyond the years 1 to 9999 count as missing"


def row_numbers(column: pa.ChunkedArray, rows: int) -> tuple[int, int] | None:
    """The least and the greatest of whole numbers that number `rows` rows: each another one, hardly one left out.

    None where the values are others.
    """
    if not len(column) or column.type != pa.int64() or column.null_count:
        return None
    low, high = pc.min_max(column).as_py().values()
    if high - low > _DENSE * rows or pc.count_distinct(column).as_py() < len(column):
        return None
    return low, high
