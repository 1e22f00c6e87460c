"""Kafka, against librdkafka's own mock broker: the real protocol over TCP, in this process.

It knows groups and transactions but hides nothing of one that was aborted: for that, and for processes that are killed,
name a broker in HEADRACE_TEST_KAFKA (host:port).
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Record, Unavailable
from headrace.serving.streaming.route import AT_LEAST_ONCE, EXACTLY_ONCE, Asked, open_route
from tests.integration.serving.streams import instance, killed_at_random, start, stopped, streaming, until

GIVEN = os.environ.get("HEADRACE_TEST_KAFKA")
REAL = pytest.mark.skipif(
    not GIVEN, reason="librdkafka's mock broker does not do as brokers do here; name one in HEADRACE_TEST_KAFKA"
)


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    if GIVEN:
        yield GIVEN
        return
    from confluent_kafka import Producer

    holder = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    (one,) = holder.list_topics(timeout=10).brokers.values()
    yield f"{one.host}:{one.port}"


@pytest.fixture
def name(broker: str) -> str:
    """Of the topics of one test. The mock broker makes them when they are asked for."""
    found = f"t{uuid.uuid4().hex[:8]}"
    if GIVEN:
        from confluent_kafka.admin import AdminClient, NewTopic

        topics = [found, f"{found}.dead", f"{found}.out", f"{found}.out.dead"]
        admin = AdminClient({"bootstrap.servers": broker})
        made = admin.create_topics([NewTopic(one, 4) for one in topics])
        for one in made.values():
            one.result(10)
    return found


def send(broker: str, topic: str, *bodies: bytes | None) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker, "log_level": 0})
    for number, body in enumerate(bodies):
        producer.produce(topic, body, f"k{number % 5}", headers={"trace": b"t"})
    assert producer.flush(20) == 0


def everything(broker: str, topic: str, least: int, seconds: float = 20.0) -> list[Any]:
    """What a reader of committed messages sees: at least so many, and what comes within a second after."""
    from confluent_kafka import Consumer

    settings = {"group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    reader = Consumer({"bootstrap.servers": broker, "log_level": 0, **settings})
    reader.subscribe([topic])
    found: list[Any] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found += [one for one in reader.consume(1000, 1.0 if len(found) >= least else 0.2) if not one.error()]
        if len(found) >= least and time.monotonic() < deadline - 1:
            deadline = time.monotonic() + 1
            least = 1 << 60
    reader.close()
    return found


def identity(one: Any) -> str:
    return str(dict(one.headers())["headrace-id"].decode())


def asked(broker: str, name: str, sink: str = "") -> Asked:
    return Asked(f"kafka://{broker}/{name}", sink or f"kafka://{broker}/{name}.out", group=name)


@pytest.mark.slow
def test_a_topic_is_answered_to_its_end(broker: str, name: str, bundles: dict[str, Path]) -> None:
    send(broker, name, *(instance(number) for number in range(60)), b"nope", None)
    with streaming(bundles["binary"], f"kafka://{broker}/{name}", f"kafka://{broker}/{name}.out") as started:
        answers = everything(broker, f"{name}.out", 60)
        letters = everything(broker, f"{name}.out.dead", 2)
        until(lambda: True, started)
        said = stopped(started)
    assert "stopped; 60 messages answered, 2 dead letters" in said
    assert EXACTLY_ONCE in said
    assert len({identity(one) for one in answers}) == len(answers) == 60
    for one in answers:
        assert json.loads(one.value())["id"] == identity(one)
        assert one.key().startswith(b"k")
        assert dict(one.headers())["trace"] == b"t"
    assert {one.value() for one in letters} == {b"nope", b""}
    for one in letters:
        assert dict(one.headers())["headrace-reason"].startswith(b"message: expected ")
        assert dict(one.headers())["headrace-source"] == f"kafka://{broker}/{name}".encode()


@REAL
@pytest.mark.slow
def test_it_goes_on_where_it_stopped(broker: str, name: str) -> None:
    send(broker, name, *(instance(number) for number in range(10)))
    first = open_route(asked(broker, name))
    messages = read(first, 10)
    assert first.commit([Record(message, b"{}") for message in messages[:6]]) == 0
    first.close()
    second = open_route(asked(broker, name))
    again = read(second, 4)
    offsets = [message.token for message in messages]
    done = {message.token[1]: message.token[2] for message in messages[:6]}
    left = [place for place in offsets if place[2] > done.get(place[1], -1)]
    assert [message.token for message in again] == left
    second.close()


def read(route: Any, count: int, seconds: float = 20.0, most: int = 0) -> list[Any]:
    found: list[Any] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        found += route.source.read(most or count - len(found), 0.2)
    assert len(found) >= count
    return found


@pytest.mark.slow
def test_a_message_that_is_too_large_for_the_sink_is_a_dead_letter(broker: str, name: str) -> None:
    send(broker, name, instance(1))
    route = open_route(asked(broker, name))
    (message,) = read(route, 1)
    route.commit([Record(message, b"x" * 3_000_000)])
    (letter,) = everything(broker, f"{name}.out.dead", 1)
    assert letter.value() in (b"", None)
    reason = dict(letter.headers())["headrace-reason"].decode()
    assert reason.endswith("Received: 3000000 bytes, left out here")
    route.close()


def test_a_batch_that_fails_in_a_new_group_is_read_again(broker: str, name: str, tmp_path: Path) -> None:
    """Nothing is committed yet, in any partition."""
    send(broker, name, *(instance(number) for number in range(10)))
    route = open_route(asked(broker, name, str(tmp_path / "out.jsonl")))
    first = read(route, 3, 60)
    route.source.rewind()
    again = tokens(read(route, 10, 60, most=20))
    assert len(again) == 10
    assert tokens(first) <= again
    route.close()


@pytest.mark.parametrize("process", ["the same", "another"])
def test_a_batch_that_fails_in_a_group_that_began_at_the_end_is_read_again(
    broker: str, name: str, tmp_path: Path, process: str
) -> None:
    """What comes while it is read is behind it: to begin at the end once more would be to lose the batch."""
    send(broker, name, instance(0))  # before there was a group, and so not for it
    question = replace(asked(broker, name, str(tmp_path / "out.jsonl")), start="latest")
    route = open_route(question)
    first: list[Any] = []
    deadline = time.monotonic() + 60
    while not first:  # where the end is, is known once something comes behind it
        assert time.monotonic() < deadline, "nothing came"
        send(broker, name, instance(1))
        first = route.source.read(20, 0.2)
    assert first[0].token[2] > 0
    send(broker, name, instance(2))
    if process == "the same":
        route.source.rewind()
    else:
        route.close()
        route = open_route(question)
    again = read(route, len(first) + 1, 60, most=20)
    assert [message.token for message in again][: len(first)] == [message.token for message in first]
    route.commit([Record(message, b"{}") for message in again])
    route.source.rewind()
    send(broker, name, instance(3))
    later = read(route, 1, 60)
    assert later[0].token[2] == again[-1].token[2] + 1  # what is committed counts from then on
    route.close()


def tokens(messages: list[Any]) -> set[tuple[str, int, int]]:
    return {message.token for message in messages}


def test_into_another_place(broker: str, name: str, tmp_path: Path) -> None:
    send(broker, name, instance(1))
    route = open_route(asked(broker, name, str(tmp_path / "out.jsonl")))
    assert route.promise == AT_LEAST_ONCE
    (message,) = read(route, 1)
    route.commit([Record(message, b"{}")])
    assert (tmp_path / "out.jsonl").read_bytes() == b"{}\n"
    route.source.keep([message])
    assert route.source.waiting() == 0
    route.close()


@pytest.mark.slow
def test_from_another_place(broker: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(instance(1) + b"\n")
    route = open_route(Asked(str(tmp_path / "in.jsonl"), f"kafka://{broker}/{name}", group="g"))
    route.commit([Record(message, b"{}") for message in route.source.read(5, 0.1)])
    (one,) = everything(broker, name, 1)
    assert (one.value(), identity(one)) == (b"{}", "1")
    route.close()


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    from headrace.serving.streaming import librdkafka

    monkeypatch.setattr(librdkafka, "ANSWER_SECONDS", 0.5)
    with pytest.raises(Unavailable, match="kafka://127.0.0.1:1/a: expected the brokers to answer. Received: "):
        open_route(Asked("kafka://127.0.0.1:1/a", "kafka://127.0.0.1:1/b", group="g"))


def test_settings_of_the_user(broker: str, name: str) -> None:
    given = {"enable.auto.commit": "true", "client.id": "mine", "session.timeout.ms": "7000"}
    from headrace.serving.streaming.librdkafka import Errors, config_of
    from headrace.serving.streaming.place import parse

    place = parse(f"kafka://{broker}/{name}", "source")
    made = config_of(place, given, {"enable.auto.commit": False, "client.id": "ours"}, Errors(""))
    assert (made["enable.auto.commit"], made["client.id"], made["session.timeout.ms"]) == (False, "mine", "7000")
    wrong = Asked(place.shown, "-", group="g", kafka={"sesion.timeout.ms": "7000"})
    with pytest.raises(HeadraceError, match="expected settings that librdkafka has. Received: .*sesion.timeout.ms"):
        open_route(wrong)


@REAL
@pytest.mark.slow
def test_consumers_are_killed_at_random(broker: str, name: str, bundles: dict[str, Path]) -> None:
    """Nothing is lost, and a reader of committed messages sees nothing twice."""
    count = 30_000
    send(broker, name, *(instance(number) for number in range(count)))
    source, sink = f"kafka://{broker}/{name}", f"kafka://{broker}/{name}.out"
    found: list[Any] = []

    def done() -> bool:
        found[:] = everything(broker, f"{name}.out", count, 15)
        return len(found) >= count

    # A group waits for members that died while they joined, and readers for transactions that nobody ends.
    killed_at_random(lambda: start(bundles["binary"], source, sink, most=20), 8, done, seconds=400)
    assert Counter(map(identity, found)).most_common(1)[0][1] == 1
    assert len(found) == count
