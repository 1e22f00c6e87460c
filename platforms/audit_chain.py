"""The audit log's chain: each entry holds the hash of the one before. None can be changed, left out or put in between.

    hash = SHA-256 of the JSON array [before, time, actor, action, subject, run, detail], UTF-8, keys sorted, without
    blanks; `before` of the first entry is 64 zeros. All hashes are hexadecimal.

Whoever can write the whole log can also make a whole new one. That is found out by a head that was written down
elsewhere: `headrace models audit` prints it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace

from headrace.platforms.interface import Audit, Event

FIRST = "0" * 64


def chained(event: Event, before: str) -> Event:
    """The event as the next one after the entry with the hash `before`."""
    return replace(event, before=before, hash=entry_hash(event, before))


def entry_hash(event: Event, before: str) -> str:
    """The hash of an event that follows the entry with the hash `before`."""
    covered = [before, event.time, event.actor, event.action, event.subject, event.run, dict(event.detail)]
    text = json.dumps(covered, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _unchanged(event: Event) -> bool:
    try:
        return event.hash == entry_hash(event, event.before)
    except ValueError:  # NaN, or half a character: nothing that was ever hashed
        return False


def verify_chain(events: Iterable[Event], head: str = "") -> Audit:
    """Follows the chain from its first entry, and tells each place where it does not hold.

    Args:
        events: the whole log, oldest first.
        head: a hash that was written down before, or its first 12 characters or more; it has to be among them.
    """
    before, problems, number, seen = FIRST, [], 0, not head
    for number, event in enumerate(events, start=1):
        what = f"entry {number} ({event.time}, {event.action} {event.subject})"
        if event.before != before:
            problems.append(f"{what}: expected to follow {before[:12]}. Received: one that follows {event.before[:12]}")
        if not _unchanged(event):
            problems.append(f"{what}: expected content with the hash {event.hash[:12]}. Received: changed content")
        before = event.hash
        seen = seen or (len(head) >= 12 and event.hash.startswith(head))
    if not seen:
        problems.append(f"expected an entry with the hash {head[:12]}. Received: none in {number} entries")
    return Audit(number, before if number else "", tuple(problems))
