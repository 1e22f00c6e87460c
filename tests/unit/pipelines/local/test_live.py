"""The live view, as it stands on a screen: whatever the size, the encoding and the number of tasks."""

import time

import pytest

from headrace.pipelines.local import events
from headrace.pipelines.local.record.results import TaskResult
from headrace.pipelines.local.views import live
from tests.unit.pipelines.local.screen import Screen, Terminal


def task(path, state="SUCCEEDED", name=None, **more):
    more.setdefault("started", time.time())
    return TaskResult(path=path, name=name or path.split("/")[-1], component="comp", state=state, **more)


class Stage:
    """A live view in front of a screen."""

    def __init__(self, monkeypatch, columns=80, rows=24, encoding="utf-8", interval=0.0, **options):
        self.screen = Screen(columns, rows)
        self.terminal = Terminal(self.screen, encoding)
        monkeypatch.setattr(live, "terminal_size", lambda stream: (self.screen.columns, self.screen.rows))
        monkeypatch.setattr(live, "INTERVAL", interval)
        self.view = live.LiveView(self.terminal, **options)
        self.tell(events.RUN_STARTED, message="churn")

    def tell(self, kind, task=None, message="", state=""):
        self.view(events.Event(kind, "r1", time.time(), message, state, task))

    def begin(self, *paths, **more):
        for path in paths:
            self.tell(events.TASK_STARTED, task(path, "RUNNING", **more))

    def end(self, *paths, **more):
        for path in paths:
            self.tell(events.TASK_FINISHED, task(path, **more))

    @property
    def shown(self):
        return self.screen.shown


@pytest.fixture
def stage(monkeypatch):
    return lambda **options: Stage(monkeypatch, **options)


def test_a_line_per_task_drawn_in_place(stage):
    one = stage()
    one.begin("ingest", "train")
    assert [line.split()[:2] for line in one.shown[1:3]] == [["•", "ingest"], ["•", "train"]]
    assert "running, " in one.shown[1]
    assert one.shown[-1].endswith("2 running")
    one.end("ingest", seconds=1.25)
    one.end("train", cached=True)
    one.end("gate", state="SKIPPED", reason="train failed")
    one.tell(events.RUN_FINISHED, state="SUCCEEDED")
    assert one.shown == [
        "run r1 of churn",
        "✓ ingest  done in 1.2 s",
        "✓ train   done (cached)",
        "– gate    skipped (train failed)",
    ]
    assert one.screen.history == []
    one.view.close()
    assert len(one.shown) == 4, "closed twice, drawn once"


def test_what_is_said_stays_above(stage):
    one = stage()
    one.begin("train")
    one.tell(events.NOTICE, message="mind this\nand not this")
    one.tell(events.TASK_RETRIED, task("train", "RUNNING", attempts=1), "boom")
    one.begin("train", attempts=2)
    assert one.shown[:3] == ["run r1 of churn", "note: mind this", "train: trying again: boom"]
    assert one.shown[3].endswith(", attempt 2")
    assert len(one.shown) == 5


@pytest.mark.parametrize(("columns", "rows"), [(40, 8), (80, 12), (20, 4), (200, 30)])
def test_never_higher_or_wider_than_the_screen(stage, columns, rows):
    one = stage(columns=columns, rows=rows)
    for number in range(100):
        one.begin(f"a task of some length, number {number}")
        if number % 10 != 9:
            one.end(f"a task of some length, number {number}")
    one.end("a task of some length, number 19", state="FAILED", seconds=0.5)
    assert one.screen.history in ([], ["run r1 of churn"]), "nothing but what is to stay scrolls away"
    signs = [line[0] for line in one.shown if line[0] in "✓✗•"]
    assert len(signs) <= rows - 2
    assert "✗" in signs, "what failed is shown"
    assert signs.count("•") == min(9, len(signs) - 1), "then what runs"
    assert "more lines" in one.shown[-1] or columns == 20


def test_a_loop_is_one_line_and_its_failures_have_their_own(stage):
    one = stage()
    one.begin(*(f"for-loop-1[{n}]/train" for n in range(1_000)))
    one.end(*(f"for-loop-1[{n}]/train" for n in range(998)), cached=True)
    one.end("for-loop-1[998]/train", state="FAILED", seconds=2.0)
    one.end("few[0]/a", "few[1]/a")
    assert [line.rstrip() for line in one.shown[1:-1]] == [
        "✗ for-loop-1/train x 1000  998 done (998 cached), 1 FAILED, 1 running",
        "✗ for-loop-1[998]/train    FAILED in 2.0 s",
        "✓ few[0]/a                 done in 0.00 s",
        "✓ few[1]/a                 done in 0.00 s",
    ]


def test_a_terminal_that_becomes_narrower_wraps_what_stands_on_it(stage):
    one = stage(columns=80, rows=24)
    one.begin("a task with a name of forty characters.")
    standing = [line for line in one.screen.lines if line]
    one.screen.columns = 30
    wrapped = [line[n : n + 30] for line in standing for n in range(0, len(line), 30)]
    one.screen.lines = [*wrapped, ""]
    one.screen.row, one.screen.column = len(wrapped), 0
    one.begin("other")
    assert [line[:9].rstrip() for line in one.shown] == [
        "run r1 of",
        "• …ty cha",
        "• other",
        one.shown[-1][:9].rstrip(),
    ]
    assert "running" in one.shown[-1]


def test_signs_differ_without_colour_and_without_unicode(stage):
    one = stage(colour=False, encoding="ascii")
    one.end("done", "größe")
    one.end("bad", state="FAILED")
    one.end("left", state="SKIPPED", reason="because of many things, " * 9)
    assert one.screen.colours == set()
    assert [line[0] for line in one.shown[1:5]] == ["+", "+", "x", "-"]
    assert "gr??e" in one.shown[2]
    assert one.shown[4].endswith("...")


def test_what_a_dead_process_left_behind_has_a_sign_of_its_own(stage):
    one = stage(colour=False)
    one.end("ingest")
    one.end("tune", state="INTERRUPTED")
    assert one.shown[2].split() == ["!", "tune", "interrupted"]
    loop = [task(f"loop[{n}]/train", state) for n, state in enumerate(["SUCCEEDED", "INTERRUPTED", "CANCELLED"])]
    assert live.joint_state(loop) == live.joint_state(loop[1:2]) == "INTERRUPTED"
    assert live.joint_state(loop[::2]) == "CANCELLED"


def test_names_cannot_move_the_cursor_and_wide_characters_count_twice(stage):
    one = stage(columns=30)
    one.end("evil\x1b[2Jname\n", "訓練")
    assert one.shown[1].startswith("✓ evil [2Jname")
    assert live.cells("訓練") == 4
    assert live.cells("e\u0301") == 1
    assert live.shorten("訓練訓練", 5, "…") == "訓練…"
    assert live.shorten_left("for-loop-1[3]/train", 10, "…") == "…[3]/train"
    assert live.shorten("abc", 0, "...") == ""


def test_many_events_are_few_pictures(stage):
    one = stage(interval=3600.0)
    one.view._drawn = time.monotonic()
    before = one.terminal.writes
    one.begin(*(f"t{n}" for n in range(1_000)))
    assert one.terminal.writes == before
    one.tell(events.RUN_FINISHED, state="SUCCEEDED")
    assert one.terminal.writes == before + 1


def test_a_terminal_that_does_not_know_its_size():
    assert live.terminal_size(Terminal(Screen())) == (80, 24)
