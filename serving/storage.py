"""Where a served bundle lies: a local folder, or an address such as Vertex's AIP_STORAGE_URI.

From a bucket the bundle is copied to a temporary folder: its manifest first, then the files that it lists, and nothing
else. The manifest's digest covers all of them, and opening the bundle compares every file with it, so that half
a copy, or a changed one, is never served. Credentials are the environment's, as each of fsspec's file systems finds
them (`GOOGLE_APPLICATION_CREDENTIALS`, `AWS_*`, `FSSPEC_<PROTOCOL>_<OPTION>`, ...).

The clients of buckets try again for a minute and more where nobody answers. A server that is started waits no longer
than `FIRST_SECONDS` for the first answer, the manifest's, and says so; once a store answers, its client decides.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from headrace.artifacts.bundle import FORMAT, FORMAT_VERSION
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import MANIFEST, Manifest, read_manifest

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MOST_MANIFEST = 4 * 1024 * 1024  # bytes
TOGETHER = 8  # files that are copied at a time
FIRST_SECONDS = 10.0  # until the store answers; HEADRACE_STORE_SECONDS says otherwise
_PIECE = 1024 * 1024  # bytes


def local_folder(place: str) -> Path:
    """The folder behind a path or an address; a bundle in a bucket is copied, until this process ends.

    Raises:
        HeadraceError: the address has a scheme that is not read, cannot be reached, or has no bundle.
    """
    if "://" not in place:
        return Path(place)
    parts = urlsplit(place)
    if parts.scheme != "file":
        return _copied(place)
    if parts.netloc not in ("", "localhost"):
        raise HeadraceError(f"model: expected a file:// address of this machine. Received: {place}")
    return Path(unquote(parts.path))


def _copied(place: str) -> Path:
    """Has a process of its own copy the bundle: the clients of buckets have threads, which a server that forks its
    workers must not have, and need more memory than the server itself.
    """
    folder = Path(tempfile.mkdtemp(prefix="headrace-model-"))
    try:
        done = subprocess.run(
            [sys.executable, "-m", "headrace.serving.storage", place, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise HeadraceError(done.stdout.strip() or f"{place}: expected a copy. Received: the end of who makes it")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    atexit.register(_removed, folder, os.getpid())
    return folder


def main(place: str, folder: str) -> int:
    """Copies a bundle to a folder; what is wrong is printed."""
    # Otherwise gcsfs asks another API than the storage's for the kind of the bucket before it reads the first byte, and
    # waits for minutes where that is not let through.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    try:
        _end_without_an_answer(place.partition("?")[0], Path(folder), _first_seconds())
        copy(place, Path(folder))
    except HeadraceError as error:
        print(error)
        return 1
    return 0


def _first_seconds() -> float:
    text = os.environ.get("HEADRACE_STORE_SECONDS", "")
    try:
        seconds = float(text or FIRST_SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise HeadraceError(f"HEADRACE_STORE_SECONDS: expected a number of seconds above 0. Received: {text}")
    return seconds


def _end_without_an_answer(shown: str, folder: Path, seconds: float) -> None:
    """Ends this process after so many seconds, unless the manifest's copy has been begun by then."""

    def end() -> None:
        if not (folder / MANIFEST).exists():
            hint = "Is the store reachable from here, and are there credentials for it?"
            print(f"{shown}: expected an answer in {seconds:g} s. Received: none yet. {hint}", flush=True)
            os._exit(1)  # the client's threads would go on trying

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def copy(place: str, folder: Path) -> None:
    """Copies the bundle at an address to a folder.

    Raises:
        HeadraceError: see `local_folder`.
    """
    import fsspec

    # gcsfs logs a traceback of whatever it raises anyhow.
    logging.getLogger("gcsfs").setLevel(logging.CRITICAL + 1)
    shown = place.partition("?")[0]
    try:
        files, root = fsspec.core.url_to_fs(place)
    except (ValueError, ImportError) as error:
        message = "expected a folder, or an address such as gs://BUCKET/FOLDER, s3://BUCKET/FOLDER or file:///FOLDER"
        raise HeadraceError(f"model: {message}. Received: {shown} ({error})") from None
    with _failures(shown, folder):
        _copy(files, root.rstrip("/"), folder)


@contextmanager
def _failures(shown: str, folder: Path) -> Iterator[None]:
    """Turns what goes wrong with a copy into one message."""
    try:
        yield
    except ArtifactError as error:
        raise HeadraceError(f"{shown}: {str(error).replace(str(folder), 'its copy')}") from None
    except HeadraceError as error:
        raise HeadraceError(f"{shown}: {error}") from None
    except FileNotFoundError as error:
        name = unquote(str(error)).rstrip("/").rpartition("/")[2] or MANIFEST
        expected = "a bundle's folder, with all files of its manifest"
        raise HeadraceError(f"{shown}: expected {expected}. Received: no file {name}") from None
    except Exception as error:  # noqa: BLE001 (each file system has exceptions of its own, without a common base)
        said = str(error).strip() or type(error).__name__
        raise HeadraceError(f"{shown}: expected a bundle that can be read. Received: {said[:300]}") from None


def _copy(files: AbstractFileSystem, root: str, folder: Path) -> None:
    _fetch(files, f"{root}/{MANIFEST}", folder / MANIFEST, MOST_MANIFEST, whole=False)
    manifest = read_manifest(folder, FORMAT, FORMAT_VERSION, verify=False)
    sizes = _sizes(manifest)
    need, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if need > free:
        raise HeadraceError(f"expected room for {need:,} bytes in {folder.parent}. Received: {free:,} bytes free")

    def fetch(name: str) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(files, f"{root}/{name}", target, sizes[name])

    with ThreadPoolExecutor(TOGETHER, "copy-model") as pool:
        for _ in pool.map(fetch, sizes):
            pass


def _sizes(manifest: Manifest) -> dict[str, int]:
    found = {}
    for name, entry in manifest.files.items():
        size = entry.get("bytes")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise HeadraceError(f"{MANIFEST}: expected the number of bytes of {name}. Received: {size!r}")
        found[name] = size
    return found


def _fetch(files: AbstractFileSystem, source: str, target: Path, size: int, whole: bool = True) -> None:
    """Copies one file of so many bytes, or without `whole` of at most so many."""
    copied = 0
    with files.open(source, "rb") as stream, target.open("wb") as out:
        while piece := stream.read(_PIECE):
            copied += len(piece)
            if copied > size:
                break
            out.write(piece)
    if copied > size or (whole and copied != size):
        received = f"more than {size:,}" if copied > size else f"{copied:,}"
        expected = f"{size:,} bytes" if whole else f"at most {size:,} bytes"
        raise HeadraceError(f"{source.rpartition('/')[2]}: expected {expected}. Received: {received} bytes")


def _removed(folder: Path, owner: int) -> None:
    """Removes the copy at the end of the process that made it, and not of one that was forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
