"""What holds for the columns of every source: names that can be served, and values that are numbers or missing."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError

_UNSERVABLE = re.compile(r'["\\\x00-\x1f\x7f-\x9f]')


def check_names(names: Iterable[str], where: str) -> None:
    """Refuses names that a request to a server, or a graph, could not spell as they are.

    Args:
        names: the columns' names.
        where: what the message begins with, e.g. the file.

    Raises:
        HeadraceError: a name is empty, or has a quote, a backslash or a control character in it.
    """
    for name in names:
        if problem := name_problem(name):
            raise HeadraceError(f"{where}: {problem}")


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


def finite_or_missing(table: pa.Table, label: str) -> tuple[pa.Table, list[str]]:
    """Makes every float that is not finite null, as a server cannot receive one; the label is left as it is.

    Returns:
        the table, and a note for each column that had infinite values (NaN is a way to write missing).
    """
    notes = []
    for position, name in enumerate(table.column_names):
        column = table[name]
        if name == label or not pa.types.is_floating(column.type):
            continue
        finite = pc.is_finite(column)
        if pc.all(finite).as_py() is not False:
            continue
        if infinite := pc.sum(pc.is_inf(column)).as_py():
            notes.append(f"`{name}`: {infinite:,} infinite values count as missing; a server cannot receive them")
        table = table.set_column(position, name, pc.if_else(finite, column, pa.scalar(None, column.type)))
    return table, notes
