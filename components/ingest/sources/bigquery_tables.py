"""BigQuery's client, what a source names there, and what tells whether that has changed.

Credentials are the machine's Application Default Credentials; with `BIGQUERY_EMULATOR_HOST`, the client's own
variable for a server in its place, there are none.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import public, redact, resolve
from headrace.components.ingest.sources.bigquery_views import Unfollowable, views_of
from headrace.components.ingest.sources.query import as_query

if TYPE_CHECKING:
    import pyarrow as pa
    from google.cloud import bigquery

_NAME = re.compile(r"^(?P<project>[^./]+(?::[^./]+)?)(?:[./](?P<dataset>[^./]+)[./](?P<table>[^./]+))?/?$")
RETRY_SECONDS = 60.0
_MOST_REFERENCED = 50  # tables that BigQuery lists of a query; of more, some are left out
# Tables whose time of change BigQuery keeps.
DATED = ("TABLE", "SNAPSHOT", "CLONE")
_TODAY = re.compile(r"\b(CURRENT_(DATE|TIME|DATETIME|TIMESTAMP)|RAND|GENERATE_UUID|SESSION_USER)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """A table, or a query, of a project."""

    source: str  # as the spec has it
    project: str
    table: str | None  # project.dataset.table
    query: str | None
    location: str | None = None
    maximum_bytes_billed: int | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return public(self.source)


def asked(source: str, settings: Mapping[str, Any]) -> Asked:
    """What a source names: `bigquery://project.dataset.table`, or `bigquery://project` with `data.query`.

    Args:
        source: the URL.
        settings: the `data` section as plain values.

    Raises:
        HeadraceError: neither of both, or both.
    """
    found = _NAME.match(resolve(source).partition("://")[2])
    if found is None:
        raise HeadraceError(
            f"{public(source)}: expected bigquery://project.dataset.table, or bigquery://project with data.query. "
            f"Received: {public(source)}"
        )
    table = ".".join(found.group("project", "dataset", "table")) if found["table"] else None
    query = settings.get("query") or None
    if table and query:
        raise HeadraceError(f"{public(source)}: expected a table or data.query. Received: both; leave one out")
    more = settings.get("bigquery") or {}
    return Asked(
        source,
        found["project"],
        table,
        None if table else as_query(query, public(source)),
        more.get("location"),
        more.get("maximum_bytes_billed"),
    )


def connect(what: Asked) -> bigquery.Client:
    """A client for the project; nothing is sent yet.

    Raises:
        HeadraceError: there are no credentials.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    credentials = AnonymousCredentials() if os.environ.get("BIGQUERY_EMULATOR_HOST") else None  # type: ignore[no-untyped-call]
    with failures(what):
        return bigquery.Client(project=what.project, credentials=credentials, location=what.location)


def query_config(what: Asked, *, dry_run: bool) -> Any:
    """How a query is run: for no more bytes than the spec allows."""
    from google.cloud import bigquery

    config = bigquery.QueryJobConfig(dry_run=dry_run, use_query_cache=not dry_run)
    if what.maximum_bytes_billed is not None and not dry_run:  # the client would send None as the text "None"
        config.maximum_bytes_billed = what.maximum_bytes_billed
    return config


def content_digest(source: str, settings: Mapping[str, Any]) -> Any:
    """What names the content of a table or a query's result, as plain values, without reading any rows where possible.

    A table is named by its schema, rows, bytes and time of change; a query by its text, the tables that it reads,
    which a dry run tells without charge, and the text of the views between. With `CURRENT_DATE` and its like in one of
    these texts, the day (UTC) belongs to it. Where the query reads what BigQuery has no time of change for (external
    tables, such as files in a bucket), or calls functions that are not BigQuery's own, it is run, and its rows are
    digested.

    Raises:
        HeadraceError: no such table, no permission, a query that BigQuery refuses, or no connection.
    """
    from google.api_core.exceptions import Forbidden

    what = asked(source, settings)
    client = connect(what)
    with failures(what):
        if what.table:
            table = client.get_table(what.table, retry=retrying())
            if table.table_type in DATED:
                return _describe(table)
            return _content(client, what, f"SELECT * FROM `{what.table}`")
        query = what.query or ""
        job = client.query(query, job_config=query_config(what, dry_run=True), retry=retrying(), job_retry=None)
        try:
            tables = [client.get_table(one, retry=retrying()) for one in job.referenced_tables]
            views = views_of(client, what.project, query, retrying())
        except (Unfollowable, Forbidden):  # who may ask a view need not be allowed to look at the tables below it
            return _content(client, what, query)
    if len(tables) >= _MOST_REFERENCED or any(table.table_type not in (*DATED, "VIEW") for table in tables):
        return _content(client, what, query)
    today = any(_TODAY.search(text) for text in (query, *views.values()))
    day = datetime.datetime.now(datetime.UTC).date().isoformat() if today else None
    return [query, day, sorted(_describe(table) for table in tables), sorted(views.items())]


