"""What a spec says as `data.query`: a whole query, or only the name of a table."""

from __future__ import annotations

import re

from headrace.artifacts.errors import HeadraceError

_TABLE = re.compile(r"""^(?:[A-Za-z_][\w$]*|"[^"]+")(?:\.(?:[A-Za-z_][\w$]*|"[^"]+"))*$""")


def as_query(text: str | None, where: str, tables: str = "") -> str:
    """The query to run: a table's name becomes one for all its rows, and a final semicolon is dropped.

    Args:
        text: what the spec says.
        where: the source, for the message.
        tables: the tables there are, as the end of the message.

    Raises:
        HeadraceError: there is none.

    >>> as_query("churn.subscribers", "x"), as_query("SELECT 1 AS a ;", "x")
    ('SELECT * FROM churn.subscribers', 'SELECT 1 AS a')
    """
    query = (text or "").rstrip().rstrip(";").rstrip()  # its start is left, because a server's message counts from it
    if not query:
        raise HeadraceError(f"{where}: expected a query or a table's name as data.query. Received: none{tables}")
    return f"SELECT * FROM {query.strip()}" if _TABLE.match(query.strip()) else query


def around(query: str) -> str:
    """The query in parentheses, on lines of its own, so that a comment at its end closes nothing."""
    return f"(\n{query}\n)"


def quoted(name: str) -> str:
    """A column's name as SQL writes it whatever is in it.

    >>> quoted('a "b"')
    '"a ""b\"""'
    """
    return '"' + name.replace('"', '""') + '"'
