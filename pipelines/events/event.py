"""What happened, wherever it was told: a file that is whole, a message, a schedule's hour."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError

OBJECT, MESSAGE, SCHEDULE = "object", "message", "schedule"


class EventError(HeadraceError):
    """What arrived is no event that can be read, or does not have what a rule takes from it."""


@dataclass(frozen=True)
class Event:
    """Something that may start a pipeline.

    Attributes:
        kind: `object`, `message` or `schedule`.
        id: the event's own, as its source gave it.
        source: who tells of it: a bucket, a topic or a subscription, a schedule's name.
        subject: what it is about. For one rule and one subject the latest generation counts: an object's address, a
            schedule's name; a message is about itself.
        generation: which state of the subject: Cloud Storage's generation, a file's time of change in nanoseconds, a
            schedule's hour in seconds since 1970; 0 for a message. It only rises.
        type: CloudEvents' type.
        time: when it happened, ISO 8601, as the source says; empty where it does not.
        attributes: a message's, or CloudEvents' extensions.
        data: the payload, as plain data where it is JSON.
    """

    kind: str
    id: str
    source: str
    subject: str
    generation: int = 0
    type: str = ""
    time: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    data: Any = None

    def key(self, rule: str) -> str:
        """What is started once: 24 hexadecimal digits of the rule, the subject and its generation."""
        text = "\n".join((rule, self.kind, self.subject, str(self.generation)))
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def as_json(self) -> dict[str, Any]:
        """Plain data, from which `from_json` makes the same event."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__} | {"attributes": dict(self.attributes)}

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Event:
        """The event that `as_json` wrote down."""
        return cls(**found)
