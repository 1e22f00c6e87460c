"""Closures of earlier runs, on disk: they hold while no file and no folder that was looked at has changed.

Of each the inode, the size and both times are kept, as git's index does: the time of the last change of a status cannot
be set by a program, so whatever was written to a file since shows. What was written in the very second before it was
looked at could have been written to again in the same tick of the clock, and is not kept.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.artifacts.folder import write_json

FORM = 1  # another one is not read
SETTLED = 1_000_000_000  # nanoseconds since the last change after which the clock has ticked
MOST = 300  # closures that are kept: lightweight components of a notebook come and go

Status = tuple[int, ...]


@dataclass(frozen=True)
class Known:
    """What is known, and what it rests on."""

    closures: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by the digest of a component's source
    looked: Mapping[str, Status] = field(default_factory=dict)  # file or folder -> what it looked like


def load(file: Path, places: Sequence[str]) -> Known:
    """What a file knows; nothing where it is none of ours, is about other places, or anything has changed since."""
    try:
        kept = json.loads(file.read_bytes())
        if kept["form"] != FORM or kept["places"] != list(places):
            return Known()
        looked = {place: tuple(then) for place, then in kept["looked"].items()}
        closures = dict(kept["closures"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Known()
    return Known(closures, looked) if all(status(place) == then for place, then in looked.items()) else Known()


def save(file: Path, places: Sequence[str], known: Known, began: int) -> None:
    """Keeps what is known, of closures the last ones; not where something had changed only just before.

    A disk without room is no reason to fail: the next run computes them again.

    Args:
        file: where they are kept.
        places: what else they rest on.
        known: the closures, and what the files and folders looked like when they were read.
        began: when the first of them was, in ns.
    """
    if any(max(then[2:], default=0) > began - SETTLED for then in known.looked.values()):
        return
    closures = dict(list(known.closures.items())[-MOST:])
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"form": FORM, "places": list(places), "looked": known.looked, "closures": closures})


def status(place: str) -> Status:
    """(inode, bytes, modified, status changed), times in ns; empty for what is not there."""
    try:
        found = os.stat(place)  # noqa: PTH116 (some five hundred of them at the start of every run)
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
