"""Lists of models, and of versions: a line each, that are read at five hundred as at five."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from headrace.pipelines.models.words import (
    WAITING,
    first_metric,
    minute,
    ranked,
    state_words,
    table,
    version_json,
    waits,
)
from headrace.platforms.interface import CHAMPION, LIVE, ModelRegistry, ModelVersion

_SUMMED_UP = 10  # from so many lines on, the last one counts them
_METRICS = 4


@dataclass(frozen=True)
class Model:
    """One model with all its versions, the oldest first; never none."""

    name: str
    versions: tuple[ModelVersion, ...]

    @property
    def newest(self) -> ModelVersion:
        """The version that was registered last."""
        return self.versions[-1]

    @property
    def champion(self) -> ModelVersion | None:
        """The version that serves, if one does."""
        return next((version for version in self.versions if CHAMPION in version.aliases), None)

    @property
    def waiting(self) -> list[ModelVersion]:
        """Versions that are newer than what serves, and lack nothing but people's approval."""
        since = int(self.champion.version) if self.champion else 0
        return [version for version in self.versions if waits(version) and int(version.version) > since]


def find_models(registry: ModelRegistry, match: str = "") -> list[Model]:
    """All models whose name has `match` in it, or is matched by it where it has a `*`, by name."""
    found: dict[str, list[ModelVersion]] = {}
    for version in registry.versions():
        found.setdefault(version.name, []).append(version)
    pattern = match if "*" in match else f"*{match}*"
    names = [name for name in sorted(found) if fnmatch.fnmatchcase(name.lower(), pattern.lower())]
    return [Model(name, tuple(found[name])) for name in names]


def models_text(models: Sequence[Model]) -> list[str]:
    """A line for each model: what serves, what is newest, how good it is."""
    if not models:
        return []
    rows = []
    for model in models:
        live, newest = model.champion, model.newest
        shown = live or newest
        rows.append(
            (model.name, _serves(model), f"{newest.version} {state_words(newest)}",
             first_metric(shown), minute(newest.created))
        )  # fmt: skip
    lines = table(("MODEL", "SERVES", "NEWEST", "METRIC", "REGISTERED"), rows)
    if len(models) >= _SUMMED_UP:
        counted = Counter(live=0, waits=0)
        for model in models:
            counted["live"] += model.champion is not None
            counted["waits"] += bool(model.waiting)
        versions = sum(len(model.versions) for model in models)
        lines.append(
            f"{len(models):,} models, {versions:,} versions; serving: {counted['live']:,}"
            + (f"; waiting for approval: {counted['waits']:,}" if counted["waits"] else "")
        )
    return lines


def _serves(model: Model) -> str:
    live = model.champion
    if live is None:
        return "none"
    if live.endpoints == (model.name,):
        return live.version
    return f"{live.version} at {', '.join(live.endpoints) or 'no endpoint'}"


def models_json(models: Sequence[Model]) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            "name": model.name,
            "champion": version_json(model.champion) if model.champion else None,
            "newest": version_json(model.newest),
            "versions": len(model.versions),
            "waiting": [version.version for version in model.waiting],
            "approvals_needed": model.newest.approvals_needed,
        }
        for model in models
    ]


def find_versions(models: Sequence[Model], state: str = "") -> list[ModelVersion]:
    """The versions of models, the newest of each first; those in a state only, or those that wait for approval."""
    if state == WAITING:
        return [version for model in models for version in reversed(model.waiting)]
    every = [version for model in models for version in reversed(model.versions)]
    return [version for version in every if not state or version.state == state]


def versions_text(versions: Sequence[ModelVersion]) -> list[str]:
    """A line for each version."""
    if not versions:
        return []
    rows = []
    for version in versions:
        known = ranked(dict(version.metrics))[:_METRICS]
        metrics = " ".join(f"{name}={value:.4g}" for name, value in known)
        at = f" at {', '.join(version.endpoints)}" if version.state == LIVE else ""
        rows.append(
            (f"{version.name}:{version.version}", state_words(version) + at, ", ".join(version.aliases),
             minute(version.created), metrics, version.run)
        )  # fmt: skip
    return table(("VERSION", "STATE", "ALIASES", "REGISTERED", "METRICS", "RUN"), rows)
