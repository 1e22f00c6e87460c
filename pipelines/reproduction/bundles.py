"""Two bundles of what should be the same model, compared file by file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import LINEAGE, MATRIX, MODEL, SAMPLES, SIGNATURE, Bundle
from headrace.artifacts.folder import read_json
from headrace.pipelines.local.record.changes import Change, mapping_changes

DECISIVE = (MODEL, MATRIX, SIGNATURE, SAMPLES)  # all that decides an answer (of images there is no MATRIX)


@dataclass(frozen=True)
class BundleDiff:
    """From the registered bundle to the new one."""

    before: str  # digests
    after: str
    same: tuple[str, ...]  # files of the same content
    differing: tuple[str, ...]
    missing: tuple[str, ...]  # files that only the registered one has
    new: tuple[str, ...]
    lineage: tuple[Change, ...]  # what the bundles say they were made of

    @property
    def identical(self) -> bool:
        """Whether they are the same, bit for bit."""
        return self.before == self.after

    @property
    def same_model(self) -> bool:
        """Whether everything that decides an answer is the same, bit for bit."""
        return not set(DECISIVE) & {*self.differing, *self.missing, *self.new}


def compare_bundles(before: Path, after: Path) -> BundleDiff:
    """Compares two bundles, each verified against its own manifest.

    Raises:
        ArtifactError: one of them is no bundle, or damaged.
    """
    one, other = Bundle.open(before), Bundle.open(after)
    old, new = ({name: entry["sha256"] for name, entry in bundle.manifest.files.items()} for bundle in (one, other))
    shared = [name for name in old if name in new]
    return BundleDiff(
        before=one.digest,
        after=other.digest,
        same=tuple(name for name in shared if old[name] == new[name]),
        differing=tuple(name for name in shared if old[name] != new[name]),
        missing=tuple(name for name in old if name not in new),
        new=tuple(name for name in new if name not in old),
        lineage=tuple(mapping_changes("", _lineage(one), _lineage(other))),
    )


def _lineage(bundle: Bundle) -> dict[str, Any]:
    if LINEAGE not in bundle.manifest.files:
        return {}
    found = read_json(bundle.lineage)
    return found if isinstance(found, dict) else {}
