"""The sequences of SDK calls of public samples, for an emulator: `samples.py ADDRESS INPUTS NAME...`.

Each function names its sample by the path in the public repository, and makes the calls of its code in their order.
Project, region, bucket and endpoint are this emulator's; what is trained, and on what, is our own. None of its code is
repeated here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vertex
from vertex import BUCKET, LOCATION, PROJECT, SERVER, TRAINER

VERTEX = "GoogleCloudPlatform/vertex-ai-samples: notebooks/official/"
KFP = "kubeflow/pipelines: samples/"


def custom_training_and_online_prediction(address: str, inputs: Path) -> None:
    """custom/sdk-custom-image-classification-online.ipynb."""
    aiplatform = vertex.connect(address)
    job = aiplatform.CustomTrainingJob(
        display_name="custom_job_1",
        script_path=str(inputs / "training_program.py"),
        container_uri=TRAINER,
        requirements=["lightgbm"],
        model_serving_container_image_uri=SERVER,
    )
    model = job.run(
        model_display_name="trained",
        args=["--epochs=20", f"--model={inputs / 'bundle'}"],
        replica_count=1,
        machine_type="n1-standard-4",
        accelerator_count=0,
    )
    assert model.display_name == "trained" and model.gca_resource.training_pipeline == job.resource_name
    endpoint = model.deploy(
        deployed_model_display_name="deployed",
        traffic_split={"0": 100},
        machine_type="n1-standard-4",
        accelerator_count=0,
        min_replica_count=1,
        max_replica_count=1,
    )
    instances = json.loads((inputs / "bundle" / "samples.json").read_text())["instances"]
    answer = endpoint.predict(instances=instances)
    assert len(answer.predictions) == len(instances) and answer.model_version_id == "1"
    endpoint.undeploy_all()
    job.delete()
    model.delete()
    endpoint.delete()


def training_of_a_python_package(address: str, inputs: Path) -> None:
    """custom/get_started_vertex_training_xgboost.ipynb."""
    aiplatform = vertex.connect(address)
    job = aiplatform.CustomPythonPackageTrainingJob(
        display_name="iris",
        python_package_gcs_uri=vertex.copy(inputs / "trainer_iris.tar.gz", f"{BUCKET}/trainer_iris.tar.gz"),
        python_module_name="trainer.task",
        container_uri=TRAINER,
        model_serving_container_image_uri=SERVER,
        project=PROJECT,
    )
    model = job.run(
        model_display_name="iris",
        args=[f"--model={inputs / 'bundle'}", "--epochs=20"],
        replica_count=1,
        machine_type="n1-standard-4",
        base_output_dir=f"{BUCKET}/model",
        sync=False,
    )
    job.wait_for_resource_creation()
    assert [one.display_name for one in job.list(filter="display_name=iris")] == ["iris"]
    model.wait()
    assert model.uri == f"{BUCKET}/model/model"
    job.delete()
    model.delete()


def versions_in_the_model_registry(address: str, inputs: Path) -> None:
    """model_registry/get_started_with_model_registry.ipynb."""
    aip = vertex.connect(address)
    first = aip.Model.upload(
        display_name="example_",
        artifact_uri=vertex.copy(inputs / "bundle", f"{BUCKET}/model/v1"),
        serving_container_image_uri=SERVER,
        is_default_version=True,
        version_aliases=["v1"],
        version_description="This is the first version of the model",
    )
    second = aip.Model.upload(
        display_name="example_",
        artifact_uri=vertex.copy(inputs / "bundle", f"{BUCKET}/model/v2"),
        serving_container_image_uri=SERVER,
        parent_model=first.resource_name,
        is_default_version=True,
        version_aliases=["v2"],
        version_description="This is the second version of the model",
    )
    assert [one.version_id for one in first.versioning_registry.list_versions()] == ["1", "2"]
    assert sorted(second.versioning_registry.list_versions()[1].version_aliases) == ["default", "v2"]
    [model] = aip.Model.list(filter="display_name=example_")
    assert model.version_id == "2"
    second.versioning_registry.add_version_aliases(new_aliases=["default"], version="1")
    [model] = aip.Model.list(filter="display_name=example_")
    assert model.version_id == "1"
    endpoint = aip.Endpoint.create(
        display_name="example_", project=PROJECT, location=LOCATION, labels={"your_key": "your_value"}
    )
    endpoint.deploy(model=model, deployed_model_display_name="example_", machine_type="n1-standard-4")
    endpoint.undeploy(endpoint.gca_resource.deployed_models[0].id)
    model.versioning_registry.delete_version("2")
    assert [one.version_id for one in model.versioning_registry.list_versions()] == ["1"]
    model.delete()
    endpoint.delete()


def experiments(address: str, inputs: Path) -> None:
    """experiments/get_started_with_vertex_experiments.ipynb."""
    aiplatform = vertex.connect(address)
    aiplatform.init(experiment="example-1")
    for run, units, accuracy in (("run-1", 128, 98.7), ("run-2", 256, 98.8)):
        aiplatform.start_run(run)
        aiplatform.log_params({"units": units})
        aiplatform.log_params({"epochs": 100, "batch_size": 32, "learning_rate": 0.01})
        aiplatform.log_metrics({"test_acc": accuracy, "train_acc": 99.3})
        aiplatform.end_run()
        frame = aiplatform.get_experiment_df()
        assert run in list(frame[frame.experiment_name == "example-1"].run_name)
    assert sorted(frame["param.units"]) == [128, 256] and sorted(frame["metric.test_acc"]) == [98.7, 98.8]
    aiplatform.Experiment("example-1").delete()
    aiplatform.init(experiment="example-2")
    aiplatform.start_run("run-1")
    data, model = (
        aiplatform.Artifact.create(schema_title=f"system.{kind}", display_name=kind, uri=f"gs://example/{kind}")
        for kind in ("Dataset", "Model")
    )
    with aiplatform.start_execution(schema_title="system.ContainerExecution", display_name="training") as execution:
        execution.assign_input_artifacts([data])
        aiplatform.log_params({"units": 256})
        aiplatform.log_metrics({"acc": 96.8})
        execution.assign_output_artifacts([model])
        aiplatform.log_metrics({"lineage": execution.get_output_artifacts()[0].lineage_console_uri})
    aiplatform.end_run()
    frame = aiplatform.get_experiment_df()
    assert str(frame["metric.lineage"][0]).startswith("https://console.cloud.google.com/")
    data.delete()
    model.delete()
    _train_within_an_experiment(aiplatform, inputs)
    for experiment in aiplatform.Experiment.list():
        if experiment.name.startswith("example-"):
            experiment.delete()


def _train_within_an_experiment(aiplatform: Any, inputs: Path) -> None:
    job = aiplatform.CustomPythonPackageTrainingJob(
        display_name="example",
        python_package_gcs_uri=vertex.copy(inputs / "trainer_experiment.tar.gz", f"{BUCKET}/trainer.tar.gz"),
        python_module_name="trainer.task",
        container_uri=TRAINER,
    )
    aiplatform.init(experiment="example-3")
    job.run(
        args=["--experiment=example-3", "--run=run-1", "--epochs=5"],
        replica_count=1,
        machine_type="n1-standard-4",
        service_account="emulator@demo.iam.gserviceaccount.com",
        sync=True,
    )
    frame = aiplatform.get_experiment_df()
    assert list(frame["param.epochs"]) == [5.0], frame
    assert next(iter(frame["metric.lineage"])).startswith("https://console.cloud.google.com/")
    job.delete()


def component_inputs_and_outputs(address: str, inputs: Path) -> None:
    """pipelines/lightweight_functions_component_io_kfp.ipynb."""
    aiplatform = vertex.connect(address)
    data = vertex.copy(inputs / "data.txt", f"{BUCKET}/data.txt")
    job = aiplatform.PipelineJob(
        display_name="shakespeare",
        template_path=str(inputs / "component-inputs-and-outputs.json"),
        pipeline_root=f"{BUCKET}/pipeline_root/shakespeare",
        parameter_values={"message": "Hello, World", "uri": data},
        enable_caching=False,
    )
    job.run()
    tasks = {task.task_name: task for task in job.gca_resource.job_detail.task_details}
    assert {"prepare", "fit", "show", "importer"} <= set(tasks), sorted(tasks)
    [model] = tasks["fit"].outputs["model"].artifacts
    assert model.uri.startswith(f"{BUCKET}/pipeline_root/shakespeare/") and model.metadata["accuracy"] == 0.9
    job.delete()


def caching_of_kubeflow_pipelines(address: str, inputs: Path) -> None:
    """core/caching/caching_sample.py."""
    import time

    import kfp
    import sample_pipelines

    def seconds(pipeline: Any) -> float:
        begin = time.monotonic()
        client = kfp.Client(host=address)
        run = client.create_run_from_pipeline_func(pipeline, arguments={"seconds": 3})
        client.wait_for_run_completion(run.run_id, timeout=60, sleep_duration=0.1)
        assert client.get_run(run.run_id).state == "SUCCEEDED"
        return time.monotonic() - begin

    assert seconds(sample_pipelines.cached) >= 3
    assert seconds(sample_pipelines.cached) < 3
    assert seconds(sample_pipelines.not_cached) >= 3


def control_flow_of_kubeflow_pipelines(address: str, inputs: Path) -> None:
    """core/exit_handler/exit_handler.py and core/loop_output/loop_output.py, with their tests' client code."""
    import kfp
    import sample_pipelines

    client = kfp.Client(host=address)
    states = {}
    for pipeline in (sample_pipelines.exiting, sample_pipelines.looping):
        run = client.create_run_from_pipeline_func(
            pipeline, arguments={}, experiment_name="samples", enable_caching=False
        )
        client.wait_for_run_completion(run.run_id, timeout=60, sleep_duration=0.1)
        found = client.get_run(run.run_id)
        states[pipeline.name] = found.state
        tasks = [task.display_name for task in found.run_details.task_details if task.state == "SUCCEEDED"]
        assert pipeline is not sample_pipelines.exiting or "say" in tasks, tasks
    assert states == {"with-an-exit-handler": "FAILED", "loop-over-an-output": "SUCCEEDED"}, states


SAMPLES: dict[str, Callable[[str, Path], None]] = {
    f"{VERTEX}custom/sdk-custom-image-classification-online.ipynb": custom_training_and_online_prediction,
    f"{VERTEX}custom/get_started_vertex_training_xgboost.ipynb": training_of_a_python_package,
    f"{VERTEX}model_registry/get_started_with_model_registry.ipynb": versions_in_the_model_registry,
    f"{VERTEX}experiments/get_started_with_vertex_experiments.ipynb": experiments,
    f"{VERTEX}pipelines/lightweight_functions_component_io_kfp.ipynb": component_inputs_and_outputs,
    f"{KFP}core/caching/caching_sample.py": caching_of_kubeflow_pipelines,
    f"{KFP}core/exit_handler, core/loop_output": control_flow_of_kubeflow_pipelines,
}

if __name__ == "__main__":
    wanted = set(sys.argv[3:])
    for sample in SAMPLES.values():
        if not wanted or sample.__name__ in wanted:
            sample(sys.argv[1], Path(sys.argv[2]))
            print("sample passed:", sample.__name__, flush=True)
