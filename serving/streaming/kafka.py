"""Kafka: a consumer group of a topic as a source, another topic as a sink.

Within one cluster the answers and the offsets are one transaction: consumers that read committed messages only see each
answer once, whatever happens to the processes. A batch whose transaction fails is read again from the offset that is
committed. An answer has its message's key and headers, and the header `headrace-id`; a dead letter is the message as it
was, with the headers `headrace-reason` and `headrace-source` besides.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.librdkafka import ANSWER_SECONDS, Errors, config_of, made, require_topic
from headrace.serving.streaming.message import Lost, Message, Record, Route, Unavailable
from headrace.serving.streaming.place import Place

if TYPE_CHECKING:
    from headrace.serving.streaming.route import Asked

_TRANSACTION_MS = 20_000  # after which brokers abort the transaction of a process that is gone: readers wait for it


class KafkaSource:
    """A member of a consumer group."""

    def __init__(self, place: Place, asked: Asked) -> None:
        """Joins the group.

        Raises:
            Unavailable: no broker answers.
            HeadraceError: there is no such topic, or the brokers refuse us.
        """
        import confluent_kafka

        self.name, self.topic = place.shown, place.name
        self._errors = Errors(self.name)
        own = {
            "group.id": asked.group,
            "auto.offset.reset": asked.start,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 16_384,  # what is fetched ahead of us: more is not held
            "session.timeout.ms": 15_000,  # librdkafka's 45 s is long for messages to wait after a process has died
            "max.poll.interval.ms": 60_000,  # for which the others of a group may wait for one that is gone
            "client.id": "headrace-stream",
        }
        config = config_of(place, asked.kafka, own, self._errors)
        self.consumer = made(self.name, lambda: confluent_kafka.Consumer(config))
        self._late = asked.start == "latest"
        self._rewind = False
        self._begun: dict[tuple[str, int], int] = {}  # by partition: what was read first since it is ours
        self._settled: set[tuple[str, int]] = set()  # of these, for which something is committed
        try:
            require_topic(self.consumer, self.name, self.topic, self._errors)
        except BaseException:
            self.consumer.close()
            raise
        self.consumer.subscribe([self.topic], on_assign=self._assigned)

    def read(self, most: int, seconds: float) -> list[Message]:
        """See `Source.read`."""
        if self._rewind:
            self._errors.asked(self._to_committed)
            self._rewind = False
        first = self.consumer.poll(seconds)
        if first is None:
            self._errors.look(self.consumer, self.topic)
            return []
        found = [first, *(self.consumer.consume(most - 1, 0) if most > 1 else [])]
        self._note(found)
        if not self._settle():
            return []
        return [self._message(one) for one in found if self._fine(one)]

    def _assigned(self, consumer: Any, partitions: Sequence[Any]) -> None:
        """librdkafka's callback: these begin anew, wherever their last reader was."""
        for one in partitions:
            self._begun.pop((one.topic, one.partition), None)
            self._settled.discard((one.topic, one.partition))

    def _note(self, found: Sequence[Any]) -> None:
        for one in found:
            if one.error() is None:
                self._begun.setdefault((one.topic(), one.partition()), one.offset())

    def _settle(self) -> bool:
        """Commits where a new group began, if that is the end; False where the group moved on, and has to read again.

        Whoever reads next would otherwise begin at what is the end then, behind what we read and did not answer.
        """
        new = self._begun.keys() - self._settled if self._late else None
        if not new:
            return True
        try:
            self._errors.asked(lambda: self._commit_begun(new))
        except HeadraceError as error:
            self.rewind()  # what was read is not handed out
            if not isinstance(error, Lost):
                raise
            return False
        self._settled |= new
        return True

    def _commit_begun(self, places: Iterable[tuple[str, int]]) -> None:
        bare = [place for place in self._committed(places) if place.offset < 0]
        for place in bare:
            place.offset = self._begun[place.topic, place.partition]
        if bare:
            self.consumer.commit(offsets=bare, asynchronous=False)

    def _fine(self, one: Any) -> bool:
        error = one.error()
        if error is None:
            return True
        if error.name() != "_PARTITION_EOF":
            self.rewind()  # what came with it is not handed out
            raise self._errors.of(error)
        return False

    def _message(self, one: Any) -> Message:
        number = f"{one.topic()}/{one.partition()}/{one.offset()}"
        headers = {name: value or b"" for name, value in one.headers() or ()}
        empty = "" if one.value() else "message: expected an object of JSON. Received: nothing"
        token = (one.topic(), one.partition(), one.offset())
        return Message(number, one.value() or b"", 1, one.key(), headers, token, empty)

    def rewind(self) -> None:
        """Has the next read begin at what is committed: what was read since is read again, by whoever has it then."""
        self._rewind = True

    def _to_committed(self) -> None:
        for place in self._committed([(one.topic, one.partition) for one in self.consumer.assignment()]):
            if place.offset < 0:  # nothing is committed yet: where we began, if we did
                place.offset = self._begun.get((place.topic, place.partition), -1)
            if place.offset >= 0:
                self.consumer.seek(place)

    def _committed(self, places: Iterable[tuple[str, int]]) -> list[Any]:
        """What is committed of partitions; an offset below 0 where nothing is."""
        import confluent_kafka

        asked = [confluent_kafka.TopicPartition(*place) for place in places]
        found: list[Any] = self.consumer.committed(asked, timeout=ANSWER_SECONDS) if asked else []
        for one in found:
            if one.error:  # which is not to be taken for nothing: what was answered would be read again
                raise confluent_kafka.KafkaException(one.error)
        return found

    def offsets(self, messages: Sequence[Message]) -> list[Any]:
        """Where to go on once these are done."""
        import confluent_kafka

        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            topic, partition, offset = message.token
            ends[topic, partition] = max(offset + 1, ends.get((topic, partition), 0))
        return [confluent_kafka.TopicPartition(*place, end) for place, end in ends.items()]

    def done(self, messages: Sequence[Message]) -> None:
        """Commits the offsets; see `Source.done`."""
        if messages:
            try:
                self._errors.asked(lambda: self.consumer.commit(offsets=self.offsets(messages), asynchronous=False))
            except Lost:
                self.rewind()
                raise

    def keep(self, messages: Sequence[Message]) -> None:
        """Stays in the group, which expects its members to ask for messages now and then; reads none."""
        mine = self.consumer.assignment()
        with suppress(Exception):  # a member that has to leave is told so when it commits
            self.consumer.pause(mine)
            if self.consumer.poll(0) is not None:  # of a partition that is new
                self.rewind()
            self.consumer.resume(self.consumer.assignment())

    def waiting(self) -> int | None:
        """What is after the position, of the partitions that this member has."""
        try:
            total = 0
            for place in self.consumer.position(self.consumer.assignment()):
                low, high = self.consumer.get_watermark_offsets(place, cached=True)
                total += max(0, high - (place.offset if place.offset >= 0 else low))
            return total
        except Exception:  # noqa: BLE001 (a page of numbers is no place for an error of the network)
            return None

    def close(self) -> None:
        """Leaves the group."""
        self.consumer.close()


