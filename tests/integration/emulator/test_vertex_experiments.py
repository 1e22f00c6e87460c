"""Experiments, metadata, tensorboards and datasets of Google's own client, and what pipeline jobs write there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, NotFound

from headrace.emulator import connect

HEADRACE = str(Path(sys.executable).with_name("headrace"))


class Running:
    """An emulator in a process of its own, which can be killed and started again on the same port."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, 0
        self.start()

    def start(self) -> None:
        command = [HEADRACE, "emulator", "--quiet", "--port", str(self.port), "--state", str(self.state)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://[\d.]+:(\d+)", self.process.stdout.readline())
        assert found is not None
        self.url, self.port = found[0], int(found[1])

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("experiments") / "state")
    yield running
    running.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def sdk(running: Running) -> Iterator[Any]:
    patch = pytest.MonkeyPatch()
    for name in ("STORAGE_EMULATOR_HOST", "NO_PROXY", "no_proxy"):  # which connect() sets
        patch.setenv(name, os.environ.get(name, ""))
    connect(running.url, project="demo", location="us-central1")
    from google.cloud import aiplatform

    patch.setattr("google.cloud.aiplatform.pipeline_jobs._JOB_WAIT_TIME", 0.1)
    yield aiplatform
    aiplatform.metadata.metadata._experiment_tracker.reset()
    aiplatform.initializer.global_config.__init__()
    patch.undo()


