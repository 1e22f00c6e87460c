"""Ctrl-C and kill -9 in the middle of each task, and at any other moment: the next run finishes what is left.

A task is too quick to be hit by chance, so it is held: a `sitecustomize` on PYTHONPATH lets it wait, once, either
at its start or at its first move of a finished file into its place, when its output is half written.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headrace.artifacts.folder import read_manifest
from tests.e2e.projects import HEADRACE, Project, churn, environment, wait_for

HOLD = """
import os, time
if "HOLD_TASK" in os.environ and "HEADRACE_RUN" in os.environ:
    def hold(function):
        def wrapped(*arguments, **options):
            if os.environ.get("HEADRACE_TASK") == os.environ["HOLD_TASK"] and not os.path.exists(os.environ["HOLD_MARK"]):
                open(os.environ["HOLD_MARK"], "w").close()
                time.sleep(60)
            return function(*arguments, **options)
        return wrapped
    if os.environ["HOLD_AT"] == "start":
        os.chdir = hold(os.chdir)
    else:
        os.replace, os.rename, os.link = hold(os.replace), hold(os.rename), hold(os.link)
"""
# The command itself is held while it imports a module, or at a call in between; whatever is raised there gets lost.
SWALLOW = """
import gc, os, sys, time
if "HOLD_AT" in os.environ and "HEADRACE_RUN" not in os.environ:
    def hold():
        if not os.path.exists(os.environ["HOLD_MARK"]):
            open(os.environ["HOLD_MARK"], "w").close()
            try:
                time.sleep(10)
            except BaseException:
                pass
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == os.environ["HOLD_AT"]:
                hold()
    sys.meta_path.insert(0, Finder())
    if os.environ["HOLD_AT"] == "gc.disable()":
        disable = gc.disable
        gc.disable = lambda: (hold(), disable())[1]
"""
# every task, and whether it writes a folder or a file that it moves into its place
TASKS = {
    "fingerprint": False,
    "champion": True,
    "ingest": True,
    "statistics": True,
    "check": True,
    "examine": True,
    "validate": False,
    "transform": True,
    "train": True,
    "evaluate": True,
    "evaluate-2": True,
    "track": True,
    "infra-validate": True,
    "gate": True,
    "condition-1/register": True,
    "condition-1/push": False,
}
NEVER_CACHED = {"fingerprint", "champion", "track", "condition-1/register", "condition-1/push"}
POINTS = [(task, at) for task, moves in TASKS.items() for at in (["start", "move"] if moves else ["start"])]
INTERRUPTED = "\nheadrace: interrupted\n"  # on a line of its own: the terminal has written ^C
STATES = {signal.SIGINT: "CANCELLED", signal.SIGKILL: "INTERRUPTED"}


@contextmanager
def running(project: Project, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """`headrace run`, in a process group of its own as a shell has it."""
    command = [str(HEADRACE), "run", "spec.yaml", "--home", str(project.home)]
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def is_recorded(project: Project, task: str) -> bool:
    """Whether the newest run's record has a task."""
    with contextlib.closing(sqlite3.connect(project.home / "runs.db")) as db:
        newest = "SELECT id FROM runs ORDER BY started DESC LIMIT 1"
        return bool(db.execute(f"SELECT 1 FROM tasks WHERE path = ? AND run = ({newest})", (task,)).fetchone())


