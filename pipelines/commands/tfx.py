"""`headrace tfx`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headrace.pipelines.commands.options import home_option, platform_uri_option, spec_argument

if TYPE_CHECKING:
    from headrace.pipelines.tfx_local import Prepared

_BEAM = click.option(
    "--beam",
    multiple=True,
    metavar="ARGUMENT",
    help="An argument of Apache Beam's, such as --runner=DataflowRunner. [default: one worker, in the process itself]",
)
_INFRA = click.option(
    "--infra-validator",
    default="",
    metavar="IMAGE",
    help="TensorFlow Serving's image, which InfraValidator starts by Docker. [default: no InfraValidator]",
)


@click.group("tfx")
def command() -> None:
    """The training pipeline of a spec made of TFX's own components, for those who have TFX."""


@command.command("run")
@spec_argument
@_BEAM
@_INFRA
@click.option("--no-register", is_flag=True, help="Leave it at what TFX itself pushes.")
@platform_uri_option
@home_option
def run(spec: Path, beam: tuple[str, ...], infra_validator: str, no_register: bool, platform: str, home: Path) -> None:
    """Run it by TFX's LocalDagRunner; judge, register and push the model that TFX pushed.

    Exits with 3 where TFX did not bless the model, or a gate did not pass.
    """
    from headrace.pipelines.tfx_local import prepare, run_tfx

    prepared = prepare(spec, home, beam)
    click.echo(f"TFX's log: {prepared.places.log}", err=True)
    outcome = run_tfx(prepared, infra_validator, tell=lambda line: click.echo(line, err=True))
    if outcome.cached:
        click.echo(f"answered from TFX's cache: {', '.join(outcome.cached)}", err=True)
    saved = outcome.pushed
    if saved is None:
        other = "InfraValidator could not serve it" if infra_validator else "its log says why"
        found = outcome.failures or (other,)
        click.echo("TFX did not bless the model:\n" + "\n".join(f"  {line}" for line in found), err=True)
        sys.exit(3)
    click.echo(f"pushed by TFX: {saved}")
    if not no_register:
        _register(prepared, saved, platform, home)


@command.command("register")
@spec_argument
@click.argument("saved_model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@platform_uri_option
@home_option
def register(spec: Path, saved_model: Path, platform: str, home: Path) -> None:
    """Judge, register and push SAVED_MODEL, which the compiled pipeline pushed wherever it ran."""
    from headrace.pipelines.tfx_local import prepare

    _register(prepare(spec, home), saved_model, platform, home)


@command.command("compile")
@spec_argument
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("tfx.json"))
@click.option("--snapshot", default="", metavar="URI", help="Where the data will lie. [default: where it lies here]")
@click.option("--root", default="", metavar="URI", help="Where artifacts are written. [default: in the home]")
@click.option("--serving", default="", metavar="URI", help="Where models are pushed to. [default: in the home]")
@_BEAM
@_INFRA
@home_option
def compile_(
    spec: Path,
    output: Path,
    snapshot: str,
    root: str,
    serving: str,
    beam: tuple[str, ...],
    infra_validator: str,
    home: Path,
) -> None:
    """Compile it by TFX's KubeflowV2DagRunner, for Vertex AI; `headrace run OUTPUT` runs it here.

    The tasks' image is taken from HEADRACE_IMAGE_TFX.
    """
    from headrace.pipelines.tfx_local import compile_tfx, prepare

    prepared = prepare(spec, home, beam)
    places = prepared.places
    compile_tfx(
        prepared,
        output,
        snapshot=snapshot or str(prepared.snapshot.path),
        root=root or str(places.folder / "compiled"),
        serving=serving or str(places.serving),
        infra=infra_validator,
    )
    click.echo(f"{output}: the TFX pipeline of {prepared.plan.name} on {prepared.snapshot.digest[:19]}")


@command.command("file")
@spec_argument
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("tfx_pipeline.py"))
@_BEAM
@home_option
def file_(spec: Path, output: Path, beam: tuple[str, ...], home: Path) -> None:
    """Write it as a Python file for TFX's own command: `tfx pipeline create --engine=local --pipeline_path OUTPUT`."""
    from headrace.pipelines.tfx_file import write_file
    from headrace.pipelines.tfx_local import prepare

    write_file(prepare(spec, home, beam), output)
    click.echo(f"{output}: `tfx pipeline create --engine=local --pipeline_path {output}`")


def _register(prepared: Prepared, saved: Path, platform: str, home: Path) -> None:
    from headrace.components.gate.gate import summary
    from headrace.pipelines.tfx_register import register_tfx
    from headrace.platforms.open import open_platform

    judged = register_tfx(prepared, saved, open_platform(platform, home))
    click.echo(summary(judged.verdict))
    metrics = judged.evaluation.metrics
    click.echo("  ".join(f"{name}={value:.4g}" for name, value in list(metrics.items())[:6]))
    if judged.version is None:
        sys.exit(3)
    click.echo(f"registered as {prepared.plan.name} version {judged.version}; {judged.state}")