def _describe(table: Any) -> list[Any]:
    buffer = table.streaming_buffer  # rows that were inserted a moment ago, and count nowhere else yet
    return [
        table.full_table_id or table.table_id,
        table.modified.isoformat() if table.modified else None,
        table.num_rows,
        table.num_bytes,
        buffer.estimated_rows if buffer else None,
        [[field.name, field.field_type, field.mode] for field in table.schema],
    ]


def _content(client: bigquery.Client, what: Asked, query: str) -> list[Any]:
    """The number of rows and the sum of their fingerprints, which BigQuery computes: the query is run, and paid for."""
    rows = f"SELECT TO_JSON_STRING(headrace_row) AS row FROM (\n{query}\n) AS headrace_row"
    sums = f"SELECT COUNT(*), BIT_XOR(FARM_FINGERPRINT(row)), SUM(CAST(FARM_FINGERPRINT(row) AS NUMERIC)) FROM ({rows})"
    with failures(what):
        found = list(client.query(sums, job_config=query_config(what, dry_run=False), retry=retrying()).result())
    return [query, *map(str, found[0].values())]


def run_query(client: bigquery.Client, what: Asked, query: str) -> tuple[Any, Any]:
    """Runs a query to its end: its job, and its rows, which are not fetched yet."""
    job = client.query(query, job_config=query_config(what, dry_run=False), retry=retrying())
    return job, job.result(retry=retrying(), max_results=1)


@dataclass(frozen=True)
class Columns:
    """What becomes of a table's columns."""

    fields: list[Any]  # BigQuery's own description of those that are fetched
    schema: pa.Schema  # what they become
    left_out: dict[str, str]
    notes: list[str]


def columns_of(fields: Any, where: str) -> Columns:
    """The columns that a snapshot can hold, of BigQuery's description of all.

    Raises:
        HeadraceError: there is none.
    """
    import pyarrow as pa

    types = {
        pa.bool_(): ("BOOL", "BOOLEAN"),
        pa.int64(): ("INT64", "INTEGER"),
        pa.float64(): ("FLOAT64", "FLOAT", "NUMERIC", "BIGNUMERIC"),
        pa.string(): ("STRING", "GEOGRAPHY"),
        pa.date32(): ("DATE",),
        pa.timestamp("us"): ("DATETIME", "TIMESTAMP"),
    }
    arrow = {name: type for type, names in types.items() for name in names}
    kept, left_out = [], {}
    for one in fields:
        if one.field_type in arrow and one.mode != "REPEATED":
            kept.append(one)
        else:
            left_out[one.name] = "ARRAY" if one.mode == "REPEATED" else one.field_type
    if not kept:
        raise HeadraceError(
            f"{where}: expected columns of numbers, texts, truth values or dates. Received: {left_out or 'none'}"
        )
    notes = [
        f"`{name}` is left out: it has no numbers, texts, truth values or dates, but {kind}"
        + ("; select its fields in data.query" if kind in ("JSON", "RECORD", "STRUCT") else "")
        for name, kind in left_out.items()
    ]
    return Columns(kept, pa.schema([(one.name, arrow[one.field_type]) for one in kept]), left_out, notes)


def retrying() -> Any:
    """The client's own rule of what to try again, but not for ten minutes."""
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(RETRY_SECONDS)


@contextlib.contextmanager
def failures(what: Asked) -> Iterator[None]:
    """Turns what the client and the server report into one message."""
    from google.api_core.exceptions import Forbidden, GoogleAPICallError, NotFound, RetryError, ServerError
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except NotFound as error:
        raise HeadraceError(f"{what.name}: expected a table. Received: {_said(error, what)}") from None
    except Forbidden as error:
        raise HeadraceError(f"{what.name}: expected permission. Received: {_said(error, what)}") from None
    except GoogleAuthError as error:
        raise HeadraceError(
            f"{what.name}: expected credentials. Received: {_said(error, what)}; "
            "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS"
        ) from None
    except ServerError as error:
        raise HeadraceError(f"{what.name}: expected BigQuery to answer. Received: {_said(error, what)}") from None
    except GoogleAPICallError as error:
        raise HeadraceError(
            f"{what.name}: expected a query that BigQuery can run. Received: {_said(error, what)}"
        ) from None
    except (RequestException, RetryError, OSError) as error:
        raise HeadraceError(f"{what.name}: expected a connection. Received: {_said(error, what)}") from None


def _said(error: BaseException, what: Asked) -> str:
    error = getattr(error, "cause", None) or error  # what was tried again until the time was up
    text = getattr(error, "message", None) or str(error)
    return " ".join(redact(text, what.source).split())[:400] or type(error).__name__
