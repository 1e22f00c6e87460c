"""Pipeline jobs and custom jobs of the emulator, by the real client of Vertex AI."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HEADRACE = str(Path(sys.executable).with_name("headrace"))


class Process:
    """An emulator in a process of its own."""

    def __init__(self, state: Path) -> None:
        self._state, self._port, self._popen = state, 0, None
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        log = self._state.with_suffix(".log")
        with log.open("w") as stream:
            self._popen = subprocess.Popen(
                [HEADRACE, "emulator", "--port", str(self._port), "--state", str(self._state)],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"},
            )
        give_up = time.monotonic() + 30
        while "emulator at" not in log.read_text() and time.monotonic() < give_up:
            assert self._popen.poll() is None, log.read_text()
            time.sleep(0.02)
        self._port = int(log.read_text().partition("http://127.0.0.1:")[2].partition(",")[0].split()[0])

    def end(self, number: int = signal.SIGTERM) -> None:
        self._popen.send_signal(number)
        self._popen.wait(30)


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("emulator") / "state")
    yield process
    process.end()


@pytest.fixture(scope="module")
def aiplatform(emulator: Process) -> Iterator[Any]:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import aiplatform

    patch = pytest.MonkeyPatch()
    patch.setenv("STORAGE_EMULATOR_HOST", emulator.address)
    patch.setattr("google.cloud.aiplatform.pipeline_jobs._JOB_WAIT_TIME", 0.1)
    patch.setattr("google.cloud.aiplatform.jobs._JOB_WAIT_TIME", 0.1)
    aiplatform.init(
        project="demo",
        location="us-central1",
        api_endpoint=emulator.address,
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    yield aiplatform
    patch.undo()
    aiplatform.initializer.global_config.__init__()


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled pipelines of lightweight components."""
    from kfp import compiler

    from tests.integration.emulator import vertex_pipelines

    folder = tmp_path_factory.mktemp("pipelines")
    for pipeline in (vertex_pipelines.adding, vertex_pipelines.reading, vertex_pipelines.halves):
        compiler.Compiler().compile(pipeline, str(folder / f"{pipeline.name}.yaml"))
    return folder


@pytest.fixture
def job(aiplatform: Any, pipelines: Path, emulator: Process) -> Callable[..., Any]:
    def made(name: str, **fields: Any) -> Any:
        fields.setdefault("pipeline_root", "gs://bucket/root")
        return aiplatform.PipelineJob(display_name=name, template_path=str(pipelines / f"{name}.yaml"), **fields)

    return made


@pytest.fixture
def bucket(emulator: Process) -> Path:
    """A bucket's folder."""
    folder = emulator._state / "gcs" / "bucket"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def submitted(job: Any) -> Any:
    """Submits without the look at the bucket, which is another test's."""
    resource = job.api_client.create_pipeline_job(
        parent=job._parent, pipeline_job=job._gca_resource, pipeline_job_id=job.job_id
    )
    job._gca_resource = resource
    return job


def test_a_job_runs_and_its_tasks_tell_what_they_took_and_made(job: Callable[..., Any], bucket: Path) -> None:
    one = submitted(job("adding", parameter_values={"a": 3.0}, labels={"team": "a"}))
    one.wait()
    assert one.state.name == "PIPELINE_STATE_SUCCEEDED"
    details = {task.task_id: task for task in one.task_details}
    names = {task.task_name: task for task in details.values()}
    assert set(names) >= {one.job_id.rpartition("/")[2], "add", "write", "read", "for-loop-2", "for-loop-2-0"}
    assert names["condition-3"].state.name == "NOT_TRIGGERED"
    iteration = names["for-loop-2-1"]
    assert details[iteration.parent_task_id].task_name == "for-loop-2"
    assert dict(names["add"].execution.metadata) == {"input:a": 3.0, "input:b": 2.0, "output:Output": 5.0}
    [made] = names["write"].outputs["out"].artifacts
    [taken] = names["read"].inputs["data"].artifacts
    assert made == taken
    assert made.schema_title == "system.Dataset"
    assert dict(made.metadata)["rows"] == 1
    assert made.uri.startswith(f"gs://bucket/root/demo/{one.gca_resource.name.rpartition('/')[2]}/write_")
    assert (bucket / made.uri.removeprefix("gs://bucket/")).read_text() == "5.0"
    resource = one.gca_resource
    assert resource.create_time <= resource.start_time <= resource.end_time
    assert resource.job_detail.pipeline_run_context.schema_title == "system.PipelineRun"

    again = submitted(job("adding", parameter_values={"a": 3.0}, job_id="adding-again"))  # its own has the second in it
    again.wait()
    assert {task.state.name for task in again.task_details if task.task_name in ("add", "write", "read")} >= {"SKIPPED"}