class KafkaSink:
    """A topic, and another for dead letters."""

    def __init__(self, place: Place, dead: str, source: str, asked: Asked, **own: Any) -> None:
        """Connects; `own` are settings of librdkafka.

        Raises:
            Unavailable: no broker answers.
            HeadraceError: there is no such topic, or the brokers refuse us.
        """
        self.name, self.topic, self.dead = place.shown, place.name, dead
        self._source = source.encode()
        self.errors = Errors(self.name)
        common = {"enable.idempotence": True, "client.id": "headrace-stream", "linger.ms": 5}
        self._config = config_of(place, asked.kafka, common | own, self.errors)
        self._failed: list[Any] = []
        self.begin()

    def begin(self) -> None:
        """Makes the producer, anew where the one before is of no use any more."""
        import confluent_kafka

        self.producer = made(self.name, lambda: confluent_kafka.Producer(self._config))
        for topic in (self.topic, self.dead):
            require_topic(self.producer, self.name, topic, self.errors)

    def write(self, records: Sequence[Record]) -> int:
        """See `Sink.write`; nobody knows what it has already."""
        self._failed.clear()
        for record in records:
            self.produce(record)
        left = self.producer.flush(ANSWER_SECONDS)
        if left or self._failed:
            self.producer.purge()
            self.producer.flush(ANSWER_SECONDS)
            if self._failed:
                raise self.errors.of(self._failed[0])
            raise Unavailable(f"{self.name}: expected the brokers to answer. Received: nothing")
        self.errors.fine()
        return 0

    def produce(self, record: Record) -> None:
        """Hands one record to the producer, which sends it later."""
        import confluent_kafka

        message = record.message
        headers: dict[str, Any] = {**message.headers, "headrace-id": message.id.encode()}
        if record.reason:
            headers |= {"headrace-reason": record.reason.encode(), "headrace-source": self._source}
        topic = self.dead if record.reason else self.topic
        while True:
            try:
                self.producer.produce(topic, record.value, message.key, headers=headers, on_delivery=self._delivered)
                return
            except BufferError:  # its queue is full
                self.producer.poll(0.1)
            except confluent_kafka.KafkaException as error:
                if error.args[0].name() != "MSG_SIZE_TOO_LARGE" or not record.value:
                    raise self.errors.of(error.args[0]) from None
                expected = "a message that brokers take (`message.max.bytes`)"
                told = f"message: expected {expected}. Received: {len(record.value)} bytes, left out here"
                self.produce(replace(record, value=b"", reason=record.reason or told))
                return

    def _delivered(self, error: Any, message: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def close(self) -> None:
        """Waits until what was handed over is sent, or given up."""
        self.producer.flush(ANSWER_SECONDS)


class _Transactions:
    """The commit of a source and a sink of one cluster; see `message.Commit`."""

    def __init__(self, source: KafkaSource, sink: KafkaSink) -> None:
        self._source, self._sink = source, sink
        self._begun = False

    def __call__(self, records: Sequence[Record]) -> int:
        import confluent_kafka

        sink = self._sink
        try:
            if not self._begun:
                sink.producer.init_transactions(ANSWER_SECONDS)
                self._begun = True
            sink.producer.begin_transaction()
            for record in records:
                sink.produce(record)
            offsets = self._source.offsets([record.message for record in records])
            member = self._source.consumer.consumer_group_metadata()
            _again(lambda: sink.producer.send_offsets_to_transaction(offsets, member, ANSWER_SECONDS))
            _again(lambda: sink.producer.commit_transaction(ANSWER_SECONDS))
            sink.errors.fine()
        except (confluent_kafka.KafkaException, HeadraceError) as error:
            self._undo(error)
        return 0

    def _undo(self, error: Exception) -> None:
        """Ends the transaction, so that nothing of it is seen, and has the batch read again.

        What cannot be ended is left: a producer of the same id, which is made now, ends it.

        Raises:
            Lost: always, but where trying again does not help.
        """
        import confluent_kafka

        cause = error.args[0] if isinstance(error, confluent_kafka.KafkaException) else None
        self._source.rewind()
        try:
            if not self._begun or (cause is not None and cause.fatal()):
                raise confluent_kafka.KafkaException(cause)
            _again(lambda: self._sink.producer.abort_transaction(ANSWER_SECONDS))
        except confluent_kafka.KafkaException:
            self._begun = False
            self._sink.producer.purge()
            with suppress(Unavailable):
                self._sink.begin()
        told = self._sink.errors.of(cause) if cause is not None else error
        if not isinstance(told, Unavailable | Lost):
            raise told
        raise Lost(f"{str(told).rstrip('.')}; the batch is read again, and nothing of it was stored")


def open_joined(source: Place, sink: Place, dead: str, asked: Asked) -> Route:
    """A source and a sink of one cluster."""
    from headrace.serving.streaming.route import EXACTLY_ONCE

    number = f"{asked.group}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    opened = KafkaSource(source, asked)
    try:
        own = {"transactional.id": number, "transaction.timeout.ms": _TRANSACTION_MS}
        into = KafkaSink(sink, dead, source.shown, asked, **own)
    except BaseException:
        opened.close()
        raise
    return Route(
        opened, into, _Transactions(opened, into), f"{EXACTLY_ONCE}; read it with isolation.level=read_committed"
    )


def _again(work: Callable[[], object], times: int = 3) -> None:
    """Does what librdkafka says is to be called once more, if it does."""
    import confluent_kafka

    for left in reversed(range(times)):
        try:
            work()
            return
        except confluent_kafka.KafkaException as error:
            if not left or not error.args[0].retriable():
                raise
