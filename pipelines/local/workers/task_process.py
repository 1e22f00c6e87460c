"""What a forked child of a zygote does: it becomes the task's process, runs it, and reports. Loaded by worker.py.

Standard library only at the top, and nothing of ours: it runs in every environment.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
import types
from pathlib import Path
from typing import Any

Request = dict[str, Any]

PR_SET_CHILD_SUBREAPER = 36
TEXT_LIMIT = 30_000  # of a message or a traceback in an event
PACKET_LIMIT = 1 << 16  # bytes of an event; a socket's buffer may not take more
PATIENCE = 2.0  # seconds in which a killed process is expected to be gone
TIDYING = 5.0  # seconds that a driver of something elsewhere has to end it
LIBC = ctypes.CDLL(None, use_errno=True)
SACRIFICE = 300  # of 1000: how much rather the kernel shall kill a task than its zygote or the runner


class Reporter:
    """Sends events to the runner: through the socket, or by a file where it does not fit or the task has closed it."""

    def __init__(self, events: socket.socket, request: Request) -> None:
        self.events, self.request = events, request
        self.process = os.getpid()
        self.identity = os.fstat(events.fileno()).st_ino

    def send(self, **event: Any) -> None:
        if os.getpid() != self.process:
            return  # a child of the task's own, which came back to our code instead of leaving
        body = json.dumps({**event, "id": self.request["id"]}).encode()
        if len(body) <= PACKET_LIMIT and self.there():
            with contextlib.suppress(OSError):
                self.events.send(body)
                return
        file = Path(self.request["report"])
        new = file.with_suffix(".new")
        new.write_bytes(body)
        new.rename(file)

    def there(self) -> bool:
        """Whether the descriptor is still our socket, and nothing that the task has opened since."""
        try:
            return os.fstat(self.events.fileno()).st_ino == self.identity
        except OSError:
            return False


def run_task(request: Request, reporter: Reporter) -> int:
    """Makes this process the task's, runs it, and returns its exit status."""
    log = become(request)
    if "entry" in request:
        return run_entry(request, reporter)
    if not request["python"]:
        return run_program(request["words"], reporter)
    faulthandler.enable(file=log)  # a crash leaves its Python stack in the log
    gc.enable()
    if "numpy.random" in sys.modules:  # else all children would draw the same numbers
        sys.modules["numpy.random"].seed()
    status, error = run_python(request["words"])
    flush()
    finish()
    alone = kill_children(set()) and threading.active_count() == 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # The last word, if nothing is left that could still write to the outputs until this process has ended.
    reporter.send(event="result", error=error, max_rss_kib=peak, last=alone)
    return status


def become(request: Request) -> int:
    """Sets up descriptors, environment and folder; returns a descriptor of the log that is the task's third."""
    log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    # Orphans of the task are its own, as a container's are its first process's: whoever is the zygote's child,
    # and no task, belongs to a task that has ended.
    LIBC.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    offer_to_the_kernel()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    return log


def run_entry(request: Request, reporter: Reporter) -> int:
    """Calls a function of ours, as "module:function", which does the task's work elsewhere and reports of it."""
    module, _, function = request["entry"].partition(":")
    return int(getattr(importlib.import_module(module), function)(request, reporter))


def offer_to_the_kernel() -> None:
    """Raises the score by which the kernel chooses whom to kill when memory runs out."""
    with contextlib.suppress(OSError, ValueError):
        score = os.open("/proc/self/oom_score_adj", os.O_RDWR)
        now = int(os.read(score, 16))
        os.pwrite(score, str(min(1000, now + SACRIFICE)).encode(), 0)
        os.close(score)


def rehearse() -> None:
    """What KFP's executor does first, once in the zygote: every task inherits the compiled patterns."""
    parser = argparse.ArgumentParser(description="rehearsal")
    parser.add_argument("--word", type=str, required=True, help="any")
    parser.parse_known_args(["--word", "{}"])


def run_program(words: list[str], reporter: Reporter) -> int:
    try:
        os.execvpe(words[0], words, os.environ)
    except OSError as error:
        message = f"cannot start `{words[0]}`: {error.strerror}"
        say(message)
        reporter.send(event="result", error=failure("OSError", message, user=True), last=True)
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
        say(message)
        return (exit.code if isinstance(exit.code, int) else 1), failure("SystemExit", message)
    except BaseException as error:  # noqa: BLE001  (whatever users raise)
        return 1, describe(error)
    return 0, None


def failure(kind: str, message: str, trace: str = "", user: bool = False) -> dict[str, Any]:
    return {
        "type": kind,
        "message": printable(message)[:TEXT_LIMIT],
        "trace": printable(trace)[-TEXT_LIMIT:],
        "user": user,
    }


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as data: its text, and its traceback from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    trace = "".join(traceback.format_exception(type(error), error, frames or error.__traceback__))
    say(trace)
    bases = [f"{c.__module__}.{c.__qualname__}" for c in type(error).__mro__]
    try:
        message = str(error)
    except Exception as problem:  # noqa: BLE001  (users write __str__ too)
        message = f"an error whose text cannot be had: {type(problem).__name__}"
    user = any(base.endswith("artifacts.errors.HeadraceError") for base in bases)
    code = getattr(error, "exit_code", 1)
    return {
        **failure(type(error).__name__, message, trace, user),
        "exit_code": code if isinstance(code, int) else 1,
        "errno": getattr(error, "errno", None) if isinstance(error, OSError) else None,
    }


def is_machinery(file: str) -> bool:
    return file == __file__ or file.startswith("<frozen") or f"{os.sep}kfp{os.sep}dsl{os.sep}" in file


def printable(text: str) -> str:
    """A text that can be written as UTF-8: of a file's name, say, it may hold what cannot."""
    return text.encode(errors="backslashreplace").decode()


def say(text: str) -> None:
    """Into the task's log, if the task has left it open."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(text, file=sys.stderr, flush=True)


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def finish() -> None:
    """What an interpreter does at its end: joins threads, runs exit handlers."""
    import atexit

    waiting = [t.name for t in threading.enumerate() if not t.daemon and t is not threading.current_thread()]
    if waiting:
        say(f"the function has returned; waiting for its threads: {', '.join(sorted(waiting))}")
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001  (as the interpreter does: said, and passed over)
        say(traceback.format_exc())
    flush()


def children() -> list[int]:
    """The process ids of this process's own children."""
    return [
        int(pid) for thread in Path("/proc/self/task").iterdir() for pid in (thread / "children").read_text().split()
    ]


def ask_to_end(processes: set[int]) -> None:
    """Sends SIGTERM to children that tidy up on it, and waits a while for them."""
    for pid in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + TIDYING
    while processes and time.monotonic() < end:
        time.sleep(0.02)
        for pid in list(processes):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG) == (0, 0):
                    continue
            processes.discard(pid)


def kill_children(spared: set[int]) -> bool:
    """Kills all children of this process but some, and theirs as they come to it. False: not all are gone in time."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        strays = [pid for pid in children() if pid not in spared]
        if not strays:
            return True
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in strays:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if time.monotonic() > end:
            return False
        time.sleep(0.0005)
