"""A run that goes on elsewhere, seen in the views of `headrace run`; and what its exit code says."""

import io

import pytest

from headrace.pipelines.following import Following, exit_code, follow, result_of
from headrace.pipelines.local.views.view import PlainView, failure_text, make_view, summary_text
from headrace.platforms.running import (
    CANCELLED,
    FAILED,
    PENDING,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    Submitted,
    TaskState,
)

GATED = {
    "root": {"dag": {"tasks": {"gate": {}, "condition-1": {
        "componentRef": {"name": "comp-condition-1"},
        "triggerPolicy": {"condition": "inputs.parameter_values['pipelinechannel--gate-passed'] == true"},
    }}}},
    "components": {"comp-condition-1": {"dag": {"tasks": {"register": {}, "push": {}}}}},
}  # fmt: skip


class Playing:
    """Runs that go through the states of a play, one at each look."""

    def __init__(self, *scenes):
        self.scenes = list(scenes)

    def get(self, run):
        return Submitted(run, "", self.scenes[0][0], name="m", created=100.0, ended=self.scenes[0][2])

    def tasks(self, run):
        scene = self.scenes.pop(0) if len(self.scenes) > 1 else self.scenes[0]
        return scene[1]


def played(*scenes, view=None):
    stream = io.StringIO()
    seen = follow(Playing(*scenes), Submitted("r-1", "", PENDING, name="m"), view or PlainView(stream), every_s=0.0)
    return seen, seen.finish(), stream.getvalue()


def test_tasks_are_told_like_those_of_a_run_on_this_machine():
    scenes = [
        (PENDING, [], None),
        (RUNNING, [TaskState("ingest", RUNNING, 100.0), TaskState("train", PENDING)], None),
        (
            RUNNING,
            [TaskState("ingest", SUCCEEDED, 100.0, 103.5), TaskState("train", SUCCEEDED, 104.0, 104.5, cached=True)],
            None,
        ),
        (
            SUCCEEDED,
            [
                TaskState("ingest", SUCCEEDED, 100.0, 103.5),
                TaskState("condition-1", SUCCEEDED, 105.0, 109.0, group=True),
                TaskState("condition-1/push", SUCCEEDED, 105.0, 107.0),
                TaskState("for-loop-1[0]/train", SKIPPED),
            ],
            110.0,
        ),
    ]
    _, result, text = played(*scenes)
    assert text.splitlines() == [
        "run r-1 of m",
        "ingest: started",
        "ingest: done in 3.5 s",
        "train: done (cached)",
        "push: done in 2.0 s",
        "for-loop-1[0]/train: skipped",
    ]
    assert summary_text(result) == "m r-1: SUCCEEDED in 10.0 s (4 tasks, 1 cached, 1 skipped)"
    assert exit_code(result.state, result.tasks, GATED) == 0


def test_a_failure_is_told_in_the_platforms_words_with_its_log():
    task = TaskState("train", FAILED, 100.0, 101.0, error="OOMKilled: needs more memory", log="https://logs/train")
    seen, result, text = played((FAILED, [task], 102.0))
    assert "train: FAILED in 1.0 s" in text
    assert failure_text(result) == "train: OOMKilled: needs more memory"
    assert seen.logs() == ["log of train: https://logs/train"]
    assert exit_code(result.state, result.tasks, GATED) == 1


def test_a_run_that_failed_before_any_task_has_its_own_words():
    run = Submitted("r", "", FAILED, name="m", created=1.0, ended=2.0, error="quota exceeded")
    following = Following(PlainView(io.StringIO()), run)
    following(run, [])
    assert failure_text(following.finish()) == "quota exceeded"


def test_json_events_are_those_of_runs():
    import json

    stream = io.StringIO()
    played((SUCCEEDED, [TaskState("a", SUCCEEDED, 1.0, 2.0)], 3.0), view=make_view(stream, as_json=True))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == ["run_started", "task_finished", "run_finished"]
    assert events[1]["state"] == SUCCEEDED and events[1]["seconds"] == 1.0


def test_a_live_view_is_drawn_while_nothing_happens():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    view = make_view(terminal, environ={"TERM": "xterm", "NO_COLOR": "1"})
    following = Following(view, Submitted("r", "", RUNNING, name="m"))
    following(following.now, [TaskState("train", RUNNING, 1.0)])
    following.pause(0.25)
    drawn = terminal.getvalue().count("train")
    assert drawn >= 2, "once, and again as time passes"


@pytest.mark.parametrize(
    ("state", "tasks", "code"),
    [
        (SUCCEEDED, [TaskState("condition-1/push", SUCCEEDED, 1, 2)], 0),
        (SUCCEEDED, [TaskState("condition-1", SKIPPED, group=True)], 3),
        (SUCCEEDED, [TaskState("condition-1/push", SKIPPED)], 3),
        (SUCCEEDED, [TaskState("gate", SUCCEEDED, 1, 2)], 3),  # nobody saw a push: never on doubt
        (
            SUCCEEDED,
            [TaskState("for-loop-1[0]/push", SUCCEEDED, 1, 2), TaskState("for-loop-1[1]/condition-1[1]", SKIPPED)],
            3,
        ),
        (FAILED, [TaskState("condition-1/push", SUCCEEDED, 1, 2)], 1),
        (CANCELLED, [], 1),
    ],
)
def test_exit_codes(state, tasks, code):
    run = Submitted("r", "", state)
    assert exit_code(state, {task.name: result_of(task, run) for task in tasks}, GATED) == code


def test_a_pipeline_without_gates_just_ends_well():
    assert exit_code(SUCCEEDED, {}, {"root": {"dag": {"tasks": {"a": {}}}}}) == 0
    assert exit_code(SUCCEEDED, {}, None) == 0
