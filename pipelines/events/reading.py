"""Requests as events: CloudEvents in both of their modes, pushes of Pub/Sub, calls of Cloud Scheduler, notifications
of S3 and MinIO.

Cloud Storage tells of a new object by Eventarc (a CloudEvent) or by Pub/Sub (a notification's attributes). Both are
the same event here: the object's address and its generation.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from headrace.pipelines.events.event import MESSAGE, OBJECT, SCHEDULE, Event, EventError
from headrace.pipelines.local.ir.values import is_unicode

FINALIZED = "google.cloud.storage.object.v1.finalized"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
TICK = "dev.headrace.schedule.v1.due"
_NOTIFIED = "OBJECT_FINALIZE"
_SEQUENCER = 32  # digits; longer than any that is known
_OWN = {"id", "source", "type", "specversion", "subject", "time", "datacontenttype", "dataschema"}


def read_request(headers: Mapping[str, str], body: bytes) -> Event:
    """The event of a request: a CloudEvent, a push of Pub/Sub, or a notification of S3 or MinIO.

    Args:
        headers: of the request; their names in any case.
        body: as it was sent.

    Raises:
        EventError: it is none of these, or lacks what makes it one.
    """
    kind = {name.lower(): value for name, value in headers.items()}
    if any(name.startswith("ce-") for name in kind) or "application/cloudevents" in kind.get("content-type", ""):
        return _cloud_event(headers, body)
    said = _json(body)
    if isinstance(said, dict) and isinstance(said.get("message"), dict):
        return _pushed(said["message"], str(said.get("subscription", "")))
    if isinstance(said, dict) and isinstance(said.get("Records"), list):
        return _of_s3(said["Records"])
    expected = (
        "a CloudEvent (ce-* headers, or application/cloudevents+json), a push of Pub/Sub, or a notification of S3"
    )
    raise EventError(f"request: expected {expected}. Received: {kind.get('content-type') or 'no content type'}")


def read_schedule(name: str, headers: Mapping[str, str]) -> Event:
    """The event of a call by Cloud Scheduler.

    Args:
        name: the rule's.
        headers: of the request. A repeated call of the same hour has the same X-CloudScheduler-ScheduleTime.

    Raises:
        EventError: the header is missing, or no time.
    """
    said = {key.lower(): value for key, value in headers.items()}.get("x-cloudscheduler-scheduletime", "")
    try:
        due = datetime.fromisoformat(said)
    except ValueError:
        raise EventError(
            f"schedule {name}: expected the header X-CloudScheduler-ScheduleTime with a time (RFC 3339), by which a "
            f"call that is repeated is known. Received: {said!r}"
        ) from None
    if due.tzinfo is None:
        raise EventError(f"schedule {name}: expected a time with its offset from UTC. Received: {said!r}")
    return tick(name, due)


def tick(name: str, due: datetime) -> Event:
    """The event that a schedule's time has come."""
    stamp = int(due.timestamp())
    return Event(SCHEDULE, f"{name}@{stamp}", name, name, stamp, TICK, due.isoformat())


def read_cloud_event(attributes: Mapping[str, Any], data: Any) -> Event:
    """The event of a CloudEvent's attributes and data.

    Raises:
        EventError: it is of Cloud Storage or Pub/Sub and lacks what such a one has, or its names are no Unicode.
    """
    kind, time = str(attributes["type"]), attributes.get("time") or ""
    told = time.isoformat() if isinstance(time, datetime) else str(time)
    if isinstance(data, bytes):
        data = _payload(data)
    id, source = str(attributes["id"]), str(attributes["source"])
    if kind == FINALIZED:
        found = data if isinstance(data, dict) else {}
        return _object(id, found.get("bucket"), found.get("name"), found.get("generation"), told, found)
    if kind == PUBLISHED:
        if not isinstance(data, dict) or not isinstance(data.get("message"), dict):
            raise EventError(f"event {id}: expected data with Pub/Sub's message. Received: none")
        return _pushed(data["message"], source)
    others = {name: str(value) for name, value in attributes.items() if name not in _OWN}
    if attributes.get("subject"):
        others["subject"] = str(attributes["subject"])
    # `source` and `id` together are one event, by CloudEvents' specification; no URI has a blank in it
    return _checked(Event(MESSAGE, id, source, f"{source} {id}", 0, kind, told, others, data))


