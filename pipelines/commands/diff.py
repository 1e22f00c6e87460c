"""`headrace diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option

if TYPE_CHECKING:
    from headrace.pipelines.local.record.diff import Gate
    from headrace.pipelines.local.record.results import RunResult


@click.command("diff")
@click.argument("before", metavar="RUN", default="latest~1")
@click.argument("after", metavar="RUN", default="latest")
@click.option("--all", "whole", is_flag=True, help="Leave nothing out, however long it is.")
@click.option("--json", "as_json", is_flag=True, help="For machines; complete.")
@home_option
def command(before: str, after: str, whole: bool, as_json: bool, home: Path) -> None:
    """Tell what differed from one RUN to another (by default: from the one before the latest to the latest).

    That is: pipeline, parameters, data, code and environment; which tasks ran again because of what; metrics,
    gates and time. RUN is an id or its beginning, `latest`, `latest~1`, or a pipeline's name.
    """
    from headrace.pipelines.commands.show import graph_of
    from headrace.pipelines.local.record.diff import diff_runs
    from headrace.pipelines.local.record.finding import find_run, opened
    from headrace.pipelines.local.views.diff_text import diff_json, diff_text
    from headrace.pipelines.local.views.json_view import dumps

    with opened(home) as record:
        ids = [find_run(record, text) for text in (before, after)]
        old, new = (record.run(run_id) for run_id in ids)
        graphs = [graph_of(record, run_id) for run_id in ids]
    found = diff_runs(old, new, graphs[0], graphs[1], gates(old), gates(new))
    if as_json:
        click.echo(dumps(diff_json(found), indent=2))
        return
    for line in diff_text(found, whole):
        click.echo(line)


def gates(run: RunResult) -> list[Gate]:
    """The verdicts of a run's gates; none where they were not reached, or the store has lost them."""
    from headrace.pipelines.outcome import outcome

    verdict = outcome(run).verdict
    return [(d.gate, d.passed, d.reason) for d in verdict.decisions] if verdict else []
