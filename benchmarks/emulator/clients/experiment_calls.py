"""Tries the calls for experiments and metadata: `experiment_calls.py ADDRESS INPUTS RESULT.json`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vertex
from tally import Tally
from vertex import BUCKET
from vertex_calls import known


def experiments(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """The functions of the module, with a tensorboard behind them."""
    board = tally("Tensorboard.create", aiplatform.Tensorboard.create, display_name="b")
    aiplatform.init(experiment="tried", experiment_tensorboard=board)
    tally("start_run", aiplatform.start_run, "one")
    tally("log_params", aiplatform.log_params, {"rate": 0.1, "depth": 3, "kind": "tree"})
    tally("log_metrics", aiplatform.log_metrics, {"loss": 0.5})
    job = _job(aiplatform, inputs, "first-measured")
    job.run()
    tally("log", aiplatform.log, pipeline_job=job)
    tally("log_time_series_metrics", aiplatform.log_time_series_metrics, {"loss": 0.9}, step=1)
    tally("log_time_series_metrics", aiplatform.log_time_series_metrics, {"loss": 0.5}, step=2)
    tally(
        "log_classification_metrics",
        aiplatform.log_classification_metrics,
        labels=["no", "yes"],
        matrix=[[5, 1], [2, 4]],
        display_name="matrix",
    )
    tally("end_run", aiplatform.end_run)
    frame = tally("get_experiment_df", aiplatform.get_experiment_df, "tried")
    row = frame.to_dict("records")[0] if frame is not None and len(frame) else {}
    found = [row.get(key) for key in ("param.rate", "param.kind", "metric.loss", "time_series_metric.loss")]
    tally.expect("get_experiment_df", found, [0.1, "tree", 0.5, 0.5])


def runs(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Of an experiment, by their class."""
    tally("Experiment.list", aiplatform.Experiment.list)
    tally("Experiment.get", aiplatform.Experiment.get, "tried")
    tally("Experiment.get_or_create", aiplatform.Experiment.get_or_create, "tried")
    other = tally("Experiment.create", aiplatform.Experiment.create, "other", description="said")
    experiment = aiplatform.Experiment("tried")
    tally("Experiment.get_data_frame", experiment.get_data_frame)
    tally("Experiment.get_backing_tensorboard_resource", experiment.get_backing_tensorboard_resource)
    tally("ExperimentRun.list", aiplatform.ExperimentRun.list, experiment="tried")
    tally("ExperimentRun.get", aiplatform.ExperimentRun.get, "one", experiment="tried")
    run = aiplatform.ExperimentRun("one", experiment="tried")
    tally.expect(
        "log_params", tally("ExperimentRun.get_params", run.get_params), {"rate": 0.1, "depth": 3, "kind": "tree"}
    )
    tally("ExperimentRun.get_metrics", run.get_metrics)
    tally("ExperimentRun.get_state", run.get_state)
    series = tally("ExperimentRun.get_time_series_data_frame", run.get_time_series_data_frame)
    tally.expect("ExperimentRun.get_time_series_data_frame", list(series["loss"]), [0.9, 0.5])
    matrices = tally("ExperimentRun.get_classification_metrics", run.get_classification_metrics)
    tally.expect("ExperimentRun.get_classification_metrics", len(matrices), 1)
    logged = tally("ExperimentRun.get_logged_pipeline_jobs", run.get_logged_pipeline_jobs)
    tally.expect("ExperimentRun.get_logged_pipeline_jobs", len(logged or []), 1)
    for name in ("get_artifacts", "get_executions"):
        tally(f"ExperimentRun.{name}", getattr(run, name))
    new = tally("ExperimentRun.create", aiplatform.ExperimentRun.create, "two", experiment="tried")
    tally("ExperimentRun.log_params", new.log_params, {"a": 1})
    tally("ExperimentRun.log_metrics", new.log_metrics, {"b": 2.0})
    tally("ExperimentRun.log_time_series_metrics", new.log_time_series_metrics, {"b": 2.0})
    tally("ExperimentRun.update_state", new.update_state, aiplatform.gapic.Execution.State.FAILED)
    tally("ExperimentRun.end_run", new.end_run)
    job = _job(aiplatform, inputs, "then-measured")
    job.submit(experiment="tried")
    job.wait()
    tally("ExperimentRun.log", new.log, pipeline_job=job)
    frame = experiment.get_data_frame()
    tally.expect("Experiment.get_data_frame", 0.75 in list(frame.get("metric.accuracy", ())), True)
    tally("ExperimentRun.delete", new.delete)
    tally("Experiment.delete", other.delete)


def _job(aiplatform: Any, inputs: Path, job_id: str) -> Any:
    """A job with an id of its own: the library's own ids are the same within a second."""
    template = str(inputs / "measuring.json")
    return aiplatform.PipelineJob(
        display_name=job_id, template_path=template, job_id=job_id, pipeline_root=f"{BUCKET}/root"
    )


