"""The audit log's chain: what is changed in it, or beside it in the tables, is found."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from multiprocessing import synchronize
from pathlib import Path

import pytest

from headrace.platforms.audit_chain import FIRST, chained, verify_chain
from headrace.platforms.interface import Blessing, Deployed, Event, ModelSettings
from headrace.platforms.local.database import FILE
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle


def log(count: int = 5) -> list[Event]:
    events, before = [], FIRST
    for number in range(count):
        detail = {"version": number, "reason": 'ä "quoted"', "nested": {"b": [1, None], "a": True}}
        event = chained(Event(f"2026-{number}", "anna@desk", "approve", "homes", "run", detail), before)
        events.append(event)
        before = event.hash
    return events


def test_a_whole_chain_is_whole() -> None:
    events = log()
    audit = verify_chain(events)
    assert (audit.entries, audit.head, audit.problems, audit.intact) == (5, events[-1].hash, (), True)
    assert events[0].before == FIRST
    assert len({event.hash for event in events}) == 5
    empty = verify_chain([])
    assert (empty.entries, empty.head, empty.intact) == (0, "", True)


@pytest.mark.parametrize("field", ["time", "actor", "action", "subject", "run", "detail", "before", "hash"])
@pytest.mark.parametrize("number", range(5))
def test_each_change_is_found(field: str, number: int) -> None:
    events = log()
    events[number] = replace(events[number], **{field: {"version": 9} if field == "detail" else "x" * 64})  # type: ignore[arg-type]
    problems = verify_chain(events).problems
    assert problems
    assert problems[0].startswith((f"entry {number + 1} (", f"entry {number + 2} ("))


@pytest.mark.parametrize("number", range(4))
def test_an_entry_that_was_left_out_or_moved_is_found(number: int) -> None:
    events = log()
    assert verify_chain([*events[:number], *events[number + 1 :]]).problems
    assert verify_chain([*events[:number], events[number + 1], events[number], *events[number + 2 :]]).problems
    assert verify_chain([*events[: number + 1], *events[number:]]).problems


def test_a_log_that_was_made_anew_or_cut_is_found_by_a_head_kept_elsewhere() -> None:
    events = log()
    head = events[3].hash
    assert verify_chain(events, head).intact
    assert verify_chain(events, head[:12]).intact
    cut = verify_chain(events[:3], head)
    assert cut.problems == (f"expected an entry with the hash {head[:12]}. Received: none in 3 entries",)
    anew, before = [], FIRST
    for event in events:
        anew.append(chained(replace(event, actor="mallory@desk"), before))
        before = anew[-1].hash
    assert verify_chain(anew).intact
    assert verify_chain(anew, head).problems
    assert verify_chain(events, head[:8]).problems  # too short to prove anything


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    platform = LocalPlatform(tmp_path / "home")
    for seed in (1, 2):
        bundle = write_bundle(tmp_path / str(seed), seed)
        platform.registry.register(bundle, "homes", metrics={}, run="r", blessing=Blessing(None),
                                   settings=ModelSettings(0, "prices"), who="trainer")  # fmt: skip
    platform.registry.approve("homes", "2", who="anna", reason="good")
    platform.endpoints.deploy("prices", "homes", "1")
    platform.registry.set_alias("homes", "stable", "1")
    platform.registry.attach("homes", "1", "card.html", b"card")
    assert platform.registry.verify().problems == ()
    return platform


TAMPERING = {
    "UPDATE alias SET version = 2 WHERE alias = 'champion'": "the champion of homes: expected 1, as the log says. Received: 2",
    "UPDATE deployed SET version = 2": "the version behind prices: expected homes 1, as the log says. Received: homes 2",
    "UPDATE alias SET version = 1 WHERE alias = 'challenger'":
        "the alias homes:challenger: expected 2, as the log says. Received: 1",
    "UPDATE alias SET version = 2 WHERE alias = 'stable'": "the alias homes:stable: expected 1, as the log says. Received: 2",
    "DELETE FROM alias WHERE alias = 'stable'": "the alias homes:stable: expected 1, as the log says. Received: none",
    "INSERT INTO alias VALUES ('homes', 'best', 2, '')": "the alias homes:best: expected none, as the log says. Received: 2",
    "UPDATE approval SET who = 'bo'": "the approvals of homes:2: expected anna: good, as the log says. Received: bo: good",
    "UPDATE approval SET reason = 'x'": "the approvals of homes:2: expected anna: good, as the log says. Received: anna: x",
    "UPDATE approval SET actor = 'bo@desk'": "the accounts behind the approvals of homes:2: expected ",
    "INSERT INTO approval (name, version, who, reason, time, actor) VALUES ('homes', 1, 'bo', 'x', '', '')":
        "the approvals of homes:1: expected none, as the log says. Received: bo: x",
    "UPDATE standing SET ended = 'rejected' WHERE version = 2": "the end of homes:2: expected none, as the log says",
    "UPDATE standing SET blessed = 0 WHERE version = 2": "the blessing of homes:2: expected 1, as the log says. Received: 0",
    "UPDATE model SET approvals = 2": "the approvals that are asked for of homes: expected 0, as the log says. Received: 2",
    "DROP TRIGGER version_is_immutable; UPDATE model_version SET digest = 'sha256:x' WHERE version = 2":
        "the digest of homes:2: expected sha256:",
    "DROP TRIGGER document_is_immutable; UPDATE document SET digest = 'sha256:x'":
        "the document homes:1:card.html: expected sha256:",
    "INSERT INTO deployment (id, endpoint, model, version, time) VALUES (-1, 'prices', 'homes', 2, '')":
        "what was served as number 1:prices: expected homes 1, as the log says. Received: homes 2",
    "UPDATE deployment SET undone = 1": "what was served as number 1:prices: expected homes 1, as the log says. Received: none",
    "INSERT INTO deployed VALUES ('prices', 'homes', 2, 100, '')":
        "the version behind prices: expected homes 1, as the log says. Received: homes 1 homes 2",
    "INSERT INTO shadow VALUES ('prices', 'homes', 2, '')":
        "the version prices:homes:2: expected none, as the log says. Received: a shadow",
    "INSERT INTO split VALUES ('prices', 1, '', 'x', '[[1, 100]]')":
        "the split of prices: expected none, as the log says. Received: 1  x",
    "UPDATE deployed SET traffic = 50": "the version behind prices: expected homes 1, as the log says. Received: homes 1 with 50",
    "DROP TRIGGER version_is_immutable; UPDATE model_version SET registered_by = 'bo' WHERE version = 2":
        "who registered homes:2: expected trainer, as the log says. Received: bo",
    "UPDATE standing SET judged_against = 'sha256:x' WHERE version = 2":
        "the champion that was judged against homes:2: expected none, as the log says. Received: sha256:x",
    "UPDATE model SET endpoint = 'other'": "the endpoint meant for homes: expected prices, as the log says. Received: other",
    **{f"DROP TRIGGER version_is_immutable; UPDATE model_version SET {column} = '{value}' WHERE version = 2":
        "the metrics and labels of homes:2: expected sha256:"
        for column, value in (("metrics", '{"rmse": 0}'), ("labels", "no json"), ("run", "other"), ("created", "2020"))},
    "DROP TRIGGER audit_is_immutable; UPDATE audit SET detail = '{\"version\": NaN}' WHERE id = 3":
        "entry 3 (",
    "DROP TRIGGER audit_is_immutable; UPDATE audit SET detail = '{\"version\": \"\\ud800\"}' WHERE id = 3": "entry 3 (",
    "DROP TRIGGER audit_is_immutable; UPDATE audit SET actor = 'bo@desk' WHERE id = 2": "entry 2 (",
    "DROP TRIGGER audit_is_immutable; UPDATE audit SET detail = 'no json' WHERE id = 3": "entry 3 (",
    "DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE id = 3": "entry 3 (",
    "DROP TRIGGER audit_is_kept; DELETE FROM audit WHERE id = 6": "the document homes:1:card.html: expected none",
}  # fmt: skip


@pytest.mark.parametrize("script", TAMPERING)
def test_what_is_changed_in_the_file_is_found(platform: LocalPlatform, tmp_path: Path, script: str) -> None:
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        connection.executescript(script)
    problems = platform.registry.verify().problems
    assert any(problem.startswith(TAMPERING[script]) for problem in problems), problems


OLD = """
PRAGMA application_id = 0x48524143; PRAGMA user_version = 1; PRAGMA journal_mode = WAL;
CREATE TABLE model_version (name TEXT NOT NULL, version INTEGER NOT NULL, digest TEXT NOT NULL, created TEXT NOT NULL,
    run TEXT NOT NULL, metrics TEXT NOT NULL, labels TEXT NOT NULL, PRIMARY KEY (name, version), UNIQUE (name, digest)) STRICT;
