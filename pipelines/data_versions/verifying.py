"""Whether the files of data versions are what their digests say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from headrace.artifacts.errors import ArtifactError
from headrace.pipelines.data_versions.inventory import DataVersion


@dataclass(frozen=True)
class Verified:
    """One copy of a version, and what is wrong with it."""

    version: DataVersion
    path: Path
    bytes: int  # of its files, as listed; 0 where there is no telling
    damage: str  # "" when every file is what it was


def verify_versions(versions: Iterable[DataVersion]) -> list[Verified]:
    """Hashes every file of every copy; versions that were collected have none."""
    return [_verified(version, path) for version in versions for path in version.paths]


def _verified(version: DataVersion, path: Path) -> Verified:
    try:
        files = version.open_copy(path).manifest.files
    except ArtifactError as error:
        return Verified(version, path, 0, str(error))
    except OSError as error:
        return Verified(version, path, 0, f"{path}: expected files that can be read. Received: {error.strerror}")
    except (KeyError, TypeError) as error:
        return Verified(version, path, 0, f"{path}: expected the details of a snapshot. Received: {error}")
    return Verified(version, path, sum(entry["bytes"] for entry in files.values()), "")
