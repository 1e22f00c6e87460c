"""The loop between a source and a sink: what cannot be reached, what is lost, what is stopped."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming import consume as loop
from headrace.serving.streaming.counted import Counted, listen
from headrace.serving.streaming.message import Lost, Message, Record, Route, Unavailable, in_turn
from headrace.serving.streaming.place import parse
from headrace.serving.streaming.route import Asked, open_route


class Places:
    """A source and a sink in memory, and a model that repeats what it is told."""

    def __init__(self, count: int, fail: Callable[[str, int], Exception | None] = lambda what, call: None) -> None:
        self.name = "memory"
        self.left = [Message(str(number), b"{}") for number in range(count)]
        self.stored: list[str] = []
        self.acknowledged: list[str] = []
        self.calls: list[str] = []
        self.unseen = 0
        self._fail = fail

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if error := self._fail(what, self.calls.count(what)):
            raise error

    def read(self, most: int, seconds: float) -> list[Message]:
        self._called("read")
        if not self.left:
            raise EOFError
        taken, self.left = self.left[:most], self.left[most:]
        return taken

    def write(self, records: Sequence[Record]) -> int:
        self._called("write")
        self.stored += [record.message.id for record in records]
        return 0

    def done(self, messages: Sequence[Message]) -> None:
        self._called("done")
        self.acknowledged += [message.id for message in messages]

    def keep(self, messages: Sequence[Message]) -> None:
        self._called("keep")

    def waiting(self) -> int | None:
        return len(self.left)

    def close(self) -> None:
        self.calls.append("close")

    def records(self, messages: Sequence[Message]) -> list[Record]:
        return [Record(message, b"answer") for message in messages]


def consumed(places: Places, most: int = 4, stop: threading.Event | None = None) -> Counted:
    counted: Any = Counted()
    model: Any = places
    route = Route(places, places, in_turn(places, places), "")
    loop.consume(route, lambda: model, counted, stop or threading.Event(), most)
    return counted


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(loop, "LONGEST_PAUSE", 0.002)
    monkeypatch.setattr(loop, "KEEP_SECONDS", 0.0)


def test_all_are_stored_in_order_before_they_are_done() -> None:
    places = Places(10)
    counted = consumed(places)
    assert places.stored == places.acknowledged == [str(number) for number in range(10)]
    assert [call for call in places.calls if call != "read"] == ["write", "done"] * 3
    assert (counted.scored, counted.dead, counted.in_flight) == (10, 0, 0)


def test_while_the_sink_takes_nothing_nothing_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    places = Places(8, lambda what, call: Unavailable("sink: gone.") if what == "write" and call < 6 else None)
    counted = consumed(places)
    assert places.stored == [str(number) for number in range(8)]
    assert places.calls.index("read") < places.calls.index("write")
    first = places.calls[: places.calls.index("done")]
    assert first.count("read") == 1  # and what was read is kept
    assert first.count("keep") == 5
    assert counted.unavailable == {"source": 0, "sink": 5}
    said = capsys.readouterr().err.splitlines()
    assert said == ["headrace: sink: gone; trying again until it does", "headrace: source and sink answer again"]


def test_while_the_sink_takes_nothing_it_is_told_how_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOOK_SECONDS", 600.0)  # between batches nobody looks
    places = Places(8, lambda what, call: Unavailable("sink: gone.") if what == "write" and call < 3 else None)
    told: list[int] = []
    waiting = places.waiting
    monkeypatch.setattr(places, "waiting", lambda: told.append(waiting() or 0) or waiting())
    assert consumed(places, most=8).waiting == 0
    assert told == [8, 0, 0]  # before the first batch, and at each attempt to store it


def test_a_source_that_is_gone_for_a_while() -> None:
    places = Places(3, lambda what, call: Unavailable("gone") if what == "read" and call < 4 else None)
    counted = consumed(places)
    assert counted.unavailable["source"] == 3
    assert len(places.acknowledged) == 3


def test_a_lost_batch_is_not_counted_and_the_next_is_read() -> None:
    places = Places(8, lambda what, call: Lost("taken over") if what == "done" and call == 1 else None)
    counted = consumed(places)
    assert (counted.lost, counted.scored) == (1, 4)


def test_what_trying_again_does_not_mend_ends_it() -> None:
    places = Places(8, lambda what, call: HeadraceError("no such topic") if what == "write" else None)
    with pytest.raises(HeadraceError, match="no such topic"):
        consumed(places)
    assert places.acknowledged == []


def test_a_stop_finishes_the_batch_in_flight() -> None:
    stop = threading.Event()

    def fail(what: str, call: int) -> None:
        if what == "write":
            stop.set()

    places = Places(8, fail)
    consumed(places, 4, stop)
    assert places.acknowledged == ["0", "1", "2", "3"]
    assert len(places.left) == 4


def test_a_stop_while_the_sink_is_gone_leaves_the_batch_to_others(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()

    def fail(what: str, call: int) -> Exception | None:
        if what == "write" and call == 3:
            stop.set()
        return Unavailable("gone") if what == "write" else None

    places = Places(8, fail)
    consumed(places, 4, stop)
    assert places.acknowledged == []
    assert "they are delivered again" in capsys.readouterr().err


def test_the_page_of_numbers() -> None:
    counted = consumed(Places(10))
    counted.serves('na"me', "3", "sha256:1")
    url = listen(counted, "127.0.0.1", 0)
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    assert 'headrace_stream_messages_total{outcome="answered"} 10' in page
    assert 'headrace_stream_batch_messages_bucket{le="5"} 3' in page
    assert 'headrace_stream_model_info{model="na\\"me",version="3",digest="sha256:1"} 1' in page
    assert "headrace_stream_lag 10\n" in page
    for line in page.splitlines():
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0
    with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
        assert answer.status == 200
    counted._turned -= 61
    with pytest.raises(urllib.error.HTTPError, match="503"):
        urllib.request.urlopen(f"{url}/health", timeout=5)
    with pytest.raises(HeadraceError, match="metrics port: expected a free port"):
        listen(counted, "127.0.0.1", int(url.rpartition(":")[2]))


PLACES = [
    ("redis://h:6379/0/events", ("redis", "h:6379", "events", "", "redis://h:6379/0/events")),
    ("rediss://u:p%40@h/2/a/b", ("rediss", "h", "a/b", "u:p%40", "rediss://h/2/a/b")),
    ("kafka://a:1,b:2/t", ("kafka", "a:1,b:2", "t", "", "kafka://a:1,b:2/t")),
    ("pubsub://project/name", ("pubsub", "project", "name", "", "pubsub://project/name")),
    ("-", ("jsonl", "", "-", "", "-")),
    ("x/y.jsonl", ("jsonl", "", "x/y.jsonl", "", "x/y.jsonl")),
]


@pytest.mark.parametrize(("text", "wanted"), PLACES, ids=[text for text, _ in PLACES])
def test_addresses(text: str, wanted: tuple[str, ...]) -> None:
    place = parse(text, "source")
    assert (place.scheme, place.address, place.name, place.user, place.shown) == wanted
    assert "p%40" not in place.shown + repr(place)


WRONG = [
    ("events", "expected redis://HOST"),
    ("amqp://h/x", "Received: the scheme 'amqp'"),
    ("redis://h/events", "Received: 'events' as the database"),
    ("redis://h:1/0/", "expected redis://HOST"),
    ("redis://:6379/0/x", "expected HOST or HOST:PORT"),
    ("redis://h:x/0/x", "expected HOST or HOST:PORT"),
    ("redis://h/0/x?feild=a", "expected of the options field, maxlen, remember. Received: 'feild'"),
    ("kafka://secret:word@h/t", "expected no user in kafka://"),
    ("kafka://h:9092", "expected redis://HOST"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text for text, _ in WRONG])
def test_wrong_addresses(text: str, message: str) -> None:
    with pytest.raises(HeadraceError) as caught:
        parse(text, "source")
    assert message in str(caught.value)
    assert "word" not in str(caught.value)


def test_three_places() -> None:
    same = "redis://127.0.0.1:1/0/"
    for sink, dead in (("a", "c"), ("b", "a"), ("b", "b")):
        with pytest.raises(HeadraceError, match="expected three places"):
            open_route(Asked(source=f"{same}a", sink=same + sink, dead=dead, group="g"))