def interrupt(project: Project, number: signal.Signals, task: str, at: str, folder: Path) -> tuple[int, str, str]:
    """Runs, and sends a signal to the run once the task is held; returns how the run ended."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HOLD)
    mark = folder / "mark"
    places = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(places), "HOLD_TASK": task, "HOLD_AT": at, "HOLD_MARK": str(mark)}
    with running(project, **variables) as process:
        wait_for(lambda: mark.exists() or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()
        wait_for(lambda: is_recorded(project, task))  # which comes after the task was started
        if number == signal.SIGKILL:
            process.kill()  # the runner alone: what it started must notice
        else:
            os.killpg(process.pid, number)  # as a terminal does
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err


@pytest.mark.parametrize("at", ["click", "pydantic", "kfp", "gc.disable()"])
def test_an_interruption_in_the_first_second_is_obeyed(at: str, fresh: Project, tmp_path: Path) -> None:
    """The last is between two imports: what is raised is lost, and the run that it leads to ends before its tasks."""
    project = fresh.copy(tmp_path / "churn")
    folder = tmp_path / "hold"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SWALLOW)
    mark = folder / "mark"
    places = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    with running(project, PYTHONPATH=os.pathsep.join(places), HOLD_AT=at, HOLD_MARK=str(mark)) as process:
        wait_for(mark.exists)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, INTERRUPTED)
    wait_for(lambda: project.processes() == [], what=project.processes)
    assert list(project.home.glob("store/*/*")) == [] == project.versions()


def check_interrupted(project: Project, number: signal.Signals, ended: tuple[int, str, str], task: str) -> set[str]:
    """What holds just after the end: nothing lives, the record says it. Returns the tasks that were finished."""
    code, _, err = ended
    if number == signal.SIGINT:
        assert (code, err) == (130, INTERRUPTED)
        assert project.processes() == []
        assert project.halves() == []
    else:
        assert (code, err) == (-9, "")
        wait_for(lambda: project.processes() == [], what=project.processes)
    before = project.show()
    assert before["state"] == STATES[number]
    assert before["tasks"][task]["state"] == STATES[number]
    return {path for path, found in before["tasks"].items() if found["state"] == "SUCCEEDED"}


def verify_sealed_folders(project: Project) -> None:
    """Every sealed folder of the store and the registry has the very files that its manifest lists."""
    manifests = [*project.home.glob("store/**/manifest.json"), *project.home.glob("models/*/[0-9]*/manifest.json")]
    assert len(manifests) >= 10
    for manifest in manifests:
        read_manifest(manifest.parent, json.loads(manifest.read_text())["format"], 99, verify=True)


def check_finished(project: Project, finished: set[str], digest: str) -> None:
    """What holds after the run that follows: it took over what was finished, and came to the same result."""
    project.headrace("run", "spec.yaml").ok()
    after = project.show()
    assert (after["state"], after["pushed"], after["version"]) == ("SUCCEEDED", True, "1")
    assert project.cached() >= finished - NEVER_CACHED
    assert project.versions() == [1]
    assert project.digest() == digest
    assert project.processes() == []
    assert project.halves() == []
    verify_sealed_folders(project)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has never been run."""
    return churn(tmp_path_factory.mktemp("fresh") / "churn")


@pytest.mark.parametrize(
    ("number", "task", "at"),
    [
        (signal.SIGKILL, "condition-1/register", "move"),
        pytest.param(signal.SIGINT, "train", "move", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_was_ended_is_taken_up(
    number: signal.Signals, task: str, at: str, fresh: Project, trained: Project, tmp_path: Path
) -> None:
    project = fresh.copy(tmp_path / "churn")
    ended = interrupt(project, number, task, at, tmp_path / "hold")
    finished = check_interrupted(project, number, ended, task)
    assert finished >= {"ingest", "statistics", "validate", "transform"}
    check_finished(project, finished, trained.digest())


def forget(project: Project, task: str) -> None:
    """Takes what a task has put out from the cache, so that it runs again."""
    if (project.home / "runs.db").exists():
        with contextlib.closing(sqlite3.connect(project.home / "runs.db")) as db, db:
            db.execute("DELETE FROM cache WHERE path = ?", (task,))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_each_task_may_be_ended(number: signal.Signals, fresh: Project, trained: Project, tmp_path: Path) -> None:
    """One run after the other is ended in the next task, so each resumes from the one before."""
    project = fresh.copy(tmp_path / "churn")
    for place, (task, at) in enumerate(POINTS):
        forget(project, task)  # it may have been finished beside another
        ended = interrupt(project, number, task, at, tmp_path / f"hold-{place}")
        check_interrupted(project, number, ended, task)
    check_finished(project, set(), trained.digest())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_may_be_ended_at_any_moment(
    number: signal.Signals, fresh: Project, trained: Project, tmp_path: Path
) -> None:
    """While it compiles, between tasks, while it writes its record."""
    for place in range(6):
        project = fresh.copy(tmp_path / f"churn-{place}")
        with running(project) as process:
            time.sleep(0.2 + 0.8 * place)
            over = process.poll() is not None  # on a quick machine
            if number == signal.SIGKILL:
                process.kill()
            elif not over:
                os.killpg(process.pid, number)
            _, err = process.communicate(timeout=20)
        over = over or (process.returncode in (0, -signal.SIGINT) and err == "")  # it was on its last steps
        if not over and number == signal.SIGINT:
            unborn = process.returncode in (1, -signal.SIGINT) and err.endswith("KeyboardInterrupt\n")  # Python alone
            assert (process.returncode, err) == (130, INTERRUPTED) or (unborn and place == 0), (place, err)
        wait_for(lambda project=project: project.processes() == [])
        check_finished(project, set(), trained.digest())
