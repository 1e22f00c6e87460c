"""The process that writes the request log: rows in, Parquet files out.

Rows are first appended to a hidden file of Arrow's stream format, from which a process that is killed loses nothing
that was written. After a time, or a size, that becomes a Parquet file, which appears at once or not at all. What
another writer left is turned into a Parquet file by the next one. The oldest files are removed where all of them take
too much.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections import deque
from pathlib import Path

import msgspec

from headrace.serving import board
from headrace.serving.board import Board
from headrace.serving.log_columns import Columns
from headrace.serving.log_files import DAMAGED, Spool, keep_within, recover
from headrace.serving.metrics import Metrics
from headrace.serving.request_log import LONGEST, Head, Rows
from headrace.serving.settings import Settings

HELD_BYTES = 64 * 1024 * 1024  # of messages that wait to be written; more are dropped
BATCH_ROWS = 4_096
FLUSH_SECONDS = 1.0  # after which rows are in a file, if not yet in one that can be read
MOST_SPOOLS = 16  # versions whose files are open at a time
_COMPLAIN_SECONDS = 60.0
_LOOK_SECONDS = 10.0  # between two looks at the folder
_PAUSE_SECONDS = 5.0  # after a disk was full


def write_log(line: socket.socket, settings: Settings, shared: Board, number: int) -> None:
    """Writes what comes through `line` until nobody is left who could send anything.

    Args:
        line: the receiving end; messages are `Rows` behind their number.
        settings: where to, and how much.
        shared: the server's board.
        number: of the writer's slot on it.
    """
    Writer(settings, Metrics(shared, number)).run(line)


class Writer:
    """The log's files."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._folder = Path(settings.log_dir or ".")
        self._messages: deque[bytes] = deque()
        self._come = self._gone = 0  # bytes of messages; each is changed by one thread alone
        self._ready = threading.Event()
        self._ended = False
        self._spools: dict[bytes, Spool] = {}
        self._decode = msgspec.msgpack.Decoder(Rows).decode
        self._silent_until = 0.0
        self._full_until = self._next_look = 0.0

    def run(self, line: socket.socket) -> None:
        """Writes until the line's end."""
        self._look(time.monotonic())
        threading.Thread(target=self._listen, args=(line,), daemon=True, name="listen").start()
        while True:
            self._ready.wait(FLUSH_SECONDS)
            self._ready.clear()
            ended = self._ended
            self._take()
            self._write(everything=ended)
            if ended or time.monotonic() >= self._next_look:
                self._look(time.monotonic())
            if ended:
                return
            time.sleep(0.02)  # what comes meanwhile is written together

    def _listen(self, line: socket.socket) -> None:
        """Takes messages out of the line, so that it does not fill up while files are written."""
        while True:
            try:
                message = line.recv(LONGEST + 4096)
            except OSError:
                message = b""
            if not message:
                self._ended = True
                self._ready.set()
                return
            if self._come - self._gone > HELD_BYTES:
                self._metrics.add(board.LOG_DROPPED, int.from_bytes(message[:4], "little"))
                continue
            self._come += len(message)
            self._messages.append(message)
            if not self._ready.is_set():
                self._ready.set()

    def _take(self) -> None:
        """Sorts messages to their versions' files."""
        while self._messages:
            message = self._messages.popleft()
            self._gone += len(message)
            if time.monotonic() < self._full_until:
                self._metrics.add(board.LOG_DROPPED, int.from_bytes(message[:4], "little"))
                continue
            rows = self._decode(memoryview(message)[4:])
            spool = self._spools.get(rows.head) or self._open(rows.head)
            spool.columns.add(rows)
            if spool.columns.rows >= BATCH_ROWS:
                self._flush(spool)

    def _open(self, head: bytes) -> Spool:
        if len(self._spools) >= MOST_SPOOLS:
            oldest = min(self._spools, key=lambda key: self._spools[key].began)
            self._flush(self._spools[oldest])
            self._finish(oldest)
        known = msgspec.msgpack.decode(head, type=Head)
        title = re.sub(r"[^A-Za-z0-9._-]", "_", f"{known.model}-{known.version or known.digest[7:19]}")[:100]
        spool = self._spools[head] = Spool(self._folder, title, Columns(known, self._settings.log_images))
        return spool

    def _write(self, *, everything: bool) -> None:
        """Flushes what has waited, and ends files that are old or large enough."""
        now, settings = time.monotonic(), self._settings
        for head, spool in list(self._spools.items()):
            large = spool.bytes >= settings.log_file_mib * 1024 * 1024
            ends = everything or large or now - spool.began >= settings.log_file_seconds
            if spool.columns.rows and (ends or now - spool.flushed >= FLUSH_SECONDS):
                self._flush(spool)
            if ends and head in self._spools:
                self._finish(head)

    def _flush(self, spool: Spool) -> None:
        rows = spool.columns.rows
        try:
            spool.flush()
            self._metrics.add(board.LOG_ROWS, rows)
        except Exception as error:  # noqa: BLE001 (a full disk, or a cell that is not as it should be: no reason to end)
            spool.columns.clear()
            self._metrics.add(board.LOG_DROPPED, rows)
            self._complain(f"{rows} rows were not written: {type(error).__name__}: {error}")
            if isinstance(error, OSError):
                self._spools = {head: other for head, other in self._spools.items() if other is not spool}
                spool.abandon()
                self._full_until = self._next_look = time.monotonic() + _PAUSE_SECONDS

    def _finish(self, head: bytes) -> None:
        spool = self._spools.pop(head)
        try:
            if spool.finish() is not None:
                self._metrics.add(board.LOG_FILES)
        except (OSError, ValueError) as error:
            self._complain(f"{spool.file.name} stays behind for the next writer: {error}")
        self._tidy()

    def _look(self, now: float) -> None:
        """Makes files of what was left behind, and removes the oldest."""
        for file in recover(self._folder):
            if file.suffix == DAMAGED:
                self._complain(f"expected a whole file where a writer died. Received: a damaged one, now {file.name}")
                continue
            self._complain(f"{file.name} was left behind, and can be read now")
            self._metrics.add(board.LOG_FILES)
        self._tidy()
        self._next_look = now + _LOOK_SECONDS

    def _tidy(self) -> None:
        try:
            size, removed = keep_within(self._folder, self._settings.log_mib * 1024 * 1024)
        except OSError as error:
            self._complain(f"{self._folder}: its files were not looked at: {error}")
            return
        self._metrics.slot.process.counts[board.LOG_BYTES] = size
        if removed:
            self._complain(f"removed {removed} of the oldest files, to stay within {self._settings.log_mib} MiB")

    def _complain(self, text: str) -> None:
        """Prints a line, at most one a minute."""
        if time.monotonic() >= self._silent_until:
            print(f"headrace: request log: {text}", file=sys.stderr, flush=True)
            self._silent_until = time.monotonic() + _COMPLAIN_SECONDS
