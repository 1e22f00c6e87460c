"""Runs and schedules on Vertex AI by Google's own client, against a service on this machine."""

from __future__ import annotations

import copy

import pytest
import yaml

from headrace.platforms.running import (
    CANCELLED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    RunsError,
    Submission,
    Where,
    open_runs,
)
from headrace.platforms.vertex.runs import VertexRuns
from tests.cloud.vertex_server import PARENT, vertex_service

IR = {
    "pipelineInfo": {"name": "churn"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.16.1",
    "root": {
        "inputDefinitions": {"parameters": {"source": {"parameterType": "STRING"}, "n": {"parameterType": "NUMBER_INTEGER"}}},
        "dag": {
            "tasks": {
                "train": {"componentRef": {"name": "comp-train"}, "cachingOptions": {"enableCache": True}},
                "condition-1": {"componentRef": {"name": "comp-condition-1"}},
            }
        },
    },
    "components": {
        "comp-train": {"executorLabel": "exec-train"},
        "comp-condition-1": {"dag": {"tasks": {"push": {"componentRef": {"name": "comp-train"}}}}},
    },
    "deploymentSpec": {
        "executors": {
            "exec-train": {
                "container": {
                    "image": "example.com/main@sha256:1",
                    "command": ["sh", "-ec", "program $@"],
                    "args": ["--executor_input", "{{$}}", "--function_to_execute", "train"],
                    "resources": {"cpuLimit": 8.0, "memoryLimit": 30.0},
                }
            }
        }
    },
}  # fmt: skip
SPOT = {"platforms": {"vertex": {"deploymentSpec": {"executors": {
    "exec-train": {"machine": "n1-standard-8", "accelerator": "nvidia-tesla-t4", "accelerators": 1.0, "spot": True}
}}}}}  # fmt: skip


def submission(**changes) -> Submission:
    usual = {
        "text": yaml.safe_dump(IR),
        "ir": IR,
        "name": "churn nightly",
        "id": "churn-1",
        "parameters": {"source": "gs://data/a.csv", "n": 3},
        "labels": {"Team": "growth"},
        "root": "gs://runs/headrace",
    }
    return Submission(**{**usual, **changes})


@pytest.fixture
def service():
    with vertex_service() as running:
        yield running


@pytest.fixture
def runs(service):
    return VertexRuns(Where("vertex", service.url, "demo", "us-central1"), pause=lambda _: None)


def sent(service) -> dict:
    [body] = [body for method, path, body in service.requests if method == "POST" and "/pipelineJobs" in path]
    return body


def test_what_is_submitted_is_what_was_compiled(service, runs):
    made = runs.submit(submission())
    assert (made.id, made.state, made.name, made.root) == ("churn-1", PENDING, "churn nightly", "gs://runs/headrace")
    assert made.url == "" and made.created > 1_795_000_000  # an emulator has no page in the console
    body = sent(service)
    assert body["pipelineSpec"] == IR
    assert body["runtimeConfig"]["parameterValues"] == {"source": "gs://data/a.csv", "n": 3}
    assert body["runtimeConfig"]["gcsOutputDirectory"] == "gs://runs/headrace"
    assert body["labels"] == {"team": "growth"}
    assert not {"serviceAccount", "network", "encryptionSpec"} & set(body)
    assert not [path for _, path, _ in service.requests if "storage" in path]  # no bucket is made on the way


def test_in_whose_name_where_and_how(service, runs):
    key = "projects/demo/locations/us-central1/keyRings/r/cryptoKeys/k"
    network = "projects/12345/global/networks/ours"
    account = "runner@demo.iam.gserviceaccount.com"
    runs.submit(
        submission(service_account=account, network=network, encryption_key=key, failure_policy="fast", caching=False)
    )
    body = sent(service)
    assert (body["serviceAccount"], body["network"]) == (account, network)
    assert body["encryptionSpec"] == {"kmsKeyName": key}
    assert body["runtimeConfig"]["failurePolicy"] in (2, "PIPELINE_FAILURE_POLICY_FAIL_FAST")
    assert body["pipelineSpec"]["root"]["dag"]["tasks"]["train"]["cachingOptions"] == {"enableCache": False}
    assert IR["root"]["dag"]["tasks"]["train"]["cachingOptions"] == {"enableCache": True}  # ours stays as it was


def test_sent_twice_it_runs_once(service, runs):
    runs.submit(submission())
    service.kept["pipelineJobs"]["churn-1"]["state"] = "PIPELINE_STATE_RUNNING"
    again = runs.submit(submission(parameters={"source": "gs://data/b.csv"}))
    assert again.state == RUNNING
    assert len(service.kept["pipelineJobs"]) == 1
    assert service.kept["pipelineJobs"]["churn-1"]["runtimeConfig"]["parameterValues"]["source"] == "gs://data/a.csv"


def test_an_experiment_has_the_run(service, runs):
    context = f"{PARENT}/metadataStores/default/contexts/churn-1"
    service.resources[context] = {"name": context, "schemaTitle": "system.PipelineRun"}
    usual = service.answer

    def answer(method, path, body):  # the context appears after a moment
        status, value = usual(method, path, body)
        if method == "GET" and "/pipelineJobs/churn-1" in path:
            value = {**value, "jobDetail": {"pipelineRunContext": {"name": context}}}
        return status, value

    service.answer = answer
    runs.submit(submission(experiment="churn"))
    assert service.children == {f"{PARENT}/metadataStores/default/contexts/churn": [context]}


def test_a_run_goes_on_where_its_experiment_may_not_be_written(service, runs, caplog):
    service.refuse["/metadataStores/"] = (403, "Permission 'aiplatform.contexts.create' denied")
    made = runs.submit(submission(experiment="churn"))
    assert made.id in service.kept["pipelineJobs"], "who is told of an error would send it again"
    assert "is not in the experiment churn" in caplog.text and "denied" in caplog.text


def test_a_spot_machine_makes_a_step_a_custom_job(service, runs):
    before = copy.deepcopy(IR)
    runs.submit(submission(platform_spec=SPOT, service_account="runner@demo.iam.gserviceaccount.com"))
    container = sent(service)["pipelineSpec"]["deploymentSpec"]["executors"]["exec-train"]["container"]
    command = container["command"]
    assert command[:3] == ["python3", "-m", "headrace.platforms.vertex.launch"]
    assert command[command.index("--") + 1 :] == ["sh", "-ec", "program $@"]
    assert container["args"] == IR["deploymentSpec"]["executors"]["exec-train"]["container"]["args"]
    assert container["image"] == "example.com/main@sha256:1"
    assert container["resources"] == {"cpuLimit": 1, "memoryLimit": 2}
    options = dict(zip(command[3 : command.index("--") : 2], command[4 : command.index("--") : 2], strict=True))
    assert options["--task"] == "{{$.pipeline_task_uuid}}" and options["--root"] == "gs://runs/headrace"
    assert options["--service-account"] == "runner@demo.iam.gserviceaccount.com"
    assert before == IR


@pytest.mark.parametrize(
    ("executor", "values", "told"),
    [
        ("exec-train", {"machin": "n1-standard-8"}, "did you mean machine?"),
        ("exec-tarin", {}, "expected an executor of the pipeline (exec-train). Received: 'exec-tarin'"),
        ("exec-train", {"accelerator": "t4"}, "expected a name such as nvidia-tesla-t4"),
        ("exec-train", {"accelerators": 2}, "expected accelerators with their kind. Received: 2 of ''"),
    ],
)
def test_a_platform_spec_that_does_not_fit_is_refused_before_anything_is_sent(service, runs, executor, values, told):
    wrong = {"platforms": {"vertex": {"deploymentSpec": {"executors": {executor: values}}}}}
    with pytest.raises(Exception, match="(?s)" + "".join(f"[{c}]" if c in "()?.[" else c for c in told)):
        runs.submit(submission(platform_spec=wrong))
    assert not service.kept["pipelineJobs"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"root": "runs"}, None),
        ({"root": ""}, "expected a folder gs://BUCKET/FOLDER. Received: ''"),
        ({"parameters": {"sorce": "x"}}, "sorce is not found"),
        ({"failure_policy": "never"}, "failure_policy"),
    ],
)
def test_what_the_client_refuses(runs, changes, told):
    if told is None:  # an emulator has folders of this machine
        assert runs.submit(submission(**changes)).state == PENDING
        return
    with pytest.raises(RunsError, match=told):
        runs.submit(submission(**changes))


