"""What can be known of the id and the split before a run: ids that repeat, columns that no split can go by."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.errors import HeadraceError, row_count
from headrace.components.ingest.split import splitter
from headrace.pipelines.head import Head
from headrace.pipelines.spec import Spec
from headrace.pipelines.yaml_lines import Place


def row_mistakes(spec: Spec, rows: pa.Table, head: Head) -> list[tuple[Place, str]]:
    """What ingestion would refuse, as far as the first rows tell; each with its place in the spec.

    Args:
        spec: the whole.
        rows: the first of the source, with what is aggregated and joined.
        head: what is known of them.
    """
    if spec.of_images:
        return []
    found: list[tuple[Place, str]] = []
    if spec.data.id in rows.column_names and head.all_stay(spec.data, [str(spec.data.id)]):
        wrong = id_mistake(str(spec.data.id), rows[spec.data.id])
        found += [(("data", "id"), wrong)] if wrong else []
    column = spec.data.split.column or spec.data.label.name
    if spec.data.split.by != "hash" and column in rows.column_names:
        wrong = _split(spec, rows, head.all_stay(spec.data, [column]))
        found += [(("data", "split", "column"), wrong)] if wrong else []
    return found


def id_mistake(name: str, column: pa.ChunkedArray) -> str | None:
    """Why a column does not identify its rows; None where it does."""
    if column.null_count:
        return (
            f"expected an id in every row. Received: {row_count(column.null_count)} without `{name}`, "
            f"first row {pc.index(pc.is_null(column), True).as_py() + 1}"
        )
    counts = pc.value_counts(column.combine_chunks())
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if not len(twice):
        return None
    return f"expected every `{name}` once. Received: {len(twice):,} ids more than once, such as {twice[0].as_py()!r}"


def _split(spec: Spec, rows: pa.Table, known: bool) -> str | None:
    """What the splitting itself says of the column's type and, where they are known, of its values."""
    with TemporaryDirectory() as scratch:
        try:
            made = splitter(spec.data.split, spec.data.id, spec.data.label.name, rows.schema, Path(scratch))
            for batch in rows.to_batches() if known else ():
                (made.observe or made.assign)(batch, np.zeros(batch.num_rows, np.uint64))
        except HeadraceError as error:
            return str(error).partition(": ")[2]
    return None
