"""Custom jobs, batch predictions and the launcher of pipelines' steps, by Google's own client."""

from __future__ import annotations

import os
import signal
import time

import pytest

from headrace.platforms.vertex.jobs import (
    CustomJob,
    JobError,
    batch_predict,
    cancel,
    find,
    start,
    training_job,
    wait,
)
from headrace.platforms.vertex.launch import main
from headrace.platforms.vertex.settings import Serving, TaskMachine
from headrace.platforms.vertex.store import VertexPlace
from headrace.trainer.task import _parser
from tests.cloud.vertex_server import PARENT, vertex_service

SPOT = TaskMachine("n1-standard-8", "nvidia-tesla-t4", 1, spot=True, disk_gb=200, timeout_hours=2, max_wait_hours=0.5)


@pytest.fixture
def service():
    with vertex_service() as running:
        yield running


@pytest.fixture
def place(service):
    return VertexPlace("demo", "us-central1", endpoint=service.url)


def test_our_trainer_as_a_job_on_spot_machines(service, place):
    arguments = {"dataset": "gs://runs/dataset", "transform": "gs://runs/transform", "schema": "gs://runs/schema"}
    job = training_job(
        "example.com/trainer@sha256:1",
        "gs://runs/churn-7",
        SPOT,
        name="churn",
        arguments={**arguments, "model": "mlp", "parameters": {"epochs": 3}, "saved_model": True, "logs": None},
        service_account="runner@demo.iam.gserviceaccount.com",
        labels={"team": "growth"},
    )
    name = start(place, job)
    assert name == f"{PARENT}/customJobs/101"
    spec = service.kept["customJobs"]["101"]["jobSpec"]
    [pool] = spec["workerPoolSpecs"]
    machine = pool["machineSpec"]
    assert machine["machineType"] == "n1-standard-8" and machine["acceleratorCount"] == 1
    assert machine["acceleratorType"] in (5, "NVIDIA_TESLA_T4")
    assert int(pool["diskSpec"]["bootDiskSizeGb"]) == 200 and int(pool["replicaCount"]) == 1
    scheduling = spec["scheduling"]
    assert scheduling["timeout"] == "7200s" and scheduling["maxWaitDuration"] == "1800s"
    assert scheduling["restartJobOnWorkerRestart"] is True and scheduling["strategy"] in (4, "SPOT")
    assert spec["baseOutputDirectory"] == {"outputUriPrefix": "gs://runs/churn-7"}  # the same after a restart
    assert spec["serviceAccount"] == "runner@demo.iam.gserviceaccount.com"
    words = pool["containerSpec"]["command"] + pool["containerSpec"]["args"]
    assert words[:3] == ["python3", "-m", "headrace.trainer.task"]
    given = _parser().parse_args([*words[3:], "--output", "/tmp/x"])  # what the trainer makes of them
    assert str(given.dataset) == "/gcs/runs/dataset" and given.parameters == {"epochs": 3} and given.saved_model


def test_on_demand_is_the_default_and_nothing_is_restarted(service, place):
    start(place, CustomJob("a", "image", ("true",), TaskMachine(), "gs://runs/a"))
    spec = service.kept["customJobs"]["101"]["jobSpec"]
    assert spec["scheduling"]["strategy"] in (3, "STANDARD")
    assert not spec["scheduling"].get("restartJobOnWorkerRestart")
    assert "acceleratorType" not in spec["workerPoolSpecs"][0]["machineSpec"] and "serviceAccount" not in spec


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (CustomJob("a", "image", ("true",), TaskMachine(), "/runs/a"), "expected a folder gs://... for output"),
        (CustomJob("a", "image", (), TaskMachine(), "gs://runs/a"), "expected a command"),
    ],
)
def test_jobs_that_are_none(place, job, told):
    with pytest.raises(JobError, match=told):
        start(place, job)


def test_waiting_outlives_a_service_that_is_away(service, place):
    name = start(place, CustomJob("a", "image", ("true",), TaskMachine(), "gs://runs/a"))
    looks = iter([(501, "away"), None, "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"])

    def pause(_):
        look = next(looks)
        service.down = look if isinstance(look, tuple) else None
        if isinstance(look, str):
            service.kept["customJobs"]["101"]["state"] = look

    assert wait(place, name, pause=pause, patience=2) == "gs://runs/a"


def test_a_job_that_fails_says_why(service, place):
    name = start(place, CustomJob("a", "image", ("true",), TaskMachine(), "gs://runs/a"))
    service.kept["customJobs"]["101"] |= {"state": "JOB_STATE_FAILED", "error": {"code": 8, "message": "no T4 left"}}
    with pytest.raises(JobError, match="expected it to succeed. Received: FAILED: no T4 left"):
        wait(place, name, pause=lambda _: None)
    assert find(place, {}) == ""  # one that has failed is not waited for again


