"""The zygote of one environment: imports once, then forks a child for every task. Run as a script.

    python -P worker.py CONTROL_FD EVENTS_FD

Standard library only at the top, and nothing of ours: it runs in every environment. One thread, so that a
fork is safe; modules are imported and never used here, for the same reason. Between two imports it looks for
requests, so a light task waits for one import at most.

Requests come over a stream socket (length, JSON), events go out over a packet socket that children share:
    {"op": "preload", "modules": [...]}                       -> nothing
    {"op": "fork", "id": ..., "needs": [...], ...}            -> started, result (from the child), exit
    {"op": "stop"} or the end of the stream                   -> every process below is killed; the end
"""

import collections
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

Request = dict[str, Any]

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
TEXT_LIMIT = 30_000  # of a traceback in an event


def die_with_parent(sig: int, parent: int) -> None:
    """Asks the kernel for `sig` when the parent ends; and does not outlive one that has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, sig, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class Stop(BaseException):
    """Raised by SIGTERM, wherever the zygote is."""


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
        except Stop:
            raise
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
            self.send(event="refused", id=request["id"], message=str(error))
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # the child does it too: whoever is first, it is done before it is needed
        self.tasks[pid] = request["id"]
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
            code = run_task(request, lambda **event: self.send(id=request["id"], **event))
        except BaseException:  # noqa: BLE001  (a child never returns into the zygote's code)
            traceback.print_exc()
        finally:
            os._exit(code)

    def reap(self) -> None:
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            if pid in self.tasks:
                kill_group(pid)  # while the number is still the dead leader's
            _, status, usage = os.wait4(pid, 0)
            if pid in self.tasks:
                self.send(
                    event="exit",
                    id=self.tasks.pop(pid),
                    code=os.waitstatus_to_exitcode(status),
                    max_rss_kib=usage.ru_maxrss,
                )

    def stop(self) -> None:
        """Leaves no process behind: the tasks' groups, then whoever was orphaned to this process."""
        for pid in self.tasks:
            kill_group(pid)
        while True:
            for pid in children():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.wait()
            except ChildProcessError:
                return


def children() -> list[int]:
    """The process ids of this process's own children."""
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def run_task(request: Request, send: Callable[..., None]) -> int:
    """In the child: makes this process the task's, runs it, and returns its exit status."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    if not request["python"]:
        return run_program(request["words"], send)
    gc.enable()
    if "numpy.random" in sys.modules:  # else all children would draw the same numbers
        sys.modules["numpy.random"].seed()
    status, error = run_python(request["words"])
    sys.stdout.flush()
    sys.stderr.flush()
    finish()
    send(event="result", error=error, max_rss_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return status


def run_program(words: list[str], send: Callable[..., None]) -> int:
    try:
        os.execvpe(words[0], words, os.environ)
    except OSError as error:
        message = f"cannot start `{words[0]}`: {error.strerror}"
        print(message, flush=True)
        send(event="result", error={"type": "OSError", "message": message, "trace": "", "user": True})
        return 127


def run_python(words: list[str]) -> tuple[int, dict[str, Any] | None]:
    """Calls KFP's executor as `python -m` would; returns (exit status, error or None)."""
    import kfp.dsl.executor_main as executor

    main = types.ModuleType("__main__")
    main.__file__ = executor.__file__
    main.__spec__ = executor.__spec__  # by this, multiprocessing and loky find what to import in their workers
    vars(main)["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    sys.argv = [executor.__file__, *words]
    try:
        executor.executor_main()
    except SystemExit as exit:
        if exit.code in (None, 0):
            return 0, None
        message = f"the task left with sys.exit({exit.code!r})"
        print(message, flush=True)
        return (exit.code if isinstance(exit.code, int) else 1), {
            "type": "SystemExit",
            "message": message,
            "trace": "",
            "user": False,
        }
    except BaseException as error:  # noqa: BLE001  (whatever users raise)
        return 1, describe(error)
    return 0, None


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as data: its text, and its traceback from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    trace = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
    print(trace, file=sys.stderr, flush=True)
    bases = [f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__]
    return {
        "type": type(error).__name__,
        "message": str(error)[:TEXT_LIMIT],
        "trace": trace[-TEXT_LIMIT:],
        "user": any(base.endswith("artifacts.errors.HeadraceError") for base in bases),
        "exit_code": getattr(error, "exit_code", 1),
        "errno": getattr(error, "errno", None) if isinstance(error, OSError) else None,
    }


def is_machinery(file: str) -> bool:
    return file == __file__ or file.startswith("<frozen") or f"{os.sep}kfp{os.sep}dsl{os.sep}" in file


def finish() -> None:
    """What an interpreter does at its end: joins threads, runs exit handlers."""
    import atexit
    import threading

    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001  (as the interpreter does: said, and passed over)
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()


def stop_here(*_: object) -> None:
    raise Stop


def main(control_fd: int, events_fd: int, parent: int) -> None:
    signal.signal(signal.SIGTERM, stop_here)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(signal.SIGTERM, parent)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    control, events = socket.socket(fileno=control_fd), socket.socket(fileno=events_fd)
    control.set_inheritable(False)
    events.set_inheritable(False)
    zygote = Zygote(control, events)
    try:
        for module in ("kfp.dsl.executor_main", "locale"):  # argparse wants the second
            importlib.import_module(module)
        zygote.serve()
    except (Stop, BrokenPipeError, ConnectionResetError):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        zygote.stop()
        os._exit(0)  # nothing to tidy up that is worth the time


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
