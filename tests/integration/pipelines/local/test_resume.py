"""Resuming runs: killed at every step of the runner's own, failed, cancelled; and never by two at once."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from kfp import dsl

from headrace.pipelines.local.record.record import Record, RecordError, load_run
from headrace.pipelines.local.run import resume_pipeline
from headrace.pipelines.local.store import attempts
from headrace.pipelines.local.store.entries import entries
from headrace.pipelines.local.store.verify import verify
from headrace.pipelines.local.workers.environments import default_environments

EXPECTED = {"first": 7, "second": 14, "third": 21}

# Runs, or resumes, a pipeline in a process that kills itself at its n-th own step: opening a file for writing,
# moving, removing, starting a process, or executing a statement of SQL.
SUICIDE = """
import json, os, signal, sqlite3, sys
from pathlib import Path
STEPS = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "subprocess.Popen", "sqlite3.connect"}
left = int(sys.argv[3])
def step(*_):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
def hook(event, args):
    if event in STEPS or event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        step()
def connect(*args, connect=sqlite3.connect, **options):
    db = connect(*args, **options)
    db.set_trace_callback(step)
    return db
sqlite3.connect = connect
from headrace.pipelines.local.workers.environments import default_environments
from headrace.pipelines.local.record.record import list_runs
from headrace.pipelines.local.run import resume_pipeline, run_pipeline
home = Path(sys.argv[2])
sys.addaudithook(hook)
options = {"home": home, "environments": default_environments()}
if list_runs(home):
    result = resume_pipeline("latest", **options)
else:
    result = run_pipeline(json.loads(Path(sys.argv[1]).read_text()), **options)
