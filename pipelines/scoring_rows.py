"""Rows that are to be scored get the columns that rows were learned from: what is joined to them, and aggregates."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import absolute
from headrace.components.ingest.aggregate import aggregate_sources
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.ingest import read_table
from headrace.components.ingest.join import join_sources
from headrace.components.ingest.rows import Tally, typed_rows
from headrace.components.ingest.spec import DataSpec
from headrace.components.ingest.table import Table
from headrace.pipelines.check import joins_resolved
from headrace.pipelines.check_aggregates import aggregates_resolved
from headrace.pipelines.spec import Spec, load_spec


def complete_rows(spec_file: Path, rows: str, output: Path, at: datetime | None = None) -> tuple[int, list[str]]:
    """Writes rows with the columns that the spec joins and aggregates, in their order; memory stays bounded.

    Args:
        spec_file: the spec.
        rows: a file, a glob or a URL; without a label.
        output: a `.csv` or `.parquet` file, there at once or not at all.
        at: the moment before which child rows count, instead of the sections' own `as_of` and `at`; UTC.

    Returns:
        how many rows there are, and what a person should know.

    Raises:
        HeadraceError: the spec joins and aggregates nothing, or the rows do not fit it.
    """
    spec = load_spec(spec_file)
    if not (spec.data.join or spec.features.aggregate):
        raise HeadraceError(
            f"{spec_file}: expected data.join or features.aggregate. Received: neither; rows are complete"
        )
    if output.suffix not in (".csv", ".parquet"):
        raise HeadraceError(
            f"{output}: expected a file named .csv or .parquet. Received: {output.suffix or 'no suffix'}"
        )
    data = joins_resolved(spec, spec_file).model_copy(update={"format": None, "query": None})
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.absolute().parent) as folder:
        scratch = Path(folder)
        source = absolute(rows, Path.cwd())
        table, tally = read_table([source], data), Tally(rows, 0)
        notes: list[str] = []
        if data.join:
            table, notes = join_sources(table, data, scratch, tally)
        if spec.features.aggregate:
            sections = _for_scoring(spec, spec_file, at)
            table, more = aggregate_sources(table, data, sections, scratch, tally)
            notes += more
        count = _write(table, tally, scratch / f"rows{output.suffix}")
        (scratch / f"rows{output.suffix}").replace(output)
    return count, notes + tally.notes()


def _for_scoring(spec: Spec, spec_file: Path, at: datetime | None) -> dict[str, Aggregate]:
    """The sections; the past of rows that are scored is not among them, but where the data came from."""
    sections = aggregates_resolved(spec, spec_file)
    for name, section in sections.items():
        change: dict[str, Any] = {}
        if section.source is None:
            change = _own_rows(spec.data, spec_file, section)
        if at is not None:
            change |= {"at": at, "as_of": None}
        sections[name] = section.model_copy(update=change)
    return sections


def _own_rows(data: DataSpec, spec_file: Path, section: Aggregate) -> dict[str, Any]:
    if len(data.sources) > 1 or data.join:
        raise HeadraceError(
            "expected one source without data.join, where aggregates are of the data's own rows. Received: "
            f"{len(data.sources)} sources, {len(data.join)} joins"
        )
    return {
        "source": absolute(data.sources[0], spec_file.resolve().parent),
        "format": data.format,
        "query": data.query,
        "types": data.types,
        "as_of": section.moment_column,
    }


def _write(table: Table, tally: Tally, file: Path) -> int:
    settled = table if table.settled else table.settle()
    count = 0
    with _writer(file, settled.schema) as writer:
        for kept in typed_rows(settled, tally):
            writer.write_batch(kept.batch)
            count += kept.batch.num_rows
    return count


def _writer(file: Path, schema: pa.Schema) -> Any:
    if file.suffix == ".parquet":
        return pq.ParquetWriter(file, schema, compression="zstd")
    return pa_csv.CSVWriter(file, schema)
