"""What the machine has and what a task asks for: cores and memory.

Whole numbers throughout (thousandths of a core, bytes), so that what is taken and given back adds up to nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.graph import Graph
from headrace.pipelines.local.ir.placeholders import resolve_text

CORE = 1000  # thousandths
_GIGABYTE = 10**9  # the unit of the IR's older memory fields
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d{1,2}))?([a-zA-Z]*)", re.ASCII)
_SUFFIXES = {"": Decimal(1), "m": Decimal(1) / 1000, "k": Decimal(1000), "K": Decimal(1000)} | {
    prefix + ("i" if base == 1024 else ""): Decimal(base) ** power
    for base in (1000, 1024)
    for power, prefix in enumerate("MGTPE", start=2)
}
_SUFFIXES["Ki"] = Decimal(1024)
_NO_LIMIT = 1 << 60  # cgroup v1 writes a number near 2**63 where there is none


class ResourceError(HeadraceError):
    """A resource request that is no quantity."""


@dataclass(frozen=True)
class Amount:
    """Thousandths of a core, and bytes of memory: of a machine, or claimed by a task."""

    cpu: int
    memory: int

    def within(self, other: Amount) -> bool:
        return self.cpu <= other.cpu and self.memory <= other.memory


@dataclass(frozen=True)
class Request:
    """What a task asks for; None where it does not say."""

    cpu: int | None = None  # thousandths of a core
    memory: int | None = None  # bytes


def cores() -> int:
    """The whole cores that this process may use; at least one."""
    return max(1, machine().cpu // CORE)


@cache
def machine() -> Amount:
    """What this process may use: by its CPU affinity, the machine's memory, and the limits of its cgroups."""
    return look_at_machine(Path("/proc"), Path("/sys/fs/cgroup"), len(os.sched_getaffinity(0)))


def look_at_machine(proc: Path, cgroups: Path, affinity: int) -> Amount:
    """The same from files that lie under `proc` and `cgroups`."""
    cpu = [affinity * CORE, *_cpu_quotas(proc, cgroups)]
    memory = [_total_memory(proc), *_memory_limits(proc, cgroups)]
    return Amount(max(min(cpu), 1), min(memory))


def quantity(text: str, what: str) -> Decimal:
    """A quantity as Kubernetes writes it ("500m", "1.5", "2Gi", "1500M"), in cores or bytes.

    Raises:
        ResourceError: it is not one.
    """
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match.group(3) not in _SUFFIXES:
        raise ResourceError(f"expected a quantity for {what}, such as 500m, 1.5 or 2Gi. Received: {text!r}")
    number, exponent, suffix = match.groups()
    return Decimal(number).scaleb(int(exponent or 0)) * _SUFFIXES[suffix]


def request(resources: Mapping[str, Any], executor_input: Mapping[str, Any], constants: Mapping[str, str]) -> Request:
    """What a container's `resources` ask for: the request where there is one, else the limit.

    Args:
        resources: of the IR's container; the fields that begin with `resource` may hold placeholders.
        executor_input: what those are resolved against.
        constants: the placeholders without a key.

    Raises:
        ResourceError: a value that is no quantity.
    """

    def first(kind: str, unit: int) -> Decimal | None:
        for field in (f"{kind}Request", f"{kind}Limit"):
            text = str(resources.get(f"resource{field[0].upper()}{field[1:]}") or "")
            text = resolve_text(text, executor_input, constants)
            if text not in ("", "null"):  # a parameter without a value
                return quantity(text, field)
            if resources.get(field):  # the older field; where it is not set it reads as 0
                return Decimal(str(resources[field])) * unit
        return None

    cpu, memory = first("cpu", 1), first("memory", _GIGABYTE)
    return Request(
        None if cpu is None else int((cpu * CORE).to_integral_value(ROUND_CEILING)),
        None if memory is None else int(memory.to_integral_value(ROUND_CEILING)),
    )


def claim(asked: Request, budget: Amount, slots: int) -> Amount:
    """What a task takes of the budget while it runs.

    One core where it does not say, or less where the user wants more tasks at a time than there are cores. The
    whole budget where it asks for more than there is: it runs alone.
    """
    cpu = min(CORE, budget.cpu // slots) if asked.cpu is None else asked.cpu
    wanted = Amount(max(cpu, 1), asked.memory or 0)
    return wanted if wanted.within(budget) else budget


def notices(graph: Graph, budget: Amount) -> Iterator[str]:
    """What to say at a run's start: the components that ask for more than there is, as far as the pipeline says."""
    for component in graph.components.values():
        if component.executor is not None and component.executor.kind == "container":
            fixed = {k: v for k, v in component.executor.resources.items() if "{{" not in str(v)}
            if text := excess(component.name, request(fixed, {}, {}), budget):
                yield text


def excess(component: str, asked: Request, budget: Amount) -> str | None:
    """What to say of a component that asks for more than there is; None of one that does not."""
    parts = []
    if (asked.cpu or 0) > budget.cpu:
        parts.append(f"{(asked.cpu or 0) / CORE:g} cores of {budget.cpu / CORE:g}")
    if (asked.memory or 0) > budget.memory:
        parts.append(f"{memory_text(asked.memory or 0)} of memory of {memory_text(budget.memory)}")
    if not parts:
        return None
    return f"{component.removeprefix('comp-')}: asks for {' and '.join(parts)}, and will run alone"


def memory_text(size: float) -> str:
    """Bytes for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def kill_counter(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> Path | None:
    """Where the kernel counts the processes that it killed for want of memory: in this cgroup, or on the machine."""
    for folder in _folders(proc, cgroups, "memory"):
        for name in ("memory.events", "memory.oom_control"):
            if "oom_kill " in _read(folder / name):
                return folder / name
    return proc / "vmstat" if "oom_kill " in _read(proc / "vmstat") else None


def kills(counter: Path | None) -> int:
    """How many processes the kernel has killed for want of memory, by a file of `kill_counter`'s."""
    lines = _read(counter).splitlines() if counter else ()
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _total_memory(proc: Path) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", _read(proc / "meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _cpu_quotas(proc: Path, cgroups: Path) -> Iterator[int]:
    for folder in _folders(proc, cgroups, "cpu"):
        words = _read(folder / "cpu.max").split() or [
            _read(folder / "cpu.cfs_quota_us").strip(),
            _read(folder / "cpu.cfs_period_us").strip(),
        ]
        if all(word.isdigit() and int(word) > 0 for word in words[:2]):
            yield int(words[0]) * CORE // int(words[1])


def _memory_limits(proc: Path, cgroups: Path) -> Iterator[int]:
    for folder in _folders(proc, cgroups, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _read(folder / name).strip()
            if text.isdigit() and 0 < int(text) < _NO_LIMIT:
                yield int(text)


def _folders(proc: Path, cgroups: Path, controller: str) -> Iterable[Path]:
    """The cgroups of this process for a controller, its own first, then those around it.

    In a container the path is often the host's, and only the root of what is mounted there exists.
    """
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names == "":
            roots = [cgroups, cgroups / "unified"]  # version 2; beside version 1
        elif controller in names.split(","):
            roots = [cgroups / names, cgroups / controller]  # version 1
        else:
            continue
        for root in roots:
            folder = root / path.strip("/")
            while folder != root:
                yield folder
                folder = folder.parent
            yield root


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