@pytest.fixture
def experiment(sdk: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    """A new one, in which the SDK works."""
    name = request.node.name.replace("_", "-")[:60]
    sdk.init(experiment=name, experiment_description="of a test")
    yield name
    sdk.metadata.metadata._experiment_tracker.reset()


def names(resources: Any) -> list[str]:
    return sorted(one.display_name for one in resources)


def test_a_run_is_logged_and_read(sdk: Any, experiment: str, running: Running) -> None:
    with sdk.start_run("first") as run:
        sdk.log_params({"rate": 0.1, "depth": 3, "kind": "x"})
        sdk.log_params({"depth": 4, "more": 1})
        sdk.log_metrics({"accuracy": 0.9})
        sdk.log_metrics({"accuracy": 0.95})
        for number in range(3):
            sdk.log_time_series_metrics({"loss": 1 / (number + 1), "gain": 0.5 * number})
        sdk.log_time_series_metrics({"loss": 0.0}, step=30)
        sdk.log_classification_metrics(
            labels=["a", "b"], matrix=[[9, 1], [2, 8]], fpr=[0.1, 0.5], tpr=[0.2, 0.9], threshold=[0.9, 0.1],
            display_name="confusion",
        )  # fmt: skip
        with sdk.start_execution(schema_title="system.ContainerExecution", display_name="train") as train:
            data = sdk.Artifact.create("system.Dataset", uri="gs://b/d", display_name="data", metadata={"rows": 3})
            train.assign_input_artifacts([data])
            train.assign_output_artifacts([sdk.Artifact.create("system.Model", uri="gs://b/m", display_name="model")])
    sdk.start_run("second")
    sdk.log_metrics({"accuracy": 0.5})
    with pytest.raises(ZeroDivisionError), sdk.start_run("third"):
        1 / 0  # noqa: B018
    running.end(signal.SIGKILL)  # all this was acknowledged
    running.start()

    run = sdk.ExperimentRun("first", experiment=experiment)
    assert run.get_params() == {"rate": 0.1, "depth": 4, "kind": "x", "more": 1}
    assert run.get_metrics() == {"accuracy": 0.95}
    assert run.state.name == "COMPLETE"
    [confusion] = run.get_classification_metrics()
    assert (confusion["matrix"], confusion["tpr"]) == ([[9, 1], [2, 8]], [0.2, 0.9])
    frame = run.get_time_series_data_frame()
    assert list(frame["step"]) == [1, 2, 3, 30]
    assert list(frame["loss"]) == [1, 0.5, pytest.approx(1 / 3), 0]
    assert names(run.get_executions()) == ["train"]
    assert set(names(run.get_artifacts())) >= {"data", "confusion"}
    [execution] = run.get_executions()
    assert (names(execution.get_input_artifacts()), names(execution.get_output_artifacts())) == (["data"], ["model"])
    assert execution.state.name == "COMPLETE"

    frame = sdk.get_experiment_df(experiment).set_index("run_name")
    assert dict(frame["state"]) == {"first": "COMPLETE", "second": "COMPLETE", "third": "FAILED"}
    assert frame.loc["first", "metric.accuracy"] == 0.95
    assert frame.loc["first", "time_series_metric.loss"] == 0
    assert frame.loc["first", "param.kind"] == "x"
    assert frame.loc["second", "metric.accuracy"] == 0.5
    with sdk.start_run("second", resume=True) as run:
        sdk.log_metrics({"recall": 0.25})
    assert run.get_metrics() == {"accuracy": 0.5, "recall": 0.25}
    assert run.get_state() == "COMPLETE"


def test_experiments_are_listed_and_deleted(sdk: Any, experiment: str) -> None:
    for name in ("one", "two"):
        sdk.start_run(name)
    found = sdk.Experiment(experiment)
    assert found._metadata_context.description == "of a test"
    assert experiment in [one.name for one in sdk.Experiment.list()]
    assert sorted(run.name for run in sdk.ExperimentRun.list(experiment=experiment)) == ["one", "two"]
    board = found.get_backing_tensorboard_resource()
    assert [one.resource_name for one in sdk.Tensorboard.list(filter="is_default=true")] == [board.resource_name]
    with pytest.raises(Conflict):
        sdk.ExperimentRun.create("one", experiment=experiment)
    with pytest.raises(BadRequest, match="context_id: expected to match"):
        sdk.ExperimentRun.create("not_a_name", experiment=experiment)
    sdk.ExperimentRun("two", experiment=experiment).delete(delete_backing_tensorboard_run=True)
    runs = sdk.TensorboardRun.list(f"{board.resource_name}/experiments/{experiment}")
    assert [run.name for run in runs] == ["one"]
    found.delete(delete_backing_tensorboard_runs=True)
    assert sdk.Experiment.get(experiment) is None


def test_two_who_hold_one_run(sdk: Any, experiment: str) -> None:
    """Over REST the SDK does not read again, as it does over gRPC; nothing is overwritten unseen."""
    sdk.start_run("shared")
    mine, other = (sdk.ExperimentRun("shared", experiment=experiment) for _ in range(2))
    mine.log_params({"a": 1})
    with pytest.raises(Conflict, match="does not match server `etag`"):
        other.log_params({"b": 2})
    other._metadata_node.sync_resource()
    other.log_params({"b": 2})
    assert sdk.ExperimentRun("shared", experiment=experiment).get_params() == {"a": 1, "b": 2}


def test_metadata_classes(sdk: Any) -> None:
    context = sdk.Context.create("system.Experiment", resource_id="a-context", metadata={"a": 1, "in": {"x": 1}})
    context.update(metadata={"b": 2, "in": {"y": 2}}, description="told")
    assert sdk.Context.get("a-context").metadata == {"a": 1, "b": 2, "in": {"x": 1, "y": 2}}
    child = sdk.Context.get_or_create("a-child", schema_title="system.ExperimentRun")
    context.add_context_children([child])
    assert sdk.Context.get("a-child").parent_contexts == [context.resource_name]
    credentials = sdk.initializer.global_config.credentials  # without them the SDK takes a type for some
    execution = sdk.Execution.create("system.Run", display_name="run", metadata={"p": 1}, credentials=credentials)
    artifacts = [sdk.Artifact.create("system.Dataset", uri=f"gs://b/{n}", display_name=str(n)) for n in range(3)]
    execution.assign_input_artifacts(artifacts[:2])
    context.add_artifacts_and_executions(
        artifact_resource_names=[one.resource_name for one in artifacts],
        execution_resource_names=[execution.resource_name],
    )
    graph = context.query_lineage_subgraph()
    assert (len(graph.artifacts), len(graph.executions), len(graph.events)) == (3, 1, 2)
    assert names(context.get_artifacts()) == ["0", "1", "2"]
    assert [one.name for one in context.get_executions()] == [execution.name]
    assert sdk.Artifact.get_with_uri("gs://b/1").name == artifacts[1].name
    assert names(sdk.Artifact.list(filter='schema_title="system.Dataset" AND display_name="2"')) == ["2"]
    execution.update(state=sdk.gapic.Execution.State.FAILED, metadata={"q": 2})
    assert sdk.Execution.get(execution.name).metadata == {"p": 1, "q": 2}
    client = execution.api_client
    lineage = client.query_artifact_lineage_subgraph(
        request={"artifact": artifacts[0].resource_name, "max_hops": 2, "filter": 'display_name = "1"'}
    )
    assert names(lineage.artifacts) == ["0", "1"]
    store = context.resource_name.rpartition("/contexts/")[0]
    purged = client.purge_artifacts({"parent": store, "filter": 'display_name="2"', "force": True}).result()
    assert purged.purge_count == 1
    for one in (context, execution, artifacts[0]):
        one.delete()
    assert sdk.Context.get("a-context") is None
    with pytest.raises(NotFound):
        sdk.Execution(execution.name)


def test_tensorboards(sdk: Any) -> None:
    board = sdk.Tensorboard.create(display_name="board", labels={"team": "risk"})
    board.update(display_name="other", description="told")
    board = sdk.Tensorboard(board.name)
    assert (board.display_name, board.gca_resource.description, board.labels) == ("other", "told", {"team": "risk"})
    experiment = sdk.TensorboardExperiment.create("ex", tensorboard_name=board.name)
    run = sdk.TensorboardRun.create("run", tensorboard_experiment_name=experiment.resource_name)
    loss = run.create_tensorboard_time_series("loss")
    for step, value in ((0, 2.0), (1, 1.0), (1, 0.5)):
        run.write_tensorboard_scalar_data({"loss": value}, step=step)
    data = run.read_time_series_data()["loss"]
    assert [(one.step, one.scalar.value) for one in data.values] == [(0, 2.0), (1, 0.5)]
    loss = sdk.TensorboardTimeSeries(loss.resource_name)
    assert (loss.gca_resource.metadata.max_step, loss.gca_resource.value_type.name) == (1, "SCALAR")
    assert [one.name for one in sdk.TensorboardExperiment.list(board.name)] == ["ex"]
    assert [one.display_name for one in sdk.TensorboardTimeSeries.list(run.resource_name)] == ["loss"]
    board.delete()
    with pytest.raises(NotFound):
        sdk.TensorboardRun(run.resource_name)


def test_tabular_datasets(sdk: Any, running: Running) -> None:
    bucket = running.state / "gcs" / "tables"
    bucket.mkdir(parents=True)
    (bucket / "a.csv").write_text("age,plan\n1,x\n")
    made = sdk.TabularDataset.create(display_name="table", gcs_source="gs://tables/a.csv", labels={"team": "risk"})
    found = sdk.TabularDataset(made.name)
    assert sorted(found.column_names) == ["age", "plan"]
    found.update(display_name="renamed", description="told")
    assert [one.display_name for one in sdk.TabularDataset.list(filter="labels.team=risk")] == ["renamed"]
    found.delete()
    assert sdk.TabularDataset.list() == []


@pytest.fixture(scope="module")
def measuring(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A compiled pipeline with a metric."""
    from kfp import compiler

    from tests.integration.emulator import vertex_pipelines

    file = tmp_path_factory.mktemp("pipelines") / "measuring.yaml"
    compiler.Compiler().compile(vertex_pipelines.measuring, str(file))
    return str(file)


@pytest.fixture
def submit(sdk: Any, measuring: str) -> Callable[..., Any]:
    def submitted(job_id: str, share: float, **where: Any) -> Any:
        job = sdk.PipelineJob(
            display_name="measuring",
            template_path=measuring,
            job_id=job_id,
            pipeline_root="gs://tracked/root",
            parameter_values={"share": share},
            enable_caching=False,
        )
        job.submit(**where)
        return job

    return submitted


def test_pipeline_jobs_are_runs_of_experiments(sdk: Any, experiment: str, submit: Callable[..., Any]) -> None:
    sdk.start_run("with-a-job")
    jobs = [submit("of-experiment", 0.25, experiment=experiment), submit("of-run", 0.5)]
    sdk.log(pipeline_job=jobs[1])
    for job in jobs:
        job.wait()
    frame = sdk.get_experiment_df(experiment).set_index("run_name")
    row = frame.loc["of-experiment"]
    assert (row["run_type"], row["state"]) == ("system.PipelineRun", "COMPLETE")
    assert (row["param.share"], row["metric.accuracy"]) == (0.25, 0.75)
    assert "of-run" not in frame.index
    [logged] = sdk.ExperimentRun("with-a-job", experiment=experiment).get_logged_pipeline_jobs()
    assert logged.resource_name == jobs[1].resource_name
    assert jobs[0].get_associated_experiment().name == experiment

    context = sdk.Context.get("of-experiment")
    assert context.schema_title == "system.PipelineRun"
    graph = context.query_lineage_subgraph()
    titles = {one.display_name: one.schema_title for one in graph.executions}
    assert titles["measure"] == "system.ContainerExecution"
    [made] = [one for one in graph.artifacts if one.schema_title == "system.Metrics"]
    assert made.uri.startswith("gs://tracked/root/demo/of-experiment/measure_")
    lineage = context.api_client.query_artifact_lineage_subgraph(artifact=made.name)
    assert "measure" in names(lineage.executions)
    pipeline = sdk.Context.get(sdk.Context.get("of-experiment").parent_contexts[0].rpartition("/")[2])
    assert pipeline.schema_title == "system.Pipeline"
    frame = sdk.get_pipeline_df(pipeline.name).set_index("run_name")
    row = frame.loc["of-experiment"]
    assert (row["param.input:share"], row["metric.accuracy"]) == (0.25, 0.75)
