"""Logs, read as they grow, and whatever happens to their files; and which task is meant by what was typed."""

import contextlib
import tracemalloc
from dataclasses import replace

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.record.finding import find_run, find_task
from headrace.pipelines.local.record.record import Record, RecordError
from headrace.pipelines.local.record.results import RunSummary
from headrace.pipelines.local.record.selection import Selection, look, origin_of, select
from headrace.pipelines.local.views import logs
from headrace.pipelines.local.views.logs import Log, follow, log_lines
from headrace.pipelines.local.workers.processes import Owner, myself
from tests.unit.pipelines.local.graphs import make_graph, task

KFP = """[KFP Executor 2026-01-01 00:00:00,000 INFO]: Looking for component `x`
[KFP Executor 2026-01-01 00:00:00,001 INFO]: Got executor_input:
{
    "inputs": {}
}
one
  two {
}
[KFP Executor 2026-01-01 00:00:00,002 INFO]: Wrote executor output file to /x.
three"""


def test_only_what_the_task_itself_printed(tmp_path):
    log = tmp_path / "a.log"
    log.write_text(KFP)
    assert list(log_lines(log)) == ["one", "  two {", "}", "three"]
    assert list(log_lines(log, tail=2)) == ["}", "three"]
    assert list(log_lines(log, tail=0)) == []


def test_bytes_that_are_no_text_and_line_ends_of_any_kind(tmp_path):
    log = tmp_path / "a.log"
    log.write_bytes(b"\xff\xfe\r\nprogress 1\rprogress 2\n\n")
    assert list(log_lines(log)) == ["\ufffd\ufffd", "progress 1\rprogress 2", ""]


