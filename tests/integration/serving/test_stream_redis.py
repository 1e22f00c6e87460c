"""Redis Streams, against a Redis server of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.streaming.message import Message, Record, Route, Unavailable
from headrace.serving.streaming.redis_streams import parts
from headrace.serving.streaming.route import AT_LEAST_ONCE, EXACTLY_ONCE, REMEMBERED, Asked, open_route
from tests.integration.serving.servers import wait_until
from tests.integration.serving.streams import instance, killed_at_random, start, stopped, streaming, until
from tests.ports import free_port


class Server:
    """A Redis server on a port of its own."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server (Debian's package `redis-server` has it)")
        self.port, self._folder = free_port(), folder
        self.start()

    def start(self) -> None:
        import redis

        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", ""]
        command = ["redis-server", *options, "--dir", str(self._folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client: Any = redis.Redis(port=self.port, protocol=2)

        def up() -> bool:
            try:
                return bool(self.client.ping())
            except redis.ConnectionError:
                return False

        wait_until(up)

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)

    def url(self, stream: str) -> str:
        return f"redis://127.0.0.1:{self.port}/0/{stream}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("redis"))
    yield running
    running.stop()


@pytest.fixture
def redis(server: Server) -> Any:
    server.client.flushall()
    return server.client


def route(server: Server, sink: str = "", idle: float = 60.0, attempts: int = 5) -> Route:
    target = sink or server.url("out")
    return open_route(Asked(server.url("in"), target, group="test", idle=idle, most_attempts=attempts))


def answer(opened: Route, messages: list[Message]) -> int:
    return opened.commit([Record(message, b"{}") for message in messages])


def ids(redis: Any, stream: str = "out") -> list[str]:
    return [fields[b"id"].decode() for _, fields in redis.xrange(stream)]


def test_a_stream_is_answered_to_its_end(server: Server, redis: Any, bundles: dict[str, Path]) -> None:
    sent = [redis.xadd("in", {"data": instance(number), "trace": "t"}).decode() for number in range(120)]
    bad = redis.xadd("in", {"data": b"nope", "trace": "t"}).decode()
    other = redis.xadd("in", {"text": b"{}"}).decode()
    with streaming(bundles["binary"], server.url("in"), server.url("out")) as started:
        until(lambda: redis.xlen("out") == 120 and redis.xlen("out.dead") == 2, started)
        said = stopped(started)
    assert "stopped; 120 messages answered, 2 dead letters" in said
    assert EXACTLY_ONCE in said
    assert ids(redis) == sent
    _, fields = redis.xrange("out")[7]
    assert fields[b"trace"] == b"t"
    served = Served(Bundle.open(bundles["binary"]), Settings())
    online = json.loads(served.scorer.score(b'{"instances":[' + instance(7) + b"]}").body)["predictions"][0]
    assert json.loads(fields[b"data"])["prediction"]["probabilities"] == pytest.approx(online["probabilities"])
    first, second = (dict(fields) for _, fields in redis.xrange("out.dead"))
    assert (first[b"id"].decode(), first[b"data"], first[b"trace"]) == (bad, b"nope", b"t")
    assert first[b"reason"].startswith(b"message: expected JSON")
    assert second[b"id"].decode() == other
    assert second[b"reason"] == b"message: expected the field 'data'. Received: the fields text"
    assert redis.xpending("in", "test")["pending"] == 0
    assert redis.xinfo_consumers("in", "test") == []  # a consumer that stops leaves no name behind


def test_what_another_left_is_taken_over_and_a_late_answer_is_dropped(server: Server, redis: Any) -> None:
    redis.xadd("in", {"data": instance(1)})
    slow, patient, fast = route(server), route(server, idle=60.0), route(server, idle=0.05)
    late = slow.source.read(10, 0.1)
    assert patient.source.read(10, 0.01) == []
    patient.close()
    time.sleep(0.06)
    taken = fast.source.read(10, 0.01)
    assert [(message.id, message.attempt) for message in taken] == [(late[0].id, 2)]
    assert answer(fast, taken) == 0
    assert answer(slow, late) == 1  # it was answered already
    assert len(ids(redis)) == 1
    slow.close()
    fast.close()


def test_what_is_kept_is_not_taken_over(server: Server, redis: Any) -> None:
    redis.xadd("in", {"data": instance(1)})
    busy, other = route(server), route(server, idle=4.0)
    messages = busy.source.read(10, 0.1)
    for _ in range(10):
        time.sleep(0.5)
        busy.source.keep(messages)
        assert other.source.read(10, 0.01) == []
    busy.close()
    other.close()


def test_between_two_servers_the_sink_remembers(server: Server, redis: Any, tmp_path: Path) -> None:
    second = Server(tmp_path)
    try:
        sent = [redis.xadd("in", {"data": instance(number)}).decode() for number in range(10)]
        first = route(server, second.url("out"), idle=0.05)
        assert first.promise == REMEMBERED
        messages = first.source.read(100, 0.1)
        first.sink.write([Record(message, b"{}") for message in messages[:6]])  # and dies before it says so
        time.sleep(0.06)
        again = route(server, second.url("out"), idle=0.05)
        taken = again.source.read(100, 0.1)
        assert len(taken) == 10
        assert answer(again, taken) == 6
        assert ids(second.client) == sent
        assert redis.xpending("in", "test")["pending"] == 0
        first.close()
        again.close()
    finally:
        second.stop()


@pytest.mark.slow
def test_a_message_that_ends_the_process_is_found(server: Server, redis: Any, bundles: dict[str, Path]) -> None:
    """Others of its batch are answered, and are not blamed for what it did."""
    sent = [redis.xadd("in", {"data": instance(number)}).decode() for number in range(20)]
    ends = 0
    for _ in range(6):
        started = start(bundles["binary"], server.url("in"), server.url("out"), idle=1, poison="11.0")
        try:
            wait_until(lambda: started.poll() is not None or redis.xlen("out.dead") == 1)  # noqa: B023
            if started.poll() is None:
                wait_until(lambda: redis.xlen("out") == 19)
                break
            ends += 1
        finally:
            started.kill()
            started.communicate()
    assert ends == 3
    ((_, letter),) = redis.xrange("out.dead")
    assert letter[b"id"].decode() == sent[11]
    assert b"3 deliveries" in letter[b"reason"]
    assert set(ids(redis)) == set(sent) - {sent[11]}


@pytest.mark.slow
def test_a_server_that_is_away_is_waited_for(tmp_path: Path, bundles: dict[str, Path]) -> None:
    server = Server(tmp_path)
    try:
        for number in range(5):
            server.client.xadd("in", {"data": instance(number)})
        with streaming(bundles["binary"], server.url("in"), server.url("out")) as started:
            until(lambda: server.client.xlen("out") == 5, started)
            server.stop()
            time.sleep(0.5)
            server.start()
            for number in range(5):
                server.client.xadd("in", {"data": instance(number)})
            until(lambda: server.client.xlen("out") == 10, started)
            said = stopped(started)
        assert said.count("trying again until it does") == 1
        assert "source and sink answer again" in said
    finally:
        server.stop()


def test_what_is_no_stream_is_refused(server: Server, redis: Any) -> None:
    redis.set("out", "text")
    with pytest.raises(HeadraceError, match="expected out to be a stream. Received: a string"):
        route(server)
    redis.set("in", "text")
    with pytest.raises(HeadraceError, match="what is there is no stream"):
        route(server)


def test_a_group_that_is_gone_is_made_anew(server: Server, redis: Any) -> None:
    opened = route(server)
    redis.flushall()
    with pytest.raises(HeadraceError, match="it was made anew"):
        opened.source.read(10, 0.01)
    redis.xadd("in", {"data": instance(1)})
    assert len(opened.source.read(10, 0.1)) == 1
    opened.close()


def test_a_stream_that_goes_while_it_is_waited_for_is_made_anew(server: Server, redis: Any) -> None:
    opened = route(server)
    threading.Timer(0.2, redis.flushall).start()
    with pytest.raises(Unavailable, match="it was made anew"):
        opened.source.read(10, 5.0)
    redis.xadd("in", {"data": instance(1)})
    assert len(opened.source.read(10, 0.1)) == 1
    opened.close()


def test_an_entry_of_more_fields_than_a_script_can_hand_on_is_a_dead_letter(server: Server, redis: Any) -> None:
    redis.xadd("in", {"data": instance(1), **{f"f{place}": "v" for place in range(5000)}})
    opened = route(server)
    (message,) = opened.source.read(10, 0.1)
    assert message.unreadable.startswith("message: expected at most 1,000 fields besides 'data'. Received: 5,000")
    assert opened.commit([Record(message, message.body, message.unreadable)]) == 0
    ((_, fields),) = redis.xrange("out.dead")
    assert fields[b"data"] == instance(1)
    opened.close()


def test_records_go_to_a_script_by_number_and_by_size() -> None:
    small = [Record(Message(str(place), b""), b"x") for place in range(450)]
    assert [len(part) for part in parts(small)] == [200, 200, 50]
    large = [Record(Message(str(place), b""), bytes(30 << 20)) for place in range(3)]
    assert [len(part) for part in parts(large)] == [2, 1]


def test_a_sink_is_kept_short(server: Server, redis: Any) -> None:
    for number in range(1000):
        redis.xadd("in", {"data": b"%d" % number})
    opened = route(server, server.url("out") + "?maxlen=100")
    answer(opened, opened.source.read(1000, 0.1))
    assert 100 <= redis.xlen("out") < 300  # Redis trims whole nodes
    opened.close()


def test_the_command(server: Server, redis: Any, bundles: dict[str, Path], tmp_path: Path) -> None:
    redis.xadd("in", {"data": instance(1)[:-1] + b', "customer": 7, "noise": 1}'})
    command = [sys.executable, "-m", "headrace.pipelines.cli", "stream", server.url("in"), str(tmp_path / "o.jsonl")]
    command += ["--model", str(bundles["binary"]), "--keep", "customer", "--ignore-others", "--home", str(tmp_path)]
    started = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        until(lambda: (tmp_path / "o.jsonl").exists() and (tmp_path / "o.jsonl").read_bytes(), started)
        assert AT_LEAST_ONCE in stopped(started)
    finally:
        started.kill()
        started.communicate()
    assert json.loads((tmp_path / "o.jsonl").read_text())["fields"] == {"customer": 7}


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True], ids=["one server", "two servers"])
def test_consumers_are_killed_at_random(
    server: Server, redis: Any, bundles: dict[str, Path], tmp_path: Path, apart: bool
) -> None:
    """Nothing is lost and nothing is doubled."""
    second = Server(tmp_path) if apart else server
    sent: list[str] = []
    ending = threading.Event()

    def send() -> None:
        while not ending.wait(0.01):
            pipe = redis.pipeline(transaction=False)
            for number in range(20):
                pipe.xadd("in", {"data": instance(len(sent) + number)})
            sent.extend(one.decode() for one in pipe.execute())

    sender = threading.Thread(target=send)
    sender.start()

    def done() -> bool:
        if not ending.is_set():
            ending.set()
            sender.join()
        return int(second.client.xlen("out")) >= len(sent) and redis.xpending("in", "test")["pending"] == 0

    try:
        killed_at_random(lambda: start(bundles["binary"], server.url("in"), second.url("out"), idle=1), 12, done)
        assert Counter(ids(second.client)) == Counter(sent)
    finally:
        ending.set()
        if apart:
            second.stop()
