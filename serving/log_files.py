"""The files of the request log: how they come to be, and how many stay."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.serving.log_columns import Columns

PREFIX = "requests-"  # files without it are never touched
_SPOOL, _PARTIAL = ".arrows", ".partial"
DAMAGED = ".damaged"
_GROUP_ROWS = 65_536


class Spool:
    """One file that is written to: of Arrow's stream format, hidden, and locked by the process that writes it."""

    def __init__(self, folder: Path, title: str, columns: Columns) -> None:
        now = datetime.now(UTC)
        name = f"{PREFIX}{now:%Y%m%dT%H%M%S}Z-{title}-{secrets.token_hex(3)}.parquet"
        self.file = folder / name
        self.columns = columns
        self.began = self.flushed = time.monotonic()
        self._spool = folder / f".{name}{_SPOOL}"
        self._sink: Any = None
        self._stream: Any = None
        self._whole = 0  # bytes of whole batches

    @property
    def bytes(self) -> int:
        """On disk."""
        return self._sink.tell() if self._sink is not None else 0

    def flush(self) -> None:
        """Appends what waits in the columns.

        Raises:
            OSError: it cannot be written.
            ValueError: a cell is of another type than its input.
        """
        batch = self.columns.take()
        if self._stream is None:
            self._spool.parent.mkdir(parents=True, exist_ok=True)  # where somebody removed it
            self._sink = self._spool.open("wb")
            fcntl.flock(self._sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._stream = pa.ipc.new_stream(self._sink, self.columns.schema)
        self._stream.write_batch(batch)
        self._sink.flush()
        self._whole = self._sink.tell()
        self.flushed = time.monotonic()

    def finish(self) -> Path | None:
        """Makes the Parquet file of it; None where nothing was written.

        Raises:
            OSError: it cannot be written; what there is stays for `recover`.
        """
        if self._stream is None:
            return None
        try:
            self._stream.close()
            self._sink.flush()
            _convert(self._spool, self.file)
            self._spool.unlink()
        finally:
            self._sink.close()
        return self.file

    def abandon(self) -> None:
        """Leaves what was written whole to `recover`."""
        if self._sink is None:
            return
        with suppress(OSError):
            self._sink.close()
        with suppress(OSError):
            if self._whole:
                os.truncate(self._spool, self._whole)
            else:
                self._spool.unlink()


def recover(folder: Path) -> list[Path]:
    """Makes Parquet files of what writers that died left behind; returns them. Those of running writers stay.

    One that is damaged, as a power cut may leave it, is set aside under another name, which is returned as well.
    """
    made = []
    for spool in sorted(folder.glob(f".{PREFIX}*{_SPOOL}")):
        target = folder / spool.name.removeprefix(".").removesuffix(_SPOOL)
        with suppress(OSError), spool.open("rb") as locked:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its writer runs
            try:
                rows = _convert(spool, target)
            except (pa.ArrowException, OSError) as error:
                if getattr(error, "errno", None) is not None:  # of the disk: the next look tries again
                    raise
                made.append(spool.replace(target.with_name(f"{target.name}{DAMAGED}")))
                continue
            if rows:
                made.append(target)
            spool.unlink()
    return made


def _convert(spool: Path, target: Path) -> int:
    """Writes the whole batches of a stream to a Parquet file, which appears at once; returns their rows."""
    partial = target.with_name(f".{target.name}{_PARTIAL}")
    rows = 0
    try:
        with pa.memory_map(str(spool)) as source:
            rows = _copy(source, partial)
        if rows:
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _copy(source: Any, target: Path) -> int:
    try:
        reader = pa.ipc.open_stream(source)
    except pa.ArrowInvalid:  # it ended before the schema did
        return 0
    rows, waiting, count = 0, [], 0
    with pq.ParquetWriter(target, reader.schema, compression="zstd") as writer:
        while True:
            try:
                batch = reader.read_next_batch()
                batch.validate(full=True)  # what a power cut left may look like a batch
            except (StopIteration, pa.ArrowInvalid, OSError):  # the end, or the batch that the writer died in
                batch = None
            if batch is not None:
                waiting.append(batch)
                count += batch.num_rows
            if waiting and (batch is None or count >= _GROUP_ROWS):
                writer.write_table(pa.Table.from_batches(waiting))
                rows, waiting, count = rows + count, [], 0
            if batch is None:
                return rows


def keep_within(folder: Path, most: int) -> tuple[int, int]:
    """Removes the oldest files until all take at most so many bytes; returns what they take, and how many went."""
    files = {file: file.stat() for file in folder.glob("*") if file.name.lstrip(".").startswith(PREFIX)}
    total, removed = sum(found.st_size for found in files.values()), 0
    finished = [file for file in files if file.suffix in (".parquet", DAMAGED) and not file.name.startswith(".")]
    for file in sorted(finished, key=lambda file: (files[file].st_mtime, file.name)):
        if total <= most:
            break
        file.unlink(missing_ok=True)
        total, removed = total - files[file].st_size, removed + 1
    return total, removed
