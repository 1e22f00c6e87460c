"""Pub/Sub, against a server of the test's own that speaks the published service over gRPC."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.message import Lost, Record, Route, Unavailable
from headrace.serving.streaming.route import AT_LEAST_ONCE, Asked, open_route
from tests.integration.serving.streams import instance, stopped, streaming, until

PROJECT = "projects/p"
IN = f"{PROJECT}/subscriptions/in"
OUT, DEAD = f"{PROJECT}/topics/out", f"{PROJECT}/topics/out.dead"


class Service:
    """A subscription whose messages are leased, and topics that keep what is published."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.leased: dict[str, tuple[float, Any]] = {}  # ack id -> until when, and the message
        self.topics: dict[str, list[Any]] = {OUT: [], DEAD: []}
        self.fails: list[Any] = []  # codes that the next publish calls are answered with
        self._count = 0
        self._lock = threading.Lock()

    def send(self, body: bytes, **attributes: str) -> str:
        from google.pubsub_v1 import types

        self._count += 1
        number = str(self._count)
        one = types.PubsubMessage(data=body, attributes=attributes, message_id=number, ordering_key="k")
        self.waiting.append((one, 0))
        return number

    def pull(self, request: Any, context: Any) -> Any:
        import grpc
        from google.pubsub_v1 import types

        if request.subscription != IN:
            context.abort(grpc.StatusCode.NOT_FOUND, "Resource not found (resource=in).")
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            with self._lock:
                for name, (until_when, held) in list(self.leased.items()):
                    if until_when < time.monotonic():
                        del self.leased[name]
                        self.waiting.append(held)
                given = []
                while self.waiting and len(given) < request.max_messages:
                    one, times = self.waiting.pop(0)
                    name = f"{one.message_id}:{times + 1}"
                    self.leased[name] = (time.monotonic() + 10, (one, times + 1))
                    given.append(types.ReceivedMessage(ack_id=name, message=one, delivery_attempt=times + 1))
            if given:
                return types.PullResponse(received_messages=given)
            time.sleep(0.01)
        return types.PullResponse()

    def modify(self, request: Any, context: Any) -> Any:
        import grpc
        from google.protobuf import empty_pb2

        if request.subscription != IN:
            context.abort(grpc.StatusCode.NOT_FOUND, "Resource not found (resource=in).")
        with self._lock:
            for name in request.ack_ids:
                if name in self.leased:
                    end = time.monotonic() + request.ack_deadline_seconds
                    self.leased[name] = (end, self.leased[name][1])
        return empty_pb2.Empty()

    def acknowledge(self, request: Any, context: Any) -> Any:
        import grpc
        from google.protobuf import empty_pb2

        with self._lock:
            if any(name not in self.leased for name in request.ack_ids):
                context.abort(
                    grpc.StatusCode.FAILED_PRECONDITION, "Some acknowledgement ids in the request were invalid"
                )
            for name in request.ack_ids:
                del self.leased[name]
        return empty_pb2.Empty()

    def publish(self, request: Any, context: Any) -> Any:
        import grpc
        from google.pubsub_v1 import types

        if self.fails:
            context.abort(self.fails.pop(0), "not now")
        if request.topic not in self.topics:
            context.abort(grpc.StatusCode.NOT_FOUND, "Resource not found (resource=out).")
        self.topics[request.topic] += request.messages
        return types.PublishResponse(message_ids=["x" for _ in request.messages])


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    import grpc
    from google.protobuf import empty_pb2
    from google.pubsub_v1 import types

    made = Service()

    def method(work: Any, asked: Any) -> Any:
        def written(answer: Any) -> bytes:
            return answer.SerializeToString() if isinstance(answer, empty_pb2.Empty) else type(answer).serialize(answer)

        return grpc.unary_unary_rpc_method_handler(work, asked.deserialize, written)

    subscriber = {
        "Pull": method(made.pull, types.PullRequest),
        "Acknowledge": method(made.acknowledge, types.AcknowledgeRequest),
        "ModifyAckDeadline": method(made.modify, types.ModifyAckDeadlineRequest),
    }
    publisher = {"Publish": method(made.publish, types.PublishRequest)}
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 10_000_000)])  # as Pub/Sub
    for name, methods in (("Subscriber", subscriber), ("Publisher", publisher)):
        handler = grpc.method_handlers_generic_handler(f"google.pubsub.v1.{name}", methods)
        server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{port}")
    yield made
    server.stop(0)


