"""Memory of a process and all its descendants, pages that they share counted once."""

from __future__ import annotations

from pathlib import Path


def memory(pid: int) -> float:
    """MiB that a process and its descendants hold (their proportional set sizes, PSS)."""
    total = 0
    for each in [pid, *descendants(pid)]:
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def descendants(pid: int) -> list[int]:
    """The ids of a process's children and theirs."""
    try:
        children = [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return [*children, *(deeper for child in children for deeper in descendants(child))]
