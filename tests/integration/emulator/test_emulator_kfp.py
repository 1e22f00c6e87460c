"""Kubeflow Pipelines' API by the emulator, with its own client, unmodified."""

import inspect
import json
import signal
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kfp import Client, compiler, dsl
from kfp_server_api.exceptions import ApiException

from tests.cloud.emulator_process import EmulatorProcess, emulator_process

pytestmark = pytest.mark.filterwarnings("ignore")
SECONDS = 60


@dsl.component(base_image="python:3.11")
def add(a: int, b: int) -> int:
    return a + b


@dsl.component(base_image="python:3.11")
def write(x: int, out: dsl.Output[dsl.Dataset]) -> None:
    with open(out.path, "w") as file:  # noqa: PTH123
        file.write(f"{x} in a file")


@dsl.component(base_image="python:3.11")
def fail_unless(file: str) -> str:
    with open(file) as stream:  # noqa: PTH123
        return stream.read()


@dsl.component(base_image="python:3.11")
def wait() -> None:
    import time

    time.sleep(600)


@dsl.pipeline(name="sums")
def sums(n: int = 2) -> None:
    first = add(a=n, b=1)
    with dsl.ParallelFor([10, 20]) as item:
        add(a=first.output, b=item)
    with dsl.If(first.output > 3):
        write(x=first.output)


@dsl.pipeline(name="needy")
def needy(file: str) -> None:
    fail_unless(file=file)


@dsl.pipeline(name="slow")
def slow() -> None:
    wait()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Client, "_LOCAL_KFP_CONTEXT", str(tmp_path_factory.mktemp("kfp") / "kfp" / "context.json"))
        with emulator_process(tmp_path_factory.mktemp("emulator") / "state") as found:
            yield found


@pytest.fixture(scope="module")
def calls() -> set[str]:
    """The methods of the client that were called."""
    return set()


@pytest.fixture
def client(emulator: EmulatorProcess, calls: set[str]) -> Any:
    class Counted(Client):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> Any:
            calls.add(name)
            return super().__getattribute__(name)

    return Counted(host=emulator.address)


def package(folder: Path, pipeline: Any, name: str = "pipeline.yaml") -> str:
    compiler.Compiler().compile(pipeline, str(folder / name))
    return str(folder / name)


def refused(status: int, text: str, call: Callable[..., Any], *arguments: Any, **more: Any) -> None:
    with pytest.raises(ApiException) as told:
        call(*arguments, **more)
    body = json.loads(told.value.body)
    assert told.value.status == status and text in body["error"] == body["message"], told.value.body
    assert body["code"] in {400: (3, 9), 404: (5,), 409: (6,), 501: (12,)}[status]


