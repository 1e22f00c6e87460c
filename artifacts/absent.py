"""A sealed folder which says that there is nothing, no champion say. Absence is stated, never inferred."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import MANIFEST, read_json, read_manifest, write_folder

FORMAT = "headrace/absent"
VERSION = 1


def write_absent(path: Path | str, reason: str) -> None:
    """Writes the statement, with its reason: `no version of `churn` has the alias champion`."""
    with write_folder(Path(path), FORMAT, VERSION, {"reason": reason}):
        pass


def is_absent(path: Path | str) -> bool:
    """Whether the folder states that there is nothing.

    Raises:
        ArtifactError: nothing sealed is there, or the statement is damaged.
    """
    path = Path(path)
    manifest = read_json(path / MANIFEST)
    if not isinstance(manifest, dict):
        raise ArtifactError(f"{path / MANIFEST}: expected a manifest. Received: something else")
    if manifest.get("format") != FORMAT:
        return False
    read_manifest(path, FORMAT, VERSION)
    return True