def test_a_failed_task_says_why_and_where_its_log_is(job: Callable[..., Any], bucket: Path) -> None:
    (bucket / "bad.txt").write_text("bad")
    one = submitted(job("reading", parameter_values={"uri": "gs://bucket/bad.txt"}))
    with pytest.raises(RuntimeError, match="read failed: ValueError: the data are bad") as failed:
        one.wait()
    log = str(failed.value).partition("Its log: ")[2].split('"')[0].strip()
    assert "the data are bad" in Path(log).read_text()
    [task] = [task for task in one.task_details if task.task_name == "read"]
    assert task.state.name == "FAILED"
    assert "the data are bad" in task.error.message
    assert [status.state.name for status in task.pipeline_task_status] == ["RUNNING", "FAILED"]
    [data] = task.inputs["data"].artifacts
    assert data.uri == "gs://bucket/bad.txt"


def test_jobs_are_listed_filtered_cancelled_and_deleted(
    aiplatform: Any, job: Callable[..., Any], bucket: Path, pipelines: Path
) -> None:
    from google.api_core.exceptions import BadRequest, Conflict, NotFound

    (bucket / "good.txt").write_text("good")
    values = {"uri": "gs://bucket/good.txt", "seconds": 60.0}
    one = submitted(job("reading", parameter_values=values, job_id="to-cancel", labels={"team": "b"}))
    with pytest.raises(Conflict):
        submitted(job("reading", parameter_values=values, job_id="to-cancel"))
    with pytest.raises(BadRequest, match="not in a terminal state"):
        one.delete()
    found = aiplatform.PipelineJob.list(
        filter='labels.team="b" AND pipeline_name="reading" AND NOT state="PIPELINE_STATE_FAILED"',
        enable_simple_view=True,
    )
    assert [each.name for each in found] == ["to-cancel"]
    assert not found[0].gca_resource.runtime_config.parameter_values
    one.cancel()
    assert one.state.name in ("PIPELINE_STATE_CANCELLING", "PIPELINE_STATE_CANCELLED")
    give_up = time.monotonic() + 20
    while not one.done() and time.monotonic() < give_up:
        time.sleep(0.05)
    assert one.state.name == "PIPELINE_STATE_CANCELLED"
    with pytest.raises(BadRequest, match="not cancellable"):
        one.cancel()
    one.batch_delete("demo", "us-central1", ["to-cancel"])
    with pytest.raises(NotFound):
        aiplatform.PipelineJob.get("to-cancel")

    with pytest.raises(BadRequest, match="uri"):
        submitted(job("reading"))  # a parameter is missing


def custom(aiplatform: Any, image: str, command: list[str], **fields: Any) -> Any:
    container = {"image_uri": image, "command": command, "env": [{"name": "COLOUR", "value": "red"}], **fields}
    pool = {"machine_spec": {"machine_type": "n1-standard-4"}, "replica_count": 1, "container_spec": container}
    return aiplatform.CustomJob(display_name="c", worker_pool_specs=[pool], staging_bucket="gs://bucket/staging")


def test_a_custom_job_is_a_process_of_this_machine(aiplatform: Any, bucket: Path) -> None:
    script = (
        "import json, os, sys; open(sys.argv[1], 'w').write("
        "json.dumps([os.environ['COLOUR'], os.environ['AIP_MODEL_DIR'], os.environ['CLOUD_ML_PROJECT_ID']]))"
    )
    one = custom(aiplatform, "python:3.11", ["python", "-c", script], args=["/gcs/bucket/told.json"])
    one.run()
    assert one.state.name == "JOB_STATE_SUCCEEDED"
    colour, model, project = json.loads((bucket / "told.json").read_text())
    assert (colour, project) == ("red", "demo")
    assert model.startswith("gs://bucket/staging/aiplatform-custom-job")

    ours = custom(aiplatform, "europe-docker.pkg.dev/p/r/trainer:1", [], args=["--name", "x"])
    with pytest.raises(RuntimeError, match="non-zero status of 2(?s:.*)--schema"):  # it is our trainer that says so
        ours.run()
    foreign = custom(aiplatform, "docker.io/library/busybox:1", ["true"])
    with pytest.raises(RuntimeError, match="runs as a container"):
        foreign.run()


