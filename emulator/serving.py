"""The servers of deployed models: a process each, for as long as the model is deployed and the emulator runs."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO

from headrace.emulator.jobs import LOG, attached, tail

STARTUP_S = 120.0  # in which a server has to be ready, unless its model says otherwise
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 30.0  # before one that has died is started again
_GRACE_S = 5.0  # from SIGTERM to SIGKILL
_LONG_GRACE_S = 15.0  # the same, of a program that ends a container before it ends itself
_MOST_LOG, _KEPT_LOG = 32 * 2**20, 2**20  # bytes: a log that is longer is cut to its end
_LOOK_AT_LOGS_S = 10.0
_MOST_TAIL = 1000  # characters of a log that an error repeats
_READY = b" at http://"

Listener = Callable[[str, str], object]
"""Is told a server's id, and why it did not start: empty where it did. Called from the thread of the servers."""


@dataclass(frozen=True)
class Program:
    """What serves a model.

    Attributes:
        argv: prints a line that ends with ` at http://HOST:PORT` once it answers.
        folder: its working folder, with its log.
        environment: variables beside the emulator's own.
        patient: whether it is started again and again; else one that does not get ready is given up, and told of.
        startup_s: in which it has to be ready.
        tidy: removes what it may leave behind, once it has ended. Such a program is asked to end, where others are
            killed with the emulator, and takes a while for that.
    """

    argv: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    patient: bool = True
    startup_s: float = STARTUP_S
    tidy: Callable[[], object] | None = None


@dataclass
class _Server:
    """One that is wanted."""

    id: str
    program: Program
    process: subprocess.Popen[bytes] | None = None
    log: IO[bytes] | None = None
    said: bytes = b""  # the line that it has begun to print
    deadline: float = 0.0  # of time.monotonic(), by which it has to be ready
    pause: float = _FIRST_PAUSE_S
    again_at: float | None = None
    patient: bool = True
    asked: bool = False  # to end, as it did not get ready


