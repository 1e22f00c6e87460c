"""Sends sources that lie on this machine to where a pipeline runs, by their content: nothing is sent twice.

    <folder>/<sha256 of a file>/<its name>            a file
    <folder>/<digest of a tree>/<path in the tree>    files that belong together: images, what is joined to a source

Names are digests, so what is there already is the same; a file that was half sent is not there in any of these stores.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import file_digest
from headrace.components.fingerprint.files import source_files
from headrace.components.fingerprint.remote import unreachable
from headrace.components.fingerprint.url import is_url, local_path, public, redact, scheme_of, sources_of

MOST_FILES = 200  # of a source that are named one by one: a pipeline's parameter has a limit
_AT_ONCE = 16
Say = Callable[[str], object]


@dataclass(frozen=True)
class Sender:
    """Sends to one folder.

    Attributes:
        folder: `gs://BUCKET/FOLDER` or `s3://BUCKET/FOLDER`; empty where nobody said one.
        say: told of each source that is sent, in a line.
        dry: nothing is sent; only what its address would be is found out.
    """

    folder: str
    say: Say = lambda line: None
    dry: bool = False

    def source(self, text: str, listing: Sequence[str] | None = None) -> str:
        """A source, or several in a JSON list, as it can be opened where the pipeline runs.

        Args:
            text: as the parameter `source` has it. What is a URL stays as it is.
            listing: of a CSV that lists images, the paths in it: they are sent with it.

        Raises:
            HeadraceError: there is no such file, or it cannot be sent.
        """
        found = [one for source in sources_of(text) for one in self._sent(source, listing)]
        return found[0] if len(found) == 1 else json.dumps(found)

    def tree(self, files: Mapping[str, Path], what: str) -> str:
        """Files that belong together, by their path in the folder that they will be in; returns that folder.

        Raises:
            HeadraceError: they cannot be sent.
        """
        lines = [f"{file_digest(path)} {name}\n" for name, path in sorted(files.items())]
        target = f"{self._target(what)}/{hashlib.sha256(''.join(lines).encode()).hexdigest()}"
        self._put({f"{target}/{name}": path for name, path in files.items()}, what, target)
        return target

    def _sent(self, source: str, listing: Sequence[str] | None) -> list[str]:
        if not is_local(source):
            return [source]
        if (scheme_of(source) or "file") != "file":
            raise HeadraceError(
                f"{public(source)}: expected a source that can be reached from where the pipeline runs, or a file that "
                f"can be sent there. Received: {scheme_of(source)}:// on this machine"
            )
        path = Path(local_path(source))
        if path.is_dir():
            return [self.tree(files_below(path), str(path))]
        if listing is not None:
            name = _plain(path.name)
            return [f"{self.tree({name: path, **_listed(path, listing)}, str(path))}/{name}"]
        files = source_files(source)
        if len(files) > MOST_FILES:
            start, pattern = _split_glob(local_path(source))
            return [f"{self.tree({file.relative_to(start).as_posix(): file for file in files}, source)}/{pattern}"]
        target = self._target(str(path))
        places = [f"{target}/{file_digest(file)}/{_plain(file.name)}" for file in files]
        self._put(dict(zip(places, files, strict=True)), str(path))
        return places  # of two files with the same rows both: they count twice here as well

    def _target(self, what: str) -> str:
        if not self.folder:
            raise HeadraceError(
                f"{what}: expected a source that can be reached from where the pipeline runs, or a folder to send it "
                "to: `root` in the spec's section `submit`, or --root. Received: a file of this machine and no folder"
            )
        return self.folder.rstrip("/")

    def _put(self, places: Mapping[str, Path], what: str, below: str = "") -> None:
        """Sends what is not there yet. Where all of it is `below` a folder, that is listed once."""
        if self.dry:
            return
        from fsspec.core import url_to_fs

        # Otherwise gcsfs asks another API than the storage's for the kind of the bucket first, and may wait for it.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        shown = public(self.folder)
        with _failures(shown, self.folder):
            store, _ = url_to_fs(self.folder)
            store.invalidate_cache()
            there = _sizes(store, places, below)
            missing = {place: path for place, path in places.items() if there.get(place) != path.stat().st_size}
            if not missing:
                self.say(f"{what}: is in {shown} already")
                return
            size = sum(path.stat().st_size for path in missing.values())
            files = f"{len(missing)} file{'s' if len(missing) != 1 else ''}"
            self.say(f"{what}: sending {files}, {size / 2**20:,.1f} MiB, to {shown}")
            for place in missing if is_local(self.folder) else ():
                store.makedirs(str(PurePosixPath(place).parent), exist_ok=True)
            store.put([str(path) for path in missing.values()], list(missing))


def is_local(source: str) -> bool:
    """Whether a source lies on this machine: a path, a file's URL, an SQLite file."""
    return not is_url(source) or (scheme_of(source) or "") in ("file", "sqlite")


