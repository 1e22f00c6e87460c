"""The watcher of one machine: files that are whole, hours, their order, and what a kill leaves."""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands import watch as watch_command
from headrace.pipelines.events.handler import Handler
from headrace.pipelines.events.hours import Hours, last_hour
from headrace.pipelines.events.ledger import Ledger
from headrace.pipelines.events.local import one_rule, watch_here
from headrace.pipelines.events.looking import Folders
from headrace.pipelines.events.rules import Rules
from headrace.pipelines.events.store import SqliteStore, StoreError
from headrace.pipelines.events.watching import Watcher
from tests.unit.pipelines.events.test_event_service import Place


class Clock:
    at = 1_000_000.0

    def __call__(self):
        return self.at


def rule(name="files", **kind):
    return Rules.model_validate({"rules": [{"name": name, "pipeline": "/p.yaml", **kind}]}).rules[0]


def when(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "events.db")


@pytest.fixture
def files(inbox):
    found = rule(object={"match": f"{inbox}/**/*.csv"})
    return found.model_copy(update={"parameters": {"source": "{uri}"}})


def watcher(rules, store, place, clock, **others):
    ledger = Ledger(store, now=clock)
    folders = Folders(rules, store, settle_s=2.0, now=clock, **others)
    return Watcher(Handler(lambda: rules, ledger, place), folders, Hours(rules, store, clock()), now=clock)


def sources(place):
    return [Path(given["source"]).name for _, given, _ in place.calls]


def test_a_file_counts_once_it_has_not_changed_for_a_while(files, store, inbox):
    place, clock = Place(), Clock()
    here = watcher([files], store, place, clock)
    (inbox / "may.csv").write_text("half")
    (inbox / "june.csv.part").write_text("half")
    (inbox / ".july.csv").write_text("half")
    here.look()
    clock.at += 1.9
    (inbox / "may.csv").write_text("whole now")
    here.look()
    clock.at += 1.9
    here.look()
    assert place.calls == []
    clock.at += 0.2
    here.look()
    here.look()
    assert sources(place) == ["may.csv"]
    (inbox / "june.csv.part").rename(inbox / "june.csv")
    here.look()
    clock.at += 3
    here.look()
    assert sources(place) == ["may.csv", "june.csv"]


def test_what_was_there_before_the_first_watch_is_old_and_what_came_since_is_new(files, store, inbox):
    (inbox / "old.csv").write_text("1")
    clock = Clock()
    watcher([files], store, Place(), clock).look()
    (inbox / "new.csv").write_text("1")  # nobody watches
    place = Place()
    here = watcher([files], store, place, clock)
    for _ in range(3):
        here.look()
        clock.at += 2
    assert sources(place) == ["new.csv"]
    (inbox / "old.csv").write_text("2")
    for _ in range(3):
        here.look()
        clock.at += 2
    assert sources(place) == ["new.csv", "old.csv"]


def test_existing_files_count_where_that_is_wanted(files, store, inbox):
    (inbox / "sub").mkdir()
    (inbox / "b.csv").write_text("1")
    (inbox / "sub" / "a.csv").write_text("1")
    place, clock = Place(), Clock()
    here = watcher([files], store, place, clock, existing=True)
    for _ in range(2):
        here.look()
        clock.at += 2
    assert sources(place) == ["b.csv", "a.csv"]  # in the order in which they came
    again = watcher([files], store, place, clock, existing=True)
    for _ in range(2):
        again.look()
        clock.at += 2
    assert len(place.calls) == 2


def test_a_name_that_is_no_utf8_is_passed_over_with_one_word_and_holds_nobody_up(files, store, inbox):
    place, clock, told = Place(), Clock(), []
    odd, size = inbox / os.fsdecode(b"caf\xe9.csv"), 0
    for here in (watcher([files], store, place, clock, complain=told.append) for _ in range(2)):
        for _ in range(2):  # the second one is started anew, with the file there
            size += 1
            odd.write_text("1" * size)
            (inbox / "may.csv").write_text("1" * size)
            for _ in range(4):
                here.look()
                clock.at += 1
    assert set(sources(place)) == {"may.csv"} and {entry.state for entry in Ledger(store).entries()} == {"started"}
    assert told[0] == f"passed over: expected names in UTF-8. Received: {os.fsencode(odd)!r}"
    assert len(told) == 4  # once for each state of the file