def _cloud_event(headers: Mapping[str, str], body: bytes) -> Event:
    from cloudevents.core.bindings.http import HTTPMessage, from_http_event
    from cloudevents.core.exceptions import BaseCloudEventException

    # the library makes up what an event lacks: an id of its own would make every delivery another event
    try:
        given = {name.lower() for name in headers} if _binary(headers) else {f"ce-{name}" for name in _json(body)}
        if lacks := {"ce-id", "ce-source", "ce-type", "ce-specversion"} - given:
            names = ", ".join(sorted(name.removeprefix("ce-") for name in lacks))
            raise EventError(
                f"request: expected a CloudEvent with id, source, type and specversion. Received: no {names}"
            )
        event = from_http_event(HTTPMessage(dict(headers), body))
    except (BaseCloudEventException, ValueError, TypeError, AttributeError) as error:
        told = " ".join(str(error).split())[:300]
        raise EventError(f"request: expected a CloudEvent. Received: {told or type(error).__name__}") from None
    return read_cloud_event(event.get_attributes(), event.get_data())


def _binary(headers: Mapping[str, str]) -> bool:
    return any(name.lower().startswith("ce-") for name in headers)


def _pushed(message: Mapping[str, Any], source: str) -> Event:
    """A message of Pub/Sub, from a push or an event of Eventarc."""
    id = message.get("messageId") or message.get("message_id")
    attributes = message.get("attributes") or {}
    if not id or not isinstance(attributes, dict):
        raise EventError("message: expected Pub/Sub's message with messageId and attributes. Received: another thing")
    told = str(message.get("publishTime") or message.get("publish_time") or "")
    try:
        data = _payload(base64.b64decode(message.get("data") or "", validate=True))
    except (binascii.Error, TypeError, ValueError):
        raise EventError(f"message {id}: expected data in base64. Received: another text") from None
    if attributes.get("eventType") == _NOTIFIED and "bucketId" in attributes:
        bucket, name, generation = (attributes.get(field) for field in ("bucketId", "objectId", "objectGeneration"))
        return _object(str(id), bucket, name, generation, attributes.get("eventTime", told), data)
    words = {str(name): str(value) for name, value in attributes.items()}
    return _checked(Event(MESSAGE, str(id), source, f"{source} {id}", 0, PUBLISHED, told, words, data))


def _of_s3(records: list[Any]) -> Event:
    """A notification as S3 and MinIO's webhooks send it: one record, of an object that was made.

    Its sequencer rises with each state of an object: hexadecimal digits of one length or another, compared as if filled
    up with zeros (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html).
    """
    try:
        [record] = records
        kind, stored = str(record["eventName"]).removeprefix("s3:"), record["s3"]["object"]
        bucket, name = str(record["s3"]["bucket"]["name"]), unquote_plus(str(stored["key"]))
        generation = int(str(stored["sequencer"]).ljust(_SEQUENCER, "0"), 16)
        told, id = str(record.get("eventTime", "")), f"{bucket}/{name}#{stored['sequencer']}"
    except (KeyError, TypeError, ValueError, AttributeError):
        expected = "S3's notification of one record, with bucket, key and sequencer"
        raise EventError(f"request: expected {expected}. Received: another one") from None
    if not kind.startswith("ObjectCreated:"):
        subject, words = f"s3://{bucket} {id} {kind}", {"name": name}
        return _checked(Event(MESSAGE, id, f"s3://{bucket}", subject, 0, kind, told, words, record))
    words = {"bucket": bucket, "name": name}
    return _checked(Event(OBJECT, id, f"s3://{bucket}", f"s3://{bucket}/{name}", generation, kind, told, words, record))


def _object(id: str, bucket: Any, name: Any, generation: Any, time: str, data: Any) -> Event:
    if not bucket or not name or not str(generation).isdecimal():
        raise EventError(f"event {id}: expected an object's bucket, name and generation. Received: one without")
    address = f"gs://{bucket}/{name}"
    words = {"bucket": str(bucket), "name": str(name)}
    return _checked(Event(OBJECT, id, f"gs://{bucket}", address, int(generation), FINALIZED, time, words, data))


def _checked(event: Event) -> Event:
    """An event by whose names it can be kept: JSON may hold half of a surrogate pair, of which there is no hash."""
    for name in ("id", "source", "subject"):
        if not is_unicode(told := getattr(event, name)):
            raise EventError(f"event: expected Unicode text as its {name}. Received: {told!r}")
    return event


def _payload(data: bytes) -> Any:
    """What bytes say: JSON, else text, else nothing that a rule could look into."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise EventError(f"request: expected JSON. Received: {len(body)} bytes of something else") from None
