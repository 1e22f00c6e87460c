"""Training pipelines of the emulator, as the REST API has them."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cloud.emulator_process import EmulatorProcess, emulator_process

ABOVE = "/v1/projects/demo/locations/us-central1"
DEFINITIONS = "gs://google-cloud-aiplatform/schema/trainingjob/definition"
WRITE = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.mkdir(parents=True); (p / 'model.txt').write_text('m')"
ENDED = ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED", "PIPELINE_STATE_CANCELLED")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with emulator_process(tmp_path_factory.mktemp("training") / "state") as process:
        ask(process, "POST", "/storage/v1/b?project=demo", {"name": "bucket"})
        yield process


def ask(emulator: EmulatorProcess, method: str, path: str, body: Document | None = None) -> Document:
    """A request's answer; one that is refused has `error`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(emulator.address + path, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            answer: Document = json.loads(response.read())
    except urllib.error.HTTPError as error:
        answer = json.loads(error.read())
    return answer


def pipeline(code: str, *arguments: str | int, folder: str = "gs://bucket/out", **more: Any) -> Document:
    """As the library sends it: names with underscores, in free JSON."""
    container = {"image_uri": "python:3.11", "command": ["python3", "-c", code], "args": list(arguments)}
    return {
        "displayName": "fit",
        "trainingTaskDefinition": f"{DEFINITIONS}/custom_task_1.0.0.yaml",
        "trainingTaskInputs": {
            "worker_pool_specs": [{"replica_count": 1, "container_spec": container}],
            "base_output_directory": {"output_uri_prefix": folder},
            "scheduling": {"timeout": None, "disable_retries": True},
        },
        **more,
    }


def create(emulator: EmulatorProcess, sent: Document) -> Document:
    return ask(emulator, "POST", f"{ABOVE}/trainingPipelines", sent)


