"""What flows through, and what a place has to be able to do to be a source or a sink.

A source hands out messages and is told which are done. A sink takes records, and has stored them when it returns. Where
both are one system there is more: what was written and what is done become so in one step (see `Route`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headrace.artifacts.errors import HeadraceError


class Unavailable(HeadraceError):
    """A place cannot be reached just now; what was to be done there is tried again."""


class Lost(HeadraceError):
    """A batch is not ours to store any more: it is read again, by us or by another consumer that took it over."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a source."""

    id: str  # the same whenever it is delivered again, and never of another message of this source
    body: bytes
    attempt: int = 1  # how often it was delivered, this time included; 1 where the source does not know
    key: bytes | None = None  # goes on to the sink: the order within a key is kept where the places keep it
    headers: Mapping[str, bytes] = field(default_factory=dict)  # go on likewise
    token: Any = None  # what the source needs to know it by
    unreadable: str = ""  # why it has no body, where it has none


@dataclass(frozen=True, slots=True)
class Record:
    """What a sink stores for a message: its answer, or with a `reason` the message itself as a dead letter."""

    message: Message
    value: bytes
    reason: str = ""


class Source(Protocol):
    """Where messages come from."""

    name: str  # without passwords

    def read(self, most: int, seconds: float) -> list[Message]:
        """What is waiting, at most so many; waits at most so long for the first.

        Raises:
            Unavailable: it cannot be reached.
            EOFError: there are no more, for ever.
        """

    def done(self, messages: Sequence[Message]) -> None:
        """These are answered: they are not delivered again.

        Raises:
            Unavailable: it cannot be reached; they may or may not be delivered again.
        """

    def keep(self, messages: Sequence[Message]) -> None:
        """These are still worked on: nobody else should be given them.

        Raises:
            Unavailable: it cannot be reached.
        """

    def waiting(self) -> int | None:
        """How many messages are not done, for the metrics; None where nobody can tell. Clients are for one thread."""

    def close(self) -> None:
        """Ends it; what was read and is not done is delivered again, to whoever reads next."""


class Sink(Protocol):
    """Where the answers and the dead letters go."""

    name: str

    def write(self, records: Sequence[Record]) -> int:
        """Stores records, in their order, and returns how many of them it had already.

        Raises:
            Unavailable: it cannot be reached; any of them may or may not have been stored.
        """

    def close(self) -> None:
        """Ends it."""


Commit = Callable[[Sequence[Record]], int]
"""Stores records and says that their messages are done; returns how many had been stored already.

Raises Unavailable and Lost.
"""


def in_turn(source: Source, sink: Sink) -> Commit:
    """The commit of two different places: what is between the two steps when the process ends is delivered again."""

    def commit(records: Sequence[Record]) -> int:
        twice = sink.write(records)
        source.done([record.message for record in records])
        return twice

    return commit


@dataclass(frozen=True)
class Route:
    """A source, a sink, and how records are stored and messages are done."""

    source: Source
    sink: Sink
    commit: Commit
    promise: str  # what is guaranteed of the two together, in a sentence

    def close(self) -> None:
        """Ends both."""
        try:
            self.source.close()
        finally:
            self.sink.close()
