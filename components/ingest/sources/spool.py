"""Keeps the rows of a source that could not be read twice alike in a temporary file, after the first pass over them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc as ipc

from headrace.artifacts.scratch import Scratch

_OPTIONS = ipc.IpcWriteOptions(compression="lz4")


class Spool:
    """Batches that are read once from where they come, and from then on from a local Arrow file.

    A pass that is not finished, because its reader stops or the source fails, leaves nothing: the next one begins anew.
    The file goes when the spool goes; where the process is killed, when another spool is made.
    """

    def __init__(self, schema: pa.Schema, read: Callable[[], Generator[pa.RecordBatch, None, None]]) -> None:
        self._schema = schema
        self._read = read
        self._folder = Scratch("source")
        self._complete: Path | None = None
        self._passes = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The source's batches: on every pass the same rows in the same order, in bounded memory."""
        if self._complete is None:
            yield from self._first_pass()
            return
        with pa.memory_map(str(self._complete)) as stream:
            reader = ipc.open_file(stream)
            for position in range(reader.num_record_batches):
                yield reader.get_batch(position)

    def _first_pass(self) -> Iterator[pa.RecordBatch]:
        self._passes += 1
        file = self._folder.path / f"{self._passes}.arrow"
        try:
            with contextlib.closing(self._read()) as batches, ipc.new_file(file, self._schema, options=_OPTIONS) as out:
                for batch in batches:
                    out.write_batch(batch)
                    yield batch
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        self._complete = file
