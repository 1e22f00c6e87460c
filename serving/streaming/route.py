"""Opens a source and a sink by their addresses, and says what is promised of the two together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Route, Sink, Source, in_turn
from headrace.serving.streaming.place import Place, parse

EXACTLY_ONCE = "each message has one answer, as storing it and saying that it is done are one step"
REMEMBERED = "each message has one answer: the sink drops what it has had within the last day"
AT_LEAST_ONCE = "each message has an answer, and has it twice where the process ends between storing it and saying so"
ONCE = "messages are not delivered again: it is for trying things out"


@dataclass(frozen=True)
class Asked:
    """From where to where, and how."""

    source: str
    sink: str
    group: str  # consumers that share the messages among them; of Redis and Kafka
    dead: str = ""  # the place for dead letters, beside the sink; empty: named as the sink, with `.dead`
    start: str = "earliest"  # or latest: where a group that is new begins
    most_attempts: int = 5  # deliveries of a message that ended the process, before it is a dead letter unseen
    idle: float = 60.0  # seconds after which messages of a consumer that is gone are taken over
    kafka: Mapping[str, str] = field(default_factory=dict)  # librdkafka's own settings


def open_route(asked: Asked) -> Route:
    """Connects to both places.

    Raises:
        HeadraceError: an address is none, a place refuses us, or nobody answers there.
    """
    source, sink = parse(asked.source, "source"), parse(asked.sink, "sink")
    dead = asked.dead or ("-" if sink.name == "-" else f"{sink.name}.dead")
    same = (source.scheme, source.address) == (sink.scheme, sink.address)
    places = [name for name in (source.name, sink.name, dead) if name != "-"]
    if same and source.options.get("db") == sink.options.get("db") and len(set(places)) < len(places):
        raise HeadraceError(f"source, sink and dead letters: expected three places. Received: {', '.join(places)}")
    if source.scheme == sink.scheme == "kafka" and same:
        from headrace.serving.streaming.kafka import open_joined

        return open_joined(source, sink, dead, asked)
    opened: Source = _source(source, asked)
    try:
        into: Sink = _sink(sink, dead, source, asked)
    except BaseException:
        opened.close()
        raise
    if source.scheme in ("redis", "rediss") and same:
        from headrace.serving.streaming.redis_streams import RedisSink, RedisSource, joined

        if isinstance(opened, RedisSource) and isinstance(into, RedisSink) and opened.server == into.server:
            return Route(opened, into, joined(opened, into), EXACTLY_ONCE)
    promise = ONCE if source.scheme == "jsonl" else REMEMBERED if sink.scheme in ("redis", "rediss") else AT_LEAST_ONCE
    return Route(opened, into, in_turn(opened, into), promise)


def _source(place: Place, asked: Asked) -> Source:
    if place.scheme == "jsonl":
        from headrace.serving.streaming.jsonl import LinesSource

        return LinesSource(place.name)
    if place.scheme == "kafka":
        from headrace.serving.streaming.kafka import KafkaSource

        return KafkaSource(place, asked)
    if place.scheme == "pubsub":
        from headrace.serving.streaming.pubsub import PubsubSource

        return PubsubSource(place)
    from headrace.serving.streaming.redis_streams import RedisSource

    return RedisSource(place, asked.group, asked.start, asked.most_attempts, asked.idle)


def _sink(place: Place, dead: str, source: Place, asked: Asked) -> Sink:
    if place.scheme == "jsonl":
        from headrace.serving.streaming.jsonl import LinesSink

        return LinesSink(place.name, dead)
    if place.scheme == "kafka":
        from headrace.serving.streaming.kafka import KafkaSink

        return KafkaSink(place, dead, source.shown, asked)
    if place.scheme == "pubsub":
        from headrace.serving.streaming.pubsub import PubsubSink

        return PubsubSink(place, dead, source.shown)
    from headrace.serving.streaming.redis_streams import RedisSink

    return RedisSink(place, dead, source.shown)
