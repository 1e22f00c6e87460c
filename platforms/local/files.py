"""Bundle folders on disk: copied whole, checked, and in place all at once or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import MANIFEST
from headrace.platforms.local.database import sync_folder

_PARTIAL = ".partial-"
_YOUNG_S = 60.0  # a folder this new may be between its making and its locking


def bundle_files(bundle: Bundle) -> list[str]:
    """The names of a bundle's files, the manifest last; what else lies in the folder is no part of it."""
    return [*bundle.manifest.files, MANIFEST]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says against writing a bundle (disk full, read-only) into an error for the user.

    Raises:
        HeadraceError: with the path and the system's reason.
    """
    try:
        yield
    except OSError as error:
        raise HeadraceError(f"{path}: expected to write a bundle there. Received: {error.strerror}") from error


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """Yields a new folder below `parent` that is removed on leaving, unless it was moved away.

    It is locked while its process lives; what killed processes left behind is swept away here.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    folder = parent / f"{_PARTIAL}{os.getpid()}-{os.urandom(4).hex()}"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    for folder in parent.glob(f"{_PARTIAL}*"):
        try:
            if time.time() - folder.stat().st_mtime < _YOUNG_S:
                continue
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:  # another process swept it
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # its process lives
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def copy_bundle(bundle: Bundle, target: Path) -> Bundle:
    """Copies a bundle's files into the folder `target`, read-only and durable, and checks what arrived.

    Raises:
        ArtifactError: the content is not what the manifest says.
    """
    for name in bundle_files(bundle):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(bundle.path / name, copy)
        except FileNotFoundError:
            place = bundle.path / name
            message = f"{place}: expected the file that the manifest lists. Received: no such file"
            raise ArtifactError(message) from None
        copy.chmod(0o444)
        _sync_file(copy)
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        sync_folder(folder)
    return Bundle.open(target)


def move(folder: Path, target: Path) -> None:
    """Moves a finished folder into place, over what a killed process may have left there; durable."""
    if target.exists():
        target.replace(folder.with_name(f"{folder.name}-orphan"))
        shutil.rmtree(folder.with_name(f"{folder.name}-orphan"), ignore_errors=True)
    folder.replace(target)
    sync_folder(target.parent)


def place_bundle(bundle: Bundle, path: Path) -> None:
    """Places a copy of a bundle at `path`, for whoever asked for it.

    It shares no file with where it comes from: a hard link of a read-only file does not keep root from writing to it,
    and the registry's own version would change with the copy. Steps get copies as well: users see their outputs.

    An empty folder at `path` (KFP makes output folders beforehand) is replaced; anything else is refused.

    Raises:
        ArtifactError: `path` is taken.
        HeadraceError: the system refuses to write there.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ArtifactError(f"{path}: expected a place that is still free to put a bundle. Received: a filled one")
    partial = path.with_name(f".{path.name}-{os.getpid()}-{os.urandom(4).hex()}")
    with writing(path):
        try:
            partial.mkdir(parents=True)
            for name in bundle_files(bundle):
                (partial / name).parent.mkdir(parents=True, exist_ok=True)
                # Not synced, which takes longer than all else: what a power cut spoils is a copy, whose digest tells.
                shutil.copyfile(bundle.path / name, partial / name)
            partial.replace(path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _sync_file(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
