"""`headrace submit` by the real clients of Vertex AI, Kubeflow and Cloud Storage, against services on this machine."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from headrace.artifacts.folder import file_digest
from headrace.pipelines.cli import cli
from tests.cloud.gcs_server import storage_service
from tests.cloud.kfp_server import pipelines_service
from tests.cloud.vertex_server import vertex_service

SPEC = """
name: m
task: classification
data: {source: rows.csv, label: y}
resources:
  all: {secrets: {AWS_SECRET_ACCESS_KEY: s3/secret}}
  train: {cpu: 4, memory: 16Gi, gpu: nvidia-tesla-t4}
submit:
  experiment: none
  labels: {team: growth}
  vertex: {project: demo, location: us-central1, root: gs://runs/headrace, image: img}
  kubeflow: {root: gs://runs/headrace, platform: "mlflow:http://mlflow:5000"}
"""


@pytest.fixture
def storage(monkeypatch):
    import gcsfs

    with storage_service("runs") as service:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
        gcsfs.GCSFileSystem.clear_instance_cache()
        yield service
        gcsfs.GCSFileSystem.clear_instance_cache()


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADRACE_COMMIT", "0a1b2c")
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "rows.csv").write_text("a,y\n1,0\n")
    return tmp_path / "spec.yaml"


def headrace(*arguments):
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def uploads(storage):
    return [path for method, path in storage.requests if method == "POST" and "/upload/" in path]


def moving_on(service, *states):
    """Has the first run go through states, one at each look at it; the last one stays."""
    usual, left = service.answer, list(states)

    def answer(method, path, body):
        if method == "GET" and "/pipelineJobs/m-1" in path:
            [job] = service.kept["pipelineJobs"].values()
            job |= left.pop(0) if len(left) > 1 else left[0]
        return usual(method, path, body)

    service.answer = answer


def task(name, state, **more):
    id = {"ingest": "1", "train": "2", "condition-1": "3", "push": "4"}[name]
    return {"taskId": id, "taskName": name, "state": state, "startTime": "2026-11-22T01:02:05Z", **more}


ENDED = {"endTime": "2026-11-22T01:02:07Z"}


def test_on_vertex_the_source_goes_along_and_the_run_is_watched(storage, spec):
    with vertex_service() as service:
        detail = [task("ingest", "SUCCEEDED", **ENDED), task("train", "RUNNING")]
        pushed = [
            task("ingest", "SKIPPED", **ENDED),
            task("train", "SUCCEEDED", **ENDED),
            task("push", "SUCCEEDED", **ENDED),
        ]
        moving_on(
            service,
            {"state": "PIPELINE_STATE_PENDING"},
            {"state": "PIPELINE_STATE_RUNNING", "jobDetail": {"taskDetails": detail}},
            {"state": "PIPELINE_STATE_RUNNING", "jobDetail": {"taskDetails": detail}},
            {"state": "PIPELINE_STATE_SUCCEEDED", "jobDetail": {"taskDetails": pushed}, **ENDED},
        )
        done = headrace("submit", spec, "--on", "vertex", "--endpoint", service.url, "--id", "m-1", "--every", "0.1")
        assert done.exit_code == 0, done.output
        [job] = service.kept["pipelineJobs"].values()
    place = f"gs://runs/headrace/sources/{file_digest(spec.parent / 'rows.csv')}/rows.csv"
    assert job["runtimeConfig"]["parameterValues"]["source"] == place
    assert storage.get(place) == b"a,y\n1,0\n"
    assert job["labels"] == {"headrace-pipeline": "m", "headrace-commit": "0a1b2c", "team": "growth"}
    container = job["pipelineSpec"]["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["resources"]["accelerator"]["type"] == "NVIDIA_TESLA_T4"
    lines = done.output.splitlines()
    assert "train: started" in lines and "train: done in 2.0 s" in lines and "push: done in 2.0 s" in lines


def test_nothing_is_sent_twice_and_a_lost_answer_starts_no_second_run(storage, spec):
    with vertex_service() as service:
        arguments = ("submit", spec, "--on", "vertex", "--endpoint", service.url, "--id", "m-1", "--no-wait")
        assert headrace(*arguments).exit_code == 0
        assert len(uploads(storage)) == 1
        again = headrace(*arguments)
        assert again.exit_code == 0, again.output
        assert "is in gs://runs/headrace/sources already" in again.output
        assert len(uploads(storage)) == 1 and len(service.kept["pipelineJobs"]) == 1


def test_both_places_get_the_compiled_file_as_it_stands(storage, spec, tmp_path):
    assert headrace("compile", spec, "-o", tmp_path / "p.yaml").exit_code == 0
    compiled, platforms = yaml.safe_load_all((tmp_path / "p.yaml").read_text())
    with pipelines_service() as service:
        arguments = ("--on", "kubeflow", "--endpoint", service.url, "--no-wait")
        done = headrace("submit", spec, *arguments)
        assert done.exit_code == 0, done.output
        [run] = service.runs.values()
    assert run["pipeline_spec"]["pipeline_spec"] == compiled
    assert run["pipeline_spec"]["platform_spec"] == platforms
    assert run["runtime_config"]["parameters"]["platform"] == "mlflow:http://mlflow:5000"
    with vertex_service() as service:
        asked = (
            "--on",
            "vertex",
            "--endpoint",
            service.url,
            "--no-wait",
            "--project",
            "demo",
            "--location",
            "us-central1",
        )
        more = (
            "-p",
            "source=gs://b/x.csv",
            "-p",
            "platform=mlflow:http://m",
            "--root",
            "gs://runs/r",
            "--experiment",
            "none",
        )
        done = headrace("submit", tmp_path / "p.yaml", *asked, *more)
        assert done.exit_code == 0, done.output
        [job] = service.kept["pipelineJobs"].values()
    assert job["pipelineSpec"] == compiled


def test_a_schedule_and_what_is_there(storage, spec):
    with vertex_service() as service:
        where = ("--on", "vertex", "--endpoint", service.url)
        done = headrace("submit", spec, *where, "--schedule", "0 6 * * 1-5", "--timezone", "Europe/Berlin")
        assert done.exit_code == 0, done.output
        assert "0 6 * * 1-5" in headrace("submit", spec, *where, "--schedules").output
        assert headrace("submit", spec, *where, "--unschedule", "m").exit_code == 0
        assert "no schedules" in headrace("submit", spec, *where, "--schedules").output


def test_a_token_is_in_no_output(storage, spec, monkeypatch):
    monkeypatch.setenv("KFP_TOKEN", "s3cret-s3cret")
    monkeypatch.setenv("HEADRACE_DEBUG", "")  # which --debug sets, and which is put back so
    with pipelines_service() as service:
        service.token = "another"
        done = headrace("--debug", "submit", spec, "--on", "kubeflow", "--endpoint", service.url, "--no-wait")
    assert done.exit_code == 1
    assert "s3cret" not in done.output + str(done.exception)


def test_a_bucket_that_is_not_there_is_said(storage, spec):
    storage.buckets.clear()
    with vertex_service() as service:
        done = headrace("submit", spec, "--on", "vertex", "--endpoint", service.url, "--no-wait")
        assert done.exit_code == 1
        assert "gs://runs/headrace/sources: expected" in str(done.exception)
        assert service.kept["pipelineJobs"] == {}


def test_doctor_looks_at_an_emulator(storage, spec, tmp_path):
    with vertex_service() as service:
        arguments = ("doctor", spec, "--on", "vertex", "--endpoint", service.url, "--home", tmp_path, "--json")
        command = [
            sys.executable,
            "-m",
            "headrace.pipelines.cli",
            *map(str, arguments),
        ]  # as a user's: a process of its own
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = {line["what"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert "Vertex AI in us-central1" in found, done.stdout + done.stderr
    assert found["Vertex AI in us-central1"]["ok"] is True
    assert found["registry"]["ok"] is True
