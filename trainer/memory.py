"""How much memory there is to take, and was taken."""

from __future__ import annotations

import resource
from pathlib import Path


def free_memory(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """How many bytes this process may still take: the machine's, or less where its container has a limit."""
    lines = (proc / "meminfo").read_text().splitlines()
    free = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    most, taken = cgroup / "memory.max", cgroup / "memory.current"
    if most.is_file() and taken.is_file() and (limit := most.read_text().strip()).isdigit():
        free = min(free, max(0, int(limit) - int(taken.read_text())))
    return free


def peak_mib() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
