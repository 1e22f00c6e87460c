"""The training pipeline made of TFX's own components, from the same spec. Runs in the `tfx` environment.

    snapshot -> ExampleGen -> StatisticsGen -> SchemaGen or ImportSchemaGen -> ExampleValidator -> Transform -> [Tuner]
    -> Trainer -> Resolver -> Evaluator -> [InfraValidator] -> Pusher

ExampleGen reads our snapshot, so that TFX learns from and is judged on the rows that our pipeline would take, with the
label that the spec defines. What the spec asks for stands in a `Plan`; `headrace tfx` makes it, in the environment
`main`, and starts this module:

    python -m headrace.pipelines.tfx run|compile --plan plan.json --snapshot DIR --root DIR ...
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import headrace.trainer.tfx.messages  # noqa: F401 (before TFX)

# isort: split

import tensorflow_model_analysis as tfma
from absl import logging as absl_logging
from google.protobuf import struct_pb2, text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.v1 import components, dsl, orchestration, proto, types

from headrace.components import images
from headrace.pipelines.tfx_outcome import Progress, outcome
from headrace.trainer.tfx import module
from headrace.trainer.tfx.examples import Executor
from headrace.trainer.tfx.plan import LABEL, Plan

_MODULE = module.__name__
_COMMAND = ["python", "-m", "headrace.trainer.tfx.task"]
_SPLITS = ("train", "eval", "test")
_HELD_OUT = "test"


def tfx_pipeline(
    plan: Plan, snapshot: str, root: str, serving: str, metadata: Path | None, schema: str = "", infra: str = ""
) -> Any:
    """The pipeline.

    Args:
        plan: what the spec asks for.
        snapshot: where the data lies.
        root: where artifacts are written.
        serving: where a model is pushed to that was blessed.
        metadata: the file of the local metadata store; None where a platform has its own.
        schema: where the curated schema lies, as a file; empty where it is inferred.
        infra: the image of TensorFlow Serving that InfraValidator starts; empty for none.
    """
    examples = FileBasedExampleGen(
        input_base=snapshot,
        input_config=proto.Input(
            splits=[proto.Input.Split(name=split, pattern=f"{split}/*.parquet") for split in _SPLITS]
        ),
        custom_config=_custom({"code": _code("examples")}),
        custom_executor_spec=executor_spec.BeamExecutorSpec(Executor),
    ).with_id("ExampleGen")
    described = components.StatisticsGen(examples=examples.outputs["examples"])
    known = _schema(described, schema)
    checked = components.ExampleValidator(statistics=described.outputs["statistics"], schema=known.outputs["schema"])
    code = {"code": _code("expressions", "module", "plan")}
    transform = components.Transform(
        examples=examples.outputs["examples"],
        schema=known.outputs["schema"],
        preprocessing_fn=f"{_MODULE}.preprocessing_fn",
        custom_config={**code, "plan": plan.for_transform().to_json()},
        splits_config=proto.SplitsConfig(analyze=["train"], transform=["train", "eval"]),
        disable_statistics=True,
    )
    steps: list[BaseNode] = [examples, described, known, checked, transform]
    learned = {
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": known.outputs["schema"],
        "train_args": proto.TrainArgs(splits=["train"]),
        "eval_args": proto.EvalArgs(splits=["eval"]),
        "custom_config": {**code, "plan": plan.for_trainer().to_json()},
    }
    if plan.tune:
        tuner = components.Tuner(tuner_fn=f"{_MODULE}.tuner_fn", **learned)
        steps.append(tuner)
        learned["hyperparameters"] = tuner.outputs["best_hyperparameters"]
    trainer = components.Trainer(run_fn=f"{_MODULE}.run_fn", **learned)
    before = dsl.Resolver(
        strategy_class=dsl.experimental.LatestBlessedModelStrategy,
        model=dsl.Channel(type=types.standard_artifacts.Model),
        model_blessing=dsl.Channel(type=types.standard_artifacts.ModelBlessing),
    ).with_id("latest_blessed_model")
    evaluator = components.Evaluator(
        examples=examples.outputs["examples"],
        example_splits=[_HELD_OUT],
        model=trainer.outputs["model"],
        baseline_model=before.outputs["model"],
        eval_config=eval_config(plan),
    )
    steps += [trainer, before, evaluator]
    blessed = {"model_blessing": evaluator.outputs["blessing"]}
    if infra:
        validator = _infra_validator(trainer, examples, infra)
        steps.append(validator)
        blessed["infra_blessing"] = validator.outputs["blessing"]
    pusher = components.Pusher(
        model=trainer.outputs["model"],
        **blessed,
        push_destination=proto.PushDestination(filesystem=proto.PushDestination.Filesystem(base_directory=serving)),
    )
    return dsl.Pipeline(
        pipeline_name=plan.name,
        pipeline_root=root,
        components=[*steps, pusher],
        enable_cache=True,
        beam_pipeline_args=list(plan.beam),
        metadata_connection_config=None
        if metadata is None
        else orchestration.metadata.sqlite_metadata_connection_config(str(metadata)),
    )


def _custom(values: dict[str, str]) -> proto.CustomConfig:
    config, fields = proto.CustomConfig(), struct_pb2.Struct()
    fields.update(values)
    config.custom_config.Pack(fields)
    return config


def _code(*modules: str) -> str:
    """The digest of our own code that a component runs: TFX answers from its cache as long as nothing differs."""
    folder = Path(module.__file__).parent
    digest = hashlib.sha256()
    for name in modules:
        digest.update((folder / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


def eval_config(plan: Plan) -> tfma.EvalConfig:
    """What the Evaluator measures, and demands. A metric with a bound per slice is one of its own."""
    metrics = [tfma.MetricConfig(class_name="ExampleCount")]
    bounded = {bound.metric for bound in plan.bounds}
    metrics += [tfma.MetricConfig(class_name=name) for name in plan.metrics if name not in bounded]
    for name in dict.fromkeys(bound.metric for bound in plan.bounds):
        metric = tfma.MetricConfig(class_name=name)
        for bound in (bound for bound in plan.bounds if bound.metric == name):
            _add(metric, bound)
        metrics.append(metric)
    columns = dict.fromkeys([*plan.slices, *(bound.slice for bound in plan.bounds if bound.slice)])
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(
                signature_name="serving_default",
                label_key=LABEL,
                preprocessing_function_names=["transform_features"],
            )
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[column]) for column in columns)],
        metrics_specs=[tfma.MetricsSpec(metrics=metrics)],
    )


def _add(metric: Any, bound: Any) -> None:
    """Adds a bound for the slice that it is meant for: TFMA's plain `threshold` would hold for every slice there is."""
    threshold = tfma.MetricThreshold()
    if bound.limit is not None:
        key = "lower_bound" if bound.higher else "upper_bound"
        threshold.value_threshold.CopyFrom(tfma.GenericValueThreshold(**{key: {"value": bound.limit}}))
    if bound.change is not None:
        direction = tfma.MetricDirection.HIGHER_IS_BETTER if bound.higher else tfma.MetricDirection.LOWER_IS_BETTER
        least = -bound.change if bound.higher else bound.change
        threshold.change_threshold.CopyFrom(tfma.GenericChangeThreshold(direction=direction, absolute={"value": least}))
    where = tfma.SlicingSpec() if bound.slice is None else tfma.SlicingSpec(feature_keys=[bound.slice])
    metric.per_slice_thresholds.append(tfma.PerSliceMetricThreshold(slicing_specs=[where], threshold=threshold))


