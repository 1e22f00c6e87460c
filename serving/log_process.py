"""The parent's side of the request log: the process that writes it, and another where that one dies."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Signature
from headrace.serving.board import Board
from headrace.serving.copies import MOST_SHADOWS
from headrace.serving.forked import forked
from headrace.serving.settings import Settings

BUFFER = 4 * 1024 * 1024  # bytes between the workers and the writer; a system's own limit may be lower
FINISH_SECONDS = 10.0  # for which the writer may take to finish its files after the last worker
_PAUSE_SECONDS = 5.0  # before a writer that died is replaced


def slots(settings: Settings) -> int:
    """How many slots a server's board needs: one per worker, one per shadow, and the writer's."""
    return settings.workers + MOST_SHADOWS + 1


def check_omitted(settings: Settings, signature: Signature) -> None:
    """Refuses names that are not to be logged and that nothing has: a slip would log what must not be.

    Raises:
        HeadraceError: with the names that there are.
    """
    known = [*(item.name for item in signature.inputs), "key"]
    for name in omitted(settings):
        if name not in known:
            raise HeadraceError(f"log omit: expected some of {', '.join(known)}. Received: {name}")


def omitted(settings: Settings) -> frozenset[str]:
    """The names of what is not logged."""
    return frozenset(name.strip() for name in (settings.log_omit or "").split(",") if name.strip())


class LogProcess:
    """The writer of the request log, a fork of this process."""

    def __init__(self, settings: Settings, board: Board) -> None:
        """Starts it.

        Raises:
            HeadraceError: the folder cannot be made, or not be written to.
        """
        folder = Path(settings.log_dir or ".")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{os.getpid()}.probe"
            probe.touch()
            probe.unlink()
        except OSError as error:
            reason = error.strerror or str(error)
            raise HeadraceError(f"log dir: expected a folder to write to. Received: {folder} ({reason})") from None
        self._settings, self._board = settings, board
        self._heard, self.line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.line.setblocking(False)
        self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            forked(self._write)

    def _write(self) -> None:
        """What the writer does."""
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_IGN)  # it ends when nobody is left who could send it anything
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        heard = self._heard.fileno()
        most = os.sysconf("SC_OPEN_MAX")
        os.closerange(3, heard)  # the workers' lines and the server's port among them
        os.closerange(heard + 1, min(most, 65_536))
        os.nice(5)
        from headrace.serving.log_writer import write_log

        write_log(self._heard, self._settings, self._board, slots(self._settings) - 1)

    def leave(self) -> None:
        """In a fork of the parent: lets go of the end that the writer reads from."""
        self._heard.close()

    def watch(self) -> None:
        """Starts another writer where it has died."""
        if self._pid and os.waitpid(self._pid, os.WNOHANG)[0]:
            self._pid = 0
            print("headrace: the writer of the request log ended; starting another", file=sys.stderr, flush=True)
        if not self._pid and time.monotonic() - self._started > _PAUSE_SECONDS:
            self._start()

    def finish(self) -> None:
        """Waits until all that was sent is written, once the workers have ended."""
        self.line.close()
        self._heard.close()
        deadline = time.monotonic() + FINISH_SECONDS
        while self._pid and not os.waitpid(self._pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
                return
            time.sleep(0.02)
