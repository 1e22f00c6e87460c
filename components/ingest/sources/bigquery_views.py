"""The views that a query of BigQuery names, and how they are defined.

BigQuery tells of a query the tables that it reads, which are those below a view, and nothing of the view itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.cloud import bigquery

_PART = r"(?:`[^`]+`|[A-Za-z_]\w*(?:-\w+)*)"
_TOKEN = re.compile(
    r"(?P<left_out>--[^\n]*|\#[^\n]*|/\*.*?\*/"
    r"|'''(?:\\.|.)*?'''|\"\"\"(?:\\.|.)*?\"\"\"|'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\")"
    rf"|(?P<path>{_PART}(?:\s*\.\s*(?:`[^`]+`|[\w*-]+))*)(?P<call>\s*\()?|(?P<sign>[(),])",
    re.DOTALL,
)
_ENDS_FROM = (  # ON and USING do not: a comma and another table may follow
    *("SELECT", "WHERE", "GROUP", "HAVING", "QUALIFY", "WINDOW"),
    *("ORDER", "LIMIT", "UNION", "INTERSECT", "EXCEPT", "WITH"),
)
_BUILT_IN = ("SAFE", "NET", "KEYS", "AEAD", "HLL_COUNT", "KLL_QUANTILES")  # what BigQuery's functions begin with
_MOST = 100  # views


class Unfollowable(Exception):
    """What a query reads cannot be told from its text: functions, models, the catalogue, or views in legacy SQL."""


def views_of(client: bigquery.Client, project: str, query: str, retry: Any) -> dict[str, str]:
    """The views that a query names, and those that they name.

    Args:
        client: asked about each name once; a query has few.
        project: of names that lack one.
        query: in GoogleSQL.
        retry: the client's rule of what to try again.

    Returns:
        project.dataset.view -> its own query.

    Raises:
        Unfollowable: see there; also where the machine may not look at what is named.
    """
    from google.api_core.exceptions import BadRequest, Forbidden, NotFound

    found: dict[str, str] = {}
    waiting, seen = list(_names(project, query)), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if len(seen) > _MOST:
            raise Unfollowable(query)
        try:
            table = client.get_table(name, retry=retry)
        except NotFound:  # a column, as in EXTRACT(DAY FROM a.b), or what WITH has named
            continue
        except (BadRequest, Forbidden, ValueError):
            raise Unfollowable(name) from None
        if table.table_type not in ("VIEW", "MATERIALIZED_VIEW"):
            continue  # what changes there, BigQuery tells
        text = table.view_query if table.table_type == "VIEW" else table.mview_query
        if text is None or (table.table_type == "VIEW" and table.view_use_legacy_sql):
            raise Unfollowable(name)
        found[name] = text
        waiting += _names(table.project, text)
    return found


def _names(project: str, query: str) -> Iterator[str]:
    for name in named(query):
        yield name if name.count(".") > 1 else f"{project}.{name}"


def named(query: str) -> list[str]:
    """What a query names, with its dataset, where tables may stand.

    Raises:
        Unfollowable: it calls functions that are not BigQuery's own, asks models, or reads the catalogue.

    >>> named("SELECT x.a FROM d.v AS x, `p-1.d.w` JOIN (SELECT 1 FROM `p`.d.u) USING (a) -- d.z")
    ['d.v', 'p-1.d.w', 'p.d.u']
    """
    found: list[str] = []
    outer: list[bool] = []  # of each bracket that is open: whether it stands in a FROM
    in_from = wanted = False
    for token in _TOKEN.finditer(query):
        if token["left_out"]:
            continue
        path = re.sub(r"[`\s]", "", token["path"] or "")
        if "." in path:
            _require_known(path, bool(token["call"]))
        if "." in path and wanted:
            found.append(path)
        if path:
            word = path.upper()
            wanted = word in ("FROM", "JOIN")
            in_from = wanted or (in_from and word not in _ENDS_FROM)
        if token["sign"] == "(" or token["call"]:
            outer.append(in_from)
            in_from = False
        elif token["sign"] == ")":
            in_from, wanted = outer.pop() if outer else False, False
        elif token["sign"] == ",":
            wanted = in_from
    return found


def _require_known(path: str, called: bool) -> None:
    if (called and path.partition(".")[0].upper() not in _BUILT_IN) or "INFORMATION_SCHEMA" in path.upper():
        raise Unfollowable(path)