def _schema(described: Any, schema: str) -> Any:
    if schema:
        return components.ImportSchemaGen(schema_file=schema)
    return components.SchemaGen(statistics=described.outputs["statistics"], infer_feature_shape=False)


def _infra_validator(trainer: Any, examples: Any, image: str) -> Any:
    name, _, tag = image.rpartition(":")
    return components.InfraValidator(
        model=trainer.outputs["model"],
        examples=examples.outputs["examples"],
        serving_spec=proto.ServingSpec(
            tensorflow_serving=proto.TensorFlowServing(image_name=name or image, tags=[tag if name else "latest"]),
            local_docker=proto.LocalDockerConfig(),
        ),
        request_spec=proto.RequestSpec(
            tensorflow_serving=proto.TensorFlowServingRequestSpec(signature_names=["serving_default"]),
            num_examples=3,
        ),
    )


def schema_of_examples(text: str, plan: Plan) -> str:
    """A curated schema as the tf.Examples have it: every number a float, the label's classes by their places."""
    schema = text_format.Parse(text, schema_pb2.Schema())
    for feature in schema.feature:
        if feature.name == plan.label and plan.classes:
            feature.type = schema_pb2.INT
            feature.ClearField("domain")
            feature.ClearField("bool_domain")
            feature.ClearField("string_domain")
        elif feature.type != schema_pb2.BYTES or feature.WhichOneof("domain_info") == "time_domain":
            feature.type = schema_pb2.FLOAT
            for domain in ("int_domain", "bool_domain", "time_domain"):
                feature.ClearField(domain)
        feature.ClearField("shape")
    return str(text_format.MessageToString(schema))


