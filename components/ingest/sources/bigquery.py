"""Rows of a BigQuery table, or of a query there, as a stream of Arrow batches.

With `data.staging` BigQuery exports them itself, as Parquet into a bucket, whence they are read: quick for any size.
Without, they come in pages of its REST API, some megabytes a second, and are kept in a local file for further passes.
(Its Storage API would be quicker, but gives rows in another order each time, or is as slow.)
"""

from __future__ import annotations

import contextlib
import uuid
import weakref
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import scheme_of
from headrace.components.ingest.opened import ROWS, Opened
from headrace.components.ingest.sources.bigquery_tables import (
    DATED,
    Asked,
    Columns,
    asked,
    columns_of,
    connect,
    failures,
    query_config,
    retrying,
    run_query,
)
from headrace.components.ingest.sources.spool import Spool

if TYPE_CHECKING:
    from headrace.components.ingest.spec import DataSpec

PAGE_ROWS = 20_000  # the server ends a page earlier, at 10 MB


def open_bigquery(source: str, data: DataSpec, rows: int | None = None) -> Opened:
    """Opens `bigquery://project.dataset.table`, or `bigquery://project` with `data.query`.

    With `rows`, no more than the first so many rows of a table are given, and of a query, which would have to be paid
    for, only the columns.

    Raises:
        HeadraceError: no such table, no permission, a query that BigQuery refuses or that would be billed for more than
            the spec allows, or no connection.
    """
    what = asked(source, data.model_dump(mode="json"))
    client = connect(what)
    if rows is not None:
        return _look(client, what, rows)
    with failures(what):
        table, columns, notes = _answer(client, what)
    notes += columns.notes
    if data.staging is not None:
        files = _export(client, what, table, columns.schema, data.staging)
        notes.append(
            f"BigQuery exported {len(files.paths):,} files to {data.staging}; they are deleted after the reading"
        )
        return Opened(what.name, columns.schema, files.batches, text=False, notes=notes, left_out=columns.left_out)

    def pages() -> Generator[pa.RecordBatch, None, None]:
        with failures(what):
            rows = client.list_rows(table, selected_fields=columns.fields, page_size=PAGE_ROWS, retry=retrying())
            for batch in rows.to_arrow_iterable():
                yield batch.cast(columns.schema)

    spool = Spool(columns.schema, pages)
    return Opened(what.name, columns.schema, spool.batches, text=False, notes=notes, left_out=columns.left_out)


def _answer(client: Any, what: Asked) -> tuple[Any, Columns, list[str]]:
    """The table that holds the rows (of a query a temporary one), its columns, and what it cost."""
    if what.table:
        table = client.get_table(what.table, retry=retrying())
        if table.table_type in DATED:
            note = f"BigQuery's table has {table.num_rows:,} rows and {_size(table.num_bytes)}"
            return table.reference, columns_of(table.schema, what.name), [note]
    query = what.query or f"SELECT * FROM `{what.table}`"
    dry = client.query(query, job_config=query_config(what, dry_run=True), retry=retrying(), job_retry=None)
    notes = [f"the query reads {_size(dry.total_bytes_processed)}, which BigQuery bills"]
    job, answer = run_query(client, what, query)
    return job.destination, columns_of(answer.schema, what.name), notes


def _size(count: int | None) -> str:
    """Bytes as a person reads them.

    >>> _size(1_500_000), _size(12)
    ('1.5 MB', '12 bytes')
    """
    for unit, name in ((10**12, "TB"), (10**9, "GB"), (10**6, "MB")):
        if count and count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count or 0:,} bytes"


def _look(client: Any, what: Asked, rows: int) -> Opened:
    with failures(what):
        table = client.get_table(what.table, retry=retrying()) if what.table else None
        if table is not None and table.table_type in DATED:
            columns = columns_of(table.schema, what.name)
            found = client.list_rows(
                table.reference, selected_fields=columns.fields, max_results=rows, retry=retrying()
            )
            batches = [batch.cast(columns.schema) for batch in found.to_arrow_iterable()]
        else:
            query = what.query or f"SELECT * FROM `{what.table}`"
            dry = client.query(query, job_config=query_config(what, dry_run=True), retry=retrying(), job_retry=None)
            columns = columns_of(dry.schema, what.name)
            batches = [pa.RecordBatch.from_pylist([], schema=columns.schema)]
    return Opened(
        what.name, columns.schema, lambda: iter(batches), text=False, notes=columns.notes, left_out=columns.left_out
    )


def _export(client: Any, what: Asked, table: Any, schema: pa.Schema, staging: str) -> _StagedFiles:
    """Lets BigQuery write the table to a bucket as Parquet."""
    from google.cloud import bigquery

    if scheme_of(staging) != "gs":
        raise HeadraceError(f"data.staging: expected gs://bucket/prefix. Received: {staging}")
    folder = f"{staging.rstrip('/')}/headrace-{uuid.uuid4().hex}"
    config = bigquery.ExtractJobConfig(destination_format="PARQUET", compression="ZSTD")  # type: ignore[no-untyped-call]
    with failures(what):
        client.extract_table(table, f"{folder}/part-*.parquet", job_config=config, retry=retrying()).result()
    return _StagedFiles(folder, schema)


class _StagedFiles:
    """The Parquet files of an export, deleted with the object."""

    def __init__(self, folder: str, schema: pa.Schema) -> None:
        from headrace.components.fingerprint.remote import remote_tree

        self._schema = schema
        self._finalizer = weakref.finalize(self, _delete, folder)
        self.paths = [file for _, file in remote_tree(folder)]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, file by file, in bounded memory."""
        import pyarrow.parquet as pq

        for file in self.paths:
            with contextlib.closing(file.open()) as stream, pq.ParquetFile(stream) as parquet:
                for batch in parquet.iter_batches(batch_size=ROWS, columns=self._schema.names):
                    yield batch.select(self._schema.names).cast(self._schema)


def _delete(folder: str) -> None:
    """Deletes an export. Where that is not allowed, the bucket's own rules for old objects have to."""
    import fsspec

    files, path = fsspec.core.url_to_fs(folder)
    with contextlib.suppress(OSError):
        files.rm(path, recursive=True)