CREATE TABLE alias (name TEXT NOT NULL, alias TEXT NOT NULL, version INTEGER NOT NULL, updated TEXT NOT NULL,
    PRIMARY KEY (name, alias), FOREIGN KEY (name, version) REFERENCES model_version (name, version)) STRICT;
CREATE TABLE deployed (endpoint TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL,
    traffic INTEGER NOT NULL CHECK (traffic BETWEEN 1 AND 100), updated TEXT NOT NULL, PRIMARY KEY (endpoint, model, version),
    FOREIGN KEY (model, version) REFERENCES model_version (name, version)) STRICT;
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, run TEXT NOT NULL, detail TEXT NOT NULL) STRICT;
CREATE INDEX audit_subject ON audit (subject, id);
CREATE TRIGGER version_is_immutable BEFORE UPDATE ON model_version
    BEGIN SELECT RAISE(ABORT, 'a registered version is immutable'); END;
CREATE TRIGGER version_is_kept BEFORE DELETE ON model_version
    BEGIN SELECT RAISE(ABORT, 'a registered version is kept'); END;
CREATE TRIGGER audit_is_immutable BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;
"""


def write_old_home(home: Path) -> None:
    """A home of format 1: two versions that were served one after the other, and one that never was."""
    home.mkdir()
    judged = json.dumps({"dataset": "sha256:data", "split": "test", "task": "regression"})
    with closing(sqlite3.connect(home / FILE)) as connection:
        connection.executescript(OLD)
        for version in (1, 2, 3, 4):
            labels = "{}" if version == 4 else judged  # the fourth was put there by a script of somebody's
            values = ("homes", version, f"sha256:{version}", f"2026-0{version}", "r", '{"rmse": 1.5}', labels)
            connection.execute("INSERT INTO model_version VALUES (?, ?, ?, ?, ?, ?, ?)", values)
            detail = json.dumps({"version": version, "new": True, "digest": f"sha256:{version}"})
            _old_event(connection, "register", "homes", detail)
        for version in (1, 2):
            detail = {"model": "homes", "version": version, "traffic": 100, "before": [], "champion": None}
            _old_event(connection, "deploy", "prices", json.dumps(detail))
        connection.execute("INSERT INTO alias VALUES ('homes', 'champion', 2, '2026')")
        connection.execute("INSERT INTO deployed VALUES ('prices', 'homes', 2, 100, '2026')")
        connection.commit()


def _old_event(connection: sqlite3.Connection, action: str, subject: str, detail: str) -> None:
    query = "INSERT INTO audit (time, actor, action, subject, run, detail) VALUES ('2026', 'eva@desk', ?, ?, 'r', ?)"
    connection.execute(query, (action, subject, detail))


def test_a_pile_is_held_against_the_log_after_rollbacks_too(platform: LocalPlatform, tmp_path: Path) -> None:
    for version in ("2", "2", "1", "2"):
        platform.endpoints.deploy("prices", "homes", version)
    platform.endpoints.rollback("prices", who="anna", reason="slow")
    platform.registry.transition("homes", "2", "blessed", who="anna", reason="it was not its fault")
    platform.endpoints.deploy("other", "homes", "2")
    assert platform.registry.verify().problems == ()
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        connection.executescript("UPDATE deployment SET undone = 0")
    problems = platform.registry.verify().problems  # version 2 that was deployed twice, and what was rolled back
    for number, told, found in ((3, "homes 1", "homes 2"), (4, "none", "homes 1"), (5, "none", "homes 2")):
        expected = f"what was served as number {number}:prices: expected {told}, as the log says. Received: {found}"
        assert any(problem.startswith(expected) for problem in problems), problems
    assert len(problems) == 3


def test_what_an_earlier_version_wrote_into_the_log_still_holds(tmp_path: Path) -> None:
    """Entries without `facts`, `endpoint` and `champion_after`, as they were before these were written."""
    platform = LocalPlatform(tmp_path / "home")
    for seed in (1, 2):
        bundle = write_bundle(tmp_path / str(seed), seed)
        platform.registry.register(bundle, "homes", metrics={"rmse": 1}, run="r", blessing=Blessing(None))
        platform.endpoints.deploy("prices", "homes", str(seed))
    platform.endpoints.rollback("prices", who="anna", reason="slow")
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        connection.executescript("DROP TRIGGER audit_is_immutable; UPDATE audit SET hash = id")
        before = FIRST
        for number, event in enumerate(platform.registry.history(), start=1):
            older = {
                key: value for key, value in event.detail.items() if key not in ("facts", "endpoint", "champion_after")
            }
            assert older != event.detail or event.action == "deploy"
            told = chained(replace(event, detail=older), before)
            connection.execute("UPDATE audit SET detail = ?, before = ?, hash = ? WHERE id = ?",
                               (json.dumps(older), told.before, told.hash, number))  # fmt: skip
            before = told.hash
        connection.commit()
    assert platform.registry.verify().problems == ()


def test_a_home_of_the_older_format_goes_on(tmp_path: Path) -> None:
    write_old_home(tmp_path / "home")
    platform = LocalPlatform(tmp_path / "home")
    versions = platform.registry.versions("homes")
    assert [item.state for item in versions] == ["blessed", "live", "blessed", "candidate"]
    assert {item.registered_by for item in versions} == {"eva"}
    assert versions[1].aliases == ("champion",)
    assert versions[1].metrics == {"rmse": 1.5}
    audit = platform.registry.verify()
    assert (audit.problems, audit.entries) == ((), 7)
    last = platform.registry.history()[-1]
    assert (last.action, last.detail) == ("migrate", {"from": 1, "to": 2, "entries": 6})
    assert platform.endpoints.rollback("prices", who="anna", reason="slow").version == "1"
    assert platform.registry.verify().problems == ()
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        for statement in ("UPDATE audit SET actor = 'x'", "DELETE FROM audit", "UPDATE model_version SET digest = 'x'"):
            with pytest.raises(sqlite3.IntegrityError):
                connection.execute(statement)


def test_aliases_of_an_older_home_are_as_they_were_found_until_the_log_tells_of_them(tmp_path: Path) -> None:
    write_old_home(tmp_path / "home")
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        for alias, version in (("challenger", 3), ("stable", 1)):
            connection.execute("INSERT INTO alias VALUES ('homes', ?, ?, '2026')", (alias, version))
            _old_event(connection, "alias", "homes", json.dumps({"alias": alias, "version": version, "before": None}))
        _old_event(connection, "deploy", "b", json.dumps({"model": "homes", "version": 3, "traffic": 100}))
        _old_event(connection, "deploy", "b", json.dumps({"model": "homes", "version": 2, "traffic": 100}))
        connection.execute("INSERT INTO deployed VALUES ('b', 'homes', 2, 100, '2026')")
        connection.commit()
    platform = LocalPlatform(tmp_path / "home")
    assert platform.registry.get("homes", "challenger").version == "3"  # deploying did not take it away then
    assert platform.registry.verify().problems == ()
    platform.endpoints.deploy("prices", "homes", "3")
    platform.registry.set_alias("homes", "stable", "2")
    assert platform.registry.verify().problems == ()
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        connection.executescript("UPDATE alias SET version = 1 WHERE alias = 'stable'")
    (problem,) = platform.registry.verify().problems
    assert problem.startswith("the alias homes:stable: expected 2, as the log says. Received: 1")


def test_a_home_of_format_2_goes_on_and_can_be_split(tmp_path: Path) -> None:
    platform = LocalPlatform(tmp_path / "home")
    for seed in (1, 2):
        bundle = write_bundle(tmp_path / str(seed), seed)
        platform.registry.register(bundle, "homes", metrics={"rmse": 1}, run="r", blessing=Blessing(None))
        platform.endpoints.deploy("prices", "homes", str(seed))
    entries = platform.registry.history()
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:  # all that format 3 added
        connection.executescript("DROP TABLE split; DROP TABLE shadow; PRAGMA user_version = 2")
    platform = LocalPlatform(tmp_path / "home")
    assert platform.endpoints.get("prices").deployed == (Deployed("homes", "2", 100),)  # type: ignore[union-attr]
    assert platform.registry.history() == entries
    parts = [Deployed("homes", "2", 90), Deployed("homes", "1", 10)]
    assert platform.endpoints.split("prices", parts).split is not None
    assert platform.endpoints.rollback("prices", who="anna", reason="slow").version == "2"
    assert platform.registry.verify().problems == ()
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


def _open(home: Path, start: synchronize.Event) -> None:
    start.wait()
    assert LocalPlatform(home).registry.champion("homes") is not None


def test_of_processes_that_open_an_older_home_at_once_one_brings_it_up_to_date(tmp_path: Path) -> None:
    write_old_home(tmp_path / "home")
    context = multiprocessing.get_context("fork")
    start = context.Event()
    children = [context.Process(target=_open, args=(tmp_path / "home", start)) for _ in range(8)]
    for child in children:
        child.start()
    start.set()
    for child in children:
        child.join()
        assert child.exitcode == 0
    registry = LocalPlatform(tmp_path / "home").registry
    assert [event.action for event in registry.history()].count("migrate") == 1
    assert registry.verify().problems == ()


def test_an_older_home_that_cannot_be_brought_up_to_date_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_old_home(tmp_path / "home")
    kill: Callable[..., None] = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)  # noqa: E731
    monkeypatch.setattr("headrace.platforms.local.schema._tell_what_was", kill)
    with pytest.raises(KeyboardInterrupt):
        LocalPlatform(tmp_path / "home").registry.models()
    with closing(sqlite3.connect(tmp_path / "home" / FILE)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM audit").fetchone() == (6,)
    monkeypatch.undo()
    assert LocalPlatform(tmp_path / "home").registry.models() == ["homes"]