def test_a_missing_right_is_named_with_its_role(service, runs):
    service.refuse["POST /v1/"] = (
        403,
        "Permission 'aiplatform.pipelineJobs.create' denied on resource '//aiplatform.googleapis.com/projects/demo'",
    )
    with pytest.raises(RunsError, match="projects add-iam-policy-binding demo .* --role roles/aiplatform.user"):
        runs.submit(submission())
    service.refuse["POST /v1/"] = (403, "You do not have permission to act as service_account: runner@demo")
    with pytest.raises(RunsError, match="runner@demo --member MEMBER --role roles/iam.serviceAccountUser"):
        runs.submit(submission(service_account="runner@demo"))
    service.refuse["POST /v1/"] = (403, "Vertex AI API has not been used in project 1 before or it is disabled.")
    with pytest.raises(RunsError, match="gcloud services enable aiplatform.googleapis.com --project demo"):
        runs.submit(submission())


def test_nobody_answers():
    runs = VertexRuns(Where("vertex", "http://127.0.0.1:9", "demo", "us-central1"))
    with pytest.raises(RunsError, match="vertex demo/us-central1: expected Vertex AI to do it. Received: .*refused"):
        runs.get("churn-1")


def detail(id, name, state, parent=0, started="", **more):
    told = {"taskId": str(id), "taskName": name, "state": state, **more}
    return {**told, **({"parentTaskId": str(parent)} if parent else {}), **({"startTime": started} if started else {})}


