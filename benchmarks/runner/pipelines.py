"""The pipelines that are measured, and their IR. Each is run by all contenders from the same file."""

import copy
import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

# `python` in the image's name spares kfp.local a warning for each task.
MAIN, TFX = "registry/python-main:1", "registry/python-tfx:1"
ROWS = 20_000  # of the six tasks' table
on_main = functools.partial(dsl.component, base_image=MAIN, install_kfp_package=False)
on_tfx = functools.partial(dsl.component, base_image=TFX, install_kfp_package=False)


@on_main
def nothing(number: int) -> int:
    return number + 1


@on_main
def prepare(rows: int, table: Output[Dataset]) -> None:
    import numpy
    import pandas

    rng = numpy.random.default_rng(7)
    frame = pandas.DataFrame({f"x{i}": rng.normal(size=rows) for i in range(8)})
    frame["plan"] = rng.choice(["free", "basic", "pro"], rows)
    frame["label"] = (frame.x0 + frame.x1 * frame.x2 > 0).astype(int)
    frame.to_csv(table.path, index=False)


@on_tfx
def statistics(table: Input[Dataset], result: Output[Dataset]) -> None:
    import pandas
    import tensorflow_data_validation as tfdv

    found = tfdv.generate_statistics_from_dataframe(pandas.read_csv(table.path))
    tfdv.write_stats_text(found, result.path)


@on_tfx
def validate(table: Input[Dataset], reference: Input[Dataset]) -> int:
    import pandas
    import tensorflow_data_validation as tfdv

    schema = tfdv.infer_schema(tfdv.load_stats_text(reference.path))
    found = tfdv.generate_statistics_from_dataframe(pandas.read_csv(table.path).head(1000))
    return len(tfdv.validate_statistics(found, schema).anomaly_info)


@on_main
def enrich(table: Input[Dataset], result: Output[Dataset]) -> None:
    import pandas

    frame = pandas.read_csv(table.path)
    means = frame.groupby("plan")["x0"].transform("mean")
    frame["relative"] = frame.x0 - means
    pandas.get_dummies(frame, columns=["plan"], dtype=float).to_csv(result.path, index=False)


@on_tfx
def train(table: Input[Dataset], model: Output[Model]) -> None:
    import keras
    import pandas
    import tensorflow

    tensorflow.random.set_seed(7)
    frame = pandas.read_csv(table.path)
    network = keras.Sequential([keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid")])
    network.compile("adam", "binary_crossentropy")
    network.fit(frame.drop(columns="label").to_numpy(), frame.label.to_numpy(), epochs=1, batch_size=256, verbose=0)
    model.path += ".keras"
    network.save(model.path)


@on_tfx
def evaluate(table: Input[Dataset], model: Input[Model], metrics: Output[Metrics]) -> None:
    import keras
    import pandas
    import tensorflow

    frame = pandas.read_csv(table.path).head(2000)
    network = keras.models.load_model(model.path)
    score = network(tensorflow.constant(frame.drop(columns="label").to_numpy()))
    metrics.log_metric("accuracy", float(((score[:, 0] > 0.5) == frame.label.to_numpy()).numpy().mean()))


def chain(length: int) -> Callable[[], None]:
    def no_op_chain() -> None:
        number: Any = 0
        for _ in range(length):
            number = nothing(number=number).output

    return no_op_chain


def side_by_side(count: int) -> Callable[[], None]:
    def no_ops_in_parallel() -> None:
        for number in range(count):
            nothing(number=number)

    return no_ops_in_parallel


def six(rows: int = ROWS) -> None:
    table = prepare(rows=rows).outputs["table"]
    validate(table=table, reference=statistics(table=table).outputs["result"])
    enriched = enrich(table=table).outputs["result"]
    evaluate(table=enriched, model=train(table=enriched).outputs["model"])


def six_on_main(rows: int = ROWS) -> None:
    enrich(table=prepare(rows=rows).outputs["table"])


def six_on_tfx(prepared: str, enriched: str) -> None:
    table = dsl.importer(artifact_uri=prepared, artifact_class=Dataset).output
    validate(table=table, reference=statistics(table=table).outputs["result"])
    second = dsl.importer(artifact_uri=enriched, artifact_class=Dataset).output
    evaluate(table=second, model=train(table=second).outputs["model"])


def compile_to(file: Path, function: Callable[..., None]) -> Path:
    compiler.Compiler().compile(dsl.pipeline(function, name=function.__name__.replace("_", "-")), str(file))
    return file


def many_tasks(file: Path, count: int) -> Path:
    """Ten chains side by side, of `count` tasks in all; written as KFP would, which takes minutes for it."""
    ir = _compiled(file, chain(2))
    tasks = ir["root"]["dag"]["tasks"]
    first, second = tasks["nothing"], tasks["nothing-2"]
    made = {}
    for number in range(count):
        task = copy.deepcopy(first if number < 10 else second)
        if number < 10:
            task["inputs"]["parameters"]["number"]["runtimeValue"]["constant"] = float(number)
        else:
            before = f"nothing-{number - 10}"
            task["inputs"]["parameters"]["number"]["taskOutputParameter"]["producerTask"] = before
            task["dependentTasks"] = [before]
        task["taskInfo"]["name"] = f"nothing-{number}"
        made[f"nothing-{number}"] = task
    ir["root"]["dag"]["tasks"] = made
    file.write_text(json.dumps(ir))
    return file


def long_loop(file: Path, count: int) -> Path:
    """A loop of `count` iterations, each with a task of its own number."""

    def loop() -> None:
        with dsl.ParallelFor(list(range(count))) as number:
            nothing(number=number)

    file.write_text(json.dumps(_compiled(file, loop)))
    return file


def _compiled(file: Path, function: Callable[[], None]) -> dict[str, Any]:
    compile_to(file.with_suffix(".yaml"), function)
    ir: dict[str, Any] = next(iter(yaml.safe_load_all(file.with_suffix(".yaml").read_text())))
    return ir
