"""Clients of Kafka: their settings, their making, and what librdkafka's errors are to us."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Lost, Unavailable
from headrace.serving.streaming.place import Place

ANSWER_SECONDS = 10.0  # for which brokers may take to answer
_CREATE_SECONDS = 5.0  # for which a topic may take to be made, where brokers make them when they are asked for
_FREE = (
    "client.id",
    "session.timeout.ms",
    "max.poll.interval.ms",
    "queued.max.messages.kbytes",
    "linger.ms",
)  # ours only if not the user's
_REFUSED = (
    "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "SASL_AUTHENTICATION_FAILED", "_AUTHENTICATION", "_SSL", "_INVALID_ARG",
    "INVALID_TRANSACTION_TIMEOUT", "_UNSUPPORTED_FEATURE", "UNSUPPORTED_VERSION", "INVALID_CONFIG", "_UNKNOWN_TOPIC",
)  # fmt: skip

Made = TypeVar("Made")


class Errors:
    """What librdkafka tells of its own accord, and what its errors are to us."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._last: Any = None
        self._down = False

    def told(self, error: Any) -> None:
        """librdkafka's callback."""
        self._last = error
        self._down = self._down or error.name() == "_ALL_BROKERS_DOWN" or error.name() in _REFUSED

    def fine(self) -> None:
        """The brokers did what was asked: what they said before explains nothing any more."""
        self._last = None

    def look(self, client: Any, topic: str) -> None:
        """Raises Unavailable as long as no broker answers, where librdkafka said so."""
        if self._down:
            self.asked(lambda: client.list_topics(topic, timeout=1.0))
            self._down, self._last = False, None

    def asked(self, work: Callable[[], Made]) -> Made:
        """What the brokers answer; their errors as ours."""
        import confluent_kafka

        try:
            return work()
        except confluent_kafka.KafkaException as error:
            raise self.of(error.args[0]) from None

    def of(self, error: Any) -> HeadraceError:
        """An error of librdkafka: Unavailable, Lost where the group moved on, or what trying again does not mend."""
        name, text = error.name(), error.str()
        if self._last is not None and name in ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN"):
            name, text = self._last.name(), self._last.str()
        if name in ("ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "REBALANCE_IN_PROGRESS", "FENCED_INSTANCE_ID"):
            return Lost(f"{self._name}: expected to be a member of the group still. Received: {text}")
        if name in _REFUSED:
            return HeadraceError(f"{self._name}: expected the brokers to let us. Received: {text} ({name})")
        return Unavailable(f"{self._name}: expected the brokers to answer. Received: {text} ({name})")


def config_of(place: Place, given: Mapping[str, str], own: Mapping[str, Any], errors: Errors) -> dict[str, Any]:
    """Settings of a client: the user's, but not where they would break what is promised."""
    kept = {name: value for name, value in given.items() if name not in own or name in _FREE}
    brokers = {"bootstrap.servers": place.address}
    return {**brokers, **own, **kept, **brokers, "error_cb": errors.told, "log_level": 0}


def made(name: str, make: Callable[[], Made]) -> Made:
    """A client.

    Raises:
        HeadraceError: librdkafka does not take its settings.
    """
    import confluent_kafka

    try:
        return make()
    except (confluent_kafka.KafkaException, ValueError, TypeError) as error:
        cause = error.args[0].str() if isinstance(error, confluent_kafka.KafkaException) else str(error)
        raise HeadraceError(f"{name}: expected settings that librdkafka has. Received: {cause}") from None


def require_topic(client: Any, name: str, topic: str, errors: Errors) -> None:
    """Waits until there is a topic.

    Raises:
        Unavailable: no broker answers.
        HeadraceError: there is none, or the brokers refuse us.
    """
    deadline = time.monotonic() + _CREATE_SECONDS
    while True:
        found = errors.asked(lambda: client.list_topics(topic, timeout=ANSWER_SECONDS)).topics[topic].error
        if found is None:
            return
        if time.monotonic() > deadline:
            raise HeadraceError(f"{name}: expected the topic {topic!r} to exist. Received: {found.str()}")
        client.poll(0.2)
