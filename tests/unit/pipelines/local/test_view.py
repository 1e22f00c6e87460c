"""What a person reads: labels, one line per event, the failing task's own words first."""

import io
import json

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local import events
from headrace.pipelines.local.record.results import RunResult, TaskError, TaskResult
from headrace.pipelines.local.views import view


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


def test_of_many_failures_the_first_are_told():
    error = TaskError("E", "bad", "Traceback\nE: bad\n")
    text = view.failure_text(
        result(*(task(f"t{n}", state="FAILED", error=error, started=float(n)) for n in range(100)))
    )
    assert text.count("Traceback") == 5
    assert text.startswith("Traceback\nE: bad\nt0 failed")
    assert text.endswith("95 more failed: t5, t6, t7, t8, t9, ...")


def test_the_summary():
    tasks = [task("a", cached=True), task("b", state="SKIPPED"), task("c", state="FAILED"), task("g", leaf=False)]
    assert view.summary_text(result(*tasks)) == "churn id: FAILED in 2.5 s (3 tasks, 1 cached, 1 failed, 1 skipped)"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "kind"),
    [
        (Terminal(), {"TERM": "xterm"}, "LiveView"),
        (Terminal(), {"TERM": "dumb"}, "PlainView"),
        (Terminal(), {}, "PlainView"),
        (io.StringIO(), {"TERM": "xterm", "CI": "true"}, "PlainView"),
    ],
)
def test_the_view_suits_the_stream(stream, environ, kind):
    assert type(view.make_view(stream, environ=environ)).__name__ == kind
    assert type(view.make_view(stream, as_json=True, environ=environ)).__name__ == "JsonView"


def test_an_encoding_that_lacks_a_character_is_no_reason_to_end():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    listener = view.make_view(stream)
    listener(events.Event(events.TASK_FINISHED, "r1", 0.0, task=task("übung", cached=True)))
    listener(events.Event(events.NOTICE, "r1", 0.0, "→ mind this"))
    assert raw.getvalue() == b"?bung: done (cached)\nnote: ? mind this\n"


def test_a_view_is_told_of_an_error_and_put_away():
    stream = io.StringIO()
    with pytest.raises(HeadraceError), view.viewing(stream, as_json=True) as listener:
        listener(events.Event(events.RUN_STARTED, "r1", 0.0, "churn"))
        raise HeadraceError("expected x. Received: y")
    *_, last = map(json.loads, stream.getvalue().splitlines())
    assert (last["event"], last["run"], last["message"]) == ("error", "r1", "expected x. Received: y")
