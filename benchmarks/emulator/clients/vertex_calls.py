"""Tries the calls of google-cloud-aiplatform, one after the other: `vertex_calls.py ADDRESS INPUTS RESULT.json`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vertex
from tally import Tally
from vertex import BUCKET, LOCATION, PROJECT, SERVER, TRAINER

MACHINE = "n1-standard-4"


def models(tally: Tally, aiplatform: Any, inputs: Path) -> Any:
    """Of the registry; returns the model, with two versions."""
    bundle = vertex.copy(inputs / "bundle", f"{BUCKET}/bundle")
    common = {"display_name": "churn", "artifact_uri": bundle, "serving_container_image_uri": SERVER}
    model = tally("Model.upload", aiplatform.Model.upload, model_id="churn", version_aliases=["one"], **common)
    second = tally("Model.upload", aiplatform.Model.upload, parent_model="churn", labels={"a": "b"}, **common)
    tally.expect("Model.upload", second.version_id, "2")
    tally("Model", aiplatform.Model, "churn@one")
    found = tally("Model.list", aiplatform.Model.list, filter='display_name="churn" AND labels.a=b')
    tally.expect("Model.list", [one.version_id for one in found], ["2"])
    tally("Model.update", second.update, description="said", labels={"team": "risk"})
    tally.expect("Model.update", aiplatform.Model("churn").description, "said")
    tally("Model.to_dict", model.to_dict)
    tally("Model.wait", model.wait)
    tally("Model.copy", model.copy, "europe-west4", destination_model_id="copied")
    registry = tally("ModelRegistry", aiplatform.models.ModelRegistry, "churn")
    tally("ModelRegistry.get_model", registry.get_model, "1")
    tally("ModelRegistry.list_versions", registry.list_versions)
    tally("ModelRegistry.get_version_info", registry.get_version_info, "one")
    tally("ModelRegistry.update_version", registry.update_version, "1", version_description="first")
    tally("ModelRegistry.add_version_aliases", registry.add_version_aliases, ["gone"], "1")
    tally("ModelRegistry.remove_version_aliases", registry.remove_version_aliases, ["gone"], "1")
    third = tally("Model.upload", aiplatform.Model.upload, parent_model="churn", is_default_version=False, **common)
    tally("ModelRegistry.delete_version", registry.delete_version, third.version_id)
    evaluations = tally("Model.list_model_evaluations", second.list_model_evaluations)
    tally.expect("Model.list_model_evaluations", evaluations, [])

    return second


def endpoints(tally: Tally, aiplatform: Any, model: Any, inputs: Path) -> None:
    """Real serving: two deployed models, traffic, predictions."""
    instances = json.loads((inputs / "bundle" / "samples.json").read_text())["instances"]
    endpoint = tally("Endpoint.create", aiplatform.Endpoint.create, display_name="e", labels={"a": "b"})
    tally("Endpoint.deploy", endpoint.deploy, model, deployed_model_display_name="first", machine_type=MACHINE)
    tally("Model.deploy", aiplatform.Model("churn@1").deploy, endpoint, traffic_percentage=20, machine_type=MACHINE)
    tally("Endpoint", aiplatform.Endpoint, endpoint.resource_name)
    [first, second] = tally("Endpoint.list_models", endpoint.list_models)
    tally("Endpoint.update", endpoint.update, traffic_split={first.id: 50, second.id: 50}, description="d")
    tally.expect("Endpoint.update", endpoint.traffic_split, {first.id: 50, second.id: 50})
    answer = tally("Endpoint.predict", endpoint.predict, instances=instances)
    tally.expect("Endpoint.predict", len(answer.predictions), len(instances))
    tally.refused("Endpoint.explain", endpoint.explain, instances=instances)
    tally("Endpoint.undeploy", endpoint.undeploy, second.id, traffic_split={first.id: 100})
    tally("Endpoint.list", aiplatform.Endpoint.list, filter="labels.a=b", order_by="create_time desc")
    tally("Endpoint.to_dict", endpoint.to_dict)
    tally("Endpoint.wait", endpoint.wait)
    tally("Endpoint.undeploy_all", endpoint.undeploy_all)
    tally("Endpoint.delete", endpoint.delete, force=True)


def batch(tally: Tally, aiplatform: Any, model: Any, inputs: Path) -> None:
    """Batch predictions of files of JSON lines in a bucket."""
    instances = json.loads((inputs / "bundle" / "samples.json").read_text())["instances"]
    lines = inputs / f"rows-{time.time_ns()}.jsonl"
    lines.write_text("".join(json.dumps(one) + "\n" for one in instances))
    common = {
        "gcs_source": vertex.copy(lines, f"{BUCKET}/rows.jsonl"),
        "gcs_destination_prefix": f"{BUCKET}/batch",
        "instances_format": "jsonl",
        "predictions_format": "jsonl",
        "machine_type": MACHINE,
    }
    job = tally("Model.batch_predict", model.batch_predict, job_display_name="b", **common)
    blobs = tally("BatchPredictionJob.iter_outputs", lambda: list(job.iter_outputs()))
    tally.expect("BatchPredictionJob.iter_outputs", any("prediction.results" in blob.name for blob in blobs), True)
    tally("BatchPredictionJob", aiplatform.BatchPredictionJob, job.resource_name)
    tally("BatchPredictionJob.list", aiplatform.BatchPredictionJob.list, filter='display_name="b"')
    tally("BatchPredictionJob.done", job.done)
    tally("BatchPredictionJob.to_dict", job.to_dict)
    tally("BatchPredictionJob.wait", job.wait)
    tally("BatchPredictionJob.wait_for_completion", job.wait_for_completion)
    create = aiplatform.BatchPredictionJob.create
    again = tally(
        "BatchPredictionJob.create", create, job_display_name="c", model_name=model.resource_name, sync=False, **common
    )
    tally("BatchPredictionJob.wait_for_resource_creation", again.wait_for_resource_creation)
    tally("BatchPredictionJob.cancel", again.cancel)
    _ended(again)
    tally("BatchPredictionJob.delete", job.delete)


def _ended(job: Any) -> str:
    """Waits until a job has ended, as it may; returns its state's name."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        state = str(job.state.name)
        if state.endswith(("SUCCEEDED", "FAILED", "CANCELLED")):
            return state
        time.sleep(0.1)
    raise TimeoutError(state)


