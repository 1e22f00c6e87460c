"""Folders of this machine, looked at again and again: a file that is whole is an event."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from headrace.pipelines.events.event import OBJECT, Event
from headrace.pipelines.events.rules import Rule
from headrace.pipelines.events.store import Store
from headrace.pipelines.local.ir.values import is_unicode

FILE = "dev.headrace.file.v1.written"
_WILD = re.compile(r"[*?\[]")


class Folders:
    """Finds files that rules are about.

    A file is whole once neither its size nor its time has changed for a while. Its generation is the time at which the
    file system says that it changed (ctime): unlike the time of its content it rises also where an older file takes
    its place. A file whose name is no UTF-8 is passed over, with one word about it: neither the ledger nor a pipeline's
    parameter can hold such a name.

    Args:
        rules: those that are about files; others are passed over.
        store: remembers what was there when a rule watched for the first time.
        settle_s: how long a file must not have changed.
        existing: whether files count that are there before a rule watches for the first time.
        now: seconds since 1970.
        complain: is told of files that are passed over.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        store: Store,
        *,
        settle_s: float = 2.0,
        existing: bool = False,
        now: Callable[[], float] = time.time,
        complain: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._complain, self._passed_over = complain, set[str]()
        self._rules = [rule for rule in rules if rule.object is not None and "://" not in rule.object.match]
        self._settle, self._now = settle_s, now
        self._seen: dict[str, tuple[int, int, float]] = {}
        self._before = {rule.name: _baseline(rule, store, existing) for rule in self._rules}

    def look(self) -> list[Event]:
        """What is whole now, the oldest first; the same again each time."""
        found: dict[str, Event] = {}
        now, seen = self._now(), {}
        for rule in self._rules:
            for path, ctime, size in _files(rule):
                known = self._seen.get(path)
                since = known[2] if known is not None and known[:2] == (ctime, size) else now
                seen[path] = (ctime, size, since)
                if now - since >= self._settle and self._before[rule.name].get(path) != ctime:
                    found[path] = _event(path, ctime, size)
        self._seen = seen
        self._pass_over(sorted(path for path in found if not is_unicode(path)), found)
        return sorted(found.values(), key=lambda event: (event.generation, event.subject))

    def _pass_over(self, nameless: Sequence[str], found: dict[str, Event]) -> None:
        """Takes files out of what was found, and tells of those that were not told of before."""
        for path in nameless:
            del found[path]
        new = [path for path in nameless if path not in self._passed_over]
        if new:
            others = f", and {len(new) - 1} more" if len(new) > 1 else ""
            self._complain(f"passed over: expected names in UTF-8. Received: {os.fsencode(new[0])!r}{others}")
        self._passed_over = set(nameless)


def _baseline(rule: Rule, store: Store, existing: bool) -> dict[str, int]:
    """What was there when the rule was watched for the first time, for ever after."""
    assert rule.object is not None  # those alone are asked for
    name = f"watched/{rule.name}.json"
    found = store.read(name)
    if found is not None and (said := json.loads(found[0]))["match"] == rule.object.match:
        return {str(path): int(ctime) for path, ctime in said["files"].items()}
    files = {} if existing else {path: ctime for path, ctime, _ in _files(rule)}
    text = json.dumps({"match": rule.object.match, "files": files}).encode()
    if not store.write(name, text, found[1] if found else 0):
        return _baseline(rule, store, existing)  # another watcher began at the same time: one of us is right
    return files


def _files(rule: Rule) -> Iterator[tuple[str, int, int]]:
    """Path, ctime in nanoseconds and size of each file that a rule means."""
    assert rule.object is not None  # those alone are asked for
    pattern = rule.object.match
    wild = _WILD.search(pattern)
    root = pattern[: wild.start()].rpartition("/")[0] if wild else os.path.dirname(pattern)  # noqa: PTH120 (a text)
    deepest = None if "**" in pattern else pattern.removeprefix(root).count("/") - 1
    for folder, inner, names in os.walk(root or "/"):
        if deepest is not None and folder.removeprefix(root).count("/") >= deepest:
            inner.clear()
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 (many files: a Path each would take most of the time)
            if not rule.object.means(Event(OBJECT, "", "", path)):
                continue
            try:
                found = Path(path).stat()
            except OSError:  # it has gone meanwhile
                continue
            yield path, found.st_ctime_ns, found.st_size


def _event(path: str, ctime: int, size: int) -> Event:
    told = datetime.fromtimestamp(ctime / 1e9, UTC).isoformat()
    folder, _, name = path.rpartition("/")
    words = {"bucket": folder, "name": name}
    return Event(OBJECT, f"{path}#{ctime}", folder, path, ctime, FILE, told, words, {"size": size})
