"""How a task's process came to its end, in words: exit statuses, signals, and the kernel's want of memory."""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

from headrace.pipelines.local.workers.resources import memory_text

_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
_TAIL = 1 << 18  # bytes of a log in which a crash is looked for
_MACHINERY = re.compile(
    r'  File "(?:<frozen .*|.*/kfp/dsl/.*|.*/pipelines/local/workers/(?:worker|task_process)\.py)", line \d+'
)


def error(kind: str, message: str, trace: str = "") -> dict[str, Any]:
    """A failure in the form in which a task's process reports its own."""
    return {"type": kind, "message": message, "trace": trace, "user": False}


def of_task(
    code: int, *, python: bool, killed_for_memory: bool, peak: int, memory: int, log: Path
) -> dict[str, Any] | None:
    """Why a task failed that ended without a word of its own; None for a program that ended well.

    Args:
        code: exit status, or the negative number of the signal that killed it.
        python: it is a Python component, which reports its result before it ends.
        killed_for_memory: the kernel's count of processes killed for want of memory rose while it ran.
        peak: its resident memory at most, in bytes.
        memory: the machine's, in bytes.
        log: what it wrote; in which the Python stack of a crash stands.
    """
    if code == 0 and python:
        return error("ExitStatus", "ended with exit status 0 before its function had returned (os._exit?)")
    found = of_process(code, killed_for_memory)
    if found is None:
        return None
    if -code == signal.SIGKILL:
        found["message"] += f": at its peak it held {memory_text(peak)}, the machine has {memory_text(memory)}"
    if -code in _CRASHES and (stack := crash(log)):
        found["trace"] = f"{stack}\n{found['message']}"
    return found


def of_process(code: int, killed_for_memory: bool) -> dict[str, Any] | None:
    """The same for any process, by its exit status alone."""
    if code == 0:
        return None
    if code > 0:
        return error("ExitStatus", f"ended with exit status {code}")
    if -code == signal.SIGKILL and killed_for_memory:
        return error("OutOfMemory", "killed by the kernel for want of memory")
    name = signal.Signals(-code).name if -code in set(signal.Signals) else "unknown"
    hint = ", perhaps out of memory" if -code == signal.SIGKILL else ""
    return error("Killed", f"killed by signal {-code} ({name}){hint}")


def crash(log: Path) -> str:
    """The last Python stack of a crash in a log, without our frames and KFP's; empty where there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _TAIL))
            text = stream.read().decode(errors="replace")
    except OSError:
        return ""
    _, mark, rest = text.rpartition("Fatal Python error: ")
    lines = [line for line in f"{mark}{rest}".splitlines() if not _MACHINERY.match(line)]
    kept = [line for line in lines if line.startswith(("Fatal ", "Current thread", "Thread 0x", "  File "))]
    return "\n".join(kept)
