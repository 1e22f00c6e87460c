"""The whole cloud path of a project on the emulator: by the command line, and by Google's and KFP's own clients."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
import yaml

from tests.cloud.emulator_process import emulator_process
from tests.e2e.projects import ROOT, environment, headrace

pytestmark = pytest.mark.slow

SPEC = """
name: iris
task: classification
data: {source: rows.csv, label: kind}
train: {model: linear}
evaluate: {gates: [{metric: accuracy, at_least: 0.5}]}
track: {mlflow: none}
deploy: {endpoint: iris}
submit:
  kubeflow: {root: gs://runs/kubeflow}
  vertex: {project: demo, location: us-central1, root: gs://runs/vertex, image: example.com/serving, serving: {}}
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with emulator_process(tmp_path_factory.mktemp("emulator") / "state") as found:
        yield found


@pytest.fixture
def project(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    rows = [f"{x / 10},{(x * 7) % 11},{'a' if x + (x * 7) % 5 < 150 else 'b'}" for x in range(300)]
    (tmp_path / "rows.csv").write_text("x,y,kind\n" + "\n".join(rows) + "\n")
    return tmp_path


def submit(project, emulator, place, *more):
    where = ("--on", place, "--endpoint", emulator.address, "--every", "0.5")
    return headrace("submit", "spec.yaml", *where, *more, cwd=project)


def test_on_vertex_two_versions_share_an_endpoint_and_one_goes_back(emulator, project):
    first = submit(project, emulator, "vertex").ok()
    assert "gs://runs/vertex: the bucket is made, in the emulator" in first.err
    spec = project / "spec.yaml"
    spec.write_text(SPEC.replace("model: linear", "model: gbdt"))
    submit(project, emulator, "vertex").ok()
    told = json.loads(submit(project, emulator, "vertex", "--dry-run").ok().out)
    on = ("--platform", told["parameters"]["platform"])
    listed = headrace("models", "list", "iris", *on, cwd=project).ok().out
    assert "iris:1" in listed and "iris:2" in listed
    headrace("models", "split", "iris", "1=60", "2=40", "--reason", "a look", *on, cwd=project).ok()
    served = headrace("models", "sync", "iris", "--check", *on, cwd=project).ok().out
    assert "1 60%, 2 40%" in served
    (project / "few.csv").write_text("x,y\n1.0,3\n29.0,4\n")
    answers = headrace("predict", "iris", "--csv", "few.csv", *on, cwd=project).ok().out.splitlines()
    assert [json.loads(line)["label"] for line in answers] == ["a", "b"]
    headrace("models", "rollback", "iris", "--reason", "worse", *on, cwd=project).ok()
    assert ": 2 100%" in headrace("models", "sync", "iris", "--check", *on, cwd=project).ok().out
    checked = headrace("doctor", "spec.yaml", "--on", "vertex", "--endpoint", emulator.address, cwd=project)
    assert "bucket gs://runs: may be read and written" in checked.out


def test_a_schedule_of_vertex_begins_runs(emulator, project):
    submit(project, emulator, "vertex", "--schedule", "* * * * *").ok()
    assert "iris: * * * * *" in submit(project, emulator, "vertex", "--schedules").ok().out
    before = len(submit(project, emulator, "vertex", "--recent").ok().out.splitlines())
    late = time.monotonic() + 90
    while len(submit(project, emulator, "vertex", "--recent").ok().out.splitlines()) == before:
        assert time.monotonic() < late, "expected a run within a minute"
        time.sleep(2)
    submit(project, emulator, "vertex", "--unschedule", "iris").ok()
    assert "no schedules" in submit(project, emulator, "vertex", "--schedules").ok().out


def test_on_kubeflow_it_is_registered_and_deployed_in_the_emulators_home(emulator, project):
    done = submit(project, emulator, "kubeflow", "-p", "platform=local").ok()
    assert "push: done" in done.out and "#/runs" not in done.out
    home = emulator.folder / ".headrace"
    assert "iris:1" in headrace("models", "list", "iris", "--home", home, cwd=project).ok().out
    spec = yaml.safe_load((project / "spec.yaml").read_text())
    scheduled = submit(project, emulator, "kubeflow", "-p", "platform=local", "--schedule", "0 6 * * 1-5").ok().out
    assert f"{spec['name']}: 0 6 * * 1-5 (UTC), running" in scheduled
    submit(project, emulator, "kubeflow", "--unschedule", "iris").ok()


def test_ten_clients_lose_nothing_that_was_acknowledged_when_it_is_killed(tmp_path):
    command = [sys.executable, "benchmarks/emulator/killed.py", "--clients", "10", "--kills", "3"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(TMPDIR=str(tmp_path), OMP_NUM_THREADS="1"), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost: nothing" in done.stdout