def until(emulator: EmulatorProcess, name: str, fits: Callable[[str], bool]) -> Document:
    """A training pipeline, once its state is as wanted."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        found = ask(emulator, "GET", f"/v1/{name}")
        if fits(found["state"]):
            return found
        time.sleep(0.05)
    raise AssertionError(found)


def ended(emulator: EmulatorProcess, name: str) -> Document:
    return until(emulator, name, lambda state: state in ENDED)


def test_its_model_is_uploaded_behind_its_custom_job(emulator: EmulatorProcess) -> None:
    model = {"displayName": "m", "containerSpec": {"imageUri": "i:1"}, "versionAliases": ["fit"]}
    sent = pipeline(WRITE, "/gcs/bucket/one/model", 2, folder="gs://bucket/one", modelToUpload=model, modelId="mine")
    made = create(emulator, sent)
    assert made.get("state") == "PIPELINE_STATE_PENDING", made
    assert "name" not in made["modelToUpload"]
    found = ended(emulator, made["name"])
    assert found["state"] == "PIPELINE_STATE_SUCCEEDED", found
    assert found["startTime"] <= found["endTime"]
    name = f"{ABOVE[4:]}/models/mine"
    assert (found["modelToUpload"]["name"], found["modelToUpload"]["versionId"]) == (name, "1")
    uploaded = ask(emulator, "GET", f"/v1/{name}@fit")
    assert uploaded["artifactUri"] == "gs://bucket/one/model" and uploaded["trainingPipeline"] == made["name"]
    job = ask(emulator, "GET", f"/v1/{found['trainingTaskMetadata']['backingCustomJob']}")
    assert job["displayName"] == "fit-custom-job" and job["state"] == "JOB_STATE_SUCCEEDED"
    assert job["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]["args"] == ["/gcs/bucket/one/model", "2"]
    again = create(
        emulator, {**sent, "modelId": "", "parentModel": name, "trainingTaskInputs": sent["trainingTaskInputs"]}
    )
    assert ended(emulator, again["name"])["state"] == "PIPELINE_STATE_FAILED"  # its folder is there already
    listed = ask(emulator, "GET", f"{ABOVE}/trainingPipelines?filter=state%3D%22PIPELINE_STATE_SUCCEEDED%22&pageSize=1")
    assert [one["name"] for one in listed["trainingPipelines"]] == [made["name"]]


def test_what_fails_and_what_is_cancelled(emulator: EmulatorProcess) -> None:
    failing = ended(emulator, create(emulator, pipeline("raise SystemExit('no data')"))["name"])
    assert failing["state"] == "PIPELINE_STATE_FAILED" and "no data" in failing["error"]["message"]
    empty = pipeline("pass", folder="gs://bucket/empty", modelToUpload={"displayName": "none"})
    found = ended(emulator, create(emulator, empty)["name"])
    assert found["state"] == "PIPELINE_STATE_FAILED" and "at least one file" in found["error"]["message"]
    name = create(emulator, pipeline("import time; time.sleep(60)"))["name"]
    until(emulator, name, lambda state: state == "PIPELINE_STATE_RUNNING")
    assert ask(emulator, "DELETE", f"/v1/{name}")["error"]["status"] == "FAILED_PRECONDITION"
    assert ask(emulator, "POST", f"/v1/{name}:cancel", {}) == {}
    assert ended(emulator, name)["state"] == "PIPELINE_STATE_CANCELLED"
    assert ask(emulator, "DELETE", f"/v1/{name}")["done"]
    assert ask(emulator, "GET", f"/v1/{name}")["error"]["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"trainingTaskDefinition": f"{DEFINITIONS}/automl_tabular_1.0.0.yaml"}, "UNIMPLEMENTED", "AutoMLTabular"),
        ({"trainingTaskDefinition": "gs://other/task.yaml"}, "UNIMPLEMENTED", "gs://other/task.yaml"),
        ({"inputDataConfig": {"datasetId": "1"}}, "UNIMPLEMENTED", "dataset"),
        ({"trainingTaskInputs": {"worker_pool_specs": "none"}}, "INVALID_ARGUMENT", "worker_pool_specs"),
        ({"trainingTaskInputs": []}, "INVALID_ARGUMENT", "training_task_inputs"),
        ({"displayName": ""}, "INVALID_ARGUMENT", "displayName"),
        (
            {"modelToUpload": {"displayName": "m"}, "parentModel": f"{ABOVE[4:]}/models/9"},
            "NOT_FOUND",
            "models/9",
        ),
    ],
)
def test_what_is_refused_starts_nothing(emulator: EmulatorProcess, change: Document, status: str, told: str) -> None:
    jobs = ask(emulator, "GET", f"{ABOVE}/customJobs")
    error = create(emulator, {**pipeline("pass"), **change})["error"]
    assert error["status"] == status and told in error["message"]
    assert ask(emulator, "GET", f"{ABOVE}/customJobs") == jobs


def test_one_that_runs_goes_on_after_a_kill(emulator: EmulatorProcess) -> None:
    code = f"import time; time.sleep(1); {WRITE.replace('parents=True', 'parents=True, exist_ok=True')}"
    sent = pipeline(code, "/gcs/bucket/kill/model", folder="gs://bucket/kill", modelToUpload={"displayName": "killed"})
    name = create(emulator, sent)["name"]
    until(emulator, name, lambda state: state == "PIPELINE_STATE_RUNNING")
    emulator.end(signal.SIGKILL)
    emulator.start()
    assert ended(emulator, name)["state"] == "PIPELINE_STATE_SUCCEEDED"
    models = ask(emulator, "GET", f"{ABOVE}/models?filter=display_name%3D%22killed%22")["models"]
    assert [one["trainingPipeline"] for one in models] == [name]


def test_a_model_whose_upload_was_cut_short_is_uploaded_once(emulator: EmulatorProcess, tmp_path: Path) -> None:
    """The job has ended, the upload has not begun: as after a kill between the two."""
    import sqlite3

    sent = pipeline("pass", folder="gs://bucket/late", modelToUpload={"displayName": "late"})
    name = create(emulator, sent)["name"]
    assert ended(emulator, name)["state"] == "PIPELINE_STATE_FAILED"
    emulator.end(signal.SIGKILL)
    folder = emulator.folder / "gcs" / "bucket" / "late" / "model"
    folder.mkdir(parents=True)
    (folder / "model.txt").write_text("m")
    with sqlite3.connect(emulator.folder / "emulator.db") as db:
        (body,) = db.execute(
            "SELECT body FROM documents WHERE kind = 'TrainingPipeline' AND name = ?", (name,)
        ).fetchone()
        found = json.loads(body)
        found.pop("error"), found.pop("endTime")
        found["state"] = "PIPELINE_STATE_RUNNING"
        db.execute(
            "UPDATE documents SET body = ? WHERE name = ? AND kind = 'TrainingPipeline'", (json.dumps(found), name)
        )
        db.execute(
            "INSERT INTO documents (kind, name, parent, body) VALUES ('TrainingPipelineUpload', ?, '', ?)",
            (name, json.dumps({"name": name})),
        )
    db.close()
    emulator.start()
    assert ended(emulator, name)["state"] == "PIPELINE_STATE_SUCCEEDED"
    models = ask(emulator, "GET", f"{ABOVE}/models?filter=display_name%3D%22late%22")["models"]
    assert len(models) == 1
