"""From a snapshot to its parts: two passes over the rows (more for more than 200 segments), in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Dataset, describe
from headrace.artifacts.errors import HeadraceError, nearest_column, row_count
from headrace.artifacts.segments import LeftOut, Segment, Segments, part_file, write_segments
from headrace.components.ingest.write import group_rows
from headrace.components.segments.names import slugs, text_of
from headrace.components.segments.spec import MOST, ForEachSpec

_TYPES = ("string", "int64", "bool", "date32")
_WAITING = 256 << 20  # bytes of rows in memory before the largest parts are written
_OPEN = 200  # parts that are written at a time, each an open file: 256 is the lowest usual limit of a process. No limit
# is asked for, as the bytes of the parts shall be the same on every machine.

Counts = dict[str, Counter[object]]  # split -> value -> rows


def split_segments(path: Path, settings: ForEachSpec, name: str, endpoint: str, output: Path) -> Segments:
    """Writes the rows of each segment beside each other.

    Args:
        path: the snapshot.
        settings: the section `for_each`.
        name: of the models: `<name>-<value>`.
        endpoint: of the endpoints, in the same way.
        output: where the parts go.

    Raises:
        ArtifactError: the snapshot is damaged.
        HeadraceError: there is no such column, it names no groups, two segments would have one name, or no segment
            has enough rows.
    """
    dataset = Dataset.open(path)
    _check_column(dataset, settings.segment)
    counts = _count(dataset, settings.segment)
    chosen, left_out = _choose(counts, settings)
    names = slugs(settings.values or _texts(counts))  # also of values that have too few rows today, and enough tomorrow
    segments = tuple(
        Segment(
            part=f"{number:04}",
            value=text_of(value),
            model=f"{name}-{names[text_of(value)]}",
            endpoint=f"{endpoint}-{names[text_of(value)]}",
            rows={split: counts[split][value] for split in SPLITS},
        )
        for number, value in enumerate(chosen)
    )
    with write_segments(output) as (folder, said):
        for one in segments:
            (folder / one.part).mkdir()
        for split in SPLITS:
            for first in range(0, len(chosen), _OPEN):
                numbers = {value: first + n for n, value in enumerate(chosen[first : first + _OPEN])}
                _write(dataset, split, settings.segment, numbers, folder)
        empty = sum(counts[split][None] for split in SPLITS)
        whole = describe(dataset.info)
        said.append(Segments(settings.segment, dataset.digest, segments, tuple(left_out), empty, whole))
        return said[0]


def _check_column(dataset: Dataset, column: str) -> None:
    types = {one.name: one.type for one in dataset.info.columns}
    if column not in types:
        hint = nearest_column(column, list(types))
        raise HeadraceError(f"for_each.segment: expected a column of the data. Received: `{column}`; {hint}")
    if column == dataset.info.label:
        raise HeadraceError(f"for_each.segment: expected another column than the label. Received: `{column}`")
    if types[column] not in _TYPES:
        raise HeadraceError(
            f"for_each.segment: expected texts, whole numbers, truth values or dates. Received: `{column}`, "
            f"of type {types[column]}"
        )


def _count(dataset: Dataset, column: str) -> Counts:
    """The rows of each value in each split."""
    counts: Counts = {split: Counter() for split in SPLITS}
    for split in SPLITS:
        for batch in dataset.batches(split, columns=[column]):
            for pair in pc.value_counts(batch.column(column)).to_pylist():
                counts[split][pair["values"]] += pair["counts"]
            if len(counts[split]) > MOST + 1:
                raise HeadraceError(
                    f"for_each.segment: expected a column with at most {MOST:,} values. "
                    f"Received: `{column}`, with more: it names rows, and not groups of them"
                )
    return counts


def _texts(counts: Counts) -> list[str]:
    """All values of the column, in order."""
    return sorted({text_of(value) for found in counts.values() for value in found if value is not None})


def _choose(counts: Counts, settings: ForEachSpec) -> tuple[list[object], list[LeftOut]]:
    """The values that get a model, in the order of their texts, and the others."""
    totals = {value: sum(counts[split][value] for split in SPLITS) for split in SPLITS for value in counts[split]}
    by_text = {text_of(value): value for value in totals if value is not None}
    wanted = sorted(by_text) if settings.values is None else settings.values
    chosen: list[object] = []
    left_out = []
    for text in wanted:
        value = by_text.get(text)
        rows = totals[value] if text in by_text else 0
        if text not in by_text:
            why = "no row has this value"
        elif rows < settings.least_rows:
            why = f"{row_count(rows)}, and for_each.least_rows is {settings.least_rows:,}"
        elif empty := [split for split in SPLITS if not counts[split][value]]:
            why = f"no row of it is in the {empty[0]} split"
        else:
            chosen.append(value)
            continue
        left_out.append(LeftOut(text, rows, why, asked=settings.values is not None))
    if not chosen:
        first = "; ".join(f"{one.value}: {one.why}" for one in left_out[:3]) or "a column without any value"
        raise HeadraceError(
            f"for_each: expected a segment of `{settings.segment}` with at least {settings.least_rows:,} rows. "
            f"Received: none ({first})"
        )
    return chosen, left_out


def _write(dataset: Dataset, split: str, column: str, numbers: Mapping[object, int], folder: Path) -> None:
    """Writes the rows of one split that have these values, those of each in their own file and in their order.

    Args:
        numbers: value -> number of its part.
    """
    schema = pq.read_schema(dataset.file(split))
    parts = _Parts([part_file(folder, f"{n:04}", split) for n in numbers.values()], schema)
    values = pa.array(list(numbers), schema.field(column).type)
    try:
        for batch in dataset.batches(split):
            found = pc.index_in(batch.column(column), value_set=values, skip_nulls=True)
            number = found.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
            order = np.argsort(number, kind="stable")
            edges = np.searchsorted(number[order], np.arange(len(numbers) + 1))
            rows = batch.take(pa.array(order[: edges[-1]]))
            for one in np.flatnonzero(np.diff(edges)):
                parts.add(int(one), rows.slice(int(edges[one]), int(edges[one + 1] - edges[one])))
    finally:
        parts.close()


class _Parts:
    """Gathers the rows of each part, and writes the largest when there are too many to hold."""

    def __init__(self, files: Sequence[Path], schema: pa.Schema) -> None:
        self._files, self._schema, self._group = files, schema, group_rows(schema)
        self._rows: list[list[pa.RecordBatch]] = [[] for _ in files]
        self._bytes = [0] * len(files)
        self._held = 0
        self._writers: dict[int, pq.ParquetWriter] = {}

    def add(self, part: int, rows: pa.RecordBatch) -> None:
        self._rows[part].append(rows)
        self._bytes[part] += rows.nbytes
        self._held += rows.nbytes
        if self._held > _WAITING:
            for largest in sorted(range(len(self._files)), key=lambda n: -self._bytes[n]):
                if self._held <= _WAITING // 2:
                    break
                self._flush(largest)
            self._let_go()

    def close(self) -> None:
        """Writes what is still held: a part without rows gets a file without rows."""
        for part in range(len(self._files)):
            self._flush(part)
            self._writers.pop(part).close()

    def _let_go(self) -> None:
        """Copies what is still held: a slice keeps alive all that it was cut from."""
        for part, rows in enumerate(self._rows):
            if rows:
                table = pa.Table.from_batches(rows, self._schema)
                self._rows[part] = table.take(pa.array(np.arange(table.num_rows))).combine_chunks().to_batches()

    def _flush(self, part: int) -> None:
        if part not in self._writers:
            self._writers[part] = pq.ParquetWriter(self._files[part], self._schema, compression="zstd")
        table = pa.Table.from_batches(self._rows[part], self._schema).combine_chunks()
        self._writers[part].write_table(table, row_group_size=self._group)
        self._held -= self._bytes[part]
        self._rows[part], self._bytes[part] = [], 0


def notes(found: Segments) -> list[str]:
    """What a reader should know of the rows that no model learns from."""
    said = []
    if found.left_out:
        rows = sum(one.rows for one in found.left_out)
        names = ", ".join(one.value for one in found.left_out[:3])
        more = f" and {len(found.left_out) - 3:,} more" if len(found.left_out) > 3 else ""
        values, get = ("value", "gets") if len(found.left_out) == 1 else ("values", "get")
        whose = f"{len(found.left_out):,} {values} of `{found.column}` ({row_count(rows)})"
        said.append(f"{whose} {get} no model: {names}{more}")
    if found.without_value:
        have, belong = ("has", "belongs") if found.without_value == 1 else ("have", "belong")
        said.append(f"{row_count(found.without_value)} {have} no `{found.column}`, and {belong} to no segment")
    return said
