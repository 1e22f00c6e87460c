"""`headrace submit`, against runs that play their part."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from headrace.pipelines.cli import cli
from headrace.pipelines.compile import compile_spec
from headrace.platforms import running
from headrace.platforms.running import (
    CANCELLED,
    FAILED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Finding,
    RunsError,
    Scheduled,
    Submitted,
    TaskState,
)

SPEC = """
name: m
task: classification
data: {source: gs://b/rows.csv, label: y}
submit:
  vertex: {project: acme, location: europe-west4, root: gs://b/runs, image: img}
  schedule: {cron: "0 6 * * 1-5", timezone: Europe/Berlin, at_once: 2}
"""


class Stage:
    """A place to run; `scenes` are what it says at each look."""

    def __init__(self, where):
        self.where = where
        self.submitted, self.scheduled, self.asked = [], [], []
        self.scenes = [(PENDING, []), (SUCCEEDED, [TaskState("condition-1/push", SUCCEEDED, 1.0, 2.0)])]

    def submit(self, submission):
        self.submitted.append(submission)
        return Submitted("m-1", "https://console/m-1", PENDING, name="m", created=1.0)

    def get(self, run):
        state = self.scenes[0][0]
        if isinstance(state, BaseException):
            raise state
        return Submitted(run, "https://console/m-1", state, name="m", created=1.0, ended=9.0)

    def tasks(self, run):
        return (self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0])[1]

    def cancel(self, run):
        self.asked.append(("cancel", run))
        return Submitted(run, "", CANCELLED)

    def recent(self, *, name="", limit=20):
        self.asked.append(("recent", name))
        return [Submitted("m-1", "", RUNNING, created=1_795_000_000.0)]

    def schedule(self, submission, cron, **options):
        self.scheduled.append((submission, cron, options))
        return Scheduled("7", submission.name, cron, RUNNING, timezone=options["timezone"])

    def schedules(self):
        return [Scheduled("7", "m", "0 6 * * *", RUNNING)]

    def unschedule(self, schedule):
        self.asked.append(("unschedule", schedule))

    def check(self):
        return [Finding("API", True, "answers"), Finding("role x", False, "missing", "gcloud grant x")]


@pytest.fixture
def stage(monkeypatch):
    places = []

    def open_runs(where):
        places.append(where)
        stage.where = where
        return stage

    stage = Stage(None)
    monkeypatch.setattr(running, "open_runs", open_runs)
    monkeypatch.setenv("HEADRACE_COMMIT", "abc")
    monkeypatch.delenv("HEADRACE_PLATFORM", raising=False)
    return stage


@pytest.fixture
def spec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return "spec.yaml"


def submit(*arguments):
    return CliRunner().invoke(cli, ["submit", *arguments, "--endpoint", "http://127.0.0.1:1", "--every", "0.1"])


def test_submits_and_waits(stage, spec):
    done = submit(spec, "-p", "beam_runner=none", "--label", "team=growth", "--no-cache")
    assert done.exit_code == 0, done.output
    [sent] = stage.submitted
    assert sent.parameters["beam_runner"] == "none" and sent.parameters["source"] == "gs://b/rows.csv"
    assert sent.labels["team"] == "growth" and sent.caching is False
    assert "m-1 on vertex acme/europe-west4: pending" in done.output
    assert "push: done in 1.0 s" in done.output
    assert "m m-1: SUCCEEDED in 8.0 s (1 task)" in done.output
    assert "https://console/m-1" in done.output
    assert "--watch m-1" in done.output


def test_does_not_wait_when_told_so(stage, spec):
    stage.scenes = [(RunsError("nobody is to ask"), [])]
    done = submit(spec, "--no-wait", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["id"] == "m-1"


@pytest.mark.parametrize(
    ("scene", "code", "words"),
    [
        ((FAILED, [TaskState("train", FAILED, 1.0, 2.0, error="no rows", log="https://log")]), 1, "train: no rows"),
        ((SUCCEEDED, [TaskState("condition-1", SKIPPED, group=True)]), 3, "A gate did not pass"),
    ],
)
def test_says_how_it_ended(stage, spec, scene, code, words):
    stage.scenes = [scene]
    done = submit(spec)
    assert done.exit_code == code
    assert words in done.output


def test_ctrl_c_leaves_the_run_and_says_how_to_look_again(stage, spec):
    stage.scenes = [(RUNNING, []), (KeyboardInterrupt(), [])]
    done = submit(spec)
    assert done.exit_code != 0
    assert "m-1 goes on, on vertex acme/europe-west4." in done.output
    assert "Look again: headrace submit spec.yaml --on vertex --endpoint http://127.0.0.1:1 --watch m-1" in done.output
    assert stage.asked == []


@pytest.mark.parametrize("status", [None, 503, 403])
def test_a_lost_answer_is_told_with_the_command_that_starts_no_second_run(stage, spec, status, monkeypatch):
    def lost(submission):
        class Refused(Exception):
            code = status

        raise RunsError("no answer") from Refused()

    monkeypatch.setattr(stage, "submit", lost)
    done = submit(spec, "--id", "m-7")
    assert isinstance(done.exception, RunsError)
    told = (
        "The same again starts no second run: headrace submit spec.yaml --on vertex --endpoint http://127.0.0.1:1 --id"
    )
    assert (f"{told} m-7" in done.output) is (status != 403), "what is refused is not there"


def test_a_place_that_stays_away_leaves_the_run_and_says_how_to_look_again(stage, spec, monkeypatch):
    def away(*_):
        raise RunsError("503 away")

    monkeypatch.setattr("headrace.pipelines.following.wait_for", lambda *_, **__: away())
    done = submit(spec)
    assert isinstance(done.exception, RunsError) and "m-1 goes on, on vertex acme/europe-west4." in done.output


def test_what_is_no_time_is_said_before_anything_is_sent(stage, spec, monkeypatch):
    monkeypatch.setattr("headrace.pipelines.submission.prepare", lambda *_: pytest.fail("sent"))
    assert submit(spec, "--schedule", "whenever").exit_code == 2


def test_a_prediction_that_is_watched_again_has_no_gate(stage, spec, monkeypatch):
    stage.scenes = [(SUCCEEDED, [TaskState("batch-predict", SUCCEEDED, 1.0, 2.0)])]
    usual = stage.get
    monkeypatch.setattr(stage, "get", lambda run: dataclasses.replace(usual(run), name="m-prediction"))
    assert submit(spec, "--watch", "m-prediction-1").exit_code == 0
    assert "m-1" in submit(spec, "--recent", "--pipeline", "prediction").output
    assert stage.asked == [("recent", "m-prediction")]


def test_a_run_is_watched_again_and_gates_count_then_too(stage, spec):
    stage.scenes = [(SUCCEEDED, [TaskState("condition-1", SKIPPED, group=True)])]
    done = submit(spec, "--watch", "m-1")
    assert done.exit_code == 3 and stage.submitted == []


def test_json_has_one_object_per_line(stage, spec):
    done = submit(spec, "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in lines] == ["run_started", "task_finished", "run_finished", "outcome"]
    assert lines[-1]["exit_code"] == 0 and lines[-1]["outcome"]["url"] == "https://console/m-1"


def test_schedules_as_the_spec_or_the_command_says(stage, spec):
    assert submit(spec, "--schedule").exit_code == 0
    done = submit(spec, "--schedule", "30 4 * * *", "--timezone", "UTC")
    assert done.exit_code == 0, done.output
    (_, first, options), (_, second, others) = stage.scheduled
    assert (first, options["timezone"], options["at_once"]) == ("0 6 * * 1-5", "Europe/Berlin", 2)
    assert (second, others["timezone"], others["at_once"]) == ("30 4 * * *", "UTC", 2)
    assert "m: 30 4 * * * (UTC), running" in done.output
    done = submit(spec, "--schedule", "whenever")
    assert done.exit_code == 2 and "--cron: expected five fields" in done.output
    assert stage.submitted == []


def test_other_things_to_do(stage, spec):
    assert "m-1: cancelled" in submit(spec, "--cancel", "m-1").output
    assert "m: 0 6 * * * (UTC), running" in submit(spec, "--schedules").output
    assert "the schedule is ended" in submit(spec, "--unschedule", "m").output
    assert "m-1  RUNNING    2026-11-18" in submit(spec, "--recent").output
    assert stage.asked == [("cancel", "m-1"), ("unschedule", "m"), ("recent", "m")]
    done = submit(spec, "--cancel", "m-1", "--recent")
    assert done.exit_code == 2 and "expected one thing to do" in done.output


def test_a_dry_run_tells_what_would_be_sent(stage, spec):
    done = submit(spec, "--dry-run")
    told = json.loads(done.stdout)
    assert told["parameters"]["source"] == "gs://b/rows.csv" and "ir" not in told
    assert stage.submitted == []


def test_a_compiled_pipeline_may_be_named(stage, spec, tmp_path):
    compile_spec(tmp_path / "spec.yaml", tmp_path / "p.yaml")
    done = submit(
        "p.yaml", "--on", "vertex", "--project", "a", "--location", "l", "--root", "gs://b/r", "--no-wait",
        "-p", "source=gs://b/x.csv", "-p", "platform=mlflow:http://m",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert stage.submitted[0].text == (tmp_path / "p.yaml").read_text()


def test_doctor_names_what_is_missing_and_what_to_do(stage, spec, monkeypatch, tmp_path):
    from headrace.pipelines import doctor

    monkeypatch.setattr(doctor, "open_runs", lambda where: stage)
    arguments = ["doctor", "p.yaml", "--on", "kubeflow", "--endpoint", "http://127.0.0.1:1", "--home", str(tmp_path)]
    (tmp_path / "p.yaml").write_text("deploymentSpec: {}\nroot: {}\n")
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 1
    assert "role x: missing\n      gcloud grant x" in done.output
    assert "Python: 3.11" in done.output
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    found = {(line["of"], line["what"]): line for line in map(json.loads, done.stdout.splitlines())}
    assert found["kubeflow http://127.0.0.1:1", "role x"]["ok"] is False


def test_doctor_asks_an_emulator_for_no_bucket_and_no_images(stage, spec, monkeypatch, tmp_path):
    from headrace.pipelines import doctor
    from headrace.platforms.vertex import place_checks

    absent = Finding("bucket gs://b", False, "could not be asked: 404", "gcloud storage buckets create gs://b")
    monkeypatch.setattr(doctor, "open_runs", lambda where: stage)
    monkeypatch.setattr(place_checks, "check_bucket", lambda where, root: [absent])
    place = ["--project", "a", "--location", "l", "--root", "gs://b/r", "--endpoint", "http://127.0.0.1:1"]
    (tmp_path / "p.yaml").write_text("deploymentSpec: {}\nroot: {}\n")
    for emulated in (True, False):
        monkeypatch.setattr(doctor, "is_emulator", lambda endpoint, answer=emulated: answer)
        output = CliRunner().invoke(cli, ["doctor", "p.yaml", "--on", "vertex", *place, "--home", str(tmp_path)]).output
        assert ("bucket gs://b: not there yet: `headrace submit` makes it" in output) is emulated
        assert ("which is in no registry" in output) is not emulated
        assert ("gcloud storage" in output or "make push-images" in output) is not emulated
