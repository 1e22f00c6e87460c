"""`headrace compile`."""

from __future__ import annotations

from pathlib import Path

import click

from headrace.pipelines.commands.options import spec_argument


@click.command("compile")
@spec_argument
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default=Path("pipeline.yaml"), show_default=True
)
def command(spec: Path, output: Path) -> None:
    """Compile SPEC to Kubeflow Pipelines IR: the file that runs on a laptop, on Kubeflow and on Vertex AI.

    The images that the steps run in are taken from HEADRACE_IMAGE_MAIN and HEADRACE_IMAGE_TFX, by tag or digest.
    """
    from headrace.pipelines.compile import compile_spec

    compiled = compile_spec(spec, output)
    click.echo(f"{output}: the training pipeline of {compiled.name}")