def test_tasks_with_their_states_logs_and_places(service, runs):
    runs.submit(submission())
    job = service.kept["pipelineJobs"]["churn-1"]
    container = {"containerDetail": {"mainJob": "projects/7/locations/us-central1/customJobs/42"}}
    at = "2026-11-22T01:00:0{}Z"
    job["jobDetail"] = {"taskDetails": [
        detail(1, "churn", "RUNNING", started=at.format(0)),
        detail(2, "train", "SUCCEEDED", 1, at.format(1), endTime=at.format(4), executorDetail=container),
        detail(3, "evaluate", "SKIPPED", 1, at.format(2)),
        detail(4, "for-loop-1", "RUNNING", 1, at.format(3)),
        detail(5, "for-loop-1-0", "RUNNING", 4, at.format(4)),
        detail(6, "train", "FAILED", 5, at.format(5), error={"code": 9, "message": "out of memory"}),
        detail(7, "condition-1", "NOT_TRIGGERED", 1),
        detail(8, "push", "PENDING", 1),
    ]}  # fmt: skip
    found = {task.name: task for task in runs.tasks("churn-1")}
    assert list(found) == [
        "train", "evaluate", "for-loop-1", "for-loop-1[0]", "for-loop-1[0]/train", "condition-1", "push",
    ]  # fmt: skip
    assert found["train"].state == SUCCEEDED and not found["train"].cached
    assert found["train"].ended - found["train"].started == 3.0
    assert found["train"].log == "gcloud ai custom-jobs stream-logs 42 --region us-central1 --project demo"
    assert found["evaluate"].state == SUCCEEDED and found["evaluate"].cached  # what Vertex calls skipped
    assert (found["for-loop-1[0]/train"].state, found["for-loop-1[0]/train"].error) == (FAILED, "out of memory")
    assert found["condition-1"].state == SKIPPED and found["condition-1"].group  # which the IR says
    assert found["for-loop-1"].group and not found["train"].group
    assert found["push"].state == PENDING and found["push"].started is None


def test_a_run_is_followed_to_its_end(service, runs):
    runs.submit(submission())
    states = iter(["PIPELINE_STATE_RUNNING", "PIPELINE_STATE_RUNNING", "PIPELINE_STATE_FAILED"])
    job = service.kept["pipelineJobs"]["churn-1"]

    def next_state(_):
        job["state"] = next(states)
        if job["state"].endswith("FAILED"):
            job["error"] = {"code": 9, "message": "The DAG failed because some tasks failed: [train]"}

    runs._pause = next_state
    seen = []
    ended = runs.wait("churn-1", lambda run, tasks: seen.append(run.state))
    assert seen == [PENDING, RUNNING, FAILED]  # and nothing where nothing changed
    assert ended.error == "The DAG failed because some tasks failed: [train]"