@pytest.mark.parametrize("line", [b"x" * 1_000, b""])
def test_memory_does_not_grow_with_the_log(tmp_path, line):
    log = tmp_path / "a.log"
    with log.open("wb") as stream:  # 30 MB: of long lines, and of one without an end
        for _ in range(30):
            stream.write((line + b"\n") * 1_000 if line else b"y" * 1_000_000)
    tracemalloc.start()
    count = sum(1 for _ in log_lines(log))
    list(log_lines(log, tail=5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == (30_000 if line else -(-30_000_000 // logs.LONGEST))
    assert peak < 2_000_000


def test_a_line_is_told_when_it_has_its_end(tmp_path):
    path = tmp_path / "a.log"
    log = Log(path)
    assert list(log.new_lines(over=False)) == [], "not there yet"
    with path.open("w") as stream:
        for written, told in (("one\ntw", ["one"]), ("o", []), ("\nthree", ["two"])):
            stream.write(written)
            stream.flush()
            assert list(log.new_lines(over=False)) == told
    assert list(log.new_lines(over=True)) == ["three"]
    assert list(log.new_lines(over=True)) == []


def test_a_log_that_is_taken_away_or_replaced(tmp_path):
    path = tmp_path / "a.log"
    log = Log(path)
    assert log.trouble() == ""
    path.write_text("one\n")
    assert list(log.new_lines(over=False)) == ["one"]
    assert log.trouble() == ""
    path.unlink()
    assert log.trouble() == "its log was removed"
    assert log.trouble() == ""
    path.write_text("two\n")
    assert list(log.new_lines(over=False)) == ["two"]
    (tmp_path / "b").write_text("three\n")
    (tmp_path / "b").rename(path)
    assert log.trouble() == "its log was replaced; what follows is the new one"
    assert list(log.new_lines(over=False)) == ["three"]
    path.write_text("4\n")
    assert log.trouble() == "its log was cut short; what follows is what is in it now"
    assert list(log.new_lines(over=False)) == ["4"]
    log.close()


def told(steps, monkeypatch, **more):
    """What `follow` says while the steps are gone through, one at each look; a step may do something first."""
    monkeypatch.setattr(logs, "INTERVAL", 0)
    steps = iter(steps)

    def looked():
        tasks, state, *actions = next(steps)
        for action in actions:
            action()
        return tasks, state

    return [(said.task.label, said.line, said.about) for said in follow(looked, **more)]


def test_following_through_a_retry_to_the_end_of_the_task(tmp_path, monkeypatch):
    path = tmp_path / "train.log"
    one = task("train", "RUNNING", log=path, attempts=1)

    def write(text):
        return lambda: path.open("a").write(text)

    steps = [
        ([], "RUNNING"),
        ([one], "RUNNING"),
        ([one], "RUNNING", write("first\nhal")),
        ([replace(one, attempts=2)], "RUNNING", write("f\nagain\n")),
        ([replace(one, attempts=2, state="SUCCEEDED", seconds=1.0)], "RUNNING", write("last")),
    ]
    assert told(steps, monkeypatch, expected=1) == [
        ("train", "first", False),
        ("train", "half", False),
        ("train", "again", False),
        ("train", "attempt 2", True),
        ("train", "last", False),
        ("train", "done in 1.0 s, attempt 2", True),
    ]


def test_following_a_run_until_it_ends(tmp_path, monkeypatch):
    a, b = (task(name, "RUNNING", log=tmp_path / name, attempts=1) for name in "ab")
    (tmp_path / "a").write_text("1\n2\n3\n")
    steps = [
        ([a], "RUNNING"),
        ([replace(a, state="SUCCEEDED"), b], "RUNNING", lambda: (tmp_path / "b").write_text("4\n5\n6\n")),
        ([replace(a, state="SUCCEEDED"), replace(b, state="INTERRUPTED")], "INTERRUPTED"),
    ]
    assert [f"{label}:{line}" for label, line, about in told(steps, monkeypatch, tail=1) if not about] == [
        "a:3",
        "b:4",
        "b:5",
        "b:6",
    ], "the tail is of what was there at the beginning"
    removed = [([a], "RUNNING"), ([replace(a, state="FAILED")], "FAILED", (tmp_path / "a").unlink)]
    assert ("a", "its log was removed", True) in told(removed, monkeypatch)


GRAPH = make_graph(
    {
        "ingest": "",
        "condition-1": {"after": "ingest", "condition": "1 == 1", "inside": {"push-2": {"display": "push"}}},
        "loop": {"loop": [1], "inside": {"train": ""}},
    }
)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, Selection()),
        ("ingest", Selection(path="ingest")),
        ("push", Selection(path="condition-1/push-2")),
        ("condition-1/push-2", Selection(path="condition-1/push-2")),
        ("train", Selection(place="loop/train")),
        ("loop/train", Selection(place="loop/train")),
        ("loop[7]/train", Selection(path="loop[7]/train")),
    ],
)
def test_tasks_that_have_not_begun_are_known(text, chosen):
    assert select([], GRAPH, text) == chosen


def test_tasks_that_are_not_there():
    with pytest.raises(
        HeadraceError, match=r"expected one of the tasks ingest, push, loop/train \(did you mean ingest\?\)"
    ):
        select([], GRAPH, "ingset")
    with pytest.raises(HeadraceError, match="Received: x"):
        select([task("ingest")], None, "x")
    assert select([task("ingest")], None, "ingest") == Selection(path="ingest")
    tasks = {t.path: t for t in (task("a/x"), task("b/x"), task("c", leaf=False))}
    with pytest.raises(HeadraceError, match="expected one task. Received: 'x', which is a/x, b/x"):
        find_task(tasks, "x")
    with pytest.raises(HeadraceError, match="expected one of the tasks a/x, b/x. Received: c"):
        find_task(tasks, "c")


@pytest.fixture
def home(tmp_path):
    with contextlib.closing(Record(tmp_path)) as record:
        for started, (run_id, name) in enumerate(
            [
                ("20260101-000000-aaaa11", "churn"),
                ("20260101-000001-aaaa22", "taxi"),
                ("20260202-000000-bbbb33", "churn"),
            ]
        ):
            record.start_run(RunSummary(run_id, name, name, "RUNNING", float(started), 0.0, {}), {}, {}, myself())
        yield record


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("latest", "bbbb33"),
        ("latest~2", "aaaa11"),
        ("20260202", "bbbb33"),
        ("20260101-000001-aaaa22", "aaaa22"),
        ("bbbb", "bbbb33"),
        ("000001", "aaaa22"),
        ("churn", "bbbb33"),
        ("taxi", "aaaa22"),
    ],
)
def test_runs_by_what_people_type(home, text, found):
    assert find_run(home, text).endswith(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latest~3", "expected at least 4 runs"),
        ("aaaa", "expected one run that begins with 'aaaa'. Received: 20260101-000001-aaaa22, 20260101-000000-aaaa11"),
        ("chrun", r"did you mean churn\?"),
        ("", "Received: ''"),
        ("nothing of the kind", "Received: 'nothing of the kind'"),
    ],
)
def test_runs_that_are_not_there(home, text, said):
    with pytest.raises(RecordError, match=said):
        find_run(home, text)


def test_a_look_at_a_run_and_at_one_whose_process_died(home):
    run_id = "20260101-000000-aaaa11"
    home.save_task(run_id, 1, task("a", "RUNNING", attempts=1))
    home.save_task(run_id, 2, task("g", leaf=False))
    home.save_task(run_id, 3, task("b", cached=True, key="k"))
    tasks, state = look(home, run_id)
    assert ([(t.path, t.state) for t in tasks], state) == ([("a", "RUNNING"), ("b", "SUCCEEDED")], "RUNNING")
    assert [t.path for t in look(home, run_id, Selection(path="b"))[0]] == ["b"]
    gone = "20260303-000000-cccc44"
    home.start_run(RunSummary(gone, "x", "x", "RUNNING", 9.0, 0.0, {}), {}, {}, Owner(2**22, 1, "never"))
    home.save_task(gone, 1, task("a", "RUNNING", attempts=1))
    tasks, state = look(home, gone)
    assert (tasks[0].state, state) == ("INTERRUPTED", "INTERRUPTED")


def test_the_run_that_made_what_was_cached(home, tmp_path):
    for run_id, cached in (("20260101-000000-aaaa11", False), ("20260101-000001-aaaa22", True)):
        home.save_task(run_id, 1, task("a", key="k", cached=cached, log=None if cached else tmp_path / "a.log"))
    assert origin_of(home, task("a", key="k")) == "20260101-000000-aaaa11"
    assert origin_of(home, task("a", key="other")) is None
