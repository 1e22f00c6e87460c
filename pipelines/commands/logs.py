"""`headrace logs`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option


@click.command("logs")
@click.argument("run")
@click.argument("task")
@home_option
def command(run: str, task: str, home: Path) -> None:
    """Print what TASK printed in RUN (`latest` is the latest)."""
    from headrace.pipelines.commands.show import latest
    from headrace.pipelines.local.record import load_run

    result = load_run(home, latest(home) if run == "latest" else run)
    tasks = {found.path: found for found in result.tasks.values() if found.leaf}
    found = tasks.get(task) or next((t for t in tasks.values() if t.name == task), None)
    if found is None:
        raise HeadraceError(f"expected one of the tasks {', '.join(tasks)}. Received: {task}")
    if found.log is None or not found.log.exists():
        raise HeadraceError(
            f"{task}: expected a log. Received: none; it was {'cached' if found.cached else found.state.lower()}"
        )
    for line in own_lines(found.log.read_text(errors="replace").splitlines()):
        click.echo(line)


def own_lines(lines: list[str]) -> Iterator[str]:
    """What the task itself printed: without KFP's account of its own doings, and the inputs that it dumps."""
    dump = False
    for line in lines:
        if line.startswith("[KFP Executor"):
            dump = line.endswith("Got executor_input:")
        elif dump:
            dump = line != "}"
        else:
            yield line
