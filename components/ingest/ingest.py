"""From sources to a sealed snapshot: read, check, label, split, write; in one pass, and in bounded memory."""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.fingerprint.url import public
from headrace.components.ingest.aggregate import aggregate_sources
from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.ingest.columns import type_name
from headrace.components.ingest.extend import Extension, extend
from headrace.components.ingest.ids import Ids
from headrace.components.ingest.join import join_sources
from headrace.components.ingest.label import Labelled, Labeller
from headrace.components.ingest.open import open_sources
from headrace.components.ingest.patterns import MOST
from headrace.components.ingest.rows import Preparation, Tally, Typing, newest, prepared
from headrace.components.ingest.spec import DataSpec
from headrace.components.ingest.split import Splitter, splitter
from headrace.components.ingest.table import Table, Wrong, open_table
from headrace.components.ingest.text_notes import text_note
from headrace.components.ingest.write import SplitWriter, split_writer
from headrace.trainer.expressions.expression import parse

FEWEST_ROWS = 50  # fewer leave no split that could be learned from or judged on


@dataclass(frozen=True)
class Ingested:
    """What ingestion found, beside the snapshot it wrote."""

    rows: dict[str, int]
    notes: list[str]


@dataclass
class Written:
    """What one pass wrote, and what it saw."""

    tally: Tally
    schema: pa.Schema | None = None
    labelled: Labelled | None = None
    rows: dict[str, int] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=lambda: {split: set() for split in SPLITS})
    newest: Any = None
    pointed: list[str] = field(default_factory=list)  # numbers with a point all the same, with `decimal: ","`


def ingest(
    source: str | Sequence[str],
    source_digest: str,
    task: str,
    data: DataSpec,
    output: Path,
    previous: Path | None = None,
    aggregates: Mapping[str, Aggregate] | None = None,
) -> Ingested:
    """Reads the sources and writes the snapshot to `output`.

    Args:
        source: a file, a glob or a URL, or several, as they can be opened from here.
        source_digest: digest of the sources' content, recorded as the data's origin. The sources must still have
            it when they have been read: caches go by it.
        task: `classification` or `regression`.
        data: the `data` section of the spec; its `source` is recorded, not read.
        output: where the snapshot's folder appears.
        previous: the snapshot that `data.watermark` adds to; None where there is none yet.
        aggregates: the section `features.aggregate`, with sources as they can be opened from here.

    Raises:
        HeadraceError: a source cannot be read, changed since it was fingerprinted, or cannot be learned from;
            nothing is written then.
    """
    sources = [source] if isinstance(source, str) else list(source)
    with _scratch(output) as scratch, write_dataset(output) as (files, details):
        table = read_table(sources, data)
        check_left_out(left_out(table), data, table.name)
        notes, opened = source_notes(table), table.opened
        excluded = left_out(table)
        tally = Tally(table.name, data.rejects.at_most)
        for one in opened:
            tally.coerce(one.coerced)
        if data.join:
            table, join_notes = join_sources(table, data, scratch, tally)
            notes += join_notes
        if aggregates:
            table, aggregate_notes = aggregate_sources(table, data, aggregates, scratch, tally)
            notes += aggregate_notes
        check_declared(data, table)
        extension = extend(table, task, data, previous, scratch, tally) if data.watermark else None
        if extension:
            notes += extension.notes
            written = _pass(extension.table, task, extension.data, files, scratch / "extended", tally)
        else:
            written = _write(table, task, data, files, scratch, tally)
        check_unchanged(sources, source_digest, data, aggregates)
        notes += [note for one in opened for note in one.notes]  # a database shows some when all rows were read
        notes += [*_text_notes(written.tally, files, data.decimal), *written.tally.notes()]
        origin = {"name": origin_name(data), "digest": source_digest} | (
            {"left_out": list(excluded)} if excluded else {}
        )
        details.update(describe(_info(written, task, data, origin, extension, aggregates)))
    return Ingested(written.rows, list(dict.fromkeys(notes)))


@contextlib.contextmanager
def _scratch(output: Path) -> Iterator[Path]:
    """A folder for what does not fit into memory, on the disk that the snapshot goes to: /tmp may be memory."""
    parent = output.parent if output.parent.is_dir() else None
    with tempfile.TemporaryDirectory(prefix=f".{output.name}-scratch-", dir=parent) as folder:
        yield Path(folder)


def read_table(sources: Sequence[str], data: DataSpec, rows: int | None = None) -> Table:
    """Opens sources as one table, whose columns' types are guessed where they are text."""
    return open_table(shown_sources(sources), open_sources(sources, data, rows), data)


