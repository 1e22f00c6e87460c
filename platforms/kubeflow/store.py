"""A registry in an object store: S3, MinIO, Cloud Storage, or a volume that is mounted.

    log/00000017                            an entry of the log; a name is taken only once
    models/NAME/versions/00000003           the number of a version, taken by the bundle whose digest it holds
    models/NAME/bundles/<hex>/              the bundle, which KServe hands to the server
    models/NAME/documents/<hex>             files beside it
    models/NAME/shown/00000003.json         what the log says of the version, for people who look into the bucket

The log needs one thing of a store: that of two who make the same object one is refused. S3 and MinIO do so by
`If-None-Match`, Cloud Storage by `ifGenerationMatch`, a volume by a hard link. A store that takes both is refused, as
far as a few tries at the same time show it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.platforms.interface import ModelVersion
from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.ledger.store import Kept, Shown, StoreError
from headrace.platforms.local.files import bundle_files

_PROBE = "only-once"
_AT_ONCE = 4
_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")  # S3's words for: it is there


class ObjectStore:
    """Implements `platforms.ledger.store.Store`."""

    def __init__(self, place: KubeflowPlace) -> None:
        self.uri = place.uri
        self._shown_as = place.bucket  # in addresses that are kept
        self._root = place.root
        self._trusted = False
        self._files: tuple[int, Any] | None = None  # of which process, and the file system

    def check_name(self, name: str, others: Sequence[str]) -> None:
        """Takes every name of a model; see `Store.check_name`."""

    def check_alias(self, alias: str) -> None:
        """Takes every alias; see `Store.check_alias`."""

    def entries(self, after: int) -> list[tuple[int, str]]:
        """The log's entries; see `Store.entries`."""
        with self._connected() as files:
            found: dict[int, str] = {}
            if after == 0:
                names = [name for name in _names(files, self._at("log")) if name.isdigit()]
                texts = files.cat([self._at("log", name) for name in names]) if names else {}
                found = {int(str(path).rpartition("/")[2]): text.decode() for path, text in texts.items()}
            last = max(found, default=after)
            while (text := _read(files, self._at("log", _number(last + 1)))) is not None:  # a list may lag behind
                last += 1
                found[last] = text.decode()
            return sorted(found.items())

    def append(self, after: int, text: str) -> None:
        """Adds an entry; see `Store.append`. One that comes second is not added: the name is taken."""
        with self._connected() as files:
            self._require_only_once(files)
            _create(files, self._at("log", _number(after + 1)), text.encode())

    def keep(self, bundle: Bundle, name: str, run: str) -> Kept:
        """Copies a bundle into the store, the manifest last, and takes the next number; see `Store.keep`."""
        hexadecimal = bundle.digest.partition(":")[2]
        with self._connected() as files:
            self._require_only_once(files)
            for file in bundle_files(bundle):
                target = self._at("models", name, "bundles", hexadecimal, file)
                files.makedirs(target.rpartition("/")[0], exist_ok=True)
                files.put_file(str(bundle.path / file), target)
            taken = [int(one) for one in _names(files, self._at("models", name, "versions")) if one.isdigit()]
            number = max(taken, default=0) + 1
            while not _create(files, self._at("models", name, "versions", _number(number)), bundle.digest.encode()):
                number += 1
            return Kept(number, f"{self._shown_as}/models/{name}/bundles/{hexadecimal}")

    def discard(self, name: str, kept: Kept) -> None:
        """Leaves the number taken, as it is given only once; the files are those of the version that is one."""

    def fetch(self, uri: str, folder: Path) -> None:
        """Copies a bundle; see `Store.fetch`."""
        with self._connected() as files:
            root = str(files._strip_protocol(self._inside(uri)))
            for file in files.find(root):
                target = folder / _below(root, str(file))
                target.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(file, str(target))

    def keep_document(self, name: str, version: int, uri: str, digest: str, content: bytes) -> str:
        """Stores a file beside the model's bundles; see `Store.keep_document`."""
        below = ("models", name, "documents", digest.partition(":")[2])
        with self._connected() as files:
            files.makedirs(self._at(*below[:-1]), exist_ok=True)
            files.pipe_file(self._at(*below), content)
        return "/".join((self._shown_as, *below))

    def fetch_document(self, place: str) -> bytes:
        """The content of such a file; see `Store.fetch_document`."""
        with self._connected() as files:
            return bytes(files.cat_file(self._inside(place)))

    def show(self, version: ModelVersion) -> None:
        """Writes what the log says of a version; see `Store.show`."""
        told = {
            "aliases": sorted(version.aliases),
            "state": version.state,
            "digest": version.digest,
            "run": version.run,
        }
        folder = self._at("models", version.name, "shown")
        with self._connected() as files:
            files.makedirs(folder, exist_ok=True)
            files.pipe_file(f"{folder}/{_number(int(version.version))}.json", json.dumps(told).encode())

    def shown(self, name: str) -> dict[int, Shown]:
        """What such files say; see `Store.shown`."""
        folder = self._at("models", name, "shown")
        with self._connected() as files:
            found = {}
            for file in _names(files, folder):
                told = json.loads(files.cat_file(f"{folder}/{file}"))
                found[int(file.removesuffix(".json"))] = Shown(frozenset(told["aliases"]), str(told["state"]))
            return found

    def copy_in(self, bundle: Path, name: str, digest: str) -> str:
        """Copies a bundle of another registry to where KServe reads it, once; returns its address."""
        hexadecimal = digest.partition(":")[2]
        with self._connected() as files:
            source = Bundle.open(bundle)
            for file in bundle_files(source):
                target = self._at("served", name, hexadecimal, file)
                files.makedirs(target.rpartition("/")[0], exist_ok=True)
                files.put_file(str(source.path / file), target)
        return f"{self._shown_as}/served/{name}/{hexadecimal}"

    def served_copy(self, name: str, digest: str) -> str:
        """The address of such a copy; empty where there is none, or half of one."""
        below = f"served/{name}/{digest.partition(':')[2]}"
        with self._connected() as files:
            return f"{self._shown_as}/{below}" if files.exists(self._at(below, "manifest.json")) else ""

    def _at(self, *below: str) -> str:
        return "/".join((self._root, *below))

    def _inside(self, address: str) -> str:
        """An address that is kept, as this process opens it."""
        if not address.startswith(f"{self._shown_as}/") or ".." in PurePosixPath(address).parts:
            raise StoreError(f"{self.uri}: expected what lies in {self._shown_as}. Received: {address}")
        return self._root + address.removeprefix(self._shown_as)

    def _require_only_once(self, files: Any) -> None:
        """Sees whether the store refuses the second of two who make the same object, before anything relies on it."""
        if self._trusted:
            return
        probe = self._at("log", _PROBE)
        if _create(files, probe, b"") and _create(files, probe, b""):
            raise StoreError(
                f"{self._shown_as}: expected a store that makes an object only once (If-None-Match). Received: one "
                "that takes a second of the same name, in which two changes at once would undo one another"
            )
        if not _is_local(files) and (won := _won(files, self._at("log", f"{_PROBE}-{os.urandom(4).hex()}"))) > 1:
            raise StoreError(
                f"{self._shown_as}: expected a store that makes an object only once, also for those who come at the "
                f"same time. Received: one that told {won} of {_AT_ONCE} that it was theirs; use MinIO, AWS or Google, "
                "or registry=mlflow:URL"
            )
        self._trusted = True

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        from fsspec.core import url_to_fs

        # Otherwise gcsfs asks another API for the kind of the bucket first, which may not be let through.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        try:
            if self._files is None or self._files[0] != os.getpid():  # a client's threads do not survive a fork
                found = url_to_fs(self._root, use_listings_cache=False, skip_instance_cache=True)[0]
                self._files = os.getpid(), found
            yield self._files[1]
        except (OSError, ImportError, ValueError) as error:
            told = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise StoreError(f"{self._shown_as}: expected a store that answers. Received: {told[:500]}") from error
        except Exception as error:  # botocore's and google.auth's have no common parent with these
            if type(error).__module__.partition(".")[0] not in (
                "botocore",
                "aiobotocore",
                "google",
                "gcsfs",
                "aiohttp",
            ):
                raise
            told = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise StoreError(f"{self._shown_as}: expected a store that answers. Received: {told[:500]}") from error


