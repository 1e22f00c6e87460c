"""Runs of Kubeflow Pipelines, as `headrace submit --on kubeflow` makes them: the platform's client on the emulator."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from headrace.platforms.kubeflow.runs import KubeflowRuns
from headrace.platforms.running import RunsError, Submission, Where
from tests.cloud.emulator_process import emulator_process


@dsl.component(base_image="python:3.11")
def double(n: int) -> int:
    return 2 * n


@dsl.component(base_image="python:3.11")
def hold(n: int) -> None:
    import time

    time.sleep(n)


@dsl.pipeline(name="churn")
def churn(n: int) -> None:
    first = double(n=n).set_display_name("twice")
    with dsl.ParallelFor([1]):
        double(n=first.output)


@dsl.pipeline(name="held")
def held(n: int) -> None:
    hold(n=n)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeflowRuns]:
    with pytest.MonkeyPatch.context() as patched:
        patched.delenv("KFP_TOKEN", raising=False)
        patched.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        with emulator_process(tmp_path_factory.mktemp("emulator") / "state") as emulator:
            yield KubeflowRuns(Where("kubeflow", emulator.address))


def submission(folder: Path, pipeline: Any = churn, **more: Any) -> Submission:
    compiler.Compiler().compile(pipeline, str(folder / "p.yaml"))
    text = (folder / "p.yaml").read_text()
    settings = {"name": "churn", "id": "churn-1", "parameters": {"n": 3}, "platform_spec": None, **more}
    return Submission(text=text, ir=yaml.safe_load(text), **settings)


def test_a_submission_is_run_once_and_told_of(runs: KubeflowRuns, tmp_path: Path) -> None:
    sent = submission(tmp_path, root="s3://runs/churn", experiment="growth", labels={"commit": "abc"})
    made = runs.submit(sent)
    assert (made.state, made.name, made.root) == ("PENDING", "churn", "s3://runs/churn")
    assert runs.submit(sent).id == made.id
    seen: dict[str, None] = {}
    done = runs.wait(made.id, lambda run, tasks: seen.setdefault(run.state), every_s=0.05)
    assert done.state == list(seen)[-1] == "SUCCEEDED" and done.ended is not None and done.ended >= done.created
    told = {task.name: task for task in runs.tasks(made.id)}
    assert list(told) == ["double", "for-loop-2", "for-loop-2[0]/double-2"]
    assert told["for-loop-2"].group and {task.state for task in told.values()} == {"SUCCEEDED"}
    again = runs.wait(runs.submit(submission(tmp_path, id="churn-2")).id, lambda run, tasks: None, every_s=0.05)
    assert [task.cached for task in runs.tasks(again.id) if not task.group] == [True, True]
    assert [run.id for run in runs.recent(name="churn", limit=1)] == [again.id]


def test_parameters_are_checked_by_the_api(runs: KubeflowRuns, tmp_path: Path) -> None:
    with pytest.raises(RunsError, match=r"Unrecognized input parameter: rows \(HTTP 400\)"):
        runs.submit(submission(tmp_path, id="churn-3", parameters={"n": 3, "rows": 1}))


def test_cancel(runs: KubeflowRuns, tmp_path: Path) -> None:
    made = runs.submit(submission(tmp_path, held, name="held", id="held-1", parameters={"n": 600}))
    give_up = time.monotonic() + 60
    while not runs.tasks(made.id):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert runs.cancel(made.id).state in ("RUNNING", "CANCELLED")
    assert runs.wait(made.id, lambda run, tasks: None, every_s=0.05).state == "CANCELLED"
    assert runs.cancel(made.id).state == "CANCELLED"


def test_a_schedule_replaces_the_one_of_its_name(runs: KubeflowRuns, tmp_path: Path) -> None:
    first = runs.schedule(submission(tmp_path), "0 6 * * 1-5")
    second = runs.schedule(submission(tmp_path), "30 7 * * *", paused=True)
    (found,) = runs.schedules()
    assert (found.id, found.name, found.cron, found.timezone, found.state) == (
        second.id, "churn", "30 7 * * *", "UTC", "PAUSED",
    )  # fmt: skip
    assert first.id != second.id and first.state == "RUNNING"
    runs.unschedule("churn")
    assert runs.schedules() == []
    with pytest.raises(RunsError, match=r"expected a schedule \(none\). Received: 'churn'"):
        runs.unschedule("churn")
    with pytest.raises(RunsError, match="cron: expected"):
        runs.schedule(submission(tmp_path), "0 0 6 * * *")


def test_the_doctor(runs: KubeflowRuns) -> None:
    assert [(one.what, one.ok) for one in runs.check()] == [("Pipelines API", True), ("experiments", True)]
