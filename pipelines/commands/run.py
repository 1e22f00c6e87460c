"""`headrace run`."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.pipelines import interrupt
from headrace.pipelines.commands.options import home_option, spec_argument

if TYPE_CHECKING:
    from headrace.pipelines.compiled import Compiled
    from headrace.pipelines.local.record.results import RunResult
    from headrace.pipelines.local.views.view import View
    from headrace.pipelines.local.workers.environments import Environments

# What `report` imports, from the innermost out, in pieces of some milliseconds: done while the first tasks run.
_FOR_THE_REPORT = (
    "headrace.artifacts.report",
    *(f"headrace.artifacts.{name}" for name in ("folder", "metrics", "measured", "value_found", "image_evaluation")),
    *(f"headrace.artifacts.{name}" for name in ("fairness_found", "errors_found", "worst_slices", "attributions")),
    "headrace.artifacts.evaluation",
    "headrace.artifacts.segment_results",
    "headrace.platforms.interface",
    "headrace.components.register.blessing",
    "headrace.components.push.push",
    "headrace.components.segments.page",
    "headrace.pipelines.outcome",
    "headrace.pipelines.reports",
    "headrace.pipelines.segments",
)


@click.command("run")
@spec_argument
@click.option("-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline.")
@click.option(
    "--max-parallel", type=click.IntRange(min=1), help="Tasks at the same time. [default: the number of cores]"
)
@click.option("--no-cache", is_flag=True, help="Run every task, also where nothing it depends on has changed.")
@click.option(
    "--runner",
    type=click.Choice(["local", "docker"]),
    default="local",
    show_default=True,
    help="Where tasks run: in the environments of this machine, or in their images, by the engine of DOCKER_HOST.",
)
@click.option(
    "--mount",
    "mounts",
    multiple=True,
    type=click.Path(exists=True, resolve_path=True, path_type=Path),
    help="What containers may read beside what the parameters name, at the same path.",
)
@click.option(
    "--beam-runner",
    help="Describe the data by Apache Beam: DirectRunner, FlinkRunner, DataflowRunner, ...; `none` is in process. "
    "Its options stand in the spec. [default: as the spec says]",
)
@click.option("--json", "as_json", is_flag=True, help="Events as JSON, one object per line; text goes to stderr.")
@home_option
def command(
    spec: Path,
    parameters: tuple[str, ...],
    max_parallel: int | None,
    no_cache: bool,
    runner: str,
    mounts: tuple[Path, ...],
    beam_runner: str | None,
    as_json: bool,
    home: Path,
) -> None:
    """Run the pipeline of SPEC (or a compiled pipeline.yaml) on this machine.

    Tasks of which neither code, environment nor inputs have changed are taken from the cache, also after a run
    that was killed. Exits with 1 when the run failed, and with 3 when it ran well but a gate did not pass. Where each
    segment has a model of its own, 3 also says that steps of some segments failed, and not of all.
    """
    if interrupt.is_command():
        gc.set_threshold(50_000)  # importing makes many objects, and hardly any garbage
    from headrace.pipelines.local.views.view import viewing
    from headrace.pipelines.local.workers.resources import cores

    os.environ.setdefault("HEADRACE_COMMIT", commit(spec.resolve().parent))
    given, parallel = parse(parameters), max_parallel or cores()
    if beam_runner:
        given["beam_runner"] = beam_runner
    with viewing(sys.stdout, as_json) as view:
        pipeline, result = execute(spec, home, given, parallel, not no_cache, view, runner, mounts)
        code = report(spec, pipeline, result, view)
    sys.exit(code)


def execute(
    spec: Path,
    home: Path,
    parameters: dict[str, str],
    max_parallel: int,
    use_cache: bool,
    view: View,
    runner: str = "local",
    mounts: Sequence[Path] = (),
) -> tuple[Compiled, RunResult]:
    """Compiles where that is needed, and runs."""
    from headrace.pipelines.local.head_start import head_start

    environments = environments_of(runner, view)
    with head_start(home, environments, max_parallel) as early:

        def start_early() -> None:
            if runner == "local":
                early.start("main")  # some step of a spec's pipeline runs in any case
            if runner == "local" and not (home / "store").exists():  # nothing is cached, so these will run
                components = Path(__file__).parents[2] / "components"
                early.start("tfx", components / "statistics" / "component.py")
                early.start("main", components / "ingest" / "component.py")

        from headrace.pipelines.compiled import compiled
        from headrace.pipelines.local.run import run_pipeline

        pipeline = compiled(spec, home, start_early)
        previous_data = previous(home, pipeline.name) if pipeline.incremental else {}
        given = {**pipeline.parameters, **previous_data, **registry(pipeline.ir), **parameters}
        result = run_pipeline(
            pipeline.ir,
            parameters=given,
            home=home,
            environments=environments.reading(pipeline.ir, given, mounts),
            name=pipeline.name,
            labels={**labels(spec), **environments.labels(mounts)},
            max_parallel=max_parallel,
            on_event=view,
            use_cache=use_cache,
            early=early if early.zygotes else None,
            meanwhile=[functools.partial(importlib.import_module, name) for name in _FOR_THE_REPORT],
        )
    return pipeline, result


def registry(ir: dict[str, Any]) -> dict[str, str]:
    """The parameter `platform`, where a pipeline takes one, from HEADRACE_PLATFORM; `headrace models` heeds it too."""
    taken = ir.get("pipelineSpec", ir).get("root", {}).get("inputDefinitions", {}).get("parameters", {})
    uri = os.environ.get("HEADRACE_PLATFORM")
    return {"platform": uri} if uri and "platform" in taken else {}


def environments_of(runner: str, view: View) -> Environments:
    """Where tasks run: for `docker` in their images, which are pulled where the engine does not have them."""
    if runner == "docker":
        from headrace.pipelines.local.containers.images import container_environments

        return container_environments(lambda text: click.echo(text, view.text))
    from headrace.pipelines.local.workers.environments import default_environments

    return default_environments()


def labels(spec: Path) -> dict[str, str]:
    """What is recorded with a run: the spec's file, the commit that the code was at, and what event started it, where
    that is known."""
    found = {
        "spec": str(spec),
        "commit": os.environ.get("HEADRACE_COMMIT", ""),
        "event": os.environ.get("HEADRACE_EVENT", ""),
    }
    return {name: value for name, value in found.items() if value}


def report(spec: Path, pipeline: Compiled, result: RunResult, view: View) -> int:
    """Says what came of a run, in the view's terms and in words; returns the exit code."""
    from headrace.pipelines.local.views.view import failure_text, summary_text
    from headrace.pipelines.outcome import outcome, outcome_text
    from headrace.pipelines.reports import publish_reports
    from headrace.pipelines.segments import exit_code

    found = outcome(result)
    page = publish_reports(result, found)
    code = exit_code(result, found.segments, found.passed)
    view.ended(result, {**found.as_json(), "page": str(page)}, code)
    if not result.succeeded:
        click.echo(failure_text(result, debug=bool(os.environ.get("HEADRACE_DEBUG"))), err=True)
        if found.segments is not None:
            click.echo("\n" + outcome_text(found, pipeline.name), view.text)
        if found.reports:
            click.echo(f"Reports: {page}", err=True)
        click.echo(summary_text(result), err=True)
        return code
    if text := outcome_text(found, pipeline.name):
        click.echo("\n" + text, view.text)
    if pipeline.schema is not None and not pipeline.has_schema:
        click.echo(
            f"There is no {pipeline.schema} yet, so the schema was inferred from this very data and proves little. "
            f"Review and commit it: headrace schema accept {spec}",
            view.text,
        )
    click.echo(f"Reports: {page}", view.text)
    if found.pushed:
        click.echo(f"Serve it: headrace serve {pipeline.name}", view.text)
    click.echo(summary_text(result), view.text)
    return code


