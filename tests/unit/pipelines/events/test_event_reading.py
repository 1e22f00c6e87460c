"""Requests as events: CloudEvents in both modes, pushes of Pub/Sub, calls of Cloud Scheduler."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from headrace.pipelines.events.event import Event, EventError
from headrace.pipelines.events.reading import FINALIZED, PUBLISHED, read_request, read_schedule

OBJECT = {"bucket": "raw", "name": "in/may.csv", "generation": "1700000000000001", "size": "12"}


def finalized(**changes):
    attributes = {
        "id": "e1",
        "source": "//storage.googleapis.com/projects/_/buckets/raw",
        "type": FINALIZED,
        "subject": "objects/in/may.csv",
        "time": datetime(2026, 11, 22, 3, tzinfo=UTC),
        "datacontenttype": "application/json",
    }
    return CloudEvent({**attributes, **changes.pop("attributes", {})}, {**OBJECT, **changes})


def push(payload=b"", attributes=None, id="m1", **message):
    said = {"messageId": id, "publishTime": "2026-11-22T03:00:00Z", "attributes": attributes or {}, **message}
    said.setdefault("data", base64.b64encode(payload).decode())
    body = {"message": said, "subscription": "projects/p/subscriptions/retrain"}
    return {"Content-Type": "application/json"}, json.dumps(body).encode()


def notification(generation="1700000000000001", id="m1", kind="OBJECT_FINALIZE", name="in/may.csv"):
    attributes = {"eventType": kind, "bucketId": "raw", "objectId": name, "objectGeneration": generation}
    return push(json.dumps(OBJECT).encode(), {**attributes, "payloadFormat": "JSON_API_V1"}, id)


@pytest.mark.parametrize("mode", [to_binary_event, to_structured_event])
def test_a_cloud_event_of_storage_in_both_modes(mode):
    message = mode(finalized())
    event = read_request(message.headers, message.body)
    assert (event.kind, event.id, event.subject) == ("object", "e1", "gs://raw/in/may.csv")
    assert event.generation == 1700000000000001
    assert event.time.startswith("2026-11-22T03:00:00")


def test_eventarc_and_a_notification_tell_of_the_same_event():
    message = to_binary_event(finalized())
    one, other = read_request(message.headers, message.body), read_request(*notification(id="quite another"))
    assert one.id != other.id
    assert one.key("churn") == other.key("churn")
    assert one.key("churn") != other.key("another-rule")
    assert one.key("churn") != read_request(*notification("1700000000000002")).key("churn")


def test_a_message_has_its_attributes_and_its_payload():
    event = read_request(*push(b'{"model": "churn", "rows": 3}', {"action": "retrain"}))
    assert (event.kind, event.type, event.source) == ("message", PUBLISHED, "projects/p/subscriptions/retrain")
    assert (event.data, event.attributes) == ({"model": "churn", "rows": 3}, {"action": "retrain"})
    assert read_request(*push(b"words", id="m2")).data == "words"
    assert read_request(*push(b"\xff\xfe", id="m3")).data is None
    assert event.key("r") != read_request(*push(b'{"model": "churn", "rows": 3}', id="m4")).key("r")


def test_what_was_deleted_is_no_new_object():
    assert read_request(*notification(kind="OBJECT_DELETE")).kind == "message"


def test_pubsub_by_eventarc_is_the_message_itself():
    inner = json.loads(push(b"{}", {"a": "b"})[1])
    told = CloudEvent({"id": "ce", "source": "//pubsub.googleapis.com/projects/p/topics/t", "type": PUBLISHED}, inner)
    message = to_structured_event(told)
    event = read_request(message.headers, message.body)
    assert (event.id, event.attributes, event.data) == ("m1", {"a": "b"}, {})


def test_another_cloud_event_is_a_message_with_its_extensions():
    told = CloudEvent({"id": "7", "source": "urn:lake", "type": "lake.ready", "region": "ch", "subject": "s"}, {"n": 1})
    message = to_binary_event(told)
    event = read_request(message.headers, message.body)
    assert (event.kind, event.source, event.data) == ("message", "urn:lake", {"n": 1})
    assert event.attributes == {"region": "ch", "subject": "s"}


def test_an_event_is_the_same_after_it_was_written_down():
    event = read_request(*push(b'{"a": [1]}', {"b": "c"}))
    assert Event.from_json(json.loads(json.dumps(event.as_json()))) == event


def s3(name="s3:ObjectCreated:Put", key="in/may+2026.csv", sequencer="17F2", **others):
    """As MinIO's webhook sends it."""
    stored = {"key": key, "size": 12, "eTag": "d41d", "sequencer": sequencer, **others}
    record = {
        "eventName": name,
        "eventTime": "2026-11-22T03:00:00Z",
        "s3": {"bucket": {"name": "raw"}, "object": stored},
    }
    return {"Content-Type": "application/json"}, json.dumps({"EventName": name, "Records": [record]}).encode()


