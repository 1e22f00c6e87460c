"""The model registry over a log in a service; the rules are those of `platforms.lifecycle`, as everywhere."""

from __future__ import annotations

import hashlib
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.interface import (
    ARCHIVED,
    CHAMPION,
    REJECTED,
    Audit,
    Blessing,
    Document,
    Event,
    ModelSettings,
    ModelVersion,
)
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.showing import compare, show, versions_of
from headrace.platforms.ledger.state import Held, State, served_last
from headrace.platforms.ledger.store import Kept, Store
from headrace.platforms.lifecycle import check_approval, check_transition, count, motive, person, standing
from headrace.platforms.local.account import who_asks
from headrace.platforms.local.files import place_bundle
from headrace.platforms.local.rows import check_alias, check_name

_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

Entry = tuple[str, str, str, dict[str, Any]]  # action, subject, run, detail


class LedgerRegistry:
    """Implements `platforms.interface.ModelRegistry` on a `Store`."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        metrics: Mapping[str, float],
        run: str,
        labels: Mapping[str, str] | None = None,
        blessing: Blessing | None = None,
        settings: ModelSettings | None = None,
        who: str = "",
    ) -> ModelVersion:
        """Stores a bundle as the next version; see `ModelRegistry.register`."""
        check_name("model", name)
        source = Bundle.open(bundle)
        wanted = settings or ModelSettings()
        count(wanted.approvals)
        new = {"metrics": _finite(metrics), "labels": dict(labels or {})}
        common: dict[str, Any] = {"digest": source.digest, "blessed": blessing is not None, "who": who_asks(who)}
        if blessing:
            common["judged_against"] = blessing.champion
        kept: Kept | None = None
        if _of_digest(self._ledger.refresh(), name, source.digest) is None:
            self._store.check_name(name, list(self._ledger.state.models))
            kept = self._store.keep(source, name, run)

        def decide(state: State) -> Entry:
            there = _of_digest(state, name, source.digest)
            raised = _raised(state, name, wanted)
            if there is not None:
                return "register", name, run, {**common, **raised, "version": there.number, "new": False}
            if kept is None:
                raise HeadraceError(f"{name}: expected the version {source.digest[:19]} to stay. Received: none")
            return (
                "register",
                name,
                run,
                {**common, **raised, **new, "version": kept.version, "uri": kept.uri, "new": True},
            )

        try:
            state = self._change([name], decide)
        except BaseException:
            if kept is not None:
                self._discard_unless_told(name, kept)
            raise
        found = _of_digest(state, name, source.digest)
        assert found is not None  # it stands in the log now
        if kept is not None and found.number != kept.version:
            self._store.discard(name, kept)  # another process was faster
        return state.version(name, found)

    def models(self) -> list[str]:
        """The names of all models; see `ModelRegistry.models`."""
        return sorted(self._ledger.refresh().models)

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """The versions of a model, or of all; see `ModelRegistry.versions`."""
        state = self._ledger.refresh()
        return [
            item for model in ([name] if name is not None else sorted(state.models)) for item in state.versions(model)
        ]

    def get(self, name: str, version: str) -> ModelVersion:
        """One version, by number or alias; see `ModelRegistry.get`."""
        state = self._ledger.refresh()
        return state.version(name, state.find(name, version))

    def champion(self, name: str) -> ModelVersion | None:
        """The version that serves, or None; see `ModelRegistry.champion`."""
        state = self._ledger.refresh()
        if CHAMPION not in state.aliases.get(name, {}):
            return None
        return state.version(name, state.find(name, CHAMPION))

    def set_alias(self, name: str, alias: str, version: str, *, run: str = "") -> None:
        """Points an alias at a version; see `ModelRegistry.set_alias`."""
        check_alias(alias)
        if alias == CHAMPION:
            raise HeadraceError(f"alias: expected another than {CHAMPION}, which deploying moves. Received: {alias}")
        self._store.check_alias(alias)

        def decide(state: State) -> Entry:
            number = state.find(name, version).number
            before = state.aliases.get(name, {}).get(alias)
            return "alias", name, run, {"alias": alias, "version": number, "before": before}

        self._change([name], decide)

    def settings(self, name: str) -> ModelSettings:
        """What is kept of a model; see `ModelRegistry.settings`."""
        return self._ledger.refresh().kept(name)

    def require_approvals(self, name: str, approvals: int, *, who: str, reason: str) -> None:
        """Sets how many approvals a model asks for; see `ModelRegistry.require_approvals`."""
        detail = {"approvals": count(approvals), "who": person(who), "reason": motive(reason)}

        def decide(state: State) -> Entry:
            if name not in state.models:
                state.find(name, "1")  # says which there are
            return "settings", name, "", {**detail, "before": state.kept(name).approvals}

        self._change([name], decide)

    def approve(self, name: str, version: str, *, who: str, reason: str) -> ModelVersion:
        """Records a person's yes; see `ModelRegistry.approve`."""
        who, reason = person(who), motive(reason)

        def decide(state: State) -> Entry:
            held = state.find(name, version)
            found = state.version(name, held)
            check_approval(found, who)
            given = len(held.approvals) + 1
            detail = {"version": held.number, "who": who, "reason": reason, "approvals": given}
            return "approve", name, "", detail

        return self._changed(name, version, decide)

    def transition(self, name: str, version: str, state: str, *, who: str, reason: str) -> ModelVersion:
        """Rejects, archives or restores a version; see `ModelRegistry.transition`."""
        who, reason, wanted = person(who), motive(reason), state

        def decide(state: State) -> Entry:
            held = state.find(name, version)
            found = state.version(name, held)
            check_transition(found, wanted)
            after = wanted if wanted in (REJECTED, ARCHIVED) else standing(held.blessed, (), 0)
            detail: dict[str, Any] = {
                "version": held.number,
                "state": after,
                "before": found.state,
                "who": who,
                "reason": reason,
            }
            if after in (REJECTED, ARCHIVED) and CHAMPION in found.aliases:  # it served, and was replaced by another's
                detail["champion_after"] = served_last(name, state.tops().values())
            return "state", name, "", detail

        return self._changed(name, version, decide)

    def download(self, name: str, version: str, path: Path) -> None:
        """Places a version's bundle at `path`; see `ModelRegistry.download`."""
        found = self.get(name, version)
        with tempfile.TemporaryDirectory(prefix="headrace-download-") as place:
            folder = Path(place) / "bundle"
            self._store.fetch(found.uri, folder)
            stored = Bundle.open(folder)
            if stored.digest != found.digest:
                raise ArtifactError(f"{found.uri}: expected the bundle {found.digest}. Received: {stored.digest}")
            place_bundle(stored, Path(path))
            shutil.rmtree(folder)

    def attach(self, name: str, version: str, file: str, content: bytes, *, run: str = "") -> Document:
        """Keeps a file beside a version; see `ModelRegistry.attach`."""
        if not _FILE.fullmatch(file):
            rule = "up to 128 letters, digits, `.`, `_`, `-`, starting with a letter or digit"
            raise HeadraceError(f"document: expected {rule}. Received: {file!r}")
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        held = self._ledger.refresh().find(name, version)
        if file in held.documents and held.documents[file][0].digest == digest:
            return held.documents[file][0]
        place = self._store.keep_document(name, held.number, held.uri, digest, content)

        def decide(state: State) -> Entry:
            before = state.find(name, str(held.number)).documents.get(file)
            detail = {"version": held.number, "file": file, "digest": digest, "bytes": len(content), "place": place}
            return "attach", name, run, {**detail, "before": before[0].digest if before else None}

        state = self._change([name], decide)
        return state.find(name, str(held.number)).documents[file][0]

    def documents(self, name: str, version: str) -> list[Document]:
        """What is kept beside a version; see `ModelRegistry.documents`."""
        held = self._ledger.refresh().find(name, version)
        return [document for _, (document, _) in sorted(held.documents.items())]

    def document(self, name: str, version: str, file: str) -> bytes:
        """The content of a document; see `ModelRegistry.document`."""
        held = self._ledger.refresh().find(name, version)
        if file not in held.documents:
            known = ", ".join(sorted(held.documents)) or "none yet"
            raise HeadraceError(f"{name} version {version}: expected a document ({known}). Received: {file!r}")
        document, place = held.documents[file]
        content = self._store.fetch_document(place)
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != document.digest:
            raise ArtifactError(f"{place}: expected the document {file}. Received: changed content")
        return content

    def history(self, subject: str | None = None) -> list[Event]:
        """The audit log; see `ModelRegistry.history`."""
        self._ledger.refresh()
        return [event for event in self._ledger.events if subject in (None, event.subject)]

    def verify(self, head: str = "") -> Audit:
        """Verifies the audit log; see `ModelRegistry.verify`."""
        audit = self._ledger.verify(head)
        return audit if audit.problems else compare(self._store, self._ledger.refresh(), audit)

    def _change(self, names: Iterable[str], decide: Callable[[State], Entry | None]) -> State:
        names = list(names)
        before = versions_of(self._ledger.refresh(), names)
        state = self._ledger.change(decide)
        show(self._store, self._ledger, before, names)
        return state

    def _changed(self, name: str, version: str, decide: Callable[[State], Entry | None]) -> ModelVersion:
        number = self._ledger.refresh().find(name, version).number  # an alias may have moved by then
        state = self._change([name], decide)
        return state.version(name, state.models[name][number])

    def _discard_unless_told(self, name: str, kept: Kept) -> None:
        """Removes a stored bundle whose registration failed, unless its entry stands in the log after all."""
        try:
            if kept.version not in self._ledger.refresh().models.get(name, {}):
                self._store.discard(name, kept)
        except HeadraceError:
            return  # a version that no entry names is none: it is passed over by every reader


def _of_digest(state: State, name: str, digest: str) -> Held | None:
    return next((held for held in state.models.get(name, {}).values() if held.digest == digest), None)


def _raised(state: State, name: str, wanted: ModelSettings) -> dict[str, Any]:
    """The settings that a registration changes: approvals go up and never down, the endpoint is the latest named."""
    before = state.kept(name)
    after = replace(
        before, approvals=max(before.approvals, wanted.approvals), endpoint=wanted.endpoint or before.endpoint
    )
    raised: dict[str, Any] = {} if after.approvals == before.approvals else {"approvals": after.approvals}
    return raised if after.endpoint == before.endpoint else {**raised, "endpoint": after.endpoint}


def _finite(metrics: Mapping[str, float]) -> dict[str, float]:
    wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
    if wrong:
        raise HeadraceError(f"metrics: expected finite numbers. Received: {wrong[0]}={metrics[wrong[0]]}")
    return {name: float(value) for name, value in metrics.items()}
