"""A service in the tests' own process that a registry can live in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from headrace.platforms.interface import ModelVersion
from headrace.platforms.ledger.store import Kept, Shown


class Memory:
    """The least that a ledger can live in. Entries that come second are added behind the others."""

    uri = "memory:"

    def __init__(self) -> None:
        self.log: list[tuple[int, str]] = []
        self.kept: dict[tuple[str, int], Path] = {}
        self.pages: dict[str, dict[int, Shown]] = {}
        self.files: dict[str, bytes] = {}
        self.before_append: Callable[[], object] = lambda: None
        self.counts: dict[str, int] = {}

    def check_name(self, name, others):  # type: ignore[no-untyped-def]
        pass

    def check_alias(self, alias):  # type: ignore[no-untyped-def]
        pass

    def entries(self, after: int) -> list[tuple[int, str]]:
        return [entry for entry in self.log if entry[0] > after]

    def append(self, after: int, text: str) -> None:
        hook, self.before_append = self.before_append, lambda: None
        hook()
        self.log.append((max((number for number, _ in self.log), default=0) + 1, text))

    def keep(self, bundle, name: str, run: str) -> Kept:  # type: ignore[no-untyped-def]
        self.counts[name] = number = self.counts.get(name, 0) + 1
        self.kept[name, number] = bundle.path
        self.pages.setdefault(name, {})[number] = Shown(frozenset(), "")
        return Kept(number, str(bundle.path))

    def discard(self, name: str, kept: Kept) -> None:
        del self.kept[name, kept.version], self.pages[name][kept.version]

    def fetch(self, uri: str, folder: Path) -> None:
        shutil.copytree(uri, folder)

    def keep_document(self, name, version, uri, digest, content: bytes) -> str:  # type: ignore[no-untyped-def]
        self.files[digest] = content
        return str(digest)

    def fetch_document(self, place: str) -> bytes:
        return self.files[place]

    def show(self, version: ModelVersion) -> None:
        self.pages[version.name][int(version.version)] = Shown(frozenset(version.aliases), version.state)

    def shown(self, name: str) -> dict[int, Shown]:
        return self.pages[name]
