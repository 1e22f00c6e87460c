"""Starts environments before there is a pipeline to run, so that they are ready, or importing, by when there is one."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.pipelines.local.workers import resources
from headrace.pipelines.local.workers.environments import Environments
from headrace.pipelines.local.workers.zygote import Zygote, environment

if TYPE_CHECKING:
    from headrace.pipelines.local.store.closure import Closures


class HeadStart:
    """The run that is about to be, and the zygotes that wait or already import for it."""

    def __init__(self, home: Path, environments: Environments, max_parallel: int, run_id: str = "") -> None:
        self.run_id = run_id or new_run_id()
        self.zygotes: dict[str, Zygote] = {}
        self.closures: Closures | None = None  # what was found out about code, if anything: the run goes on with it
        self.begun = False  # by then the zygotes' logs are a run's
        self._home, self._environments = home.absolute(), environments
        self._threads = threads_for(max_parallel)
        self._logs = self._home / "logs" / self.run_id

    def start(self, name: str, module: Path | None = None) -> None:
        """Starts an environment; `module` is one whose imports, and those of what it imports, will be needed."""
        if name not in self.zygotes:
            prefix = self._environments.prefix(name)
            env = environment(prefix, self._home, self.run_id, self._threads)
            self._logs.mkdir(parents=True, exist_ok=True)
            self.zygotes[name] = Zygote(name, prefix, env, self._logs / f"_environment-{name}.log")
        if module:
            if self.closures is None:
                from headrace.pipelines.local.store.closure import CLOSURES, default_closures

                self.closures = default_closures(memory=self._home / CLOSURES)
            self.zygotes[name].preload(self.closures.of_source(module.read_text()).preload)

    def close(self) -> None:
        """Ends them, and leaves nothing behind where no run began."""
        for zygote in self.zygotes.values():
            zygote.close()
        if self.begun:
            return
        for name in self.zygotes:
            (self._logs / f"_environment-{name}.log").unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody else's file is in it, or it never was
            self._logs.rmdir()


@contextlib.contextmanager
def head_start(home: Path, environments: Environments, max_parallel: int) -> Iterator[HeadStart]:
    """What was started in it is gone when the block is left, whatever became of the run.

    Args:
        home: the `.headrace` folder.
        environments: where they are.
        max_parallel: tasks at the same time, by which each gets its number of threads.
    """
    early = HeadStart(home, environments, max_parallel)
    try:
        yield early
    finally:
        early.close()


def new_run_id() -> str:
    """A run's identity: when it began (UTC), and six digits of chance."""
    return f"{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


def threads_for(max_parallel: int) -> int:
    """How many threads a task's libraries may use when so many tasks run at the same time."""
    return max(1, resources.cores() // max_parallel)