def test_many_such_names_are_one_word(files, store, inbox):
    clock, told = Clock(), []
    here = watcher([files], store, Place(), clock, existing=True, complain=told.append)
    folder = inbox / os.fsdecode(b"\xe9t\xe9")
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.csv").write_text("1")
    for _ in range(3):
        here.look()
        clock.at += 2
    assert len(told) == 1 and told[0].endswith("0.csv', and 2 more")


def test_an_older_file_in_the_place_of_one_is_new(files, store, inbox, tmp_path):
    place, clock = Place(), Clock()
    here = watcher([files], store, place, clock)
    for text, mtime in (("1", 2_000_000_000), ("2", 1_000_000_000)):
        (tmp_path / "made").write_text(text)
        os.utime(tmp_path / "made", (mtime, mtime))
        (tmp_path / "made").rename(inbox / "may.csv")
        here.look()
        clock.at += 3
        here.look()
    assert sources(place) == ["may.csv", "may.csv"]


def test_one_star_does_not_go_down(inbox, store):
    (inbox / "sub").mkdir()
    (inbox / "sub" / "a.csv").write_text("1")
    (inbox / "b.csv").write_text("1")
    clock = Clock()
    folders = Folders([rule(object={"match": f"{inbox}/*.csv"})], store, settle_s=0, existing=True, now=clock)
    assert [event.subject for event in folders.look()] == [f"{inbox}/b.csv"]
    exact = Folders([rule("b", object={"match": f"{inbox}/sub/a.csv"})], store, settle_s=0, existing=True, now=clock)
    assert [event.subject for event in exact.look()] == [f"{inbox}/sub/a.csv"]
    none = Folders([rule("c", object={"match": f"{inbox}/nothing/*.csv"})], store, settle_s=0, now=clock)
    assert none.look() == []


def test_what_fails_is_tried_less_and_less_often_and_holds_nobody_up(files, store, inbox):
    place, clock = Place(), Clock()
    here = watcher([files], store, place, clock)
    for name in ("a.csv", "b.csv"):
        (inbox / name).write_text("1")
    here.look()
    clock.at += 2
    place.fail = 1
    assert here.look()
    assert sources(place) == ["a.csv", "b.csv"]
    clock.at += 1
    here.look()
    assert len(place.calls) == 2
    clock.at += 1.1
    assert not here.look()
    assert sources(place) == ["a.csv", "b.csv", "a.csv"]
    assert len(place.runs) == 2


def test_what_waits_for_a_place_is_not_asked_about_one_by_one(files, store, inbox):
    place, clock = Place(), Clock()
    here = watcher([files], store, place, clock)
    for number in range(5):
        (inbox / f"{number}.csv").write_text("1")
    here.look()
    clock.at += 2
    place.full = True
    assert here.look()
    assert len(store.names("starts/")) == 1
    place.full = False
    assert not here.look()
    assert len(place.calls) == 5


def test_a_ledger_that_is_away_is_told_once_and_waited_for(files, store, inbox, monkeypatch):
    place, clock, told, stop = Place(), Clock(), [], threading.Event()
    here = watcher([files], store, place, clock)
    looks = []

    def look():
        looks.append(1)
        if len(looks) < 4:
            raise StoreError("expected the ledger")
        stop.set()

    monkeypatch.setattr(here, "look", look)
    here.watch(stop, 0.001, told.append)
    assert (told, len(looks)) == (["expected the ledger"], 4)


# hours


def test_an_hour_is_due_once(store):
    nightly = rule("nightly", schedule={"cron": "0 3 * * *"})
    place, clock = Place(), Clock()
    clock.at = when("2026-11-22T02:59:58")
    here = watcher([nightly], store, place, clock)
    here.look()
    assert place.calls == []
    clock.at += 2
    here.look()
    clock.at += 1
    here.look()
    assert [(name, len(key)) for name, _, key in place.calls] == [("nightly", 24)]
    clock.at = when("2026-11-23T03:00:00.5")
    here.look()
    assert len(place.calls) == 2


@pytest.mark.parametrize(("catch_up", "starts"), [(True, 1), (False, 0)])
def test_of_hours_that_were_missed_the_latest_is_made_up_for(store, catch_up, starts):
    nightly = rule("nightly", schedule={"cron": "0 3 * * *", "catch_up": catch_up})
    clock = Clock()
    clock.at = when("2026-11-20T12:00:00")
    watcher([nightly], store, Place(), clock).look()
    place = Place()
    clock.at = when("2026-11-22T12:00:00")
    for _ in range(2):  # also of a watcher that is started anew
        watcher([nightly], store, place, clock).look()
    assert len(place.calls) == starts