def test_templates_of_a_bucket_pages_and_jobs_cancelled_at_once(
    aiplatform: Any, job: Callable[..., Any], bucket: Path, pipelines: Path
) -> None:
    from google.cloud.aiplatform_v1.types import PipelineJob

    (bucket / "tpl.yaml").write_bytes((pipelines / "reading.yaml").read_bytes())
    (bucket / "good.txt").write_text("good")
    values = {"uri": "gs://bucket/good.txt", "seconds": 60.0}
    jobs = [
        submitted(job("reading", parameter_values=values, job_id=f"page-{number}", labels={"team": "pages"}))
        for number in range(3)
    ]
    service, parent = jobs[0].api_client, jobs[0]._parent
    runtime = {"gcs_output_directory": "gs://bucket/root", "parameter_values": {"uri": "gs://bucket/good.txt"}}
    from_template = PipelineJob(template_uri="gs://bucket/tpl.yaml", runtime_config=runtime, labels={"team": "pages"})
    made = service.create_pipeline_job(parent=parent, pipeline_job=from_template, pipeline_job_id="page-3")
    assert made.pipeline_spec["pipelineInfo"]["name"] == "reading"
    pages = list(
        service.list_pipeline_jobs(
            request={"parent": parent, "page_size": 3, "filter": 'labels.team="pages"', "order_by": "create_time"}
        ).pages
    )
    assert [[one.name[-1] for one in page.pipeline_jobs] for page in pages] == [["0", "1", "2"], ["3"]]
    service.batch_cancel_pipeline_jobs(parent=parent, names=[one.resource_name for one in jobs]).result(timeout=20)
    give_up = time.monotonic() + 30
    while not all(one.done() for one in jobs) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert {one.state.name for one in jobs} == {"PIPELINE_STATE_CANCELLED"}
    done = aiplatform.PipelineJob.get("page-3")
    done.wait()
    assert done.state.name == "PIPELINE_STATE_SUCCEEDED"
    assert not list(bucket.rglob(".*"))  # what was being copied lies elsewhere


@pytest.mark.slow
def test_a_local_script_is_packed_and_run(aiplatform: Any, bucket: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import pathlib, sys\npathlib.Path(sys.argv[1]).write_text('packed')\n")
    one = aiplatform.CustomJob.from_local_script(
        display_name="script",
        script_path=str(script),
        container_uri="us-docker.pkg.dev/vertex-ai/training/sklearn-cpu.1-0:latest",
        args=["/gcs/bucket/script.txt"],
        staging_bucket="gs://bucket/staging",
    )
    one.run()
    assert one.state.name == "JOB_STATE_SUCCEEDED"
    assert (bucket / "script.txt").read_text() == "packed"


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "last"), [("fast", "NOT_TRIGGERED"), ("slow", "SUCCEEDED")])
def test_after_a_failure_nothing_begins_where_the_policy_is_fast(
    job: Callable[..., Any], bucket: Path, policy: str, last: str
) -> None:
    (bucket / "good.txt").write_text("good")
    (bucket / "bad.txt").write_text("bad")
    values = {"good": "gs://bucket/good.txt", "bad": "gs://bucket/bad.txt"}
    one = submitted(job("halves", parameter_values=values, failure_policy=policy, job_id=f"policy-{policy}"))
    with pytest.raises(RuntimeError, match="the data are bad"):
        one.wait()
    states = {task.task_name: task.state.name for task in one.task_details}
    assert (states["read"], states["read-2"], states["add"]) == ("FAILED", "SUCCEEDED", last)


@pytest.mark.slow
def test_what_was_acknowledged_goes_on_after_the_emulator_was_killed(
    job: Callable[..., Any], bucket: Path, emulator: Process
) -> None:
    (bucket / "good.txt").write_text("good")
    values = {"uri": "gs://bucket/good.txt", "seconds": 3.0}
    several = [submitted(job("reading", parameter_values=values, job_id=f"killed-{n}")) for n in range(6)]
    time.sleep(1.5)
    emulator.end(signal.SIGKILL)
    emulator.start()
    for one in several:
        one.wait()
    assert {one.state.name for one in several} == {"PIPELINE_STATE_SUCCEEDED"}
