"""Which snapshot each registered model was trained from, as the bundle's own lineage says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.bundle import LINEAGE
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json

if TYPE_CHECKING:
    from headrace.platforms.interface import ModelVersion, Platform


@dataclass(frozen=True)
class Trained:
    """A registered version, and the digests of the snapshots that it names."""

    model: ModelVersion
    data: tuple[str, ...]  # what the lineage and the registry say: one, unless they disagree; none when it is not known

    @property
    def label(self) -> str:
        """As it is asked for: `churn:3`."""
        return f"{self.model.name}:{self.model.version}"


def trained_models(platform: Platform) -> list[Trained]:
    """Every registered version, by model, oldest first."""
    registry = platform.registry
    return [Trained(version, data_of(version)) for name in registry.models() for version in registry.versions(name)]


def data_of(version: ModelVersion) -> tuple[str, ...]:
    """The digests of the snapshots that a registered version names; none where neither place tells.

    The bundle's lineage is what training wrote; the registry's label is what evaluation read. Both are given, so that
    whoever protects the data of models protects too much rather than too little.
    """
    said = [_lineage_data(Path(version.uri)), version.labels.get("dataset")]
    return tuple(dict.fromkeys(digest for digest in said if digest))


def _lineage_data(bundle: Path) -> str | None:
    try:
        digest = read_json(bundle / LINEAGE)["data"]["digest"]
    except (ArtifactError, OSError, KeyError, TypeError):
        return None  # damaged, or kept elsewhere: the label may still tell
    return digest if isinstance(digest, str) else None