def shown_sources(sources: Sequence[str]) -> str:
    """How messages name the sources: without secrets."""
    return public(sources[0]) + (f" and {len(sources) - 1} more" if len(sources) > 1 else "")


def origin_name(data: DataSpec) -> str | list[str]:
    """What is recorded of where data came from: names, because paths are where it lay on one machine."""
    names = [PurePosixPath(public(source)).name for source in data.sources]
    return names[0] if isinstance(data.source, str) else names


def left_out(table: Table) -> dict[str, str]:
    """The columns that a snapshot cannot have, with their types."""
    found: dict[str, str] = {}
    for one, targets in zip(table.opened, table.targets, strict=True):
        found |= one.left_out | (targets.left_out if targets else {})
    return found


def source_notes(table: Table) -> list[str]:
    """What the sources themselves show, and which columns some of them lack."""
    notes = [note for one in table.opened for note in one.notes]
    notes += [note for targets in table.targets if targets for note in targets.notes]
    for name in table.schema.names:
        lacking = [PurePosixPath(one.name).name for one in table.opened if name not in one.schema.names]
        if lacking:
            more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
            notes.append(f"`{name}` is missing in all rows of {lacking[0]}{more}, which has no such column")
    return notes


def check_unchanged(
    sources: Sequence[str], source_digest: str, data: DataSpec, aggregates: Mapping[str, Aggregate] | None = None
) -> None:
    """Refuses a source whose content is not what was fingerprinted: its snapshot would be cached under the other's."""
    digest = fingerprint(list(sources), data.model_dump(mode="json"), _plain(aggregates))
    if digest != source_digest:
        raise HeadraceError(
            f"{shown_sources(sources)}: expected the source to stay as it was fingerprinted, {source_digest[:19]}. "
            f"Received: {digest[:19]}; run again"
        )


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


def check_declared(data: DataSpec, table: Table) -> None:
    """Refuses a type for a column that is not there, which is probably misspelt."""
    for name in data.types:
        if name not in table.schema.names:
            raise HeadraceError(
                f"data.types: expected columns of the source. Received: `{name}`; "
                f"{nearest_column(name, table.schema.names)}"
            )


def _write(table: Table, task: str, data: DataSpec, files: dict[str, Path], scratch: Path, tally: Tally) -> Written:
    try:
        return _pass(table, task, data, files, scratch / "guessed", tally)
    except Wrong:
        return _pass(table.settle(), task, data, files, scratch / "settled", tally)


def _pass(table: Table, task: str, data: DataSpec, files: dict[str, Path], scratch: Path, tally: Tally) -> Written:
    """Reads all rows once, and writes them; `tally` is what was counted before."""
    scratch.mkdir()
    typer = table.typer()
    ids = Ids(data.id, typer.schema, table.name, scratch) if data.id is not None else None
    labeller = Labeller(typer.schema, task, data, table.name)
    way = splitter(data.splitting, data.id, data.label.name, labeller.schema, scratch)
    preparation = Preparation(Typing(table, typer), labeller, data.label.name, way.columns)
    written = Written(copy.deepcopy(tally), labeller.schema)
    if data.decimal == ",":
        written.pointed = [name for name, kind in typer.kinds.items() if kind == "number" and name not in data.types]
    with split_writer(files, labeller.schema) as writer:
        spool = _Spool(scratch / "rows.arrow", labeller.schema) if way.observe else None
        for ready in prepared(preparation, written.tally):
            batch = ready.labelled.batch
            if ids is not None:
                ids.add(batch, ready.hashes, ready.kept.rows)
            _see(written, batch, data)
            if way.observe is None or spool is None:
                _put(written, writer, way, batch, ready.hashes, data)
            else:
                way.observe(batch, ready.hashes)
                spool.add(batch, ready.hashes)
        _check_all(table, ids, labeller, written)
        for batch, hashes in spool.read() if spool else ():
            _put(written, writer, way, batch, hashes, data)
        written.rows = writer.rows
    check_splits(written, data)
    return written


def _check_all(table: Table, ids: Ids | None, labeller: Labeller, written: Written) -> None:
    if written.tally.rows < FEWEST_ROWS:
        raise HeadraceError(
            f"{table.name}: expected at least {FEWEST_ROWS} rows to split and learn from. "
            f"Received: {written.tally.rows}"
        )
    if ids is not None:
        typer = table.typer()
        ids.finish(typer(raw).batch for raw in table.raw())
    written.labelled = labeller.finish()


def _see(written: Written, batch: pa.RecordBatch, data: DataSpec) -> None:
    name = data.watermark.column if data.watermark else data.split.column if data.split.by == "time" else None
    if name is not None:
        written.newest = newest(batch.column(batch.schema.get_field_index(name)), written.newest)