def test_a_run_is_cancelled_once(service, runs):
    runs.submit(submission())
    assert runs.cancel("churn-1").state == CANCELLED
    runs.cancel("churn-1")
    assert len([path for _, path, _ in service.requests if path.startswith("/v1/") and ":cancel" in path]) == 1


def test_recent_runs_of_one_pipeline(service, runs):
    for number in range(3):
        runs.submit(submission(id=f"churn-{number}"))
    other = {**IR, "pipelineInfo": {"name": "homes"}}
    runs.submit(submission(id="homes-0", ir=other))
    assert [one.id for one in runs.recent(name="churn", limit=2)] == ["churn-2", "churn-1"]
    assert [one.id for one in runs.recent()] == ["homes-0", "churn-2", "churn-1", "churn-0"]
    with pytest.raises(RunsError, match="expected a pipeline's"):
        runs.recent(name='x" OR state="y')
    with pytest.raises(RunsError, match=r"404|not exist"):
        runs.get("churn-9")


def test_a_schedule_takes_the_place_of_the_one_before(service, runs):
    account = "runner@demo.iam.gserviceaccount.com"
    first = runs.schedule(submission(service_account=account), "0 3 * * *", timezone="Europe/Berlin")
    assert (first.name, first.cron, first.timezone, first.state) == (
        "churn nightly", "0 3 * * *", "Europe/Berlin", RUNNING,
    )  # fmt: skip
    kept = service.kept["schedules"][first.id]
    assert kept["cron"] == "TZ=Europe/Berlin 0 3 * * *" and int(kept["maxConcurrentRunCount"]) == 1
    job = kept["createPipelineJobRequest"]["pipelineJob"]
    assert job["pipelineSpec"] == IR and job["serviceAccount"] == account
    assert job["runtimeConfig"]["parameterValues"]["source"] == "gs://data/a.csv"
    second = runs.schedule(submission(), "0 4 * * *", at_once=2, paused=True, max_runs=5)
    assert runs.schedules() == [second] and second.state == PAUSED and second.id != first.id
    calls = [(method, path.partition("?")[0]) for method, path, _ in service.requests if "/schedules" in path]
    paused = calls.index(("POST", f"/v1/{PARENT}/schedules/{first.id}:pause"))
    made = [index for index, call in enumerate(calls) if call == ("POST", f"/v1/{PARENT}/schedules")][1]
    deleted = calls.index(("DELETE", f"/v1/{PARENT}/schedules/{first.id}"))
    assert paused < made < deleted  # no run of both, and never none for good
    runs.unschedule("churn nightly")
    assert runs.schedules() == []
    with pytest.raises(RunsError, match="expected one of none yet. Received: 'churn nightly'"):
        runs.unschedule("churn nightly")


def test_a_schedule_that_cannot_be_replaced_goes_on(service, runs):
    first = runs.schedule(submission(), "0 3 * * *")
    usual = service.answer

    def answer(method, path, body):
        if method == "POST" and path.partition("?")[0].endswith("/schedules"):
            return 400, {"error": {"code": 400, "message": "no cron", "status": "INVALID_ARGUMENT"}}
        return usual(method, path, body)

    service.answer = answer
    with pytest.raises(RunsError, match="no cron"):
        runs.schedule(submission(), "0 25 * * *")
    service.answer = usual
    assert [(one.id, one.state) for one in runs.schedules()] == [(first.id, RUNNING)]
    with pytest.raises(RunsError, match="expected catch_up: false"):
        runs.schedule(submission(), "0 3 * * *", catch_up=True)


def test_pages_of_the_console():
    runs = open_runs(Where("vertex", "", "demo", "europe-west4"))
    assert isinstance(runs, VertexRuns)
    assert runs._page("pipelines/runs/churn-1") == (
        "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines/runs/churn-1?project=demo"
    )


def test_a_check_says_what_answers(service, runs):
    assert [(one.what, one.ok) for one in runs.check()] == [("Vertex AI in us-central1", True), ("roles", None)]
    service.refuse["GET /v1/"] = (403, "Permission 'aiplatform.pipelineJobs.list' denied on resource 'x'")
    [refused, _] = runs.check()
    assert refused.ok is False and refused.remedy.endswith("--role roles/aiplatform.user`")
