"""The ledger: one start for each event, whoever asks, however often, in whatever order."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.event import Event
from headrace.pipelines.events.ledger import BUSY, CLAIMED, DONE, OLDER, SPENT, Ledger
from headrace.pipelines.events.store import GcsStore, SqliteStore, StoreError, open_store


def event(generation=1, subject="gs://raw/may.csv"):
    return Event("object", f"id-{generation}", "gs://raw", subject, generation)


class Clock:
    at = 1000.0

    def __call__(self):
        return self.at


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path):
    return SqliteStore(tmp_path / "events.db")


@pytest.fixture
def ledger(store, clock):
    return Ledger(store, lease_s=240, attempts=3, now=clock)


def test_documents_change_only_as_they_were_read(store):
    assert store.read("a/b") is None
    assert not store.write("a/b", b"1", 7)
    assert store.write("a/b", b"1", 0)
    assert not store.write("a/b", b"2", 0)
    content, version = store.read("a/b")
    assert content == b"1"
    assert store.write("a/b", b"2", version) and not store.write("a/b", b"3", version)
    assert store.names("a/") == ["a/b"] and store.names("b") == []
    latest = store.read("a/b")[1]
    assert not store.remove("a/b", version) and store.remove("a/b", latest)
    assert store.write("a/b", b"4", 0)
    assert store.read("a/b")[1] > latest  # an old reader cannot take the new document for the one it knows


def test_another_file_is_no_ledger(tmp_path):
    (tmp_path / "x.db").write_text("something else, long enough to be looked at" * 20)
    with pytest.raises(StoreError, match="expected a ledger"):
        SqliteStore(tmp_path / "x.db").read("a")
    for uri in ("s3://a/b", "gs://", "sqlite://x", ""):
        with pytest.raises(HeadraceError, match="expected gs://"):
            open_store(uri)
    assert isinstance(open_store("gs://b/f"), GcsStore)


def test_an_event_is_started_once(ledger):
    claim = ledger.claim("r", event())
    assert claim.state == CLAIMED
    assert ledger.claim("r", event()).state == BUSY
    ledger.started(claim, "run-1", "http://there")
    again = ledger.claim("r", event())
    assert (again.state, again.entry.run["id"]) == (DONE, "run-1")
    assert ledger.claim("other-rule", event()).state == CLAIMED
    assert ledger.claim("r", event(subject="gs://raw/june.csv")).state == CLAIMED


def test_a_newer_generation_is_another_event_and_an_older_one_none(ledger):
    ledger.started(ledger.claim("r", event(5)), "run-5")
    assert ledger.claim("r", event(3)).state == OLDER
    claim = ledger.claim("r", event(7))
    assert claim.state == CLAIMED
    ledger.started(claim, "run-7")
    [entry] = ledger.entries()
    assert (entry.generation, entry.run["id"]) == (7, "run-7")
    assert entry.before == ({"generation": 5, "state": "started", "run": {"id": "run-5", "url": ""}},)


def test_a_start_that_was_overtaken_is_remembered(ledger):
    slow = ledger.claim("r", event(5))
    ledger.started(ledger.claim("r", event(6)), "run-6")
    ledger.started(slow, "run-5")
    ledger.ended(slow, "SUCCEEDED")
    [entry] = ledger.entries()
    assert entry.run["id"] == "run-6"
    [before] = entry.before
    assert (before["state"], before["run"]) == ("started", {"id": "run-5", "url": "", "end": "SUCCEEDED"})


def test_a_claim_of_a_dead_process_ends_by_itself(ledger, clock):
    first = ledger.claim("r", event())
    clock.at += 239
    assert ledger.claim("r", event()).state == BUSY
    clock.at += 2
    second = ledger.claim("r", event())
    assert (second.state, second.entry.attempt) == (CLAIMED, 2)
    assert first.key == second.key  # by which the place finds what the first may have started
    ledger.failed(first, "too late to count")  # it was not dead after all
    assert ledger.claim("r", event()).state == BUSY


def test_attempts_are_counted_and_what_was_given_back_is_not(ledger):
    for _ in range(5):
        ledger.returned(ledger.claim("r", event()))
    for attempt in (1, 2, 3):
        claim = ledger.claim("r", event())
        assert (claim.state, claim.entry.attempt, ledger.last(claim)) == (CLAIMED, attempt, attempt == 3)
        ledger.failed(claim, f"no {attempt}")
    spent = ledger.claim("r", event())
    assert (spent.state, spent.entry.error) == (SPENT, "no 3")


def test_a_dead_letter_is_kept_listed_and_revived(ledger):
    claim = ledger.claim("r", event())
    ledger.buried(claim, event(), "no such field")
    assert ledger.claim("r", event()).state == DONE
    [(key, letter)] = ledger.dead()
    assert (key, letter["rule"], letter["error"]) == (claim.key, "r", "no such field")
    assert ledger.revive(key) == ("r", event())
    assert ledger.dead() == []
    assert ledger.claim("r", event()).entry.attempt == 1
    with pytest.raises(HeadraceError, match="expected a dead letter"):
        ledger.revive(key)


def test_the_end_of_a_short_run_may_come_first(ledger):
    claim = ledger.claim("r", event())
    ledger.ended(claim, "FAILED")
    ledger.started(claim, "run-1")
    assert ledger.entries()[0].run == {"id": "run-1", "url": "", "end": "FAILED"}


def test_of_many_at_once_one_wins(store):
    barrier = threading.Barrier(8)

    def ask(_):
        mine = Ledger(store)
        barrier.wait()
        return mine.claim("r", event()).state

    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(ask, range(8)))
    assert sorted(states) == [BUSY] * 7 + [CLAIMED]


def test_a_write_whose_answer_was_lost_is_ours(ledger, store, monkeypatch):
    real = store.write

    def lost(name, content, version):  # it comes through, and a repetition finds it changed
        real(name, content, version)
        return False

    monkeypatch.setattr(store, "write", lost)
    assert ledger.claim("r", event()).state == CLAIMED


def test_an_entry_that_nobody_can_read_starts_nothing(ledger, store):
    ledger.started(ledger.claim("r", event()), "run")
    [name] = store.names("starts/")
    store.write(name, b'{"format": 9}', store.read(name)[1])
    with pytest.raises(HeadraceError, match="expected an entry of format 1"):
        ledger.claim("r", replace(event(), generation=9))