def _put(
    written: Written, writer: SplitWriter, way: Splitter, batch: pa.RecordBatch, hashes: np.ndarray, data: DataSpec
) -> None:
    parts = writer.write(batch, way.assign(batch, hashes))
    label = batch.schema.get_field_index(data.label.name)
    if not pa.types.is_string(batch.schema.field(label).type):
        return
    for split, part in parts.items():
        written.classes[split].update(pc.unique(part.column(label)).to_pylist())


class _Spool:
    """Rows with their hashes, kept on disk until all were seen."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema.append(pa.field("\0hash", pa.uint64()))
        self._writer = ipc.new_file(file, self._schema, options=ipc.IpcWriteOptions(compression="lz4"))

    def add(self, batch: pa.RecordBatch, hashes: np.ndarray) -> None:
        self._writer.write_batch(pa.record_batch([*batch.columns, pa.array(hashes)], schema=self._schema))

    def read(self) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        self._writer.close()
        with ipc.open_file(self._file) as reader:
            for position in range(reader.num_record_batches):
                batch = reader.get_batch(position)
                yield batch.select(batch.schema.names[:-1]), batch.column(len(self._schema) - 1).to_numpy()


def check_splits(written: Written, data: DataSpec) -> None:
    """Refuses a split that is empty, or from which a class is absent."""
    classes = written.labelled.classes if written.labelled else None
    for name, rows in written.rows.items():
        if rows == 0:
            raise HeadraceError(
                f"data.split: expected rows in every split. Received: none in {name}; use more rows or a larger share"
            )
        if classes is None:
            continue
        absent = set(classes) - written.classes[name]
        if absent:
            shown = ", ".join(map(repr, sorted(absent)[:3]))
            raise HeadraceError(
                f"data.label `{data.label.name}`: expected every class in every split. "
                f"Received: no row of {shown} in {name}; such a class is too rare to learn or to judge: "
                "merge it, or use more rows"
            )


def _text_notes(tally: Tally, files: dict[str, Path], decimal: str) -> list[str]:
    """Notes on columns that stayed text although they look like numbers; their values that are none are counted."""
    notes = []
    for name, values in tally.text_values.items():
        if not values or tally.like_numbers[name] < MOST * values:
            continue

        def parts(column: str = name) -> Iterator[pa.Array]:
            for file in files.values():
                for batch in pq.ParquetFile(file).iter_batches(columns=[column]):
                    yield batch.column(0).drop_null()

        if found := text_note(name, parts, decimal):
            note, others = found
            notes.append(note)
            tally.coerce({name: {"numbers as text": values - others, "no numbers": others}})
    return notes


def _plain(aggregates: Mapping[str, Aggregate] | None) -> dict[str, Any]:
    return {name: one.model_dump(mode="json", exclude_none=True) for name, one in (aggregates or {}).items()}


def _info(
    written: Written,
    task: str,
    data: DataSpec,
    origin: dict[str, Any],
    extension: Extension | None,
    aggregates: Mapping[str, Aggregate] | None,
) -> DatasetInfo:
    assert written.schema is not None
    assert written.labelled is not None
    # How images were decoded changes no row, so it is no part of the version.
    query: dict[str, Any] = data.model_dump(mode="json", exclude={"source": True, "images": {"beam"}})
    for join in query["join"]:
        join["source"] = PurePosixPath(public(join["source"])).name
    if aggregates:  # what was computed, so that rows to be scored can be given the same columns
        query["aggregate"] = _plain(aggregates)
    for aggregate in query.get("aggregate", {}).values():
        if "source" in aggregate:
            aggregate["source"] = PurePosixPath(public(aggregate["source"])).name
    if written.pointed:
        query["pointed"] = written.pointed
    tally = written.tally
    leaks = extension.leaks if extension else written.labelled.leaks
    moment = iso(written.newest)
    return DatasetInfo(
        task=task,
        columns=[Column(one.name, type_name(one.type)) for one in written.schema],
        label=data.label.name,
        rows=written.rows,
        classes=written.labelled.classes,
        positive=written.labelled.positive,
        id=data.id,
        leaks=leaks,
        source=origin,
        query=query,
        rejected={"rows": tally.rejected, "first": tally.examples} if tally.rejected else {},
        coerced={name: dict(sorted(kinds.items())) for name, kinds in sorted(tally.coerced.items())},
        watermark={"column": data.watermark.column, "newest": moment} if data.watermark else None,
        extends=extension.extends if extension else None,
        newest=moment if isinstance(moment, str) else None,
    )


def iso(value: Any) -> Any:
    """A date or time as text; a number as it is."""
    return value.isoformat() if isinstance(value, date | datetime) else value
