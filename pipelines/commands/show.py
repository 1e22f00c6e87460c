"""`headrace show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option

if TYPE_CHECKING:
    from headrace.pipelines.local.ir.graph import Graph
    from headrace.pipelines.local.record.record import Record


FOLLOWED = 2_000  # artifacts and tasks of a lineage, where not all are asked for


@click.command("show")
@click.argument("run", default="latest")
@click.option("--lineage", metavar="TASK|ARTIFACT|DIGEST", help="What it was made from, and what was made from it.")
@click.option("--all", "whole", is_flag=True, help="Leave nothing out, however long it is.")
@click.option("--json", "as_json", is_flag=True, help="For machines; complete.")
@home_option
def command(run: str, lineage: str | None, whole: bool, as_json: bool, home: Path) -> None:
    """Show RUN (by default the latest): its tasks, metrics, artifacts, gates and reports.

    RUN is an id or its beginning, `latest`, `latest~1`, or a pipeline's name for its latest run. An ARTIFACT is
    TASK/OUTPUT, a DIGEST may be shortened. Lineage down goes through all runs of the same home.
    """
    from headrace.pipelines.local.record.finding import find_run, opened
    from headrace.pipelines.local.views.json_view import dumps

    with opened(home) as record:
        run_id = find_run(record, run)
        if lineage is None:
            show(record, run_id, whole, as_json)
            return
        from headrace.pipelines.local.record.lineage import find_lineage
        from headrace.pipelines.local.views.lineage_text import lineage_json, lineage_text

        found = find_lineage(record, run_id, lineage, None if whole or as_json else FOLLOWED)
    if as_json:
        click.echo(dumps(lineage_json(found), indent=2))
    else:
        for line in lineage_text(found, whole):
            click.echo(line)


def show(record: Record, run_id: str, whole: bool, as_json: bool) -> None:
    """Prints all about a run."""
    from headrace.pipelines.local.views import run_text
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.pipelines.local.views.live import signs
    from headrace.pipelines.local.views.view import failure_text, summary_text
    from headrace.pipelines.outcome import outcome, outcome_text
    from headrace.pipelines.reports import publish_reports
    from headrace.pipelines.segments import in_loop

    result, graph = record.run(run_id), graph_of(record, run_id)
    found = outcome(result)
    if as_json:
        click.echo(dumps({**run_text.run_json(result, graph), **found.as_json()}, indent=2))
        return
    click.echo(run_text.header_text(result))
    click.echo()
    for line in run_text.graph_text(graph, result, signs(sys.stdout), whole):
        click.echo(line)
    shown = ["evaluate"] if found.evaluation is not None else []
    if found.segments is not None:  # each has the same metrics as all others, which the outcome sums up
        shown += [path for path, task in result.tasks.items() if in_loop(task)]
    for title, lines in (
        ("Metrics", run_text.metrics_text(result, shown, whole)),
        ("Artifacts", run_text.artifacts_text(result, whole)),
    ):
        if lines:
            click.echo(f"\n{title}:")
            click.echo("\n".join(f"  {line}" for line in lines))
    click.echo()
    for text in (failure_text(result), outcome_text(found, result.name), summary_text(result)):
        if text:
            click.echo(text)
    click.echo(f"Reports: {publish_reports(result, found)}")


def graph_of(record: Record, run_id: str) -> Graph | None:
    """The pipeline that a run executed; None where it was not recorded yet, or cannot be read any more."""
    from headrace.artifacts.errors import HeadraceError
    from headrace.pipelines.local.ir.reading import read_graph

    try:
        return read_graph(record.ir(run_id))
    except HeadraceError:
        return None
