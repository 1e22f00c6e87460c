"""Judges the run on staging by what the platform says of it, and fails closed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.delivery.asked import needed
from tools.delivery.errors import DeliveryError

if TYPE_CHECKING:
    from headrace.platforms.running import Runs, Submitted, TaskState

# A run whose model did not pass its gates ends well, with these two skipped: that is no end-to-end run.
NEEDED = ("evaluate", "gate", "register", "push")


def judge(runs: Runs, run_file: Path, commit: str, output: Path) -> dict[str, Any]:
    """Writes gate.json, without which nothing is promoted, and only if the run did all that it should.

    Args:
        runs: the platform that ran it.
        run_file: what `make submit-e2e` wrote.
        commit: what has to have been run.
        output: the file for the judgement.

    Raises:
        DeliveryError: the run is of another commit, has not ended well, or has left out a step.
    """
    needed(COMMIT=commit)
    output.unlink(missing_ok=True)
    try:
        run = json.loads(run_file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeliveryError(f"{run_file}: expected what `make submit-e2e` writes. Received: no such file") from None
    if run["commit"] != commit:
        raise DeliveryError(f"{run_file}: expected a run of commit {commit}. Received: one of {run['commit']}")
    found, tasks = runs.get(run["id"]), runs.tasks(run["id"])
    if reasons := misgivings(found, tasks):
        raise DeliveryError("\n".join([f"run {run['id']} is not to be promoted:", *reasons, found.url]).strip())
    judgement = {
        "passed": True,
        "commit": commit,
        "run": run["id"],
        "tasks": {task.name: task.state for task in tasks if not task.group},
    }
    output.write_text(json.dumps(judgement, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return judgement


def misgivings(run: Submitted, tasks: Sequence[TaskState]) -> list[str]:
    """What speaks against a run, a line each; empty where nothing does."""
    lines = []
    if run.state != "SUCCEEDED":
        lines.append(f"expected it to have succeeded. Received: {run.state} {run.error}".rstrip())
    work = [task for task in tasks if not task.group]
    for task in work:
        if task.state != "SUCCEEDED":
            lines.append(f"{task.name}: expected it to have succeeded. Received: {task.state} {task.error}".rstrip())
    done = {task.name.rpartition("/")[2] for task in work if task.state == "SUCCEEDED"}
    for name in NEEDED:
        if name not in done and not any(task.name.rpartition("/")[2] == name for task in work):
            hint = "; its model did not pass its gates?" if name in ("register", "push") else ""
            lines.append(f"{name}: expected this step. Received: none{hint}")
    return lines