def metadata(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Artifacts, executions, and contexts."""
    create = aiplatform.Artifact.create
    data = tally("Artifact.create", create, schema_title="system.Dataset", display_name="d", uri="gs://a/d")
    model = create(schema_title="system.Model", display_name="m", uri="gs://a/m", metadata={"x": 1})
    tally("Artifact.get", aiplatform.Artifact.get, data.resource_name)
    tally("Artifact.get_with_uri", aiplatform.Artifact.get_with_uri, "gs://a/d")
    tally(
        "Artifact.get_or_create",
        aiplatform.Artifact.get_or_create,
        resource_id="mine",
        schema_title="system.Dataset",
    )
    tally("Artifact.list", aiplatform.Artifact.list, filter='schema_title="system.Model" AND display_name="m"')
    tally("Artifact.update", model.update, metadata={"y": 2})
    tally("Artifact.sync_resource", model.sync_resource)
    tally.expect("Artifact.update", dict(model.metadata), {"x": 1, "y": 2})
    aiplatform.start_run("three")
    with tally(
        "start_execution",
        aiplatform.start_execution,
        schema_title="system.ContainerExecution",
        resource_id="made",
    ) as execution:
        tally("Execution.assign_input_artifacts", execution.assign_input_artifacts, [data])
        tally("Execution.assign_output_artifacts", execution.assign_output_artifacts, [model])
    aiplatform.end_run()
    inner = tally("Execution.get_input_artifacts", execution.get_input_artifacts)
    tally.expect("Execution.get_input_artifacts", [one.uri for one in inner], ["gs://a/d"])
    tally("Execution.get_output_artifacts", execution.get_output_artifacts)
    tally("Execution.get", aiplatform.Execution.get, "made")
    tally("Execution.list", aiplatform.Execution.list, filter='schema_title="system.ContainerExecution"')
    tally("Execution.update", execution.update, metadata={"z": 3})
    other = tally(
        "Execution.create",
        aiplatform.Execution.create,
        schema_title="system.CustomJobExecution",
        display_name="e",
        credentials=aiplatform.initializer.global_config.credentials,  # the default in 1.165 is a type by mistake
    )
    tally("Execution.delete", other.delete)
    tally("Artifact.delete", data.delete)


def boards(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Tensorboards."""
    board = aiplatform.Tensorboard.create(display_name="c")
    tally("Tensorboard", aiplatform.Tensorboard, board.resource_name)
    tally("Tensorboard.list", aiplatform.Tensorboard.list, filter='display_name="c"')
    tally("Tensorboard.update", board.update, description="said")
    create = aiplatform.TensorboardExperiment.create
    experiment = tally("TensorboardExperiment.create", create, "e", tensorboard_name=board.resource_name)
    tally("TensorboardExperiment.list", aiplatform.TensorboardExperiment.list, tensorboard_name=board.resource_name)
    create = aiplatform.TensorboardRun.create
    run = tally("TensorboardRun.create", create, "r", tensorboard_experiment_name=experiment.resource_name)
    add = run.create_tensorboard_time_series
    tally("TensorboardRun.create_tensorboard_time_series", add, display_name="loss")
    write = run.write_tensorboard_scalar_data
    tally("TensorboardRun.write_tensorboard_scalar_data", write, time_series_data={"loss": 0.5}, step=1)
    tally("TensorboardRun.read_time_series_data", run.read_time_series_data)
    listed = aiplatform.TensorboardRun.list
    tally("TensorboardRun.list", listed, tensorboard_experiment_name=experiment.resource_name)
    listed = aiplatform.TensorboardTimeSeries.list
    [series] = tally("TensorboardTimeSeries.list", listed, tensorboard_run_name=run.resource_name)
    tally("TensorboardTimeSeries.delete", series.delete)
    tally("TensorboardRun.delete", run.delete)
    tally("TensorboardExperiment.delete", experiment.delete)
    tally("Tensorboard.delete", board.delete)


def datasets(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Of tables in buckets."""
    create = aiplatform.TabularDataset.create
    data = tally("TabularDataset.create", create, display_name="t", gcs_source=f"{BUCKET}/data.csv")
    tally("TabularDataset", aiplatform.TabularDataset, data.resource_name)
    tally("TabularDataset.list", aiplatform.TabularDataset.list, filter='display_name="t"')
    tally("TabularDataset.delete", data.delete)


def main(address: str, inputs: Path, result: Path) -> None:
    """Tries all of them; what one group cannot do does not keep the others from it."""
    aiplatform = vertex.connect(address)
    tally = Tally(known(aiplatform))
    groups: tuple[Callable[[Tally, Any, Path], None], ...] = (experiments, runs, metadata, boards, datasets)
    for group in groups:
        tally.group(lambda group=group: group(tally, aiplatform, inputs))
    tally.write(result, f"google-cloud-aiplatform {aiplatform.__version__}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