def converted(file: Path, plan: Plan, place: Path) -> str:
    """Lays the curated schema, as the tf.Examples have it, into a place; one that is the same keeps its time."""
    text = schema_of_examples(file.read_text(), plan)
    if not place.exists() or place.read_text() != text:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return str(place)


def compile_tfx(plan: Plan, output: Path, **places: Any) -> None:
    """Writes the pipeline as KFP's IR, whose tasks are containers of the `tfx` image."""
    config = KubeflowV2DagRunnerConfig(default_image=images.TFX, default_commands=_COMMAND, use_pipeline_spec_2_1=True)
    runner = KubeflowV2DagRunner(config, output_dir=str(output.parent.absolute()), output_filename=output.name)
    runner.run(tfx_pipeline(plan, metadata=None, **places))
    _with_our_driver(output)


def _with_our_driver(file: Path) -> None:
    """Lets ExampleGen's driver start as the tasks do: TFX's compiler writes a command of its own there."""
    job = json.loads(file.read_text())
    for executor in job["pipelineSpec"]["deploymentSpec"]["executors"].values():
        hook = executor.get("container", {}).get("lifecycle", {}).get("preCacheCheck")
        if hook:
            hook["command"] = [*_COMMAND, "--driver"]
    file.write_text(json.dumps(job, indent=1, sort_keys=True) + "\n")


def main() -> None:
    """What `headrace tfx` starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "compile"))
    parser.add_argument("--plan", type=Path, required=True)
    parser.add_argument("--snapshot", required=True)
    parser.add_argument("--root", required=True)
    parser.add_argument("--serving", required=True)
    parser.add_argument("--schema", type=Path, help="the curated schema, as our pipeline has it")
    parser.add_argument("--schema-place", help="where the converted schema is to lie")
    parser.add_argument("--metadata", type=Path)
    parser.add_argument("--infra", default="")
    parser.add_argument("--outcome", type=Path, help="where to write what came of it")
    parser.add_argument("--progress", type=int, help="the number of an open file that is told how it goes on")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    plan = Plan.from_json(args.plan.read_text())
    places: dict[str, Any] = {
        "snapshot": args.snapshot,
        "root": args.root,
        "serving": args.serving,
        "infra": args.infra,
    }
    if args.schema:
        places["schema"] = converted(args.schema, plan, Path(args.schema_place))
    if args.what == "compile":
        compile_tfx(plan, args.output, **places)
        return
    args.metadata.parent.mkdir(parents=True, exist_ok=True)
    absl_logging.set_verbosity(absl_logging.INFO)
    if args.progress is not None:
        absl_logging.get_absl_logger().addHandler(Progress(os.fdopen(args.progress, "w")))
    orchestration.LocalDagRunner().run(tfx_pipeline(plan, metadata=args.metadata, **places))
    args.outcome.write_text(json.dumps(outcome(args.metadata), indent=1) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
