"""What a person reads: labels, one line per event, the failing task's own words first."""

import io

import pytest

from headrace.pipelines.local import events, view
from headrace.pipelines.local.results import RunResult, TaskError, TaskResult


def task(path="train", name=None, state="SUCCEEDED", **more):
    return TaskResult(path=path, name=name or path.split("/")[-1], component="comp", state=state, **more)


def result(*tasks, state="FAILED", error=""):
    return RunResult("id", "churn", "churn", state, 0.0, 2.5, {}, {}, {t.path: t for t in tasks}, error=error)


@pytest.mark.parametrize(
    ("path", "name", "label"),
    [
        ("train", "train", "train"),
        ("evaluate-2", "evaluate-champion", "evaluate-champion"),
        ("condition-branches-1/condition-3/push", "push", "push"),
        ("exit-handler-1/train", "train", "train"),
        ("for-loop-2[13]/train", "train", "for-loop-2[13]/train"),
        ("inner/condition-1/train", "train", "inner/train"),
    ],
)
def test_labels(path, name, label):
    assert task(path, name).label == label


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.021, "0.02 s"), (3.14, "3.1 s"), (125.4, "2 min 05 s"), (7260, "2 h 01 min")]
)
def test_durations(seconds, text):
    assert view.seconds_text(seconds) == text


def test_plain_lines():
    stream = io.StringIO()
    listener = view.make_view(stream)
    group = task("condition-1", leaf=False)
    for kind, subject, message in [
        (events.RUN_STARTED, None, "churn"),
        (events.NOTICE, None, "mind this"),
        (events.TASK_STARTED, task(attempts=1), ""),
        (events.TASK_RETRIED, task(attempts=1), "boom\nmore"),
        (events.TASK_STARTED, task(attempts=2), ""),
        (events.TASK_FINISHED, task(seconds=1.25, attempts=2), ""),
        (events.TASK_FINISHED, task(cached=True), ""),
        (events.TASK_FINISHED, task(state="SKIPPED", reason="ingest failed"), ""),
        (events.TASK_FINISHED, task(state="FAILED", seconds=0.1), ""),
        (events.TASK_FINISHED, group, ""),
        (events.TICK, None, ""),
        (events.RUN_FINISHED, None, ""),
    ]:
        listener(events.Event(kind, "r1", 0.0, message, task=subject))
    listener.close()
    assert stream.getvalue().splitlines() == [
        "run r1 of churn",
        "note: mind this",
        "train: started",
        "train: attempt 1 failed (boom), trying again",
        "train: started, attempt 2",
        "train: done in 1.2 s, attempt 2",
        "train: done (cached)",
        "train: skipped (ingest failed)",
        "train: FAILED in 0.10 s",
    ]


def test_the_failing_task_speaks_first_and_a_program_by_its_log(tmp_path):
    log = tmp_path / "run.log"
    log.write_text("\n".join(f"line {n}" for n in range(100)))
    python = task(
        "a", state="FAILED", error=TaskError("ValueError", "bad", "Traceback\nValueError: bad\n"), started=1.0
    )
    program = task("b", state="FAILED", error=TaskError("ExitStatus", "ended with exit status 3"), log=log, started=2.0)
    plain = task(
        "c", state="FAILED", error=TaskError("HeadraceError", "expected x", "Traceback", user=True), started=3.0
    )
    text = view.failure_text(result(plain, program, python))
    assert text.split("\n\n") == [
        "Traceback\nValueError: bad\na failed",
        "\n".join(f"line {n}" for n in range(80, 100)) + f"\nb failed: ended with exit status 3\nlog: {log}",
        "c: expected x",
    ]
    assert "Traceback\nc failed" in view.failure_text(result(plain), debug=True)


def test_the_summary():
    tasks = [task("a", cached=True), task("b", state="SKIPPED"), task("c", state="FAILED"), task("g", leaf=False)]
    assert view.summary_text(result(*tasks)) == "churn id: FAILED in 2.5 s (3 tasks, 1 cached, 1 failed, 1 skipped)"


def test_the_live_view_shows_every_task_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    listener = view.make_view(stream)
    listener(events.Event(events.RUN_STARTED, "r1", 0.0, "churn"))
    for n in range(3):
        listener(events.Event(events.TASK_STARTED, "r1", 0.0, task=task(f"task-{n}", state="RUNNING")))
    listener(events.Event(events.TICK, "r1", 0.0))
    listener(events.Event(events.TASK_FINISHED, "r1", 0.0, task=task("task-1", cached=True)))
    listener(events.Event(events.RUN_FINISHED, "r1", 0.0, state="SUCCEEDED"))
    listener.close()
    assert all(f"task-{n}" in stream.getvalue() for n in range(3))
    assert "done (cached)" in stream.getvalue()