def route(source: str = "pubsub://p/in", sink: str = "pubsub://p/out") -> Route:
    return open_route(Asked(source, sink, group="g"))


def test_a_subscription_is_answered_to_its_end(service: Service, bundles: dict[str, Path]) -> None:
    sent = [service.send(instance(number), trace="t") for number in range(30)]
    service.send(b"nope")
    with streaming(bundles["binary"], "pubsub://p/in", "pubsub://p/out") as started:
        until(lambda: len(service.topics[OUT]) == 30 and not service.leased, started)
        said = stopped(started)
    assert AT_LEAST_ONCE in said
    assert [one.attributes["headrace-id"] for one in service.topics[OUT]] == sent
    first = service.topics[OUT][0]
    assert json.loads(first.data)["id"] == sent[0]
    assert (first.attributes["trace"], first.ordering_key) == ("t", "k")
    (letter,) = service.topics[DEAD]
    assert letter.data == b"nope"
    assert letter.attributes["headrace-reason"].startswith("message: expected JSON")
    assert service.waiting == []


def test_what_is_not_done_is_delivered_again_and_what_is_kept_is_not(service: Service) -> None:
    service.send(instance(1))
    opened = route()
    (message,) = opened.source.read(10, 0.1)
    assert message.attempt == 1
    ((end, _),) = service.leased.values()
    assert end - time.monotonic() > 50  # leased for as long as answering may take
    opened.source.keep([message])
    service.leased = {name: (0.0, held) for name, (_, held) in service.leased.items()}
    (again,) = opened.source.read(10, 0.1)
    assert (again.id, again.attempt) == (message.id, 2)
    with pytest.raises(Lost, match="expected messages that are still ours"):
        opened.commit([Record(message, b"{}")])
    assert opened.commit([Record(again, b"{}")]) == 0
    assert not service.leased
    opened.close()


def test_what_cannot_be_published_just_now(service: Service) -> None:
    import grpc

    service.send(instance(1))
    opened = route()
    messages = opened.source.read(10, 0.1)
    service.fails = [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED]
    for _ in range(2):
        with pytest.raises(Unavailable, match="expected Pub/Sub to answer. Received: not now"):
            opened.commit([Record(message, b"{}") for message in messages])
    opened.commit([Record(message, b"{}") for message in messages])
    assert len(service.topics[OUT]) == 1
    opened.close()


def test_what_is_not_there_is_refused(service: Service) -> None:
    with pytest.raises(HeadraceError, match="expected it to exist, and to be let in. Received: Resource not found"):
        route("pubsub://p/other")
    service.send(instance(1))
    opened = route(sink="pubsub://p/other")
    with pytest.raises(HeadraceError, match="expected it to exist"):
        opened.commit([Record(message, b"{}") for message in opened.source.read(10, 0.1)])
    opened.close()


def test_a_message_with_as_many_attributes_as_there_may_be_is_answered(service: Service) -> None:
    service.send(b"nope", **{f"name{place}": "v" for place in range(100)})
    opened = route()
    (message,) = opened.source.read(10, 0.1)
    opened.commit([Record(message, message.body, "a reason")])
    (letter,) = service.topics[DEAD]
    assert len(letter.attributes) == 100 and letter.attributes["headrace-id"] == message.id
    opened.close()


def test_large_batches_are_published_in_parts(service: Service) -> None:
    for number in range(20):
        service.send(instance(number))
    opened = route()
    messages = opened.source.read(100, 0.1)
    opened.commit([Record(message, b"x" * 1_000_000) for message in messages])
    assert len(service.topics[OUT]) == 20
    opened.close()
