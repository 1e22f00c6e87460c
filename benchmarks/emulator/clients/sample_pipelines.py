"""Pipelines of lightweight components, as the samples have them. KFP reads their annotations: they are not put off."""

from typing import NamedTuple

from kfp import dsl

PYTHON = "python:3.11"


@dsl.component(base_image=PYTHON)
def prepare(
    message: str, first: dsl.Output[dsl.Dataset], second_path: dsl.OutputPath("Dataset"), said_path: dsl.OutputPath(str)
):
    """An artifact by its handle, one by its path, and a parameter by its path."""
    from pathlib import Path

    Path(first.path).write_text(message)
    Path(second_path).write_text(message.upper())
    Path(said_path).write_text(message)


@dsl.component(base_image=PYTHON)
def fit(
    said: str,
    first_path: dsl.InputPath("Dataset"),
    second: dsl.Input[dsl.Dataset],
    imported: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    steps: int = 3,
) -> NamedTuple("Outputs", [("told", str), ("anything", dsl.Artifact)]):
    """Inputs by path and by handle; metadata of the output; a parameter and an artifact that are returned."""
    from pathlib import Path

    Path(model.path).write_text("a model of " + Path(imported.path).read_text())
    model.metadata["accuracy"] = 0.9
    return " ".join([said] * steps), Path(first_path).read_text() + "\n" + Path(second.path).read_text()


@dsl.component(base_image=PYTHON)
def show(anything: dsl.Input[dsl.Artifact]) -> str:
    """Reads what was returned."""
    from pathlib import Path

    return Path(anything.path).read_text()


@dsl.pipeline(name="component-inputs-and-outputs")
def inputs_and_outputs(message: str, uri: str):
    """An importer, and all kinds of inputs and outputs."""
    imported = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=False)
    made = prepare(message=message)
    fitted = fit(
        said=made.outputs["said_path"],
        first_path=made.outputs["second_path"],
        second=made.outputs["first"],
        imported=imported.output,
        steps=2,
    )
    show(anything=fitted.outputs["anything"])


@dsl.component(base_image=PYTHON)
def work(seconds: float) -> str:
    """Takes a while, and returns the time."""
    import datetime
    import time

    time.sleep(seconds)
    return datetime.datetime.now(datetime.UTC).isoformat()


@dsl.pipeline(name="caching")
def cached(seconds: float = 1.0):
    """What it returned is used again."""
    work(seconds=seconds)


@dsl.pipeline(name="not-caching")
def not_cached(seconds: float = 1.0):
    """It works each time."""
    work(seconds=seconds).set_caching_options(enable_caching=False)


@dsl.component(base_image=PYTHON)
def say(message: str):
    """Prints."""
    print(message)


@dsl.component(base_image=PYTHON)
def fail(message: str):
    """Fails."""
    raise SystemExit(message)


@dsl.pipeline(name="with-an-exit-handler")
def exiting(message: str = "hello"):
    """A task fails, and the exit's runs."""
    with dsl.ExitHandler(say(message="the exit")):
        say(message=message)
        fail(message="as it should")


@dsl.component(base_image=PYTHON)
def three() -> list:
    """Texts."""
    return ["1.1", "1.2", "1.3"]


@dsl.pipeline(name="loop-over-an-output")
def looping():
    """As many tasks as a task says."""
    with dsl.ParallelFor(three().output) as item:
        say(message=item)


@dsl.component(base_image=PYTHON)
def measure(metrics: dsl.Output[dsl.Metrics]):
    """Logs metrics."""
    metrics.log_metric("accuracy", 0.75)


@dsl.pipeline(name="measuring")
def measuring(rate: float = 0.1):
    """Metrics, for an experiment."""
    work(seconds=rate)
    measure()


ALL = (inputs_and_outputs, cached, not_cached, exiting, looping, measuring)
