"""From a source to a sealed snapshot: read, check, label, split, write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.fingerprint.files import source_files
from headrace.components.ingest.columns import finite_or_missing
from headrace.components.ingest.csv_source import read_csv
from headrace.components.ingest.infer import infer_types
from headrace.components.ingest.label import Labelled, make_label
from headrace.components.ingest.parquet_source import read_parquet
from headrace.components.ingest.spec import DataSpec
from headrace.components.ingest.split import split_rows
from headrace.trainer.expression import parse

TEXT_SUFFIXES = (".csv", ".tsv")
SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
FEWEST_ROWS = 50  # fewer leave no split that could be learned from or judged on
TYPE_NAMES = {"double": "float64", "date32[day]": "date32"}  # Arrow prints these otherwise than it names them


@dataclass(frozen=True)
class Ingested:
    """What ingestion found, beside the snapshot it wrote."""

    rows: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class Read:
    """All files of a source as one table, and what a reader should know about it."""

    table: pa.Table
    notes: list[str]
    left_out: list[str]  # columns whose types no snapshot has


def ingest(source: str, source_digest: str, task: str, data: DataSpec, output: Path) -> Ingested:
    """Reads the source and writes the snapshot to `output`.

    Args:
        source: the file, or a glob of files, as a path that can be opened from here.
        source_digest: digest of the source's content, recorded as the data's origin. The source must still have
            it when it has been read: caches go by it.
        task: `classification` or `regression`.
        data: the `data` section of the spec; its `source` is recorded, not read.
        output: where the snapshot's folder appears.

    Raises:
        HeadraceError: the source cannot be read, changed since it was fingerprinted, or cannot be learned from;
            nothing is written then.
    """
    read = read_source(source, data)
    check_unchanged(source, source_digest)
    table = read.table
    if table.num_rows < FEWEST_ROWS:
        raise HeadraceError(
            f"{source}: expected at least {FEWEST_ROWS} rows to split and learn from. Received: {table.num_rows}"
        )
    if data.id is not None:
        check_id(table, data.id, source)
    labelled = make_label(table, task, data, source)
    splits = split_rows(labelled.table, data.id, data.split)
    check_splits(splits, labelled, data)
    with write_dataset(output) as (files, details):
        for name, rows in splits.items():
            pq.write_table(rows.combine_chunks(), files[name], compression="zstd")
        # The path is where the source lay on one machine; its content is what makes the version.
        origin: dict[str, Any] = {"name": Path(data.source).name, "digest": source_digest}
        if read.left_out:
            origin["left_out"] = read.left_out
        details.update(describe(_info(labelled, task, data, splits, origin)))
    return Ingested({name: rows.num_rows for name, rows in splits.items()}, read.notes)


def check_unchanged(source: str, source_digest: str) -> None:
    """Refuses a source whose content is not what was fingerprinted: its snapshot would be cached under the other's."""
    digest = fingerprint(source)
    if digest != source_digest:
        raise HeadraceError(
            f"{source}: expected the source to stay as it was fingerprinted, {source_digest[:19]}. "
            f"Received: {digest[:19]}; run again"
        )


def _info(
    labelled: Labelled, task: str, data: DataSpec, splits: dict[str, pa.Table], origin: dict[str, Any]
) -> DatasetInfo:
    query: dict[str, Any] = data.model_dump(mode="json", exclude={"source"})
    return DatasetInfo(
        task=task,
        columns=[
            Column(field.name, TYPE_NAMES.get(str(field.type), str(field.type))) for field in labelled.table.schema
        ],
        label=data.label.name,
        rows={name: rows.num_rows for name, rows in splits.items()},
        classes=labelled.classes,
        positive=labelled.positive,
        id=data.id,
        leaks=labelled.leaks,
        source=origin,
        query=query,
    )


def find_files(source: str) -> list[Path]:
    """The files that a source names, sorted.

    Raises:
        HeadraceError: there is none, one is no regular file, or its format is not known.
    """
    files = source_files(source)
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise HeadraceError(
                f"{file}: expected a file named {', '.join(SUFFIXES)}. Received: {file.suffix or 'no suffix'}"
            )
    return files