def test_a_batch_prediction_of_a_registered_version(service, place):
    serving = Serving(machine="n1-standard-4", min_replicas=0, max_replicas=5)
    model = f"{PARENT}/models/churn"
    service.models[model] = {3: {"name": model, "versionId": "3", "versionAliases": ["champion"]}}
    files = ["gs://data/a.jsonl", "gs://data/b.jsonl"]
    name = batch_predict(place, "churn", "champion", files, "gs://answers", serving=serving, labels={"team": "growth"})
    job = service.kept["batchPredictionJobs"]["101"]
    assert job["model"] == f"{PARENT}/models/churn@champion"
    assert job["inputConfig"] == {"instancesFormat": "jsonl", "gcsSource": {"uris": files}}
    assert job["outputConfig"]["gcsDestination"] == {"outputUriPrefix": "gs://answers"}
    resources = job["dedicatedResources"]
    assert resources["machineSpec"]["machineType"] == "n1-standard-4"
    assert (resources["startingReplicaCount"], resources["maxReplicaCount"]) == (1, 5)
    job |= {"state": "JOB_STATE_SUCCEEDED", "outputInfo": {"gcsOutputDirectory": "gs://answers/prediction-churn"}}
    assert wait(place, name) == "gs://answers/prediction-churn"


def test_from_a_table_into_a_data_set(service, place):
    name = batch_predict(place, "churn", "3", "bq://demo.data.rows", "bq://demo.answers")
    job = service.kept["batchPredictionJobs"]["101"]
    assert job["inputConfig"]["bigquerySource"] == {"inputUri": "bq://demo.data.rows"}
    assert job["outputConfig"]["bigqueryDestination"] == {"outputUri": "bq://demo.answers"}
    info = {"bigqueryOutputDataset": "bq://demo.answers", "bigqueryOutputTable": "predictions_1"}
    job |= {"state": "JOB_STATE_SUCCEEDED", "outputInfo": info}
    assert wait(place, name) == "bq://demo.answers.predictions_1"
    cancel(place, name)
    assert job["state"] == "JOB_STATE_CANCELLED"


@pytest.mark.parametrize(
    ("source", "destination", "told"),
    [
        (["bq://a.b.c", "bq://a.b.d"], "gs://x", "one table"),
        (["gs://a/b", "bq://a.b.d"], "gs://x", "expected gs:// files"),
        ("rows.jsonl", "gs://x", "expected gs:// files"),
        ("gs://a/b", "/x", "destination: expected gs://"),
    ],
)
def test_sources_that_a_batch_prediction_cannot_read(place, source, destination, told):
    with pytest.raises(JobError, match=told):
        batch_predict(place, "churn", "3", source, destination)


def launched(service, *more: str) -> list[str]:
    given = ["--project", "demo", "--location", "us-central1", "--endpoint", service.url, "--image", "main@sha256:1"]
    machine = ["--machine", '{"machine": "n1-standard-8", "spot": true}', "--root", "gs://runs/headrace/"]
    return [*given, *machine, "--name", "churn-1-train", "--task", "7_Train", *more, "--", "sh", "-c", "x --", "{}"]


def test_a_step_is_a_job_and_ends_as_it_ends(service, capsys):
    usual = service.answer

    def answer(method, path, body):  # it has ended when it is first looked at
        status, value = usual(method, path, body)
        if method == "POST" and path.partition("?")[0].endswith("/customJobs"):
            value["state"] = "JOB_STATE_SUCCEEDED"
        return status, value

    service.answer = answer
    assert main(launched(service, "--service-account", "runner@demo"), every_s=0) == 0
    job = service.kept["customJobs"]["101"]
    container = job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    assert container["command"] + container["args"] == ["sh", "-c", "x --", "{}"]
    assert job["jobSpec"]["baseOutputDirectory"]["outputUriPrefix"] == "gs://runs/headrace/custom-jobs/7_train"
    assert job["jobSpec"]["serviceAccount"] == "runner@demo"
    assert main(launched(service), every_s=0) == 0  # the launcher was started again
    assert list(service.kept["customJobs"]) == ["101"]
    assert "goes on waiting for" in capsys.readouterr().out
    job["state"] = "JOB_STATE_FAILED"
    service.answer = usual
    service.refuse["POST /v1/"] = (403, "Permission 'aiplatform.customJobs.create' denied on resource 'x'")
    assert main(launched(service), every_s=0) != 0
    assert "roles/aiplatform.user" in capsys.readouterr().err


def test_a_cancelled_step_cancels_its_job(service):
    usual = service.answer

    def answer(method, path, body):  # SIGTERM comes while it waits
        if method == "GET" and "customJobs/101" in path:
            service.answer = usual
            os.kill(os.getpid(), signal.SIGTERM)
        return usual(method, path, body)

    service.answer = answer
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        main(launched(service), every_s=30)
    assert ended.value.code == 143 and signal.getsignal(signal.SIGTERM) == before
    assert service.kept["customJobs"]["101"]["state"] == "JOB_STATE_CANCELLED"


def test_a_step_that_is_cancelled_while_its_job_is_made_leaves_no_job(service):
    usual = service.answer

    def answer(method, path, body):  # SIGTERM comes before the answer
        told = usual(method, path, body)
        if method == "POST" and path.partition("?")[0].endswith("/customJobs"):
            service.answer = usual
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.2)
        return told

    service.answer = answer
    with pytest.raises(SystemExit) as ended:
        main(launched(service), every_s=30)
    assert ended.value.code == 143
    assert service.kept["customJobs"]["101"]["state"] == "JOB_STATE_CANCELLED"