def test_a_notification_of_s3():
    event = read_request(*s3())
    assert (event.kind, event.subject, event.time) == ("object", "s3://raw/in/may 2026.csv", "2026-11-22T03:00:00Z")
    assert event.key("r") == read_request(*s3()).key("r")
    assert read_request(*s3(sequencer="17F2")).generation < read_request(*s3(sequencer="17F21")).generation
    assert read_request(*s3(sequencer="17F21")).generation < read_request(*s3(sequencer="17F3")).generation
    assert read_request(*s3("s3:ObjectRemoved:Delete")).kind == "message"


BAD = {
    "nothing": ({}, b"", "expected JSON"),
    "no JSON": ({"content-type": "application/json"}, b"{", "expected JSON"),
    "another body": ({"content-type": "application/json"}, b'{"a": 1}', "expected a CloudEvent .* a push"),
    "a list": ({"content-type": "application/cloudevents+json"}, b"[1]", "expected a CloudEvent"),
    "a number": ({"content-type": "application/cloudevents+json"}, b"1", "expected a CloudEvent"),
    "too deep": ({"content-type": "application/json"}, b"[" * 200_000, "expected JSON"),
    "no id": ({"ce-type": "t", "ce-source": "s", "ce-specversion": "1.0"}, b"", "Received: no id"),
    "empty id": ({"ce-type": "t", "ce-source": "s", "ce-specversion": "1.0", "ce-id": ""}, b"", "expected a CloudEvent"),
    "bad time": (
        {"ce-type": "t", "ce-source": "s", "ce-specversion": "1.0", "ce-id": "1", "ce-time": "x"}, b"",
        "expected a CloudEvent",
    ),
    "structured without id": (
        {"content-type": "application/cloudevents+json"}, b'{"type": "t", "source": "s", "specversion": "1.0"}',
        "Received: no id",
    ),
    "no object": (to_binary_event(finalized(generation="x")).headers, b"{}", "bucket, name and generation"),
    "no sequencer": (*s3(sequencer="x"), "S3's notification"),
    "two records": ({"content-type": "application/json"}, b'{"Records": [{}, {}]}', "S3's notification of one record"),
    "no base64": (*push(data="###"), "expected data in base64"),
    "no message id": (*push(id=""), "with messageId"),
    "half a sign as its id": (*push(id="\ud83d"), "expected Unicode text as its id. Received: '.ud83d'"),
    "half a sign in an object's name": (*notification(name="caf\udce9.csv"), "expected Unicode text as its subject"),
    "half a sign in S3's key": (*s3(key="caf\udce9.csv"), "expected Unicode text as its id"),
    "half a sign as its source": (
        {"content-type": "application/cloudevents+json"},
        json.dumps({"id": "1", "type": "t", "source": "\udce9", "specversion": "1.0"}).encode(),
        "expected Unicode text as its source",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_refused(case):
    headers, body, told = BAD[case]
    with pytest.raises(EventError, match=told):
        read_request(headers, body)


def test_a_repeated_call_of_the_scheduler_is_the_same_event():
    first = read_schedule("nightly", {"X-CloudScheduler-ScheduleTime": "2026-11-22T03:00:00Z"})
    again = read_schedule("nightly", {"x-cloudscheduler-scheduletime": "2026-11-22T04:00:00+01:00"})
    assert first.key("nightly") == again.key("nightly")
    assert first.generation == int(datetime(2026, 11, 22, 3, tzinfo=UTC).timestamp())
    for wrong in (
        {},
        {"X-CloudScheduler-ScheduleTime": "soon"},
        {"X-CloudScheduler-ScheduleTime": "2026-11-22T03:00:00"},
    ):
        with pytest.raises(EventError, match="expected"):
            read_schedule("nightly", wrong)