class Serving:
    """The servers of one emulator. Safe to call from any thread."""

    def __init__(self, folder: Path) -> None:
        """Starts none before `start`.

        Args:
            folder: each server has one of its id below it.
        """
        self.folder = folder
        self._servers: dict[str, _Server] = {}  # of the thread alone
        self._addresses: dict[str, tuple[str, int]] = {}
        self._wanted: SimpleQueue[tuple[str, Program | None]] = SimpleQueue()
        self._listeners: list[Listener] = []
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._leaving: list[threading.Thread] = []
        self._logs_at = 0.0  # of time.monotonic(), when the logs are looked at again

    def listen(self, listener: Listener) -> None:
        """Has a function told of each server that got ready, or was given up."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begins to work."""
        # The processes end with the thread that starts them, so it is this one alone, and not a handler's.
        self._thread = threading.Thread(target=self._work, name="serving", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends all servers."""
        if self._thread is None:
            return
        self._stopping = True
        self._wake()
        self._thread.join()
        self._thread = None

    def run(self, id: str, program: Program) -> None:
        """Wants a server of this id."""
        self._wanted.put((id, program))
        self._wake()

    def end(self, id: str) -> None:
        """Wants none of this id any more."""
        self._addresses.pop(id, None)
        self._wanted.put((id, None))
        self._wake()

    def address(self, id: str) -> tuple[str, int] | None:
        """Host and port of a server that answers; None where it starts, or is started again."""
        return self._addresses.get(id)

    def told(self, id: str) -> str:
        """The end of what a server printed."""
        return tail(self.folder / id, _MOST_TAIL).strip()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b".")

    def _work(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except Exception:  # noqa: BLE001 (such as a disk that is full for a moment)
                traceback.print_exc(file=sys.stderr)
                time.sleep(1.0)
        for server in list(self._servers.values()):
            if server.process:
                server.process.terminate()
        for server in list(self._servers.values()):
            self._remove(server)
        for leaving in self._leaving:
            leaving.join()

    def _step(self) -> None:
        for key, _ in self._selector.select(self._patience()):
            if key.fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            elif isinstance(key.data, _Server):
                self._read(key.data)
        self._obey()
        for server in list(self._servers.values()):
            self._look(server)
        if time.monotonic() >= self._logs_at:
            self._logs_at = time.monotonic() + _LOOK_AT_LOGS_S
            for server in self._servers.values():
                if server.log:
                    _cut(self.folder / server.id / LOG)

    def _patience(self) -> float:
        """Seconds until something is due."""
        moments = [server.again_at for server in self._servers.values() if server.again_at is not None]
        moments += [one.deadline for one in self._servers.values() if one.process and one.id not in self._addresses]
        return max(0.0, min([_LOOK_AT_LOGS_S, *(moment - time.monotonic() for moment in moments)]))

    def _obey(self) -> None:
        while True:
            try:
                id, program = self._wanted.get_nowait()
            except Empty:
                return
            if before := self._servers.get(id):
                self._remove(before)
            if program is not None:
                self._servers[id] = server = _Server(id, program, patient=program.patient)
                self._begin(server)

    def _look(self, server: _Server) -> None:
        """Starts what is due again, and gives up what does not get ready."""
        now = time.monotonic()
        if server.again_at is not None and now >= server.again_at:
            self._begin(server)
        elif server.process and server.id not in self._addresses and now >= server.deadline:
            if server.program.tidy and not server.asked:
                server.asked, server.deadline = True, now + _LONG_GRACE_S
                server.process.terminate()
            else:
                _signal(server.process, signal.SIGKILL)  # its output ends, which is seen to as any end

    def _begin(self, server: _Server) -> None:
        program = server.program
        server.again_at = None
        try:
            program.folder.mkdir(parents=True, exist_ok=True)
            server.log = (program.folder / LOG).open("ab", buffering=0)
            server.process = subprocess.Popen(
                attached(program.argv, signal.SIGTERM if program.tidy else signal.SIGKILL),
                cwd=program.folder,
                env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=server.log,
                start_new_session=True,
            )
        except OSError as error:
            self._ended(server, str(error))
            return
        server.said, server.asked, server.deadline = b"", False, time.monotonic() + program.startup_s
        assert server.process.stdout is not None  # it was asked for
        self._selector.register(server.process.stdout, selectors.EVENT_READ, server)

    def _read(self, server: _Server) -> None:
        """What a server prints goes to its log; one line of it says that it is ready."""
        assert server.process is not None and server.process.stdout is not None and server.log is not None
        piece = os.read(server.process.stdout.fileno(), 65536)
        if not piece:
            self._ended(server)
            return
        server.log.write(piece)
        if server.id in self._addresses:
            return
        server.said += piece
        while b"\n" in server.said:
            line, _, server.said = server.said.partition(b"\n")
            if _READY in line:
                host, _, port = line.rpartition(_READY)[2].decode().strip().rpartition(":")
                self._addresses[server.id] = (host, int(port))
                server.pause, server.patient = _FIRST_PAUSE_S, True
                self._tell(server.id, "")
                return

    def _ended(self, server: _Server, problem: str = "") -> None:
        """One has ended by itself."""
        late = not problem and server.id not in self._addresses and time.monotonic() >= server.deadline
        self._close(server)
        if not server.patient:
            self._remove(server)
            why = f"was not ready within {server.program.startup_s:g} s" if late else "exited unexpectedly"
            said = tail(server.program.folder, _MOST_TAIL).strip()
            self._tell(server.id, f"Model server {why}: {problem or said or 'it said nothing'}")
            return
        server.again_at = time.monotonic() + server.pause
        server.pause = min(server.pause * 2, _LONGEST_PAUSE_S)

    def _remove(self, server: _Server) -> None:
        self._servers.pop(server.id, None)
        if server.process:
            server.process.terminate()
        if server.program.tidy:
            self._leave(server, server.program.tidy)
            return
        if server.process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(_GRACE_S)
        self._close(server)

    def _leave(self, server: _Server, tidy: Callable[[], object]) -> None:
        """Ends one that takes a while for that, and is not waited for."""
        self._forget(server)

        def end() -> None:
            _end(server)
            try:
                tidy()
            except Exception:  # noqa: BLE001 (the next start looks again)
                traceback.print_exc(file=sys.stderr)

        self._leaving = [one for one in self._leaving if one.is_alive()]
        self._leaving.append(threading.Thread(target=end, name=f"end {server.id}"))
        self._leaving[-1].start()

    def _close(self, server: _Server) -> None:
        self._forget(server)
        _end(server, 0.0)

    def _forget(self, server: _Server) -> None:
        """Listens to a server no longer, and tells nobody where it is."""
        self._addresses.pop(server.id, None)
        if server.process and server.process.stdout:
            with contextlib.suppress(KeyError):
                self._selector.unregister(server.process.stdout)

    def _tell(self, id: str, problem: str) -> None:
        for listener in self._listeners:
            try:
                listener(id, problem)
            except Exception:  # noqa: BLE001 (one model's trouble is not the others')
                traceback.print_exc(file=sys.stderr)


def server_argv(bundle: Path, arguments: Sequence[str] = ()) -> tuple[str, ...]:
    """Our server of a bundle, on a free port of this machine."""
    # Of what is given twice the last counts, so these come behind the model's own.
    own = ["--host", "127.0.0.1", "--port", "0"]
    return (sys.executable, "-m", "headrace.serving", str(bundle), *arguments, *own)


def _end(server: _Server, grace_s: float = _LONG_GRACE_S) -> None:
    """Waits for a server's end, and brings it about after a while."""
    if server.process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(grace_s)
        _signal(server.process, signal.SIGKILL)
        server.process.wait()
        if server.process.stdout:
            server.process.stdout.close()
    if server.log:
        server.log.close()
    server.process, server.log = None, None


def _cut(log: Path) -> None:
    """Keeps the end of a log that has become long. Whoever writes to it appends, and goes on behind that."""
    with contextlib.suppress(OSError), log.open("r+b") as stream:
        if os.fstat(stream.fileno()).st_size <= _MOST_LOG:
            return
        stream.seek(-_KEPT_LOG, os.SEEK_END)
        end = stream.read()
        stream.truncate(0)
        stream.seek(0)
        stream.write(end[end.find(b"\n") + 1 :])


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    """To all of a server's session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
