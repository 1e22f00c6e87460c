"""What models are made of: copied when they are uploaded, as the service does, so that the bucket may change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from headrace.artifacts.bundle import FORMAT, FORMAT_VERSION
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import MANIFEST, read_manifest
from headrace.emulator.refusals import Refusal
from headrace.emulator.vertex.names import invalid, new_id

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "ModelFiles"  # documents: of a version, by its name with the number: where its files lie


def keep(emulator: Emulator, uri: str) -> str:
    """Copies the files at an address; returns the folder, or nothing where the address is not this machine's.

    Files are linked where the disk allows and nobody writes to them: those of buckets are replaced.

    Raises:
        Refusal: FAILED_PRECONDITION: there are none.
    """
    source = _place(emulator, uri)
    if source is None:
        return ""
    if not source.is_dir() or not any(source.iterdir()):
        raise Refusal(
            "FAILED_PRECONDITION", f"The model's directory {uri} is expected to contain at least one file: {source}"
        )
    target = _above(emulator) / new_id()
    ours = uri.startswith("gs://") or source.is_relative_to(_above(emulator))
    try:
        shutil.copytree(source, target, copy_function=_link if ours else shutil.copy2)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise Refusal("INTERNAL", f"{uri}: expected files that can be copied. Received: {error!s:.500}") from None
    return target.name


def link(emulator: Emulator, version: str, target: Path) -> Path | None:
    """The files of a version once more, which stay when it is deleted; None where it has none here."""
    files = of(emulator, version)
    return shutil.copytree(files, target, copy_function=_link) if files is not None else None


def write_down(emulator: Emulator, version: str, folder: str) -> None:
    """These are a version's files; within the transaction that makes the version."""
    emulator.documents.create(KIND, version, {"folder": folder})


def of(emulator: Emulator, version: str) -> Path | None:
    """The folder of a version's files; None where it has none here."""
    found = emulator.documents.find(KIND, version)
    return _above(emulator) / found["folder"] if found and found["folder"] else None


def forget(emulator: Emulator, version: str) -> None:
    """Removes what is written down of a version's files, within the transaction that removes the version."""
    if emulator.documents.find(KIND, version):
        emulator.documents.delete(KIND, version)


def sweep(emulator: Emulator) -> None:
    """Removes files that are no version's: of one that was deleted, or whose upload was not acknowledged."""
    known = {document["folder"] for document in emulator.documents.list(KIND)}
    above = _above(emulator)
    for folder in above.iterdir() if above.is_dir() else ():
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)


def remove(folder: Path | None) -> None:
    """Removes the files of a version that was deleted."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def bucket_folder(emulator: Emulator, uri: str) -> Path:
    """The folder of what lies below an address in the emulator's buckets."""
    return emulator.objects.path(f"{uri.rstrip('/')}/{MANIFEST}").parent


def is_bundle(folder: Path) -> bool:
    """Whether our server can serve it."""
    try:
        read_manifest(folder, FORMAT, FORMAT_VERSION, verify=False)
    except ArtifactError:
        return False
    return True


def _above(emulator: Emulator) -> Path:
    return emulator.folder / "models"


def _place(emulator: Emulator, uri: str) -> Path | None:
    scheme, colon, _ = uri.partition("://")
    if scheme == "gs":
        bucket = emulator.objects.path(f"gs://{uri[5:].partition('/')[0]}")
        # A public bucket, say, is not here: such a model is registered, and cannot be served.
        return bucket_folder(emulator, uri) if bucket.is_dir() else None
    if not colon:
        return _absolute(uri, uri)
    if scheme == "file":
        parts = urlsplit(uri)
        return _absolute(unquote(parts.path), uri) if parts.netloc in ("", "localhost") else None
    return None


def _absolute(path: str, uri: str) -> Path:
    if not path.startswith("/"):
        raise invalid(f"artifact_uri: expected gs://BUCKET/FOLDER, or a folder from the root. Received: {uri}")
    return Path(path)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
