"""The emulator's jobs: a queue of processes that outlives the emulator."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.emulator.documents import Document, Documents
from headrace.emulator.jobs import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, Jobs, tail
from headrace.emulator.refusals import Refusal


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(tmp_path / "emulator.db")


@pytest.fixture
def jobs(documents: Documents) -> Iterator[Jobs]:
    found = Jobs(documents, at_once=2)
    found.recover()
    yield found
    found.stop()


def shell(text: str) -> list[str]:
    return ["sh", "-c", text]


def test_a_job_runs_in_its_folder_and_its_log_is_kept(jobs: Jobs, tmp_path: Path) -> None:
    jobs.environment = {"COLOUR": "red", "SIZE": "1"}
    jobs.start("K", "a", shell("pwd; echo $COLOUR $SIZE; echo wrong >&2"), tmp_path / "a", {"SIZE": "2"})
    assert jobs.wait("K", "a", 10) == SUCCEEDED
    assert tail(tmp_path / "a").split() == [str(tmp_path / "a"), "red", "2", "wrong"]


def test_a_failed_job_says_with_what_it_ended(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("K", "status", shell("exit 3"), tmp_path / "a")
    jobs.start("K", "signal", shell("kill -9 $$"), tmp_path / "b")
    jobs.start("K", "missing", ["/no/such/program"], tmp_path / "c")
    assert [jobs.wait("K", name, 10) for name in ("status", "signal", "missing")] == [FAILED] * 3
    codes = [(jobs.find("K", name) or {})["exitCode"] for name in ("status", "signal", "missing")]
    assert codes == [3, -9, 1]
    assert "/no/such/program: expected a program" in tail(tmp_path / "c")


def test_no_more_of_one_kind_run_at_once_than_there_is_room_for(jobs: Jobs, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        jobs.start("K", name, shell("sleep 30"), tmp_path / name)
    jobs.start("other", "d", shell("true"), tmp_path / "d")
    assert jobs.wait("other", "d", 10) == SUCCEEDED
    assert [jobs.state("K", name) for name in ("a", "b", "c")] == [RUNNING, RUNNING, QUEUED]
    jobs.cancel("K", "a")
    assert jobs.wait("K", "a", 10) == CANCELLED
    give_up = time.monotonic() + 5
    while jobs.state("K", "c") != RUNNING and time.monotonic() < give_up:
        time.sleep(0.02)
    assert jobs.state("K", "c") == RUNNING


def test_one_that_waits_is_cancelled_without_having_begun(documents: Documents, tmp_path: Path) -> None:
    jobs = Jobs(documents, at_once=1)
    jobs.start("K", "a", shell("echo began"), tmp_path / "a")
    jobs.cancel("K", "a")
    jobs.recover()
    assert jobs.wait("K", "a", 10) == CANCELLED
    jobs.stop()
    assert tail(tmp_path / "a") == ""


def test_a_name_is_taken_until_its_job_has_ended(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("K", "a", shell("sleep 30"), tmp_path / "a")
    with pytest.raises(Refusal, match="running"):
        jobs.start("K", "a", shell("true"), tmp_path / "a")
    with pytest.raises(Refusal, match="running"):
        jobs.forget("K", "a")
    jobs.cancel("K", "a")
    jobs.wait("K", "a", 10)
    jobs.start("K", "a", shell("echo again"), tmp_path / "a")
    assert jobs.wait("K", "a", 10) == SUCCEEDED
    jobs.forget("K", "a")
    assert jobs.find("K", "a") is None
    assert not (tmp_path / "a").exists()
    jobs.forget("K", "a")


def test_a_listener_changes_its_documents_with_the_job_or_not_at_all(
    jobs: Jobs, documents: Documents, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []

    def listener(job: Document) -> None:
        seen.append(job["state"])
        documents.create("Seen", f"{job['job']}-{job['state']}", {})
        if job["job"] == "bad" and job["state"] == SUCCEEDED:
            raise ValueError("a defect")

    jobs.listen("K", listener)
    jobs.start("K", "good", shell("true"), tmp_path / "a")
    assert jobs.wait("K", "good", 10) == SUCCEEDED
    assert seen == [RUNNING, SUCCEEDED]
    jobs.start("K", "bad", shell("true"), tmp_path / "b")
    assert jobs.wait("K", "bad", 10) == SUCCEEDED  # in spite of it
    assert documents.find("Seen", "bad-SUCCEEDED") is None
    assert documents.find("Seen", "good-SUCCEEDED") is not None
    assert "a defect" in capsys.readouterr().err


def test_what_was_not_started_in_the_end_leaves_nothing(jobs: Jobs, documents: Documents, tmp_path: Path) -> None:
    with pytest.raises(KeyError), documents.transaction():
        jobs.start("K", "a", shell("true"), tmp_path / "a")
        raise KeyError
    assert jobs.find("K", "a") is None


def test_jobs_end_with_the_emulator_and_go_on_at_its_next_start(documents: Documents, tmp_path: Path) -> None:
    first = Jobs(documents)
    first.recover()
    first.start("K", "a", shell("echo begun; test -e done || { sleep 60; }"), tmp_path / "a")
    wait_for(lambda: "begun" in tail(tmp_path / "a") and first.state("K", "a") == RUNNING)
    pid = (first.find("K", "a") or {})["pid"]
    first.stop()
    assert not _lives(pid)
    assert first.state("K", "a") == RUNNING  # as it is on disk
    (tmp_path / "a" / "done").touch()
    second = Jobs(documents)
    second.recover()
    assert second.wait("K", "a", 10) == SUCCEEDED
    second.stop()
    assert tail(tmp_path / "a").split() == ["begun", "begun"]


_EMULATOR = """
import sys, time
from pathlib import Path
from headrace.emulator.documents import Documents
from headrace.emulator.jobs import Jobs
folder = Path(sys.argv[1])
jobs = Jobs(Documents(folder / "emulator.db"))
jobs.recover()
jobs.start("K", "a", ["sh", "-c", "echo $$; exec sleep 60"], folder / "a")
time.sleep(60)
"""


def test_jobs_end_when_the_emulator_is_killed(documents: Documents, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", _EMULATOR, str(tmp_path)]) as emulator:
        # It writes before the emulator has written down that it runs.
        wait_for(lambda: tail(tmp_path / "a").strip() and Jobs(documents).state("K", "a") == RUNNING)
        pid = int(tail(tmp_path / "a"))
        os.kill(pid, 0)
        emulator.send_signal(signal.SIGKILL)
    wait_for(lambda: not _lives(pid))
    assert Jobs(documents).state("K", "a") == RUNNING


def test_what_outlives_a_killed_emulator_ends_at_its_next_start(documents: Documents, tmp_path: Path) -> None:
    script = _EMULATOR.replace("exec sleep 60", "setsid sh -c 'echo $$ > left; exec sleep 600' & sleep 60")
    left = tmp_path / "a" / "left"
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) as emulator:
        wait_for(lambda: left.exists() and left.read_text().strip() and Jobs(documents).state("K", "a") == RUNNING)
        pid = int(left.read_text())
        emulator.send_signal(signal.SIGKILL)
    assert _lives(pid)  # in a session of its own, it does not end with the job
    again = Jobs(documents)
    again.cancel("K", "a")
    again.recover()
    again.stop()
    wait_for(lambda: not _lives(pid))


def test_a_job_of_another_emulator_is_left_alone_whatever_its_name(jobs: Jobs, tmp_path: Path) -> None:
    jobs.start("K", "a", shell("echo begun; until test -e go; do sleep 0.1; done"), tmp_path / "a")
    wait_for(lambda: "begun" in tail(tmp_path / "a"))
    theirs = Documents(tmp_path / "other" / "emulator.db")
    other = Jobs(theirs)
    other.start("K", "a", shell("true"), tmp_path / "other" / "a")
    theirs.change("Job", "K:a", lambda job: {**job, "state": RUNNING})  # as a killed emulator leaves it
    other.recover()
    assert other.wait("K", "a", 60) == SUCCEEDED
    other.stop()
    (tmp_path / "a" / "go").touch()
    assert jobs.wait("K", "a", 60) == SUCCEEDED


def wait_for(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
