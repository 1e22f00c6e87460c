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
@click.option(
    "--pipeline",
    type=click.Choice(["training", "prediction"]),
    default="training",
    show_default=True,
    help="prediction: answers every row of a source by the model that serves when it runs.",
)
def command(spec: Path, output: Path, pipeline: str) -> None:
    """Compile SPEC to Kubeflow Pipelines IR: the file that runs on a laptop, on Kubeflow and on Vertex AI.

    The images that the steps run in are taken from the file that HEADRACE_IMAGES names (`make images` writes it), or
    from HEADRACE_IMAGE_MAIN, HEADRACE_IMAGE_TFX and HEADRACE_IMAGE_TRAINER_GPU, by tag or digest.
    """
    from headrace.pipelines.compile import compile_prediction, compile_spec

    compiled = compile_spec(spec, output) if pipeline == "training" else compile_prediction(spec, output)
    click.echo(f"{output}: the {pipeline} pipeline of {compiled.name}")
