"""Starts environments before there is a pipeline to run, so that importing goes on while it is being compiled."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from headrace.pipelines.local.store.closure import default_closures
from headrace.pipelines.local.workers import resources
from headrace.pipelines.local.workers.environments import Environments
from headrace.pipelines.local.workers.zygote import Zygote, environment


@dataclass(frozen=True)
class HeadStart:
    """The run that is about to be, and the zygotes that already import for it."""

    run_id: str
    zygotes: Mapping[str, Zygote]


@contextlib.contextmanager
def head_start(
    home: Path, environments: Environments, sources: Mapping[str, Path], max_parallel: int
) -> Iterator[HeadStart]:
    """Starts a zygote per environment; they are gone when the block is left, whatever became of the run.

    Args:
        home: the `.headrace` folder.
        environments: where they are.
        sources: environment -> a module whose imports, and those of what it imports, will be needed.
        max_parallel: tasks at the same time, by which each gets its number of threads.
    """
    run_id = new_run_id()
    logs = home / "logs" / run_id
    logs.mkdir(parents=True, exist_ok=True)
    zygotes: dict[str, Zygote] = {}
    try:
        for name in sources:
            prefix = environments.prefix(name)
            env = environment(prefix, home, run_id, threads_for(max_parallel))
            zygotes[name] = Zygote(name, prefix, env, logs / f"_environment-{name}.log")
        closures = default_closures()
        for name, module in sources.items():
            zygotes[name].preload(closures.of_source(module.read_text()).preload)
        yield HeadStart(run_id, zygotes)
    finally:
        for zygote in zygotes.values():
            zygote.close()


def new_run_id() -> str:
    """A run's identity: when it began (UTC), and six digits of chance."""
    return f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def threads_for(max_parallel: int) -> int:
    """How many threads a task's libraries may use when so many tasks run at the same time."""
    return max(1, resources.cores() // max_parallel)