print(json.dumps([result.state, -left]))
"""


@dsl.component
def start(diary: str, value: int, out: dsl.Output[dsl.Artifact]) -> int:
    from pathlib import Path

    Path(out.path).write_text(str(value))
    with open(diary, "a") as file:  # noqa: PTH123
        file.write("first\n")
    return value


@dsl.component
def add(diary: str, name: str, left: int, right: dsl.Input[dsl.Artifact], out: dsl.Output[dsl.Artifact]) -> int:
    from pathlib import Path

    total = left + int(Path(right.path).read_text())
    Path(out.path).mkdir()
    Path(out.path, "total").write_text(str(total))
    with open(diary, "a") as file:  # noqa: PTH123
        file.write(f"{name}\n")
    return total


def sums(diary: str):
    first = start(diary=diary, value=7).set_caching_options(False)
    second = add(diary=diary, name="second", left=first.outputs["Output"], right=first.outputs["out"])
    add(diary=diary, name="third", left=second.outputs["Output"], right=first.outputs["out"])


class Project:
    """One home, one pipeline, and the diary in which its tasks note that they ran."""

    def __init__(self, runner, folder: Path) -> None:
        self.folder, self.home, self.diary = folder, folder / ".headrace", folder / "diary"
        ir = runner.compile(sums)
        ir["root"]["inputDefinitions"]["parameters"]["diary"]["defaultValue"] = str(self.diary)
        self.ir_file = folder / "pipeline.json"
        self.ir_file.write_text(json.dumps(ir))

    def go(self, steps: int) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", SUICIDE, str(self.ir_file), str(self.home), str(steps)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def ran(self) -> list[str]:
        return self.diary.read_text().split() if self.diary.exists() else []

    def recorded(self) -> set[str]:
        if not (self.home / "runs.db").exists():
            return set()
        with contextlib.closing(Record(self.home)) as record:
            runs = record.runs()
            tasks = record.run(runs[0].id).tasks.values() if runs else []
            return {name for name, task in zip(EXPECTED, tasks, strict=False) if task.state == "SUCCEEDED"}


def check_whole(project: Project) -> None:
    """Nothing half-written is visible, and nothing is left that should not be."""
    with contextlib.closing(Record(project.home)) as record:
        assert verify(project.home, record).damages == ()
    for entry in entries(project.home):
        assert len(entry.name) == 64


def kill_and_resume(runner, folder: Path, step: int) -> bool:
    """Kills a run at a step and resumes it; False when it was over before."""
    project = Project(runner, folder)
    killed = project.go(step)
    if killed.returncode == 0:
        return False
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done, before = project.recorded(), project.ran()
    if project.home.exists() and (project.home / "runs.db").exists():
        check_whole(project)
    resumed = project.go(10**9)
    if "has succeeded" in resumed.stderr:  # killed after the last record was written
        assert done == set(EXPECTED)
    else:
        assert resumed.returncode == 0, (step, resumed.stderr)
        assert json.loads(resumed.stdout)[0] == "SUCCEEDED"
    check_whole(project)
    again = project.ran()[len(before) :]
    assert not set(again) & done, f"killed at step {step}: {again} ran again though {done} were recorded"
    assert len(again) == len(set(again))
    result = load_run(project.home, "latest")
    assert {n: t.outputs["Output"] for n, t in zip(EXPECTED, result.tasks.values(), strict=True)} == EXPECTED
    assert not list((project.home / "tmp").glob("*")), "temporary outputs are left"
    assert not runner.processes()
    return True


def test_killed_at_some_steps(runner, tmp_path):
    """A sample; the slow test does them all. The steps 30 to 60 lie around the first publication."""
    for step in (1, 5, 20, 37, 45, 61, 80):
        folder = tmp_path / str(step)
        folder.mkdir()
        assert kill_and_resume(runner, folder, step)


@pytest.mark.slow
def test_killed_at_every_step(runner, tmp_path):
    for step in range(1, 1000):
        folder = tmp_path / str(step)
        folder.mkdir()
        if not kill_and_resume(runner, folder, step):
            assert step > 80
            return
    raise AssertionError("never came to its end")


# --- failures, cancellation, refusals


@dsl.component
def fails_until(flag: str, diary: str) -> str:
    from pathlib import Path

    with open(diary, "a") as file:  # noqa: PTH123
        file.write("tried\n")
    if not Path(flag).exists():
        raise ValueError("not yet")
    return "at last"


@dsl.component
def note(diary: str, text: str) -> str:
    with open(diary, "a") as file:  # noqa: PTH123
        file.write(text + "\n")
    return text


def test_a_failed_run_goes_on_where_it_failed(runner, tmp_path):
    flag, diary = tmp_path / "flag", tmp_path / "diary"

    def work(flag: str, diary: str):
        kept = note(diary=diary, text="kept").set_caching_options(False)
        late = fails_until(flag=flag, diary=diary).after(kept)
        note(diary=diary, text=late.output)

    first = runner.run(work, parameters={"flag": str(flag), "diary": str(diary)}, labels={"who": "me"})
    assert first.state == "FAILED"
    flag.touch()
    events = []
    again = resume_pipeline(first.id, home=runner.home, environments=default_environments(), on_event=events.append)
    assert again.state == "SUCCEEDED"
    assert (again.id, again.started, again.labels) == (first.id, first.started, first.labels)
    assert diary.read_text().split() == ["kept", "tried", "tried", "at", "last"]
    assert again.tasks["note"] == first.tasks["note"]
    assert again.tasks["fails-until"].attempts == 2
    assert [e.task.cached for e in events if e.kind == "task_finished" and e.task.path == "note"] == [True]
    recorded = load_run(runner.home, first.id)
    assert {p: t.state for p, t in recorded.tasks.items()} == dict.fromkeys(again.tasks, "SUCCEEDED")
    with pytest.raises(RecordError, match="has succeeded"):
        resume_pipeline(first.id, home=runner.home, environments=default_environments())


def test_what_was_kept_is_made_anew_when_it_was_damaged(runner, tmp_path):
    project = Project(runner, tmp_path)
    for step in range(40, 200):  # until the first task is recorded
        project.go(step)
        if "first" in project.recorded():
            break
    run = load_run(project.home, "latest")
    [artifact] = run.tasks["start"].artifacts["out"]
    artifact.path.write_text("8")
    assert json.loads(project.go(10**9).stdout)[0] == "SUCCEEDED"
    assert [t.outputs["Output"] for t in load_run(project.home, "latest").tasks.values()] == list(EXPECTED.values())


@dsl.component
def wait_for(file: str) -> str:
    import time
    from pathlib import Path

    Path(file + ".waiting").touch()
    while not Path(file).exists():
        time.sleep(0.02)
    return "there"


def test_a_second_runner_of_the_same_run_is_refused(runner, tmp_path):
    def waits(file: str):
        wait_for(file=file)

    ir = runner.compile(waits)
    ir["root"]["inputDefinitions"]["parameters"]["file"]["defaultValue"] = str(tmp_path / "go")
    first = runner.spawn(ir)
    runner.wait_for(lambda: (tmp_path / "go.waiting").exists())
    with pytest.raises(RecordError, match=rf"process {first.pid} is running"):
        resume_pipeline("latest", home=runner.home, environments=default_environments())
    (tmp_path / "go").touch()
    assert "SUCCEEDED" in first.communicate(timeout=20)[0]


def test_two_who_resume_at_once_are_told_apart(runner, tmp_path):
    def waits(file: str):
        wait_for(file=file)

    ir = runner.compile(waits)
    ir["root"]["inputDefinitions"]["parameters"]["file"]["defaultValue"] = str(tmp_path / "go")
    first = runner.spawn(ir)
    runner.wait_for(lambda: (tmp_path / "go.waiting").exists())
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    command = [sys.executable, "-c", SUICIDE, "", str(runner.home), "0"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    runner.wait_for(lambda: any(process.poll() is not None for process in both))
    (tmp_path / "go").touch()
    answers = [process.communicate(timeout=30) for process in both]
    assert sorted(process.returncode for process in both) == [0, 1]
    assert sum("is running" in err for _, err in answers) == 1


def test_a_run_whose_folder_is_gone_says_so(runner, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def work(flag: str, diary: str):
        fails_until(flag=flag, diary=diary)

    first = runner.run(work, parameters={"flag": "no", "diary": str(tmp_path / "diary")})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").rmdir()
    with pytest.raises(RecordError, match=r"expected the folder .* Received: no .*elsewhere"):
        resume_pipeline(first.id, home=runner.home, environments=default_environments())


def test_a_dead_run_is_cleared_away_by_one_alone(runner, monkeypatch):
    """The second to look would take the first one's new processes for the dead run's, and kill them."""

    def waits(file: str):
        wait_for(file=file)

    ir = runner.compile(waits)
    ir["root"]["inputDefinitions"]["parameters"]["file"]["defaultValue"] = str(runner.folder / "go")
    first = runner.spawn(ir)
    runner.wait_for(lambda: (runner.folder / "go.waiting").exists())
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    cleared = []

    def slowly(run_id):
        cleared.append(run_id)
        time.sleep(0.3)

    monkeypatch.setattr(attempts, "kill_strays", slowly)
    (runner.folder / "go").touch()
    both = [threading.Thread(target=runner.run, args=(ir,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(cleared) == 1
