"""Work in processes of their own: pipelines, training, batch predictions. A queue that outlives the emulator.

A job is on disk before its start is acknowledged. When the emulator ends, however it ends, its jobs' processes end with
it; at its next start what had not finished is started again. So a job's program goes on where it was, or begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.emulator.documents import Document, Documents, now
from headrace.emulator.refusals import Refusal
from headrace.pipelines.local.workers.processes import kill_marked

KIND = "Job"
_OPEN = "OpenJob"  # documents beside those of jobs that have not ended, so that the others need not be read
QUEUED, RUNNING = "QUEUED", "RUNNING"
SUCCEEDED, FAILED, CANCELLED = "SUCCEEDED", "FAILED", "CANCELLED"
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED})
LOG = "log.txt"  # in a job's folder: what its program printed, of all its starts
MARK = "HEADRACE_JOB"  # in the environment of a job's processes: whose it is, its kind and its name
_GRACE_S = 10.0  # from SIGTERM to SIGKILL, of a job that is cancelled
_STOP_S = 3.0  # the same, of all when the emulator ends
_LOOK_S = 1.0  # at the queue, for a job that was started within a transaction that ended later
_LEAST_AT_ONCE = 4
_MOST_TAIL = 4000  # characters of a log

Listener = Callable[[Document], object]


@dataclass
class _Process:
    popen: subprocess.Popen[bytes]
    pidfd: int
    kill_at: float | None = None  # of time.monotonic()


class Jobs:
    """The jobs of one emulator.

    A job's document has `kind`, `job` (its name), `argv`, `folder`, `environment`, `state`, `createTime`, `startTime`,
    `endTime`, `exitCode` (negative: the signal that ended it) and `cancel`.

    Attributes:
        environment: variables of all jobs, as this start of the emulator has them.
    """

    def __init__(self, documents: Documents, at_once: int | None = None) -> None:
        """Knows of the jobs, and starts none before `recover`.

        Args:
            documents: where they are kept.
            at_once: how many of one kind run at the same time; others wait.
        """
        self.environment: dict[str, str] = {}
        self._documents = documents
        # Names are the users', and other emulators of this machine have jobs of the same.
        self._owner = hashlib.sha256(os.fsencode(documents.file.resolve())).hexdigest()[:16]
        self._at_once = at_once or max(_LEAST_AT_ONCE, len(os.sched_getaffinity(0)))
        self._listeners: dict[str, list[Listener]] = {}
        self._processes: dict[str, _Process] = {}
        self._changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._stopping = False
        self._thread: threading.Thread | None = None

    def listen(self, kind: str, listener: Listener) -> None:
        """Has a function told of each job of a kind that began to run or ended.

        It is called within the transaction that records the change: what it changes is changed with it, or neither.
        It must not wait.
        """
        self._listeners.setdefault(kind, []).append(listener)

    def start(
        self, kind: str, name: str, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> Document:
        """Puts a job into the queue; a transaction that goes on around this includes it.

        Args:
            kind: jobs of one kind share the number that may run at once.
            name: its own among its kind; one that has ended is started again.
            argv: the program and its arguments. After the emulator's restart they are run again.
            folder: the program's working folder, made where there is none; `LOG` therein is its log.
                environment: variables beside the emulator's own and `self.environment`.

        Raises:
            Refusal: ALREADY_EXISTS, and it has not ended.
        """
        key = _key(kind, name)
        job: Document = {
            "kind": kind,
            "job": name,
            "argv": list(argv),
            "folder": str(folder),
            "environment": dict(environment or {}),
            "state": QUEUED,
            "createTime": now(),
            "cancel": False,
        }
        with self._documents.transaction():
            before = self._documents.find(KIND, key)
            if before and before["state"] not in ENDED:
                raise Refusal("ALREADY_EXISTS", f"The job is running: {name}")
            if before:
                self._documents.delete(KIND, key)
            self._documents.create(KIND, key, job, parent=kind)
            self._documents.create(_OPEN, key, {"kind": kind, "job": name})
        self.wake()
        return job

    def find(self, kind: str, name: str) -> Document | None:
        """A job, as it stands; None where there is none."""
        return self._documents.find(KIND, _key(kind, name))

    def state(self, kind: str, name: str) -> str:
        """QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED.

        Raises:
            Refusal: NOT_FOUND.
        """
        return str(self._documents.get(KIND, _key(kind, name))["state"])

    def cancel(self, kind: str, name: str) -> None:
        """Asks for a job's end; one that has ended stays as it is.

        Raises:
            Refusal: NOT_FOUND.
        """
        self._documents.change(
            KIND, _key(kind, name), lambda job: job if job["state"] in ENDED else {**job, "cancel": True}
        )
        self.wake()

    def forget(self, kind: str, name: str, *, files: bool = True) -> None:
        """Removes a job that has ended, with its folder; one that is not known is not missed.

        Raises:
            Refusal: FAILED_PRECONDITION: it has not ended.
        """
        with self._documents.transaction():
            job = self.find(kind, name)
            if job is None:
                return
            if job["state"] not in ENDED:
                raise Refusal("FAILED_PRECONDITION", f"The job is running: {name}")
            self._documents.delete(KIND, _key(kind, name))
        if files:
            shutil.rmtree(job["folder"], ignore_errors=True)

    def wait(self, kind: str, name: str, timeout_s: float) -> str:
        """Waits for a job's end, that long at most; returns its state."""
        give_up = time.monotonic() + timeout_s
        with self._changed:
            while (state := self.state(kind, name)) not in ENDED and (left := give_up - time.monotonic()) > 0:
                self._changed.wait(min(left, 0.5))
        return state

    def recover(self) -> None:
        """Begins to work, with what had not finished when the emulator last ended."""
        for job in self._open():
            if job["state"] == RUNNING:
                kill_marked(MARK, self._mark(_key(job["kind"], job["job"])))
                self._record(job, {"state": QUEUED})
        # The processes end with the thread that starts them, so it is this one alone, and not a handler's.
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends all processes. Their jobs go on at the next start."""
        if self._thread is None:
            return
        self._stopping = True
        self.wake()
        self._thread.join()
        self._thread = None

    def wake(self) -> None:
        """Has the queue looked at. Whoever calls `start` within a transaction calls this behind it, to lose no time."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._waker, b".")

    def _work(self) -> None:
        while not self._stopping:
            try:
                self._step()
            except Exception:  # noqa: BLE001 (such as a disk that is full for a moment)
                traceback.print_exc(file=sys.stderr)
                time.sleep(1.0)
        self._end_all()

    def _step(self) -> None:
        self._look()
        deadlines = [one.kill_at for one in self._processes.values() if one.kill_at is not None]
        wait = max(0.0, min([_LOOK_S, *(deadline - time.monotonic() for deadline in deadlines)]))
        for key, _ in self._selector.select(wait):
            if key.fd == self._woken:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, 4096)
        for name, process in list(self._processes.items()):
            if process.popen.poll() is not None:
                self._ended(name, process)
            elif process.kill_at is not None and time.monotonic() >= process.kill_at:
                _signal(process.popen, signal.SIGKILL)

    def _look(self) -> None:
        """Starts what waits and has room, and ends what was cancelled."""
        for job in self._open():
            key = _key(job["kind"], job["job"])
            if job["state"] == QUEUED and job["cancel"]:
                self._record(job, {"state": CANCELLED, "endTime": now()})
            elif job["state"] == QUEUED and self._running(job["kind"]) < self._at_once:
                self._begin(key, job)
            elif job["state"] == RUNNING and job["cancel"]:
                process = self._processes.get(key)
                if process and process.kill_at is None:
                    process.kill_at = time.monotonic() + _GRACE_S
                    process.popen.terminate()  # itself, which sees to its own

    def _open(self) -> list[Document]:
        """Those that have not ended, in the order in which they were started."""
        found = [self._documents.find(KIND, _key(one["kind"], one["job"])) for one in self._documents.list(_OPEN)]
        return [job for job in reversed(found) if job is not None]

    def _running(self, kind: str) -> int:
        return sum(key.startswith(f"{kind}:") for key in self._processes)

    def _mark(self, key: str) -> str:
        return f"{self._owner}:{key}"

    def _begin(self, key: str, job: Document) -> None:
        folder = Path(job["folder"])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / LOG).open("ab") as log:
                popen = subprocess.Popen(
                    attached(job["argv"]),
                    cwd=folder,
                    env={**os.environ, **self.environment, **job["environment"], MARK: self._mark(key)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            self._record(job, {"state": FAILED, "endTime": now(), "exitCode": 1, "error": str(error)})
            return
        process = _Process(popen, os.pidfd_open(popen.pid))
        self._processes[key] = process
        self._selector.register(process.pidfd, selectors.EVENT_READ)
        self._record(job, {"state": RUNNING, "startTime": now(), "pid": popen.pid})

    def _ended(self, key: str, process: _Process) -> None:
        self._leave(key, process)
        code = process.popen.returncode
        kind, _, name = key.partition(":")
        job = self.find(kind, name)
        if job is None:
            return
        state = CANCELLED if job["cancel"] and code != 0 else FAILED if code else SUCCEEDED
        self._record(job, {"state": state, "endTime": now(), "exitCode": code})

    def _leave(self, key: str, process: _Process) -> None:
        del self._processes[key]
        self._selector.unregister(process.pidfd)
        os.close(process.pidfd)
        _signal(process.popen, signal.SIGKILL)  # what it left behind in its session

    def _record(self, job: Document, news: Mapping[str, Any]) -> None:
        """Writes down a change, and tells of it."""
        name = _key(job["kind"], job["job"])
        listeners = self._listeners.get(job["kind"], [])
        try:
            self._write(name, news, listeners)
        except Exception:  # noqa: BLE001 (a listener's defect must not keep a job from its end)
            traceback.print_exc(file=sys.stderr)
            self._write(name, news, ())
        with self._changed:
            self._changed.notify_all()

    def _write(self, name: str, news: Mapping[str, Any], listeners: Sequence[Listener]) -> None:
        with self._documents.transaction():
            after = self._documents.change(KIND, name, lambda found: {**found, **news})
            if after["state"] in ENDED:
                self._documents.delete(_OPEN, name)
            for listener in listeners:
                listener(after)

    def _end_all(self) -> None:
        for process in self._processes.values():
            process.popen.terminate()
        give_up = time.monotonic() + _STOP_S
        for key, process in list(self._processes.items()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.popen.wait(max(0.0, give_up - time.monotonic()))
            _signal(process.popen, signal.SIGKILL)
            process.popen.wait()
            self._leave(key, process)


def attached(argv: Sequence[str], signal_number: int = signal.SIGKILL) -> list[str]:
    """A command line whose process ends with the thread that starts it, by a signal (PR_SET_PDEATHSIG).

    Args:
        argv: the program and its arguments.
        signal_number: which.
    """
    wrapper = str(Path(__file__).with_name("attached.py"))
    return [sys.executable, "-I", "-S", wrapper, str(int(signal_number)), str(os.getpid()), *argv]


def tail(folder: Path, most: int = _MOST_TAIL) -> str:
    """The end of a job's log; empty where there is none."""
    try:
        with (folder / LOG).open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - most))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def _key(kind: str, name: str) -> str:
    return f"{kind}:{name}"


def _signal(popen: subprocess.Popen[bytes], number: int) -> None:
    """To all of a job's session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(popen.pid, number)