def previous(home: Path, name: str) -> dict[str, str]:
    """The parameter that names the snapshot to add to: of the latest run whose data was validated; none at first."""
    from headrace.pipelines.local.record.record import list_runs, load_run
    from headrace.pipelines.local.record.results import SUCCEEDED

    for run in list_runs(home):
        if run.name != name:
            continue
        tasks = load_run(home, run.id).tasks
        if "ingest" in tasks and "validate" in tasks and tasks["validate"].state == SUCCEEDED:
            [snapshot] = tasks["ingest"].artifacts["dataset"]
            if snapshot.path is not None and snapshot.path.exists():
                return {"previous": str(snapshot.path)}
    return {}


def parse(parameters: tuple[str, ...]) -> dict[str, str]:
    """`NAME=VALUE` pairs as a dictionary; the runner casts values to the parameters' types."""
    pairs = {}
    for text in parameters:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--param: expected NAME=VALUE. Received: {text}")
        pairs[name] = value
    return pairs


def commit(folder: Path) -> str:
    """The commit that a folder is at, with `-dirty` where it was changed since; empty outside of git."""
    git = ["git", "-C", str(folder)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
        if head.returncode != 0:
            return ""
        dirty = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return head.stdout.strip() + ("-dirty" if dirty.stdout.strip() else "")
