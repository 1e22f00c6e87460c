"""Who owns a run, is it alive, and which processes did a dead one leave behind (Linux's /proc)."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process, told apart from a later one with the same number."""

    pid: int
    started: int  # clock ticks after boot
    boot: str  # the boot's identity

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self == identify(self.pid)


def identify(pid: int) -> Owner | None:
    """The running process with this number; None where there is none, or only a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        if fields[0] in "ZX":
            return None
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Owner(pid, int(fields[19]), boot)


def myself() -> Owner:
    """The owner of the runs of this process."""
    me = identify(os.getpid())
    if me is None:
        raise OSError("/proc does not show this process")
    return me


def kill_strays(run_id: str) -> list[int]:
    """Kills every process that carries a run's mark in its environment, and returns their numbers."""
    return kill_marked("HEADRACE_RUN", run_id)


def kill_marked(variable: str, value: str) -> list[int]:
    """Kills every process that was started with this environment variable, and returns their numbers.

    Forked processes inherit the mark, whatever they do to their own environment later.
    """
    mark = f"{variable}={value}".encode()
    killed = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                killed.append(int(entry.name))
    return killed