def pipelines(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Pipeline jobs."""

    def new(name: str = "caching", **settings: Any) -> Any:
        return aiplatform.PipelineJob(
            display_name=name, template_path=str(inputs / f"{name}.json"), pipeline_root=f"{BUCKET}/root", **settings
        )

    job = new(job_id="first", labels={"a": "b"}, enable_caching=False)
    tally("PipelineJob.submit", job.submit)
    tally("PipelineJob.wait_for_resource_creation", job.wait_for_resource_creation)
    tally("PipelineJob.wait", job.wait)
    tally("PipelineJob.done", job.done)
    tally("PipelineJob.run", new(parameter_values={"seconds": 0.1}).run)
    tally("PipelineJob.get", aiplatform.PipelineJob.get, job.resource_name)
    found = tally("PipelineJob.list", aiplatform.PipelineJob.list, filter='labels.a="b"', enable_simple_view=True)
    tally.expect("PipelineJob.list", [one.name for one in found], ["first"])
    tally("PipelineJob.to_dict", job.to_dict)
    clone = tally("PipelineJob.clone", job.clone, job_id="second")
    clone.submit()
    tally("PipelineJob.cancel", clone.cancel)
    tally.expect("PipelineJob.cancel", _ended(clone), "PIPELINE_STATE_CANCELLED")
    tally("PipelineJob.get_associated_experiment", job.get_associated_experiment)
    slow = new(job_id="third", parameter_values={"seconds": 60})
    slow.submit()
    tally("PipelineJob.batch_cancel", job.batch_cancel, PROJECT, LOCATION, ["third"])
    tally.expect("PipelineJob.batch_cancel", _ended(slow), "PIPELINE_STATE_CANCELLED")
    tally("PipelineJob.batch_delete", job.batch_delete, PROJECT, LOCATION, ["second", "third"])
    frame = tally("get_pipeline_df", aiplatform.get_pipeline_df, "caching")
    names = list(frame.get("run_name", ())) if frame is not None else []
    tally.expect("get_pipeline_df", any(name.startswith("first") for name in names), True)
    tally("PipelineJob.delete", job.delete)


def schedules(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Schedules that fire."""
    job = aiplatform.PipelineJob(
        display_name="s", template_path=str(inputs / "caching.json"), pipeline_root=f"{BUCKET}/root"
    )
    schedule = tally("PipelineJob.create_schedule", job.create_schedule, display_name="s", cron="*/5 * * * *")
    other = aiplatform.PipelineJobSchedule(pipeline_job=job, display_name="t")
    tally("PipelineJobSchedule.create", other.create, cron="0 0 1 1 *", max_run_count=2)
    tally("PipelineJobSchedule.pause", schedule.pause)
    tally("PipelineJobSchedule.resume", schedule.resume, catch_up=False)
    tally("PipelineJobSchedule.update", schedule.update, cron="0 * * * *", max_run_count=3)
    tally.expect("PipelineJobSchedule.update", schedule.cron, "0 * * * *")
    tally("PipelineJobSchedule.get", aiplatform.PipelineJobSchedule.get, schedule.resource_name)
    tally("PipelineJobSchedule.list", aiplatform.PipelineJobSchedule.list, filter='display_name="s"')
    tally("PipelineJobSchedule.list_jobs", schedule.list_jobs)
    tally("PipelineJobSchedule.done", schedule.done)
    tally("PipelineJobSchedule.to_dict", schedule.to_dict)
    tally("PipelineJobSchedule.delete", schedule.delete)
    other.delete()


def custom_jobs(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Programs of this machine."""
    pool = {"machine_spec": {"machine_type": MACHINE}, "replica_count": 1}
    program = {"image_uri": "python:3.11", "command": ["python3", "-c", "import time; time.sleep(0.1)"]}
    job = aiplatform.CustomJob(display_name="j", worker_pool_specs=[{**pool, "container_spec": program}])
    tally("CustomJob.run", job.run)
    slow = {**program, "command": ["python3", "-c", "import time; time.sleep(60)"]}
    other = aiplatform.CustomJob(display_name="k", worker_pool_specs=[{**pool, "container_spec": slow}])
    tally("CustomJob.submit", other.submit)
    tally("CustomJob.cancel", other.cancel)
    tally.expect("CustomJob.cancel", _ended(other), "JOB_STATE_CANCELLED")
    tally("CustomJob.get", aiplatform.CustomJob.get, job.resource_name)
    tally("CustomJob.list", aiplatform.CustomJob.list, filter='display_name="j"')
    for name in ("done", "wait", "wait_for_completion", "wait_for_resource_creation", "to_dict"):
        tally(f"CustomJob.{name}", getattr(job, name))
    script = tally(
        "CustomJob.from_local_script",
        aiplatform.CustomJob.from_local_script,
        display_name="l",
        script_path=str(inputs / "training_program.py"),
        container_uri=TRAINER,
        args=["--model", str(inputs / "bundle")],
        base_output_dir=f"{BUCKET}/script",
    )
    tally("CustomJob.from_local_script", script.run)
    tally("CustomJob.delete", job.delete)


def training(tally: Tally, aiplatform: Any, inputs: Path) -> None:
    """Training pipelines, and what is not served of them."""
    job = aiplatform.CustomTrainingJob(
        display_name="t",
        script_path=str(inputs / "training_program.py"),
        container_uri=TRAINER,
        model_serving_container_image_uri=SERVER,
    )
    words = ["--model", str(inputs / "bundle")]
    tally("CustomTrainingJob.run", job.run, args=words, model_display_name="m", model_version_aliases=["fit"])
    model = tally("CustomTrainingJob.get_model", job.get_model)
    tally.expect("CustomTrainingJob.get_model", model.version_aliases, ["fit", "default"])
    for name in ("done", "wait", "wait_for_resource_creation", "to_dict"):
        tally(f"CustomTrainingJob.{name}", getattr(job, name))
    tally("CustomTrainingJob.get", aiplatform.CustomTrainingJob.get, job.resource_name)
    found = tally("CustomTrainingJob.list", aiplatform.CustomTrainingJob.list, filter='display_name="t"')
    tally.expect("CustomTrainingJob.list", len(found), 1)
    other = aiplatform.CustomTrainingJob("u", str(inputs / "training_program.py"), TRAINER)
    tally("CustomTrainingJob.submit", other.submit, args=[*words, "--seconds", "60"])
    tally("CustomTrainingJob.cancel", other.cancel)
    tally.expect("CustomTrainingJob.cancel", _ended(other), "PIPELINE_STATE_CANCELLED")
    tally("CustomTrainingJob.delete", job.delete)
    package = aiplatform.CustomPythonPackageTrainingJob(
        display_name="p",
        python_package_gcs_uri=vertex.copy(inputs / "trainer_iris.tar.gz", f"{BUCKET}/trainer.tar.gz"),
        python_module_name="trainer.task",
        container_uri=TRAINER,
    )
    tally("CustomPythonPackageTrainingJob.run", package.run, args=words)
    container = aiplatform.CustomContainerTrainingJob(
        display_name="c", container_uri="python:3.11", command=["python3", "-c", "print(1)"]
    )
    tally("CustomContainerTrainingJob.run", container.run)
    tune = aiplatform.HyperparameterTuningJob(
        display_name="h",
        custom_job=aiplatform.CustomJob(
            display_name="h",
            worker_pool_specs=[
                {"machine_spec": {"machine_type": MACHINE}, "container_spec": {"image_uri": "python:3.11"}}
            ],
        ),
        metric_spec={"loss": "minimize"},
        parameter_spec={},
        max_trial_count=1,
        parallel_trial_count=1,
    )
    tally.refused("HyperparameterTuningJob.run", tune.run)


def known(aiplatform: Any) -> Callable[[str], bool]:
    """Whether the library has a name, `Model.upload`."""
    inner = {"ModelRegistry": aiplatform.models.ModelRegistry}

    def has(name: str) -> bool:
        found: Any = aiplatform
        for part in name.split("."):
            found = inner.get(part) if part in inner else getattr(found, part, None)
        return callable(found)

    return has


def main(address: str, inputs: Path, result: Path) -> None:
    """Tries all of them; what one group cannot do does not keep the others from it."""
    aiplatform = vertex.connect(address)
    tally = Tally(known(aiplatform))
    model = models(tally, aiplatform, inputs)
    groups: tuple[Callable[[], Any], ...] = (
        lambda: endpoints(tally, aiplatform, model, inputs),
        lambda: batch(tally, aiplatform, model, inputs),
        lambda: pipelines(tally, aiplatform, inputs),
        lambda: schedules(tally, aiplatform, inputs),
        lambda: custom_jobs(tally, aiplatform, inputs),
        lambda: training(tally, aiplatform, inputs),
    )
    for group in groups:
        tally.group(group)
    tally("Model.delete", model.delete)
    tally.expect("Model.delete", aiplatform.Model.list(filter="display_name=churn"), [])
    tally.write(result, f"google-cloud-aiplatform {aiplatform.__version__}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
