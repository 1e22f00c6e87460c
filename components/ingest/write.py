"""Writes rows as they come into one Parquet file per split, the same bytes however they came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS

_VALUES = 1 << 22  # of all columns of a row group
_MOST_ROWS, _FEWEST_ROWS, _IMAGES = 1 << 17, 1 << 12, 1 << 8


def group_rows(schema: pa.Schema) -> int:
    """Rows of a row group: it follows from the columns alone, and bounds what has to be in memory at once."""
    if any(pa.types.is_binary(type) for type in schema.types):
        return _IMAGES
    return max(_FEWEST_ROWS, min(_MOST_ROWS, _VALUES // max(1, len(schema))))


class SplitWriter:
    """Gathers the rows of each split until they fill a row group."""

    def __init__(self, files: dict[str, Path], schema: pa.Schema) -> None:
        self._writers = {split: pq.ParquetWriter(file, schema, compression="zstd") for split, file in files.items()}
        self._waiting: dict[str, list[pa.RecordBatch]] = {split: [] for split in files}
        self._count = dict.fromkeys(files, 0)
        self._schema, self._group = schema, group_rows(schema)
        self.rows = dict.fromkeys(files, 0)

    def write(self, batch: pa.RecordBatch, splits: np.ndarray) -> dict[str, pa.RecordBatch]:
        """Takes rows, each for the split of that number; gives each split's part."""
        order = np.argsort(splits, kind="stable")
        edges = np.searchsorted(splits[order], np.arange(len(SPLITS) + 1))
        sorted_rows = batch.take(pa.array(order))
        parts = {}
        for number, split in enumerate(SPLITS):
            part = sorted_rows.slice(edges[number], edges[number + 1] - edges[number])
            parts[split] = part
            if part.num_rows:
                self._add(split, part)
        return parts

    def _add(self, split: str, part: pa.RecordBatch) -> None:
        self._waiting[split].append(part)
        self._count[split] += part.num_rows
        self.rows[split] += part.num_rows
        if self._count[split] >= self._group:
            table = pa.Table.from_batches(self._waiting[split])
            whole = table.num_rows - table.num_rows % self._group
            for start in range(0, whole, self._group):
                self._write(split, table.slice(start, self._group))
            # Copied, because a slice would keep alive all that it was cut from.
            rest = table.slice(whole).combine_chunks()
            self._waiting[split] = rest.to_batches()
            self._count[split] = rest.num_rows

    def _write(self, split: str, table: pa.Table) -> None:
        self._writers[split].write_table(table.combine_chunks(), row_group_size=self._group)

    def close(self) -> None:
        """Writes what still waits, and the files' ends."""
        for split, waiting in self._waiting.items():
            if waiting or not self.rows[split]:
                self._write(split, pa.Table.from_batches(waiting, self._schema))
            self._writers[split].close()


@contextmanager
def split_writer(files: dict[str, Path], schema: pa.Schema) -> Iterator[SplitWriter]:
    """A writer that is closed when all went well; else its half-written files are left to whoever removes them."""
    writer = SplitWriter(files, schema)
    try:
        yield writer
    except BaseException:
        for one in writer._writers.values():
            one.is_open = False  # no footer: the file is discarded
            if one.file_handle is not None:
                one.file_handle.close()
        raise
    writer.close()