def nodes(run: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for one in run.run_details.task_details:
        found.setdefault(one.display_name, []).append(one)
    return found


def test_experiments(client: Any) -> None:
    assert client.get_kfp_healthz().multi_user is False
    assert client.get_experiment(experiment_name="Default").experiment_id
    made = client.create_experiment("growth", description="of the team")
    assert client.create_experiment("growth").experiment_id == made.experiment_id
    found = client.get_experiment(experiment_id=made.experiment_id)
    assert (found.display_name, found.description, found.storage_state) == ("growth", "of the team", "AVAILABLE")
    for number in range(3):
        client.create_experiment(f"page-{number}")
    first = client.list_experiments(page_size=2, sort_by="display_name desc")
    second = client.list_experiments(page_size=2, sort_by="display_name desc", page_token=first.next_page_token)
    names = [one.display_name for one in (*first.experiments, *second.experiments)]
    assert names == ["page-2", "page-1", "page-0", "growth"] and first.total_size == 5
    client.archive_experiment(made.experiment_id)
    assert client.get_experiment(made.experiment_id).storage_state == "ARCHIVED"
    held = {"predicates": [{"operation": 2, "key": "storage_state", "stringValue": "ARCHIVED"}]}
    assert client.list_experiments(filter=json.dumps(held)).total_size == 4
    client.unarchive_experiment(made.experiment_id)
    refused(
        409,
        "already exists",
        client.experiments.experiment_service_create_experiment,
        experiment={"display_name": "growth"},
    )
    refused(400, "Invalid field", client.list_experiments, sort_by="colour")
    refused(400, "Invalid field", client.list_experiments, filter=json.dumps(held).replace("storage_state", "colour"))
    client.delete_experiment(made.experiment_id)
    refused(404, "not found", client.get_experiment, made.experiment_id)
    team = client.create_experiment("growth", namespace="team-a")
    assert [one.experiment_id for one in client.list_experiments(namespace="team-a").experiments] == [
        team.experiment_id
    ]


def test_pipelines_and_versions(client: Any, tmp_path: Path) -> None:
    file = package(tmp_path, sums)
    made = client.upload_pipeline(file, pipeline_name="sums", description="adds")
    (version,) = client.list_pipeline_versions(made.pipeline_id).pipeline_versions
    assert version.pipeline_spec["pipelineInfo"]["name"] == "sums"
    refused(409, "already exists", client.upload_pipeline, file, pipeline_name="sums")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(file, "pipeline.yaml")
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as archive:
        archive.add(file, "pipeline.yaml")
    second = client.upload_pipeline_version(str(tmp_path / "p.zip"), "2", pipeline_name="sums", description="zipped")
    client.upload_pipeline_version(str(tmp_path / "p.tar.gz"), "3", pipeline_id=made.pipeline_id)
    client.upload_pipeline_version_from_pipeline_func(needy, "4", pipeline_id=made.pipeline_id)
    found = client.get_pipeline_version(made.pipeline_id, second.pipeline_version_id)
    assert (found.display_name, found.description, found.pipeline_spec) == ("2", "zipped", version.pipeline_spec)
    listed = client.list_pipeline_versions(made.pipeline_id, sort_by="created_at desc")
    assert [one.display_name for one in listed.pipeline_versions] == ["4", "3", "2", "sums"]
    other = client.upload_pipeline_from_pipeline_func(needy, pipeline_name="needy", namespace="team-a")
    assert client.get_pipeline_id("needy") == other.pipeline_id and client.get_pipeline_id("none") is None
    assert client.list_pipelines(namespace="team-a").total_size == 1
    assert client.get_pipeline(made.pipeline_id).description == "adds"
    named = client.pipelines.pipeline_service_get_pipeline_by_name("sums")
    assert named.pipeline_id == made.pipeline_id
    refused(400, "has 4 versions", client.delete_pipeline, made.pipeline_id)
    client.delete_pipeline_version(made.pipeline_id, second.pipeline_version_id)
    refused(404, "not found", client.get_pipeline_version, made.pipeline_id, second.pipeline_version_id)
    client.pipelines.pipeline_service_delete_pipeline(made.pipeline_id, cascade=True)
    refused(404, "not found", client.get_pipeline, made.pipeline_id)
    (tmp_path / "bad.yaml").write_text("root: {}\n")
    refused(400, "name is empty", client._upload_api.upload_pipeline, str(tmp_path / "bad.yaml"), name="bad")


def test_a_run(client: Any, emulator: EmulatorProcess) -> None:
    made = client.create_run_from_pipeline_func(sums, arguments={"n": 3}, experiment_name="runs", run_name="three")
    run = client.wait_for_run_completion(made.run_id, timeout=SECONDS, sleep_duration=0.1)
    assert (run.state, run.error, run.display_name) == ("SUCCEEDED", None, "three"), run.error
    assert [one.state for one in run.state_history] == ["PENDING", "RUNNING", "SUCCEEDED"]
    assert run.finished_at >= run.created_at and run.runtime_config.parameters == {"n": 3}
    found = nodes(run)
    assert len(found["add-2"]) == 2 and {one.state for one in found["add-2"]} == {"SUCCEEDED"}
    assert [one.state for one in found["root"]] == ["SUCCEEDED"] and len(found["iteration-item(1)"]) == 1
    (wrote,) = found["write"]
    assert wrote.parent_task_id == found["condition-3"][0].task_id
    (id,) = wrote.outputs["out"].artifact_ids
    artifact = ask(client, f"/artifacts/{id}")
    assert (artifact["type"], artifact["name"]) == ("Dataset", "out") and Path(
        artifact["uri"]
    ).read_text() == "4 in a file"
    assert id in [one["artifact_id"] for one in ask(client, "/artifacts")["artifacts"]]
    assert ask(client, f"/runs/{made.run_id}/nodes/{wrote.task_id}/artifacts/out:read") == {"data": "NCBpbiBhIGZpbGU="}
    arguments = {"arguments": {"n": 3}, "experiment_name": "runs", "pipeline_root": "gs://runs/k"}
    again = client.create_run_from_pipeline_func(sums, **arguments)
    cached = nodes(client.wait_for_run_completion(again.run_id, timeout=SECONDS, sleep_duration=0.1))
    assert {one.state for one in cached["executor"]} == {"SKIPPED"} and cached["write"][0].outputs == wrote.outputs
    (copy,) = (emulator.folder / "gcs" / "runs" / "k" / again.run_id).rglob("out")
    assert copy.read_text() == "4 in a file"


def ask(client: Any, path: str) -> Any:
    """What the generated client has no method for."""
    return client._run_api.api_client.call_api(
        f"/apis/v2beta1{path}", "GET", response_type="object", _return_http_data_only=True
    )


def test_a_run_that_fails_is_retried(client: Any, tmp_path: Path) -> None:
    file = package(tmp_path, needy)
    made = client.create_run_from_pipeline_package(file, arguments={"file": str(tmp_path / "x")}, enable_caching=False)
    run = client.wait_for_run_completion(made.run_id, timeout=SECONDS, sleep_duration=0.1)
    assert run.state == "FAILED" and "FileNotFoundError" in run.error.message
    log = Path(run.error.message.rpartition("Its log: ")[2])
    assert "FileNotFoundError" in log.read_text()
    assert "FileNotFoundError" in nodes(run)["fail-unless"][0].error.message
    (tmp_path / "x").write_text("there")
    client.runs.run_service_retry_run(made.run_id)
    run = client.wait_for_run_completion(made.run_id, timeout=SECONDS, sleep_duration=0.1)
    assert (run.state, run.error) == ("SUCCEEDED", None)
    refused(400, "must be FAILED or CANCELED", client.runs.run_service_retry_run, made.run_id)


def test_what_cannot_run_is_refused(client: Any, tmp_path: Path) -> None:
    file = package(tmp_path, needy)
    default = client.get_experiment(experiment_name="Default").experiment_id
    refused(400, "file is not optional", client.run_pipeline, default, "r", file)
    refused(400, "Unrecognized input parameter: more", client.run_pipeline, default, "r", file, {"file": "", "more": 1})
    refused(400, "requires type STRING", client.run_pipeline, default, "r", file, {"file": 1})
    refused(400, "name is empty", client.run_pipeline, default, "", file, {"file": ""})
    refused(404, "not found", client.run_pipeline, "nowhere", "r", file, {"file": ""})
    refused(404, "not found", client.get_run, "nothing")
    refused(400, "neither pipeline_spec nor", client.runs.run_service_create_run, run={"display_name": "r"})
    archived = client.create_experiment("archived").experiment_id
    client.archive_experiment(archived)
    refused(400, "is archived", client.run_pipeline, archived, "r", file, {"file": ""})
    refused(501, "visualizations", client.visualizations.visualization_service_create_visualization_v1, "n", {})


def test_runs_end_are_archived_listed_and_deleted(client: Any) -> None:
    experiment = client.create_experiment("many").experiment_id
    version = client.upload_pipeline_from_pipeline_func(slow, pipeline_name="slow")
    (only,) = client.list_pipeline_versions(version.pipeline_id).pipeline_versions
    ids = [
        client.run_pipeline(
            experiment, f"r-{n}", pipeline_id=only.pipeline_id, version_id=only.pipeline_version_id
        ).run_id
        for n in range(3)
    ]
    running = eventually(lambda: client.get_run(ids[0]), lambda run: run.state == "RUNNING")
    assert running.pipeline_version_reference.pipeline_version_id == only.pipeline_version_id
    assert client.list_runs(experiment_id=experiment, page_size=2).total_size == 3
    for id in ids[:2]:
        client.terminate_run(id)
    ended = eventually(lambda: client.get_run(ids[0]), lambda run: run.state == "CANCELED")
    assert [one.state for one in ended.state_history][-2:] == ["CANCELING", "CANCELED"]
    refused(400, "cannot be terminated", client.terminate_run, ids[0])
    client.archive_run(ids[0])
    available = {"predicates": [{"operation": "EQUALS", "key": "storage_state", "stringValue": "AVAILABLE"}]}
    shown = client.list_runs(experiment_id=experiment, filter=json.dumps(available), sort_by="created_at desc").runs
    assert [one.display_name for one in shown] == ["r-2", "r-1"]
    client.unarchive_run(ids[0])
    named = {"predicates": [{"operation": "IS_SUBSTRING", "key": "name", "stringValue": "R-0"}]}
    assert [one.run_id for one in client.list_runs(filter=json.dumps(named)).runs] == ids[:1]
    for id in ids:
        client.delete_run(id)
    refused(404, "not found", client.get_run, ids[2])
    assert client.list_runs(experiment_id=experiment).runs is None


def eventually(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    give_up = time.monotonic() + SECONDS
    while not good(found := look()):
        assert time.monotonic() < give_up, found
        time.sleep(0.05)
    return found


def test_recurring_runs_fire(client: Any, tmp_path: Path) -> None:
    experiment, file = client.create_experiment("often").experiment_id, package(tmp_path, sums)
    made = client.create_recurring_run(
        experiment, "second", interval_second=1, pipeline_package_path=file, params={"n": 1}, max_concurrency=2
    )
    assert (made.status, made.mode, made.max_concurrency) == ("ENABLED", "ENABLE", "2")
    fired = eventually(lambda: client.list_runs(experiment_id=experiment).runs or [], lambda runs: len(runs) >= 2)
    assert [run.display_name for run in fired[:2]] == ["second-1", "second-2"]
    assert {run.recurring_run_id for run in fired} == {made.recurring_run_id}
    assert (fired[1].scheduled_at - fired[0].scheduled_at).total_seconds() == 1
    client.disable_recurring_run(made.recurring_run_id)
    assert client.get_recurring_run(made.recurring_run_id).status == "DISABLED"
    client.enable_job(made.recurring_run_id)
    client.disable_job(made.recurring_run_id)
    cron = client.create_recurring_run(
        experiment, "cron", cron_expression="0 0 6 ? * 2-6", pipeline_package_path=file, enabled=False, no_catchup=True
    )
    assert cron.status == "DISABLED" and cron.trigger.cron_schedule.cron == "0 0 6 ? * 2-6"
    client.enable_recurring_run(cron.recurring_run_id)
    listed = client.list_recurring_runs(experiment_id=experiment, sort_by="display_name")
    assert [one.display_name for one in listed.recurring_runs] == ["cron", "second"]
    wrong = {"experiment_id": experiment, "job_name": "x", "pipeline_package_path": file}
    zoned = "TZ=Europe/Berlin 0 0 6 * * *"
    refused(400, "Expected 5 to 6 fields, found 7", client.create_recurring_run, **wrong, cron_expression=zoned)
    refused(400, "Support 1-10", client.create_recurring_run, **wrong, interval_second=1, max_concurrency=11)
    client.delete_recurring_run(made.recurring_run_id)
    client.delete_job(cron.recurring_run_id)
    assert client.list_recurring_runs(experiment_id=experiment).recurring_runs is None


def test_a_namespace_of_the_user(client: Any) -> None:
    client.set_user_namespace("team-b")
    assert client.get_user_namespace() == "team-b"
    made = client.create_experiment("ours")
    assert made.namespace == "team-b" and client.list_runs().total_size == 0
    client.set_user_namespace("")


@pytest.mark.slow
def test_a_run_survives_a_kill(client: Any, emulator: EmulatorProcess, tmp_path: Path) -> None:
    experiment = client.create_experiment("killed").experiment_id
    file = package(tmp_path, sums)
    ids = [client.run_pipeline(experiment, f"k-{n}", file, {"n": 40 + n}).run_id for n in range(3)]
    emulator.end(signal.SIGKILL)
    emulator.start()
    for id in ids:
        assert client.wait_for_run_completion(id, timeout=SECONDS, sleep_duration=0.1).state == "SUCCEEDED"


def test_every_method_of_the_client_was_called(calls: set[str]) -> None:
    methods = {name for name, _ in inspect.getmembers(Client, inspect.isfunction) if not name.startswith("_")}
    assert len(methods) == 39 and methods - calls == set()