def files_below(folder: Path) -> dict[str, Path]:
    """Every file below a folder, hidden ones left out, by its path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            found[name.as_posix()] = path
    if not found:
        raise HeadraceError(f"{folder}: expected a folder with files in it. Received: none")
    return found


def beside(folder: Path, sources: Sequence[str]) -> dict[str, Path]:
    """The files that sources relative to a folder name, by their path in it.

    Raises:
        HeadraceError: one lies elsewhere on this machine, or there is none.
    """
    found = {}
    for source in sources:
        if not is_local(source):
            continue
        if Path(source).is_absolute() or ".." in Path(source).parts or scheme_of(source):
            raise HeadraceError(
                f"{source}: expected what is joined to a source to lie beside the spec, or where it can be reached "
                "from anywhere. Received: another place on this machine"
            )
        path = folder / source
        files = list(files_below(path).values()) if path.is_dir() else source_files(str(path))
        found.update({file.relative_to(folder).as_posix(): file for file in files})
    return found


def _listed(listing: Path, names: Sequence[str]) -> dict[str, Path]:
    outside = [name for name in names if is_url(name) or Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise HeadraceError(
            f"{listing}: expected images beside their list, to be sent with it. Received: {public(outside[0])}"
        )
    return {name: listing.parent / name for name in names}


def _split_glob(pattern: str) -> tuple[Path, str]:
    """The folder that a glob begins in, and the rest of it."""
    parts = Path(pattern).parts
    fixed = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
    return Path(*parts[:fixed]), "/".join(parts[fixed:])


def _plain(name: str) -> str:
    """A file's name without what would be read as a pattern, or as an address's parameters, where it is opened.

    >>> _plain("rows [2026] #2.csv")
    'rows _2026_ _2.csv'
    """
    return re.sub(r"[*?\[\]#]", "_", name)


def _sizes(store: Any, places: Iterable[str], below: str) -> dict[str, int]:
    """The sizes of the files that are there, in bytes: of those below a folder by a list of it, of others by asking."""
    if below:
        root = str(store._strip_protocol(below))
        try:
            found = store.find(below, detail=True)
        except FileNotFoundError:
            return {}
        return {f"{below}{str(name)[len(root) :]}": int(info["size"]) for name, info in found.items()}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sizes = zip(places, pool.map(lambda place: _size(store, place), places), strict=True)
        return {place: size for place, size in sizes if size is not None}


def _size(store: Any, place: str) -> int | None:
    try:
        return int(store.info(place)["size"])
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def _failures(shown: str, folder: str) -> Iterator[None]:
    try:
        yield
    except HeadraceError:
        raise
    except FileNotFoundError as error:
        told = redact(error, folder)[:300]
        raise HeadraceError(f"{shown}: expected a bucket to send sources to. Received: none ({told})") from None
    except PermissionError as error:
        told = " ".join(redact(error, folder).split())[:300]
        raise HeadraceError(
            f"{shown}: expected permission to write. Received: {told}; set the service's credentials in the "
            "environment, with a role that may create objects (Google: roles/storage.objectUser)"
        ) from None
    except unreachable(scheme_of(folder) or "") as error:
        told = " ".join(redact(error, folder).split())[:300] or type(error).__name__
        raise HeadraceError(f"{shown}: expected a place to send sources to. Received: {told}") from None
