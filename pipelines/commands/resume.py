"""`headrace resume`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from headrace.pipelines.commands.options import home_option


@click.command("resume")
@click.argument("run", default="latest")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), help="Tasks at the same time. [default: as in the run so far]"
)
@click.option("--json", "as_json", is_flag=True, help="Events as JSON, one object per line; text goes to stderr.")
@home_option
def command(run: str, max_parallel: int | None, as_json: bool, home: Path) -> None:
    """Go on with RUN (by default the latest): one that failed, was cancelled or killed.

    Tasks that had succeeded are kept, also those that are never cached; the others run. Exits as `headrace run` does.
    """
    from headrace.pipelines.commands.run import commit, environments_of, report
    from headrace.pipelines.compiled import Compiled
    from headrace.pipelines.local.record.record import load_run
    from headrace.pipelines.local.run import resume_pipeline
    from headrace.pipelines.local.views.view import viewing

    os.environ.setdefault("HEADRACE_COMMIT", commit(Path.cwd()))
    with viewing(sys.stdout, as_json) as view:
        before = load_run(home, run)
        mounts = [Path(path) for path in before.labels.get("mounts", "").split(os.pathsep) if path]
        environments = environments_of(before.labels.get("runner", "local"), view)
        result = resume_pipeline(
            before.id,
            home=home,
            environments=environments.reading({}, before.parameters, mounts),
            max_parallel=max_parallel,
            on_event=view,
        )
        spec = Path(str(result.labels.get("spec", result.name)))
        code = report(spec, Compiled(result.name, {}, {}), result, view)
    sys.exit(code)