def _create(files: Any, path: str, content: bytes) -> bool:
    """Makes an object that is not there yet, whole or not at all; whether it was not there."""
    if _is_local(files):
        return _create_file(Path(files._strip_protocol(path)), content)
    try:
        files.pipe_file(path, content, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        told = getattr(error.__cause__, "response", None) or {}
        if told.get("Error", {}).get("Code") in _REFUSED:
            return False
        raise
    return True


def _won(files: Any, path: str) -> int:
    """How many of some who make the same object at the same time are told that they did.

    SeaweedFS compares before it writes, and lets several through: https://github.com/seaweedfs/seaweedfs/issues/8800.
    """
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return sum(pool.map(lambda _: _create(files, path, b""), range(_AT_ONCE)))
    finally:
        with suppress(Exception):  # who may not remove it leaves an empty object
            files.rm_file(path)


def _create_file(file: Path, content: bytes) -> bool:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        with partial.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(partial, file)  # a rename would take the place of what is there
    except FileExistsError:
        return False
    finally:
        partial.unlink(missing_ok=True)
    return True


def _is_local(files: Any) -> bool:
    return "file" in ((files.protocol,) if isinstance(files.protocol, str) else files.protocol)


def _names(files: Any, folder: str) -> list[str]:
    """The names in a folder, sorted; none where there is no folder."""
    try:
        found = files.ls(folder, detail=False)
    except FileNotFoundError:
        return []
    return sorted(name for one in found if (name := str(one).rstrip("/").rpartition("/")[2]) and name[0] != ".")


def _read(files: Any, path: str) -> bytes | None:
    try:
        return bytes(files.cat_file(path))
    except FileNotFoundError:
        return None


def _number(number: int) -> str:
    return f"{number:08d}"


def _below(root: str, file: str) -> PurePosixPath:
    """An object's name below the root, as one of a file. Who writes to a bucket may call it `<root>/../../x`."""
    name = file.removeprefix(f"{root.rstrip('/')}/")
    path = PurePosixPath(name)
    if name == file or not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise StoreError(f"{root}: expected objects that are files of a bundle. Received: one named {file!r}")
    return path
