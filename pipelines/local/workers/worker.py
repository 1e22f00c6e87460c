"""The zygote of one environment: imports once, then forks a child for every task. Run as a script.

    python -P worker.py CONTROL_FD EVENTS_FD

Standard library only at the top, and of ours only task_process.py beside it: it runs in every environment. One
thread, so that a fork is safe; modules are imported and never used here, for the same reason. Between two imports
it looks for requests, so a light task waits for one import at most.

Requests come over a stream socket (length, JSON), events go out over a packet socket that children share:
    {"op": "preload", "modules": [...]}                       -> nothing
    {"op": "fork", "id": ..., "needs": [...], ...}            -> started, result (from the child), exit
    {"op": "stop"} or the end of the stream                   -> every process below is killed; the end
"""

import collections
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from headrace.pipelines.local.workers import task_process
else:  # by its place, for the package is not importable in every environment
    _spec = importlib.util.spec_from_file_location("headrace_task_process", Path(__file__).with_name("task_process.py"))
    task_process = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(task_process)

Request = dict[str, Any]

PR_SET_PDEATHSIG = 1
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def die_with_parent(sig: int, parent: int) -> None:
    """Asks the kernel for `sig` when the parent ends; and does not outlive one that has ended already."""
    task_process.LIBC.prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Stop(Exception):
    """The runner wants no more, or is gone."""


class Zygote:
    """Serves fork requests between imports."""

    def __init__(self, control: socket.socket, events: socket.socket) -> None:
        self.control = control
        self.events = events
        self.buffer = b""
        self.queue: collections.deque[str] = collections.deque()  # modules still to import
        self.seen: set[str] = set()
        self.done: set[str] = set()
        self.deferred: list[tuple[Request, set[str]]] = []  # requests whose modules are not there yet
        self.tasks: dict[int, str] = {}  # pid -> request id
        self.drivers: set[int] = set()  # those of them that work elsewhere, and have to tidy up there
        self.wake, wake_writer = os.pipe()
        os.set_blocking(self.wake, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.siginterrupt(signal.SIGCHLD, False)
        gc.disable()

    def send(self, **event: Any) -> None:
        self.events.send(json.dumps(event).encode())

    def serve(self) -> None:
        while True:
            watched = [self.control.fileno(), self.wake]
            ready, _, _ = select.select(watched, [], [], 0 if self.queue else None)
            if self.wake in ready:
                self.reap()
            if watched[0] in ready:
                for request in self.receive():
                    self.handle(request)
            elif self.queue:
                self.load(self.queue.popleft())

    def receive(self) -> list[Request]:
        chunk = self.control.recv(1 << 16)
        if not chunk:
            raise Stop
        self.buffer += chunk
        requests = []
        while len(self.buffer) >= 4:
            size = struct.unpack(">I", self.buffer[:4])[0]
            if len(self.buffer) < 4 + size:
                break
            requests.append(json.loads(self.buffer[4 : 4 + size]))
            self.buffer = self.buffer[4 + size :]
        return requests

    def handle(self, request: Request) -> None:
        if request["op"] == "stop":
            raise Stop
        if request["op"] == "preload":
            new = [m for m in dict.fromkeys(request["modules"]) if m not in self.seen]
            self.seen.update(new)
            self.queue.extend(new)
            return
        missing = [m for m in request["needs"] if m not in self.done]
        if not missing:
            self.fork(request)
            return
        rest = [m for m in self.queue if m not in missing]
        self.seen.update(missing)
        self.queue = collections.deque(dict.fromkeys(missing + rest))
        self.deferred.append((request, set(missing)))

    def load(self, module: str) -> None:
        try:
            importlib.import_module(module)
        except BaseException as error:  # noqa: BLE001  (the task that needs it will say so, in its own log)
            print(f"zygote: {module}: {type(error).__name__}: {error}", flush=True)
        self.done.add(module)
        waiting, self.deferred = self.deferred, []
        for request, missing in waiting:
            missing.discard(module)
            if missing:
                self.deferred.append((request, missing))
            else:
                self.fork(request)

    def fork(self, request: Request) -> None:
        gc.freeze()
        sys.stdout.flush()
        zygote = os.getpid()
        # No signal may come between the fork and the moment when the child has handlers of its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                self.child(request, zygote)
        except OSError as error:
            self.send(event="refused", id=request["id"], message=error.strerror or str(error))
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the child does it too: whoever is first, it is done before it is needed
        self.tasks[pid] = request["id"]
        if "entry" in request:
            self.drivers.add(pid)
        self.send(event="started", id=request["id"], pid=pid)

    def child(self, request: Request, zygote: int) -> NoReturn:
        code = 70
        try:
            os.setpgid(0, 0)
            die_with_parent(signal.SIGKILL, zygote)
            signal.set_wakeup_fd(-1)
            for sig in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(sig, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
            self.control.close()
            os.close(self.wake)
            reporter = task_process.Reporter(self.events, request)
            try:
                code = task_process.run_task(request, reporter)
            except BaseException as error:  # noqa: BLE001  (a child never returns into the zygote's code)
                reporter.send(event="result", error=task_process.describe(error), last=False)
        finally:
            os._exit(code)

    def reap(self) -> None:
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        ended = []
        while pid := dead_child():
            if pid in self.tasks:
                kill_group(pid)  # while the number is still the dead leader's
            _, status, usage = os.wait4(pid, 0)
            if pid in self.tasks:
                ended.append((self.tasks.pop(pid), os.waitstatus_to_exitcode(status), usage.ru_maxrss))
        if ended:
            # What a living task has orphaned is its own child, not this process's: see `task_process.become`.
            task_process.kill_children({*self.tasks, *helpers()})
        for task, code, peak in ended:
            self.send(event="exit", id=task, code=code, max_rss_kib=peak)

    def stop(self) -> None:
        """Leaves no process behind: the tasks' groups, then whoever was orphaned to this process."""
        task_process.ask_to_end(self.drivers & set(self.tasks))
        for pid in self.tasks:
            kill_group(pid)
        while True:
            for pid in task_process.children():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.wait()
            except ChildProcessError:
                return


def dead_child() -> int | None:
    """A child that has ended and was not waited for yet."""
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found.si_pid if found else None
    return None


def helpers() -> list[int]:
    """Children that an import has started: no task's process is in this one's group."""
    found = []
    for pid in task_process.children():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == os.getpgrp():
                found.append(pid)
    return found


def kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def main(control_fd: int, events_fd: int, parent: int) -> None:
    zygote: Zygote | None = None

    def end(*_: object) -> NoReturn:
        # From within the handler: an exception could be swallowed by whatever is being imported at that moment.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if zygote is not None:
            zygote.stop()
        os._exit(0)  # nothing to tidy up that is worth the time

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGTERM, parent)
    task_process.LIBC.prctl(task_process.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    control, events = socket.socket(fileno=control_fd), socket.socket(fileno=events_fd)
    control.set_inheritable(False)
    events.set_inheritable(False)
    zygote = Zygote(control, events)
    try:
        for module in ("kfp.dsl.executor_main", "locale"):  # argparse wants the second
            importlib.import_module(module)
        task_process.rehearse()
        zygote.serve()
    except (Stop, BrokenPipeError, ConnectionResetError):
        end()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
