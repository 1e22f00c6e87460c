"""Runs of Kubeflow Pipelines: its real client against its API on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from headrace.platforms.kubeflow.cron import kfp_cron, plain_cron
from headrace.platforms.kubeflow.platform_spec import platform_spec
from headrace.platforms.kubeflow.runs import KubeflowRuns
from headrace.platforms.resources import TaskResources, Toleration
from headrace.platforms.running import RunsError, Submission, Submitted, TaskState, Where, wait_for
from tests.cloud.kfp_server import Pipelines, pipelines_service

_TASK = {"cachingOptions": {"enableCache": True}}
IR: dict[str, Any] = {
    "pipelineInfo": {"name": "churn"},
    "schemaVersion": "2.1.0",
    "sdkVersion": "kfp-2.16.1",
    "components": {
        "comp-ingest": {"executorLabel": "exec-ingest"},
        "comp-train": {"executorLabel": "exec-train"},
        "comp-for-loop-1": {
            "dag": {
                "tasks": {"train": {**_TASK, "componentRef": {"name": "comp-train"}, "taskInfo": {"name": "train"}}}
            }
        },
    },
    "deploymentSpec": {
        "executors": {
            "exec-ingest": {"container": {"image": "headrace/components:1", "command": ["python"]}},
            "exec-train": {"container": {"image": "headrace/components:1", "command": ["python"]}},
        }
    },
    "root": {
        "dag": {
            "tasks": {
                "ingest": {**_TASK, "componentRef": {"name": "comp-ingest"}, "taskInfo": {"name": "bring the data"}},
                "for-loop-1": {"componentRef": {"name": "comp-for-loop-1"}, "taskInfo": {"name": "for-loop-1"}},
            }
        },
        "inputDefinitions": {
            "parameters": {"source": {"parameterType": "STRING"}, "rows": {"parameterType": "NUMBER_INTEGER"}}
        },
    },
}
SPEC = platform_spec({"exec-train": TaskResources(node_selector={"pool": "gpu"}, secrets={"KEY": "minio/key"})})
TEXT = yaml.safe_dump(IR) + "---\n" + yaml.safe_dump(SPEC)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Pipelines]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KFP_TOKEN", raising=False)
    with pipelines_service() as found:
        yield found


@pytest.fixture
def runs(service: Pipelines) -> KubeflowRuns:
    return KubeflowRuns(Where("kubeflow", service.url))


def submission(**more: Any) -> Submission:
    return Submission(**{"text": TEXT, "ir": IR, "platform_spec": SPEC, "name": "churn", "id": "churn-1f", **more})


def test_a_run_is_what_was_compiled(service: Pipelines, runs: KubeflowRuns, capsys: pytest.CaptureFixture[str]) -> None:
    made = runs.submit(
        submission(
            parameters={"source": "s3://data/churn.csv", "rows": 7},
            root="s3://runs/churn",
            experiment="churn",
            service_account="pipeline-runner",
            labels={"commit": "abc"},
        )
    )
    body = next(body for method, path, body in service.requests if (method, path) == ("POST", "runs"))
    assert body["pipeline_spec"] == {"pipeline_spec": IR, "platform_spec": SPEC}
    assert body["runtime_config"] == {
        "parameters": {"source": "s3://data/churn.csv", "rows": 7}, "pipeline_root": "s3://runs/churn"
    }  # fmt: skip
    assert body["service_account"] == "pipeline-runner" and body["display_name"] == "churn"
    assert "commit: abc" in body["description"]
    assert service.experiments[body["experiment_id"]]["display_name"] == "churn"
    assert (made.state, made.name, made.root) == ("PENDING", "churn", "s3://runs/churn")
    assert made.url == f"{service.url}/#/runs/details/{made.id}" and made.created == 1795327200 + len(service.requests)
    assert capsys.readouterr().out == ""  # the client prints addresses


def test_a_submission_whose_answer_was_lost_is_not_run_again(service: Pipelines, runs: KubeflowRuns) -> None:
    service.lose = True
    with pytest.raises(RunsError, match=r"expected to create a run. Received: upstream connect error \(HTTP 503\)"):
        runs.submit(submission())
    again = runs.submit(submission())
    assert [again.id] == list(service.runs)
    assert runs.submit(submission(id="churn-2f")).id != again.id


def test_caching_is_as_compiled_unless_something_is_said(service: Pipelines, runs: KubeflowRuns) -> None:
    runs.submit(submission(caching=False))
    (body,) = [body for method, path, body in service.requests if (method, path) == ("POST", "runs")]
    tasks = body["pipeline_spec"]["pipeline_spec"]["root"]["dag"]["tasks"]
    assert not tasks["ingest"]["cachingOptions"].get("enableCache")


def test_what_is_said_for_other_platforms_is_not_sent(service: Pipelines, runs: KubeflowRuns) -> None:
    other = {"platforms": {"vertex": {"deploymentSpec": {"executors": {"exec-train": {"spot": True}}}}}}
    runs.submit(submission(text=yaml.safe_dump(IR) + "---\n" + yaml.safe_dump(other), platform_spec=other))
    (body,) = [body for method, path, body in service.requests if (method, path) == ("POST", "runs")]
    assert body["pipeline_spec"] == IR


@pytest.mark.parametrize(
    "more", [{"network": "projects/1/global/networks/n"}, {"encryption_key": "k"}, {"failure_policy": "fast"}]
)
def test_what_kubeflow_does_not_know_is_refused(service: Pipelines, runs: KubeflowRuns, more: dict[str, str]) -> None:
    with pytest.raises(RunsError, match=f"kubeflow: {next(iter(more))}: expected"):
        runs.submit(submission(**more))
    assert service.requests == []


def node(id: str, name: str, state: str, *children: str, **more: Any) -> dict[str, Any]:
    below = [{"pod_name": child} for child in children]
    return {"task_id": id, "display_name": name, "state": state, "child_tasks": below, "pod_name": f"pod-{id}", **more}


def test_tasks_as_the_backend_lists_them(service: Pipelines, runs: KubeflowRuns) -> None:
    id = runs.submit(submission()).id
    times = {"start_time": "2026-11-22T06:00:10Z", "end_time": "2026-11-22T06:00:20Z"}
    later = {"start_time": "2026-11-22T06:00:30Z"}
    service.runs[id]["state"] = "FAILED"
    service.runs[id]["run_details"] = {
        "task_details": [
            node("0", "root", "FAILED", "pod-1", "pod-2", "pod-3", "pod-5"),
            node("1", "root-driver", "SUCCEEDED"),
            node("2", "bring the data-driver", "SUCCEEDED"),
            node("3", "bring the data", "SUCCEEDED", "pod-4", **times),
            node("4", "executor", "SKIPPED"),
            node("5", "for-loop-1", "FAILED", "pod-6", **later),
            node("6", "iteration-iterations", "FAILED", "pod-7"),
            node("7", "iteration-item(3:3)", "FAILED", "pod-8"),
            node("8", "train", "FAILED", "pod-9", **later),
            node("9", "executor", "FAILED", error={"code": 2, "message": "exit code 1"}),
        ]
    }
    assert runs.tasks(id) == [
        TaskState("ingest", "SUCCEEDED", 1795327210.0, 1795327220.0, cached=True, log="kubectl logs pod-4 -c main"),
        TaskState("for-loop-1", "FAILED", 1795327230.0, group=True),
        TaskState("for-loop-1[3]/train", "FAILED", 1795327230.0, error="exit code 1", log="kubectl logs pod-9 -c main"),
    ]


def test_waiting_tells_each_change_once_and_bears_a_backend_that_is_away(
    service: Pipelines, runs: KubeflowRuns
) -> None:
    id = runs.submit(submission()).id
    seen: list[str] = []

    def told(run: Submitted, tasks: Any) -> None:
        seen.append(run.state)
        service.runs[id]["state"] = {"PENDING": "RUNNING", "RUNNING": "SUCCEEDED"}.get(run.state, run.state)
        service.fail += [502]

    assert runs.wait(id, told, every_s=0.01).state == "SUCCEEDED"
    assert seen == ["PENDING", "RUNNING", "SUCCEEDED"]


def test_cron() -> None:
    assert plain_cron(kfp_cron("*/5 * * * *", "UTC")) == ("*/5 * * * *", "UTC")
    assert plain_cron("30 0 6 * * *") == ("30 0 6 * * *", "UTC")  # by the second, which somebody else made
    with pytest.raises(RunsError, match="cron: expected five fields"):
        kfp_cron("0 0 6 * * *", "UTC")
    with pytest.raises(RunsError, match="timezone: expected UTC, .* Received: Europe/Berlin"):
        kfp_cron("0 6 * * *", "Europe/Berlin")


def test_a_token_is_sent_and_never_shown(service: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service.token = "secret-of-mine"
    runs = KubeflowRuns(Where("kubeflow", service.url))
    with pytest.raises(RunsError, match=r"HTTP 401\); give a token: KFP_TOKEN") as told:
        runs.get("x")
    (tmp_path / "token").write_text("secret-of-mine\n")
    with pytest.raises(RunsError, match="not found") as found:
        KubeflowRuns(Where("kubeflow", service.url, token_file=str(tmp_path / "token"))).get("x")
    assert "secret" not in str(told.value) + str(found.value)
    monkeypatch.setenv("KFP_TOKEN", "secret-of-mine")
    with pytest.raises(RunsError, match="not found"):
        KubeflowRuns(Where("kubeflow", service.url)).get("x")


def test_the_doctor(service: Pipelines) -> None:
    def told(namespace: str = "") -> list[tuple[str, bool | None]]:
        return [(one.what, one.ok) for one in KubeflowRuns(Where("kubeflow", service.url, namespace=namespace)).check()]

    assert told() == [("Pipelines API", True), ("experiments", True)]
    service.multi_user = True
    assert told() == [("Pipelines API", True), ("namespace", False)]
    assert told("team") == [("Pipelines API", True), ("experiments", True)]
    (nobody,) = KubeflowRuns(Where("kubeflow", "http://127.0.0.1:9")).check()
    assert nobody.ok is False and "port-forward" in nobody.remedy


def test_settings_of_other_programs_are_not_read(service: Pipelines, tmp_path: Path) -> None:
    (tmp_path / ".config/kfp").mkdir(parents=True)
    (tmp_path / ".config/kfp/context.json").write_text(
        '{"namespace": "somebody-elses", "client_authentication_cookie": "c"}'
    )
    KubeflowRuns(Where("kubeflow", service.url)).submit(submission())
    assert not any(body and body.get("namespace") for _, _, body in service.requests)
    assert "HOME" in os.environ


def test_the_platform_spec_is_what_kfp_reads() -> None:
    asked = TaskResources(
        node_selector={"pool": "gpu"},
        tolerations=(Toleration("gpu", value="yes", operator="Equal", effect="NoSchedule"),),
        secrets={"AWS_ACCESS_KEY_ID": "minio/id", "AWS_SECRET_ACCESS_KEY": "minio/key", "OTHER": "other/x"},
        config={"AWS_ENDPOINT_URL": "minio/url"},
        volumes={"models": "/mnt/models"},
        secret_files={"ca": "/etc/ca"},
        empty_dir={"/dev/shm": "2Gi", "/scratch": "20Gi", "/more": ""},
        image_pull_secrets=("registry",),
        timeout_s=3600,
        labels={"team": "growth"},
        spot=True,
    )
    found = platform_spec({"exec-train": asked, "exec-ingest": TaskResources(cpu=4, memory="8Gi", gpu="t4", gpus=1)})
    assert found is not None
    executors = found["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert list(executors) == ["exec-train"]
    train = executors["exec-train"]
    assert train["nodeSelector"] == {"labels": {"pool": "gpu", "cloud.google.com/gke-spot": "true"}}
    assert [one["key"] for one in train["tolerations"]] == ["gpu", "cloud.google.com/gke-spot"]
    assert train["secretAsEnv"][0] == {
        "secretName": "minio",
        "secretNameParameter": {"runtimeValue": {"constant": "minio"}},
        "keyToEnv": [
            {"secretKey": "id", "envVar": "AWS_ACCESS_KEY_ID"},
            {"secretKey": "key", "envVar": "AWS_SECRET_ACCESS_KEY"},
        ],
        "optional": False,
    }
    assert train["configMapAsEnv"][0]["keyToEnv"] == [{"configMapKey": "url", "envVar": "AWS_ENDPOINT_URL"}]
    assert train["enabledSharedMemory"] == {"volumeName": "shm", "size": "2Gi"}
    assert train["emptyDirMounts"] == [
        {"volumeName": "scratch-1", "mountPath": "/scratch", "sizeLimit": "20Gi"},
        {"volumeName": "scratch-2", "mountPath": "/more"},
    ]
    assert train["activeDeadlineSeconds"] == "3600"
    json_format.ParseDict(found, pipeline_spec_pb2.PlatformSpec())
    assert platform_spec({"exec-ingest": TaskResources(cpu=1)}) is None


def test_the_local_runner_reads_the_same_platform_spec() -> None:
    from headrace.pipelines.local.ir.platform_spec import read_pods

    assert SPEC is not None
    (pod,) = read_pods(SPEC).values()
    assert [secret.variable for secret in pod.secrets] == ["KEY"] and pod.meaningless == ("node selector",)


def test_a_token_that_is_over_is_read_anew_while_a_run_is_watched(service: Pipelines, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-of-mine")
    service.token = "first-of-mine"
    runs = KubeflowRuns(Where("kubeflow", service.url, token_file=str(token)))
    run = runs.submit(submission()).id
    service.token = "second-of-mine"

    def rotated(seconds: float) -> None:  # as the cluster does with a mounted token
        token.write_text("second-of-mine")
        service.runs[run]["state"] = "SUCCEEDED"

    ended = wait_for(runs, run, lambda run, tasks: None, pause=rotated)
    assert ended.state == "SUCCEEDED"


def test_a_submission_is_found_among_runs_of_its_name_alone(service: Pipelines, runs: KubeflowRuns) -> None:
    first = runs.submit(submission(id="event-1", name="churn-a1b2"))
    for number in range(3):
        runs.submit(submission(id=f"other-{number}", name="others"))
    assert runs.submit(submission(id="event-1", name="churn-a1b2")).id == first.id
    assert len(service.runs) == 4
