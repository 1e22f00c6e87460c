"""What the log says, on the service's own pages: aliases, tags and labels follow the log, and never lead it."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from headrace.platforms.interface import Audit, ModelVersion
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.state import State
from headrace.platforms.ledger.store import Store, StoreError

Versions = dict[tuple[str, str], ModelVersion]


def versions_of(state: State, names: Iterable[str] | None = None) -> Versions:
    """The versions of some models, or of all."""
    wanted = state.models if names is None else [name for name in names if name in state.models]
    return {(name, item.version): item for name in wanted for item in state.versions(name)}


def show(store: Store, ledger: Ledger, before: Versions, names: Iterable[str]) -> None:
    """Shows what has changed since `before`, and goes on until nobody has changed more meanwhile.

    The change stands in the log already. So where the service refuses to show it, that is said, and is no failure.
    """
    names = list(names)
    try:
        while True:
            after = versions_of(ledger.refresh(), names)
            changed = [item for key, item in after.items() if before.get(key) != item]
            # Who loses an alias comes first: a service may refuse to give it to another meanwhile.
            for item in sorted(changed, key=lambda item: not _loses(before, item)):
                store.show(item)
            if not changed:
                return
            before = after
    except StoreError as error:
        print(f"{store.uri}: the log holds the change; its own pages may not show it yet: {error}", file=sys.stderr)


def _loses(before: Versions, item: ModelVersion) -> bool:
    was = before.get((item.name, item.version))
    return was is not None and bool(set(was.aliases) - set(item.aliases))


def compare(store: Store, state: State, audit: Audit) -> Audit:
    """The audit, with the places where the service's own pages say something else than the log."""
    problems = list(audit.problems)
    for name in sorted(state.models):
        shown = store.shown(name)
        for item in state.versions(name):
            found = shown.get(int(item.version))
            what = f"{name}:{item.version}"
            if found is None:
                problems.append(f"{what}: expected a version in {store.uri}, as the log says. Received: none")
                continue
            if found.aliases != frozenset(item.aliases):
                told = _words(item.aliases), _words(found.aliases)
                problems.append(
                    f"{what}: expected the aliases {told[0]}, as the log says. Received: {told[1]} in {store.uri}"
                )
            if found.state != item.state:
                problems.append(
                    f"{what}: expected the state {item.state}, as the log says. "
                    f"Received: {found.state or 'none'} in {store.uri}"
                )
    return Audit(audit.entries, audit.head, tuple(problems))


def _words(aliases: Iterable[str]) -> str:
    return ", ".join(sorted(aliases)) or "none"
