"""Events as JSON: stable names, one object per line, and never what a parser would refuse."""

import io
import json
from pathlib import Path

from headrace.pipelines.local import events
from headrace.pipelines.local.record.results import ArtifactRecord, RunResult, TaskError, TaskResult
from headrace.pipelines.local.views.json_view import VERSION, JsonView, dumps

HEAD = ["version", "event", "run", "time"]
TASK = [
    "task", "label", "name", "component", "group", "state", "started", "seconds", "cached", "attempt", "reason",
    "error", "log", "outputs", "artifacts", "metrics",
]  # fmt: skip


def lines(*told):
    stream, text = io.StringIO(), io.StringIO()
    view = JsonView(stream, text)
    for call in told:
        call(view)
    view.close()
    assert text.getvalue() == ""
    return [json.loads(line, parse_constant=lambda name: 1 / 0) for line in stream.getvalue().splitlines()]


def event(kind, message="", state="", task=None):
    return lambda view: view(events.Event(kind, "r1", 1_700_000_000.25, message, state, task))


def test_every_event_has_its_fields():
    record = ArtifactRecord("model", "system.Model", "/s/m", "sha256:ab", {"rows": 3}, 2, 10)
    curve = ArtifactRecord("metrics", "system.Metrics", "/s/x", "absent", {"auc": 0.5})
    done = TaskResult(
        "loop[3]/condition-1/train", "train", "comp-train", "SUCCEEDED", seconds=1.5, attempts=2, started=1.0,
        outputs={"n": 3}, artifacts={"model": (record,), "metrics": (curve,)}, log=Path("/l/train.log"),
    )  # fmt: skip
    error = TaskError("ValueError", "bad", "Traceback ...", exit_code=1)
    bad = TaskResult("a", "a", "comp-a", "FAILED", error=error)
    found = lines(
        event(events.RUN_STARTED, "churn"),
        event(events.NOTICE, "mind this"),
        event(events.TICK),
        event(events.TASK_RETRIED, "bad", task=bad),
        event(events.TASK_FINISHED, task=done),
        event(events.RUN_FINISHED, state="FAILED"),
    )
    assert [one["event"] for one in found] == ["run_started", "notice", "task_retried", "task_finished", "run_finished"]
    assert all(list(one)[:4] == HEAD and one["version"] == VERSION == 1 and one["run"] == "r1" for one in found)
    assert all(one["time"] == "2023-11-14T22:13:20.250000Z" for one in found)
    started, notice, retried, finished, ended = found
    assert started["name"] == "churn"
    assert notice["message"] == "mind this"
    assert ended["state"] == "FAILED"
    assert list(retried) == [*HEAD, "message", *TASK]
    assert retried["error"]["type"] == "ValueError"
    assert {"message", "trace"} <= set(retried["error"])
    assert list(finished) == [*HEAD, *TASK]
    assert (finished["task"], finished["label"]) == ("loop[3]/condition-1/train", "loop[3]/train")
    assert (finished["attempt"], finished["seconds"], finished["cached"], finished["group"]) == (2, 1.5, False, False)
    assert finished["error"] is None
    assert finished["artifacts"][0] == {
        "name": "model", "type": "system.Model", "uri": "/s/m", "digest": "sha256:ab", "files": 2, "bytes": 10,
        "metadata": {"rows": 3},
    }  # fmt: skip
    assert finished["metrics"] == {"auc": 0.5}


def test_the_end_with_its_outcome_and_a_run_that_was_refused():
    result = RunResult("r1", "churn", "churn", "SUCCEEDED", 1.0, 2.5, {}, {}, {}, outputs={"n": 1})
    (ended,) = lines(lambda view: view.ended(result, {"passed": True}, 3))
    assert (ended["event"], ended["exit_code"], ended["outcome"], ended["state"]) == (
        "outcome", 3, {"passed": True}, "SUCCEEDED",
    )  # fmt: skip
    (refused,) = lines(lambda view: view.refused("expected x. Received: y"))
    assert (refused["event"], refused["run"]) == ("error", None)
    assert refused["message"] == "expected x. Received: y"


def test_what_json_does_not_know():
    value = {"a": float("nan"), "b": [float("inf"), -float("inf")], "c": (1, "ü\n"), 3: Path("/x"), "d": 0.5}
    text = dumps(value)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text) == {"a": "NaN", "b": ["Infinity", "-Infinity"], "c": [1, "ü\n"], "3": "/x", "d": 0.5}