def test_a_schedule_that_is_new_has_missed_nothing(store):
    clock, place = Clock(), Place()
    clock.at = when("2026-11-22T12:00:00")
    watcher([rule("nightly", schedule={"cron": "0 3 * * *"})], store, place, clock).look()
    changed = rule("nightly", schedule={"cron": "0 4 * * *"})
    watcher([changed], store, place, clock).look()
    assert place.calls == []


def test_hours_are_those_of_their_time_zone():
    zurich = rule("z", schedule={"cron": "30 2 * * *", "timezone": "Europe/Zurich"})
    cases = {
        "2026-07-01T12:00:00": "2026-07-01T00:30:00",
        "2026-01-10T12:00:00": "2026-01-10T01:30:00",
        "2026-10-25T12:00:00": "2026-10-25T00:30:00",  # the hour is there twice, and counts once
    }
    for now, wanted in cases.items():
        assert last_hour(zurich, when(now)).timestamp() == when(wanted), now
    spring = last_hour(zurich, when("2026-03-29T12:00:00"))  # the hour is not there, and is made up for
    assert when("2026-03-29T00:30:00") <= spring.timestamp() <= when("2026-03-29T01:30:00")


# the command


def test_options_make_a_rule(tmp_path):
    spec = tmp_path / "My Churn" / "spec.yaml"
    spec.parent.mkdir()
    spec.touch()
    made = one_rule(spec, tmp_path, "*.csv", "", "UTC", {"n": "3"})
    assert (made.name, made.pipeline) == ("my-churn", str(spec))
    assert made.object.match == f"{tmp_path}/*.csv"
    assert made.parameters == {"source": "{uri}", "n": "3"}
    assert one_rule(spec, None, "*", "0 3 * * *", "UTC", {}).parameters == {}
    with pytest.raises(HeadraceError, match="expected five fields"):
        one_rule(spec, None, "*", "3", "UTC", {})
    with pytest.raises(HeadraceError, match="expected a time zone"):
        one_rule(spec, None, "*", "0 3 * * *", "Moon", {})


def test_once_starts_what_is_there_and_leaves(files, store, inbox, tmp_path):
    place, said = Place(), []
    for name in ("a.csv", "b.csv"):
        (inbox / name).write_text("1")
    asked = Rules.model_validate({"rules": [{"name": "asked", "pipeline": "p", "message": {}}]}).rules[0]
    done = watch_here(
        [files, asked],
        store,
        tmp_path / "home",
        say=said.append,
        settle_s=0.01,
        existing=True,
        once=True,
        starter=place,
    )
    assert done and sources(place) == ["a.csv", "b.csv"]
    assert any("asked: messages come by HTTP" in line for line in said)
    with pytest.raises(HeadraceError, match="expected a rule with a folder"):
        watch_here([asked], store, tmp_path, say=said.append)


def test_the_command_lists_what_was_started_and_what_could_not_be(tmp_path, monkeypatch):
    monkeypatch.delenv("HEADRACE_EVENTS_LEDGER", raising=False)
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path))
    from headrace.pipelines.events.event import Event

    ledger = Ledger(SqliteStore(tmp_path / "events.db"))
    ledger.started(ledger.claim("files", Event("object", "e", "b", "/in/a.csv", 1)), "run-1")
    bad = Event("object", "e", "b", "/in/b.csv", 1)
    key = ledger.buried(ledger.claim("files", bad), bad, "no such thing")
    ask = CliRunner().invoke
    home = ["--home", str(tmp_path)]
    assert "run-1" in ask(watch_command.command, ["--started", *home]).output
    listed = ask(watch_command.command, ["--dead", *home]).output
    assert key in listed and "no such thing" in listed
    assert '"error": "no such thing"' in ask(watch_command.command, ["--dead", "--json", *home]).output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "expected RULES or SPEC"),
        (["spec.yaml", "--folder", "."], "no file spec.yaml"),
        (["x", "-p", "a=b"], "--param: expected a SPEC"),
        (["x", "--folder", ".", "--schedule", "0 3 * * *"], "Received: both"),
    ],
)
def test_words_that_do_not_fit_are_refused(tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(watch_command.command, [*words, "--home", str(tmp_path / "home")])
    assert answer.exit_code == 2 and told in answer.output
