"""The entries of the store: folders that are named by a hash of all they hold, and so prove themselves.

    <home>/store/<first two digits>/<SHA-256 of names and contents>/<output>...

An entry holds what one task put out, with whatever lies beside its outputs, as programs like to write
`model.joblib` where they were told `model`. It appears in one step, whole, and is never written again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_manifest
from headrace.pipelines.local.record.results import ArtifactRecord
from headrace.pipelines.local.store import digests

ANY_VERSION = 10**9  # of a sealed folder's format: the digest is all that matters here
_NAME = re.compile(r"[0-9a-f]{64}")
_ASIDE = ".damaged-"  # what an entry that is not what its name says is renamed to


def place_of(home: Path, digest: str) -> Path:
    """Where the entry with this digest (hex) lies, or would."""
    return home / "store" / digest[:2] / digest


def entry_of(home: Path, path: Path) -> Path | None:
    """The entry that a path lies in; None for a path outside of the store."""
    try:
        parts = path.relative_to(home / "store").parts
    except ValueError:
        return None
    return home.joinpath("store", *parts[:2]) if len(parts) >= 2 else None


def placed(home: Path, path: Path) -> Path:
    """Where a recorded path lies in this home: the record has whole paths, and a home may have been moved or copied."""
    parts = path.parts
    for start in range(len(parts) - 2):
        if parts[start] == "store" and _NAME.fullmatch(parts[start + 2]):
            return home.joinpath(*parts[start:])
    return path


def entries(home: Path) -> Iterator[Path]:
    """Every entry, and nothing else that may lie in the store."""
    for group in sorted((home / "store").glob("*")):
        if group.is_dir() and not group.name.startswith("."):
            yield from (entry for entry in sorted(group.iterdir()) if not entry.name.startswith("."))


def keep(home: Path, folder: Path, found: digests.Contents, *, durable: bool = False) -> Path:
    """Moves a finished folder into the store in one step, and returns its entry.

    Where the same content is there already, that stays and the folder is left to its owner; one that was
    damaged since makes way. With `durable`, the entry outlasts a power cut on return.
    """
    place = place_of(home, found.digest)
    place.parent.mkdir(parents=True, exist_ok=True)
    if durable:
        _flush(folder)
    for _ in range(3):  # another run may put the same entry there at the same time
        try:
            os.rename(folder, place)  # noqa: PTH104  (Path.replace would say the same)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            if intact(place):
                return place
            set_aside(place)
        else:
            if durable:
                _flush_folder(place.parent)
                _flush_folder(place.parent.parent)
            return place
    raise OSError(errno.EBUSY, "others keep putting damaged content here", str(place))


def intact(entry: Path) -> bool:
    """Whether an entry holds what its name says."""
    return digests.contents(entry).digest == entry.name


def set_aside(entry: Path) -> None:
    """Takes a damaged entry out of the way, at once and without a trace under its name."""
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=entry.parent))
    with contextlib.suppress(FileNotFoundError):
        os.rename(entry, aside / entry.name)  # noqa: PTH104
    shutil.rmtree(aside, ignore_errors=True)


class Prover:
    """Proves that artifacts still are what was recorded, by hashing what they hold; each only once, while untouched."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._proven: dict[Path, tuple[int, int, int]] = {}

    def damage(self, artifact: ArtifactRecord) -> str:
        """What is wrong with an artifact, in a few words; "" when its content is proven."""
        path = artifact.path
        if path is None or artifact.digest is None:
            return "its content is not known"
        entry = entry_of(self._home, path)
        whole = entry if entry is not None and _NAME.fullmatch(entry.name) else path
        try:
            return self.wrong_with(whole) if whole == entry else self._once(whole, _wrong_artifact, artifact.digest)
        except OSError as error:
            return f"cannot be read ({error.strerror})"

    def wrong_with(self, entry: Path) -> str:
        """The same of an entry as a whole."""
        return self._once(entry, _wrong_entry)

    def _once(self, place: Path, find: Callable[..., str], *more: str) -> str:
        seen = digests.look(place)
        if self._proven.get(place) == seen:
            return ""
        wrong = find(place, *more)
        if not wrong:
            self._proven[place] = seen
        return wrong

    def all_proven(self, artifacts: Mapping[str, tuple[ArtifactRecord, ...]]) -> bool:
        """Whether the content of all of a task's outputs is proven."""
        return not any(self.damage(item) for items in artifacts.values() for item in items)


def _wrong_entry(entry: Path) -> str:
    """What is wrong with an entry, in a few words; "" when it holds what its name says, or its name says nothing."""
    if not entry.exists():
        return "is gone"
    return "was changed" if _NAME.fullmatch(entry.name) and not intact(entry) else ""


def _wrong_artifact(path: Path, digest: str) -> str:
    """For what lies outside of the store, or was put there before entries were named by their content."""
    if not path.exists():
        return "" if digest == digests.ABSENT else "is gone"
    found = digests.artifact_digest(path)
    if found != digest:
        return "was changed"
    if path.is_dir() and digests.sealed_digest(path):
        try:
            read_manifest(path, _format(path), ANY_VERSION)
        except ArtifactError as error:
            return str(error)
    return ""


def _format(folder: Path) -> str:
    from headrace.artifacts.folder import MANIFEST, read_json

    return str(read_json(folder / MANIFEST)["format"])


def _flush(folder: Path) -> None:
    """Has everything below a folder written to the disk."""
    for here, _, names in os.walk(folder, topdown=False):
        for name in names:
            place = os.path.join(here, name)  # noqa: PTH118
            if os.path.isfile(place) and not os.path.islink(place):  # noqa: PTH113, PTH114
                descriptor = os.open(place, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        _flush_folder(Path(here))


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
