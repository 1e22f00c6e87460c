"""`headrace reproduce`."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.options import home_option


@click.command("reproduce")
@click.argument("model", metavar="MODEL[:VERSION]")
@click.option(
    "--data",
    "folder",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="The snapshot, where it was checked out to. [default: from the store]",
)
@click.option("--max-parallel", type=click.IntRange(min=1), help="Tasks at the same time. [default: number of cores]")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON; text goes to stderr.")
@home_option
def command(model: str, folder: Path | None, max_parallel: int | None, as_json: bool, home: Path) -> None:
    """Train a registered model again from the snapshot that it names, and compare the two bit for bit.

    The source is not read: it may have changed, or be gone. The recorded pipeline of the model's run is executed from
    the snapshot to the model, without the cache; nothing is registered. Without a VERSION it is the champion.

    Exits with 0 when everything that decides an answer is the same bit for bit, and with 1 when it is not.
    """
    from headrace.pipelines.commands.run import commit, environments_of
    from headrace.pipelines.data_versions.finding import REPRODUCES
    from headrace.pipelines.local.run import run_pipeline
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.pipelines.local.views.view import failure_text, viewing
    from headrace.pipelines.reproduction.reproduce import conclude, prepare
    from headrace.pipelines.reproduction.text import reproduction_json, reproduction_text

    prepared = prepare(home, model, folder)
    before = prepared.run
    cwd = Path(str(prepared.options.get("cwd", ".")))
    spec = cwd / str(before.labels.get("spec", ""))
    os.environ.setdefault("HEADRACE_COMMIT", commit(spec.parent if spec.parent.is_dir() else Path.cwd()))
    mounts = [Path(path) for path in before.labels.get("mounts", "").split(os.pathsep) if path]
    labels = {REPRODUCES: prepared.label, "commit": os.environ["HEADRACE_COMMIT"]}
    kept = {name: text for name in ("spec", "runner", "mounts") if (text := before.labels.get(name))}
    stream = sys.stderr if as_json else sys.stdout
    with viewing(stream, False) as view, contextlib.chdir(cwd if cwd.is_dir() else Path.cwd()):
        for text in prepared.pipeline.left_out:
            click.echo(f"note: {text}, which is not in the store any more", err=True)
        environments = environments_of(before.labels.get("runner", "local"), view)
        result = run_pipeline(
            prepared.pipeline.ir,
            parameters=prepared.parameters,
            home=home,
            environments=environments.reading(
                prepared.pipeline.ir, prepared.parameters, [*mounts, *([folder] if folder else [])]
            ),
            name=f"reproduce-{prepared.model.name}",
            labels={name: text for name, text in {**kept, **labels}.items() if text},
            max_parallel=max_parallel,
            on_event=view,
            use_cache=False,
        )
    if not result.succeeded:
        click.echo(failure_text(result, debug=bool(os.environ.get("HEADRACE_DEBUG"))), err=True)
    found = conclude(prepared, result)
    if as_json:
        click.echo(dumps(reproduction_json(found), indent=2))
    else:
        click.echo("\n" + "\n".join(reproduction_text(found)))
    if not found.diff.same_model:
        raise HeadraceError(f"{found.model}: expected the same model. Received: another one")
