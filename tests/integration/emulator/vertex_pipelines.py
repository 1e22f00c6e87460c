"""Pipelines of lightweight components. KFP reads their annotations, so these are not put off."""

from kfp import dsl


@dsl.component(base_image="python:3.11")
def add(a: float, b: float) -> float:
    """Adds."""
    return a + b


@dsl.component(base_image="python:3.11")
def write(x: float, out: dsl.Output[dsl.Dataset]) -> None:
    """Writes a file."""
    from pathlib import Path

    Path(out.path).write_text(str(x))
    out.metadata["rows"] = 1


@dsl.component(base_image="python:3.11")
def read(data: dsl.Input[dsl.Dataset], seconds: float = 0.0) -> str:
    """Reads one, after a while."""
    import time
    from pathlib import Path

    time.sleep(seconds)
    text = Path(data.path).read_text()
    if text == "bad":
        raise ValueError("the data are bad")
    return text


@dsl.pipeline(name="adding")
def adding(a: float = 1.0) -> None:
    """With a loop, and a condition that is false."""
    total = add(a=a, b=2.0)
    read(data=write(x=total.output).outputs["out"])
    with dsl.ParallelFor([1.0, 2.0]) as item:
        add(a=item, b=total.output)
    with dsl.If(total.output > 100.0):
        add(a=total.output, b=1.0)


@dsl.pipeline(name="reading")
def reading(uri: str, seconds: float = 0.0) -> None:
    """Imports a file, and reads it."""
    data = dsl.importer(artifact_uri=uri, artifact_class=dsl.Dataset, reimport=False)
    read(data=data.output, seconds=seconds).set_caching_options(False)


@dsl.pipeline(name="halves")
def halves(good: str, bad: str) -> None:
    """One half fails at once, the other has a task more to do."""
    first = dsl.importer(artifact_uri=bad, artifact_class=dsl.Dataset, reimport=False)
    read(data=first.output).set_caching_options(False)
    second = dsl.importer(artifact_uri=good, artifact_class=dsl.Dataset, reimport=False)
    slow = read(data=second.output, seconds=3.0).set_caching_options(False)
    add(a=1.0, b=2.0).after(slow)


@dsl.component(base_image="python:3.11")
def measure(share: float, metrics: dsl.Output[dsl.Metrics]) -> None:
    """Logs a metric."""
    metrics.log_metric("accuracy", 1.0 - share)


@dsl.pipeline(name="measuring")
def measuring(share: float) -> None:
    """One task, which measures."""
    measure(share=share)
