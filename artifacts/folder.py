"""What all artifacts share: a folder that is sealed by a manifest, and appears at once or not at all.

    <artifact>/
        manifest.json    format, format_version, digest, created, files {name: sha256, bytes}, details
        ...              the files that the manifest lists

The digest covers the format, the names and contents of the files and the details, but not the time of
creation: the same content has the same digest on every machine, and the digest is the artifact's version.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from headrace.artifacts.errors import ArtifactError

MANIFEST = "manifest.json"
MOST_JSON = 256 * 1024 * 1024  # bytes of a JSON file that is read: its values take a multiple of that in memory


@dataclass(frozen=True)
class Manifest:
    """A sealed folder's own description."""

    format: str  # "headrace/<kind>"
    format_version: int
    digest: str  # "sha256:<hex>"
    created: str  # ISO 8601, UTC; empty where the folder is a part of another artifact
    files: dict[str, dict[str, Any]]  # relative name -> {"sha256": hex, "bytes": int}
    details: dict[str, Any]  # what this kind of artifact says of itself


@contextmanager
def write_folder(path: Path, format: str, format_version: int, details: dict[str, Any]) -> Iterator[Path]:
    """Yields an empty folder to fill; on leaving it is sealed and moved to `path` in one step.

    `details` may be filled while the folder is being written. When the block raises, nothing is left at `path`.
    An empty folder that is already there (KFP makes output folders beforehand) is replaced; a filled one is refused.
    """
    path = Path(path)
    if path.is_dir() and any(path.iterdir()):
        raise ArtifactError(
            f"{path}: expected a place that is still free to write a {format} to. Received: a filled folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        partial.chmod(0o755)
        yield partial
        seal(partial, format, format_version, details)
        partial.replace(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def seal(folder: Path, format: str, format_version: int, details: dict[str, Any]) -> Manifest:
    """Hashes every file below `folder` and writes the manifest, last and durably."""
    names = sorted(_names(folder))
    files = {name: {"sha256": file_digest(folder / name), "bytes": (folder / name).stat().st_size} for name in names}
    manifest = Manifest(
        format=format,
        format_version=format_version,
        digest=_digest(format, format_version, files, details),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files=files,
        details=details,
    )
    write_text(folder / MANIFEST, json.dumps(manifest.__dict__, indent=2, ensure_ascii=False) + "\n")
    return manifest


def read_manifest(path: Path, format: str, newest_version: int, *, verify: bool = True) -> Manifest:
    """Reads the manifest of a sealed folder; with `verify`, also hashes every file it lists.

    Raises:
        ArtifactError: not a sealed folder, another format, a newer format version, a missing or changed file; with
        `verify` also a file that is not listed, and a symbolic link: a reader of a listed file might follow either,
        as ONNX Runtime does to weights, and the digest would not cover what it finds.
    """
    path = Path(path)
    file = path / MANIFEST
    if not file.exists():
        raise ArtifactError(f"{path}: expected a {format} folder with a {MANIFEST}. Received: none there")
    try:
        manifest = Manifest(**_read_json(file, MOST_JSON))
        _check_form(manifest)
    except (ValueError, TypeError) as error:
        raise ArtifactError(
            f"{file}: expected a JSON manifest of a {format}. Received: a damaged file ({error})"
        ) from None
    if manifest.format != format:
        raise ArtifactError(f"{path}: expected a {format}. Received: a {manifest.format}")
    if manifest.format_version > newest_version:
        raise ArtifactError(
            f"{path}: expected {format} of format version {newest_version} or older. "
            f"Received: version {manifest.format_version}. Upgrade headrace to read it."
        )
    if manifest.digest != _digest(manifest.format, manifest.format_version, manifest.files, manifest.details):
        raise ArtifactError(
            f"{file}: expected the digest to cover the manifest. Received: {manifest.digest}, which does not"
        )
    if verify:
        _verify_names(path, manifest)
    for name, entry in manifest.files.items():
        if not _stays_inside(name):
            raise ArtifactError(f"{file}: expected names of files below the folder. Received: {name!r}")
        if verify:
            _verify(path / name, entry)
    return manifest


def copy_undated(source: Path, target: Path) -> None:
    """Copies a sealed folder into an artifact that is being written, without the time when it was created.

    Equal folders were created at different times: with the times in their manifests, the artifacts that hold them would
    have different digests although all that was put into them is the same.
    """
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    manifest = read_json(target / MANIFEST)
    write_text(target / MANIFEST, json.dumps({**manifest, "created": ""}, indent=2, ensure_ascii=False) + "\n")


def _stays_inside(name: str) -> bool:
    """Whether a name that a stranger's manifest lists is one that `seal` would have written."""
    path = PurePosixPath(name)
    plain = name == path.as_posix() != MANIFEST and name.isprintable()
    return plain and not path.is_absolute() and ".." not in path.parts and path.parts != ()


def _check_form(manifest: Manifest) -> None:
    """Raises TypeError where a stranger's manifest is not of the form that `seal` writes."""
    wanted = {"format": str, "format_version": int, "digest": str, "created": str, "files": dict, "details": dict}
    for name, kind in wanted.items():
        if type(getattr(manifest, name)) is not kind:
            raise TypeError(f"its {name} is not of the type {kind.__name__}")
    for name, entry in manifest.files.items():
        fine = isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
        if not fine or type(entry.get("bytes")) is not int:
            raise TypeError(f"its entry {name!r} is not of the form sha256, bytes")


def _verify(file: Path, entry: dict[str, Any]) -> None:
    expected, size = entry["sha256"], entry["bytes"]
    try:
        state = file.lstat()
    except OSError:
        state = None
    if state is None or not stat.S_ISREG(state.st_mode):
        raise ArtifactError(f"{file}: expected the file that the manifest lists. Received: no such file")
    if state.st_size != size:  # told before it is read: a file with holes may be larger than what can be read at all
        what = f"expected content with sha256 {expected[:12]}... of {size:,} bytes"
        raise ArtifactError(f"{file}: {what}. Received: changed content, of {state.st_size:,}")
    if file_digest(file) != expected:
        raise ArtifactError(f"{file}: expected content with sha256 {expected[:12]}... Received: changed content")


def _verify_names(folder: Path, manifest: Manifest) -> None:
    links = [place.relative_to(folder).as_posix() for place in folder.rglob("*") if place.is_symlink()]
    others = sorted({*links, *(_names(folder) - manifest.files.keys())})
    if others:
        shown = ", ".join(others[:3]) + (f" and {len(others) - 3} more" if len(others) > 3 else "")
        kind = "a symbolic link" if others[0] in links else "which it does not"
        raise ArtifactError(f"{folder}: expected only the files that the manifest lists. Received: {shown}, {kind}")


def _names(folder: Path) -> set[str]:
    """Every file below a folder, and whatever else is no folder, but the folder's own manifest."""
    names = {place.relative_to(folder).as_posix() for place in folder.rglob("*") if not place.is_dir()}
    return names - {MANIFEST}


def _digest(format: str, format_version: int, files: dict[str, Any], details: dict[str, Any]) -> str:
    covered = json.dumps([format, format_version, files, details], sort_keys=True, ensure_ascii=False)
    # Half a character, which JSON can escape, is no UTF-8: a manifest of a stranger's may have one.
    return "sha256:" + hashlib.sha256(covered.encode(errors="surrogatepass")).hexdigest()


def file_digest(file: Path) -> str:
    """The hexadecimal SHA-256 of a file's content, read in blocks."""
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_text(file: Path, text: str) -> None:
    """Writes a text as UTF-8, atomically."""
    write_bytes(file, text.encode("utf-8"))


def write_bytes(file: Path, content: bytes | memoryview) -> None:
    """Writes a file so that a reader sees the old content or the new, never half of it; durable on return."""
    file = Path(file)
    partial = file.with_name(f".{file.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_json(file: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically. NaN is refused: JSON has none."""
    write_text(file, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(file: Path, most: int = MOST_JSON) -> Any:
    """Reads a JSON file of at most so many bytes.

    Raises:
        ArtifactError: the file is missing, no plain file, too large or not JSON.
    """
    try:
        return _read_json(Path(file), most)
    except FileNotFoundError:
        raise ArtifactError(f"{file}: expected a JSON file. Received: no such file") from None
    except ValueError as error:
        raise ArtifactError(f"{file}: expected JSON. Received: a damaged file ({error})") from None


def _read_json(file: Path, most: int) -> Any:
    """The value in a file that a stranger may have written; ValueError where it cannot be read."""
    state = file.stat()
    if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for, a device read without end
        raise ValueError("it is no plain file")
    if state.st_size > most:
        raise ValueError(f"{state.st_size:,} bytes, where {most:,} are the most")
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("values within values, without end") from None
