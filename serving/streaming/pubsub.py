"""Google Cloud Pub/Sub: a subscription as a source, a topic as a sink.

Pub/Sub delivers at least once, and publishing and acknowledging are two calls: an answer may be published twice. It has
its message's attributes, and the attribute `headrace-id`, by which a reader can drop the second; a dead letter is the
message as it was, with `headrace-reason` and `headrace-source` besides. An ordering key goes on.

PUBSUB_EMULATOR_HOST is heeded as by Google's own clients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Lost, Message, Record, Unavailable
from headrace.serving.streaming.place import Place

LEASE_SECONDS = 60  # for which what was read is ours, and again whenever it is kept
_PULL_SECONDS = 5.0  # shorter pulls would be cut off while an answer is on its way, and its messages come late
_ANSWER_SECONDS = 30.0
_MOST_PULLED = 1000
_MOST_TOLD = 1000  # ack ids, or messages, of a call
_MOST_BYTES = 8_000_000  # of a publish call, which may have 10 MB
_ATTRIBUTE = 1000  # bytes of an attribute's value: 1,024 are allowed
_MOST_ATTRIBUTES = 100  # that a message may have

Answer = TypeVar("Answer")


class PubsubSource:
    """A subscription, pulled."""

    def __init__(self, place: Place) -> None:
        """Connects.

        Raises:
            Unavailable: nobody answers.
            HeadraceError: there is no such subscription, or we may not read it.
        """
        from google.pubsub_v1.services.subscriber import SubscriberClient
        from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

        self.name = place.shown
        self._subscription = f"projects/{place.address}/subscriptions/{place.name}"
        self._client: Any = _client(self.name, SubscriberClient, SubscriberGrpcTransport)
        with suppress(Lost):  # of nothing: it is asked to see whether we may
            self._call("modify_ack_deadline", ack_ids=["none"], ack_deadline_seconds=0)

    def _call(self, method: str, **fields: Any) -> None:
        request = {"subscription": self._subscription, **fields}
        ask(self.name, lambda: getattr(self._client, method)(request=request, timeout=_ANSWER_SECONDS, retry=None))

    def read(self, most: int, seconds: float) -> list[Message]:
        """See `Source.read`; it may take some seconds until it comes back empty."""
        from google.api_core import exceptions

        request = {"subscription": self._subscription, "max_messages": min(most, _MOST_PULLED)}
        wait = max(seconds, _PULL_SECONDS)

        def pull() -> Any:
            try:
                return self._client.pull(request=request, timeout=wait, retry=None).received_messages
            except exceptions.DeadlineExceeded:
                return ()

        messages = [_message(one) for one in ask(self.name, pull)]
        self.keep(messages)
        return messages

    def done(self, messages: Sequence[Message]) -> None:
        """Acknowledges; see `Source.done`."""
        for part in _parts([message.token for message in messages]):
            self._call("acknowledge", ack_ids=part)

    def keep(self, messages: Sequence[Message]) -> None:
        """Leases them for longer; see `Source.keep`."""
        for part in _parts([message.token for message in messages]):
            self._call("modify_ack_deadline", ack_ids=part, ack_deadline_seconds=LEASE_SECONDS)

    def waiting(self) -> int | None:
        """Only Cloud Monitoring knows."""
        return None

    def close(self) -> None:
        """Closes the connection."""
        self._client.transport.close()


class PubsubSink:
    """A topic, and another for dead letters."""

    def __init__(self, place: Place, dead: str, source: str) -> None:
        """Connects.

        Raises:
            Unavailable: nobody answers.
            HeadraceError: there is no such topic, or we may not see it.
        """
        from google.pubsub_v1.services.publisher import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        self.name, self._source = place.shown, source
        self._topics = [f"projects/{place.address}/topics/{name}" for name in (place.name, dead)]
        self._client: Any = _client(self.name, PublisherClient, PublisherGrpcTransport)

    def write(self, records: Sequence[Record]) -> int:
        """See `Sink.write`; nobody knows what it has already."""
        answers = [record for record in records if not record.reason]
        letters = [record for record in records if record.reason]
        for topic, chosen in zip(self._topics, (answers, letters), strict=True):
            for part in _by_size([self._published(record) for record in chosen]):
                self._publish(topic, part)
        return 0

    def _publish(self, topic: str, messages: list[dict[str, Any]]) -> None:
        request = {"topic": topic, "messages": messages}
        ask(
            f"{self.name} ({topic})", lambda: self._client.publish(request=request, timeout=_ANSWER_SECONDS, retry=None)
        )

    def _published(self, record: Record) -> dict[str, Any]:
        message = record.message
        told = {"headrace-id": message.id}
        if record.reason:
            told |= {"headrace-reason": _short(record.reason), "headrace-source": _short(self._source)}
        # Ours come first: a message that has as many as it may have must not end the process.
        kept = list(message.headers.items())[: _MOST_ATTRIBUTES - len(told)]
        own = {name: _short(value.decode(errors="replace")) for name, value in kept}
        ordering = message.key.decode(errors="replace") if message.key else ""
        return {"data": record.value, "attributes": own | told, "ordering_key": ordering[:1000]}

    def close(self) -> None:
        """Closes the connection."""
        self._client.transport.close()


def ask(name: str, work: Callable[[], Answer]) -> Answer:
    """What Pub/Sub answers.

    Raises:
        Unavailable: it cannot be reached, or has too much to do.
        Lost: the messages are somebody else's by now.
        HeadraceError: it refuses what it was asked.
    """
    from google.api_core import exceptions

    try:
        return work()
    except (exceptions.NotFound, exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise HeadraceError(f"{name}: expected it to exist, and to be let in. Received: {error.message}") from None
    except (exceptions.InvalidArgument, exceptions.FailedPrecondition) as error:
        if "ack" in error.message.lower():
            raise Lost(f"{name}: expected messages that are still ours. Received: {error.message}") from None
        raise HeadraceError(f"{name}: expected it to do as it was asked. Received: {error.message}") from None
    except (exceptions.GoogleAPICallError, exceptions.RetryError) as error:
        raise Unavailable(f"{name}: expected Pub/Sub to answer. Received: {error.message or error}") from None


def _client(name: str, kind: Any, transport: Any) -> Any:
    import grpc
    from google.auth.exceptions import DefaultCredentialsError

    if host := os.environ.get("PUBSUB_EMULATOR_HOST"):
        return kind(transport=transport(channel=grpc.insecure_channel(host)))
    try:
        return kind()
    except DefaultCredentialsError as error:
        raise HeadraceError(f"{name}: expected Google Cloud's credentials. Received: none; {error}") from None


def _message(one: Any) -> Message:
    inner = one.message
    headers = {name: value.encode() for name, value in inner.attributes.items()}
    key = inner.ordering_key.encode() or None
    empty = "" if inner.data else "message: expected an object of JSON. Received: nothing"
    return Message(inner.message_id, inner.data, max(1, one.delivery_attempt), key, headers, one.ack_id, empty)


def _parts(values: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _MOST_TOLD):
        yield list(values[start : start + _MOST_TOLD])


def _by_size(messages: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    size = 0
    for message in messages:
        bytes_ = len(message["data"]) + 2000
        if part and (size + bytes_ > _MOST_BYTES or len(part) == _MOST_TOLD):
            yield part
            part, size = [], 0
        part.append(message)
        size += bytes_
    if part:
        yield part


def _short(text: str) -> str:
    return text.encode()[:_ATTRIBUTE].decode(errors="ignore")