def read_source(source: str, data: DataSpec) -> Read:
    """Reads all files of a source into one table.

    Raises:
        HeadraceError: a file cannot be read, the files do not fit each other, or a column that the data section
            names is of a type that cannot be learned from.
    """
    files = find_files(source)
    try:
        texts = [
            read_csv(file, data.null_values, data.separator) for file in files if file.suffix.lower() in TEXT_SUFFIXES
        ]
        parquet = [read_parquet(file) for file in files if file.suffix.lower() == ".parquet"]
    except (PermissionError, FileNotFoundError) as error:
        reason = "permission denied" if isinstance(error, PermissionError) else "none; it was there a moment ago"
        raise HeadraceError(f"{error.filename}: expected a file that can be read. Received: {reason}") from None
    left_out = {name: type for one in parquet for name, type in one.left_out.items()}
    check_left_out(left_out, data, source)
    tables = [one.table for one in parquet]
    notes = [note for one in parquet for note in one.notes]
    if texts:  # typed together, so that one file's types do not depend on its rows alone
        typed, typing_notes = infer_types(_concatenate(texts, source), data.decimal)
        tables.append(typed)
        notes += typing_notes
    table, infinite = finite_or_missing(_concatenate(tables, source), data.label.name)
    return Read(table, list(dict.fromkeys([*notes, *infinite])), list(left_out))


def check_left_out(left_out: dict[str, str], data: DataSpec, source: str) -> None:
    """Refuses a label or id among the columns that had to be left out, given with their types."""
    if not left_out:
        return
    text = data.label.expression
    named = [("data.id", data.id)] if data.id else []
    named += [("data.label", name) for name in ([data.label.name] if text is None else parse(text).columns())]
    for place, name in named:
        if name in left_out:
            raise HeadraceError(
                f"{source}: expected numbers, texts, truth values or dates in `{name}`, which {place} names. "
                f"Received: {left_out[name]}"
            )


def _concatenate(tables: list[pa.Table], source: str) -> pa.Table:
    names = tables[0].column_names
    for table in tables[1:]:
        if table.schema.names != names:
            difference = sorted(set(table.schema.names) ^ set(names)) or "the same columns in another order"
            raise HeadraceError(
                f"{source}: expected files with the same columns. Received: a difference in {difference}"
            )
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise HeadraceError(f"{source}: expected files with the same column types. Received: {error}") from None


def check_id(table: pa.Table, id: str, source: str) -> None:
    """Refuses an id that is absent, missing in a row, or not unique."""
    if id not in table.column_names:
        raise HeadraceError(
            f"{source}: expected the id column `{id}`. Received: columns {', '.join(table.column_names)}"
        )
    column = table[id]
    if column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise HeadraceError(
            f"{source}: expected an id in every row. Received: {column.null_count:,} rows without `{id}`, "
            f"first row {row + 1}"
        )
    counts = pc.value_counts(column)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        shown = ", ".join(repr(value) for value in twice.field("values")[:3].to_pylist())
        raise HeadraceError(
            f"{source}: expected every `{id}` once. Received: {len(twice):,} ids more than once, such as {shown}"
        )


def check_splits(splits: dict[str, pa.Table], labelled: Labelled, data: DataSpec) -> None:
    """Refuses a split that is empty, or from which a class is absent."""
    for name, rows in splits.items():
        if rows.num_rows == 0:
            raise HeadraceError(
                f"data.split: expected rows in every split. Received: none in {name}; use more rows or a larger share"
            )
        if labelled.classes is None:
            continue
        absent = set(labelled.classes) - set(pc.unique(rows[data.label.name]).to_pylist())
        if absent:
            shown = ", ".join(map(repr, sorted(absent)[:3]))
            raise HeadraceError(
                f"data.label `{data.label.name}`: expected every class in every split. "
                f"Received: no row of {shown} in {name}; such a class is too rare to learn or to judge: "
                "merge it, or use more rows"
            )
