"""The objects, and where they lie.

An object's content is a file (see `places`), and its generation is the time of the file's last change in microseconds
(see `_generation`): a file that a job wrote is an object like any other. What else is known of an object is a document,
which holds as long as the file has the generation and the size that it names.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from headrace.emulator.documents import Document, Documents
from headrace.emulator.refusals import Refusal
from headrace.emulator.storage import listing, places
from headrace.emulator.storage.conditions import Conditions
from headrace.emulator.storage.digests import Digests, of_file

KIND = "storage object"  # documents: by BUCKET/NAME
KEPT = (
    "contentType", "contentEncoding", "contentDisposition", "contentLanguage", "cacheControl", "customTime", "metadata",
    "storageClass",
)  # fmt: skip
_ANY = Conditions()


@dataclass(frozen=True)
class Stored:
    """An object as it stands.

    Attributes:
        bucket, name: its name.
        file: its content.
        generation, size: of the content.
        kept: its document; {} for a file that a job wrote and nobody has asked for yet.
    """

    bucket: str
    name: str
    file: Path
    generation: int
    size: int
    kept: Document = field(default_factory=dict)

    @property
    def metageneration(self) -> int:
        """Counts the changes of what is kept beside the content."""
        return int(self.kept.get("metageneration", 1))


class Objects:
    """Buckets and objects, as files in a folder.

    Attributes:
        root: holds a folder for each bucket.
    """

    def __init__(self, root: Path, documents: Documents) -> None:
        self.root = root
        self._documents = documents
        self._last = 0
        shutil.rmtree(root / places.PARTIAL, ignore_errors=True)
        (root / places.PARTIAL).mkdir(parents=True)

    def path(self, uri: str) -> Path:
        """The file of `gs://BUCKET/NAME`, or the folder of a prefix; whether it is there or not.

        A job may write there: the file is an object at once, and a bucket is there as soon as its folder is. Write to
        `partial()` first and rename, so that nobody reads half of it, and never change a file in its place.

        Raises:
            Refusal: it is no such address.
        """
        return places.path(self.root, uri)

    def uri(self, file: Path) -> str:
        """The address of a file or folder below `root`.

        Raises:
            ValueError: it lies elsewhere.
        """
        return places.uri(self.root, file)

    def partial(self) -> Path:
        """A place for a file that is to become an object; what is left there is removed when the emulator starts."""
        return self.root / places.PARTIAL / os.urandom(12).hex()

    def read(self, uri: str) -> bytes:
        """An object's content.

        Raises:
            Refusal: NOT_FOUND.
        """
        return self.get(*places.split(uri)).file.read_bytes()

    def write(self, uri: str, content: bytes, content_type: str = "application/octet-stream") -> Stored:
        """A new content of an object.

        Raises:
            Refusal: NOT_FOUND: there is no such bucket.
        """
        partial, digests = self.partial(), Digests()
        partial.write_bytes(content)
        digests.update(content)
        return self.put(*places.split(uri), partial, digests, {"contentType": content_type})

    def names(self, uri: str) -> Iterator[str]:
        """The addresses of the objects whose names begin as `uri`, in their order."""
        bucket, prefix = places.split(uri)
        return (f"gs://{bucket}/{name}" for name in listing.names(self.root, bucket, prefix))

    def check_bucket(self, bucket: str) -> None:
        """Whether there is a bucket.

        Raises:
            Refusal: NOT_FOUND.
        """
        places.check_bucket(bucket)
        if not (self.root / bucket).is_dir():
            raise Refusal("NOT_FOUND", "The specified bucket does not exist.")

    def find(self, bucket: str, name: str) -> Stored | None:
        """An object; None where there is none.

        Raises:
            Refusal: there is no such bucket, or the name is none.
        """
        self.check_bucket(bucket)
        places.check_name(name)
        file = places.place(self.root, bucket, name)
        try:
            found = file.stat()
        except OSError:
            return None
        return self._stored(bucket, name, file, found) if file.is_file() else None

    def get(self, bucket: str, name: str, generation: int | None = None) -> Stored:
        """An object, of a generation if one is given: only the last one of each object is kept.

        Raises:
            Refusal: NOT_FOUND.
        """
        found = self.find(bucket, name)
        if found is None or generation not in (None, found.generation):
            raise _missing(bucket, name)
        return found

    def opened(self, bucket: str, name: str, generation: int | None = None) -> tuple[Stored, Any]:
        """An object, and its content open for reading: another one's coming does not change what is read.

        Raises:
            Refusal: NOT_FOUND.
        """
        file = self.get(bucket, name, generation).file
        try:
            stream = file.open("rb")
        except OSError:
            raise _missing(bucket, name) from None
        return self._stored(bucket, name, file, os.fstat(stream.fileno())), stream

    def put(
        self,
        bucket: str,
        name: str,
        partial: Path,
        digests: Digests,
        told: Mapping[str, Any],
        conditions: Conditions = _ANY,
        *,
        components: int = 0,
    ) -> Stored:
        """A file that has been written becomes an object, in the place of the one that there was.

        Args:
            bucket, name: of the object.
            partial: the file; gone afterwards.
            digests: of its content.
            told: its metadata, as clients send it.
            conditions: that the object which there is must meet.
            components: of how many others it is made.

        Raises:
            Refusal: there is no such bucket; a condition does not hold; a hash that the client told is another.
        """
        _check_hashes(told, digests)
        places.check_name(name)
        with self._documents.transaction():
            before = self.find(bucket, name)
            _check(conditions, before)
            self._last = max(time.time_ns() // 1000, self._last + 1, before.generation + 1 if before else 0)
            os.utime(partial, ns=(self._last * 1000, self._last * 1000))
            row: Document = {**fields(told), "generation": self._last, "size": digests.size, "crc32c": digests.crc32c}
            row |= {"componentCount": components} if components else {"md5Hash": digests.md5}
            self._keep(bucket, name, row)
            file = places.place(self.root, bucket, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(file)
        return Stored(bucket, name, file, self._last, digests.size, row)

    def change(
        self,
        bucket: str,
        name: str,
        change: Callable[[Document], Document],
        conditions: Conditions = _ANY,
        generation: int | None = None,
    ) -> Stored:
        """What `change` makes of an object's metadata takes their place.

        Raises:
            Refusal: NOT_FOUND; a condition does not hold.
        """
        self.digested(self.get(bucket, name, generation))  # which may take time
        with self._documents.transaction():
            found = self.digested(self.get(bucket, name, generation))
            _check(conditions, found)
            beside = {key: value for key, value in found.kept.items() if key not in KEPT}
            after = {**beside, **fields(change({key: found.kept[key] for key in KEPT if key in found.kept}))}
            after |= {"metageneration": found.metageneration + 1, "updated": moment(time.time_ns() // 1000)}
            self._keep(bucket, name, after)
        return Stored(bucket, name, found.file, found.generation, found.size, after)

    def delete(self, bucket: str, name: str, conditions: Conditions = _ANY, generation: int | None = None) -> None:
        """Removes an object.

        Raises:
            Refusal: NOT_FOUND; a condition does not hold.
        """
        with self._documents.transaction():
            found = self.get(bucket, name, generation)
            _check(conditions, found)
            if self._documents.find(KIND, f"{bucket}/{name}"):
                self._documents.delete(KIND, f"{bucket}/{name}")
            found.file.unlink()

    def digested(self, stored: Stored) -> Stored:
        """An object whose hashes are known: of a job's file they are computed now, once."""
        if "crc32c" in stored.kept:
            return stored
        digests = of_file(stored.file)
        row = {"generation": stored.generation, "size": stored.size, "crc32c": digests.crc32c, "md5Hash": digests.md5}
        row["contentType"] = "application/octet-stream"
        with self._documents.transaction():
            now = self.find(stored.bucket, stored.name)
            if now and (now.generation, now.size) == (stored.generation, digests.size):
                self._keep(stored.bucket, stored.name, row)
        return Stored(stored.bucket, stored.name, stored.file, stored.generation, stored.size, row)

    def copied(self, source: Stored) -> tuple[Path, Digests]:
        """A copy of an object's content, to become another one, and its hashes."""
        partial, digests = self.partial(), Digests()
        with source.file.open("rb") as stream, partial.open("wb") as target:
            shutil.copyfileobj(stream, _Hashing(target, digests), 1 << 20)
        return partial, digests

    def _stored(self, bucket: str, name: str, file: Path, found: os.stat_result) -> Stored:
        number = _generation(found)
        row = self._documents.find(KIND, f"{bucket}/{name}")
        if row is None or (row["generation"], row["size"]) != (number, found.st_size):
            row = {}
        return Stored(bucket, name, file, number, found.st_size, row)

    def _keep(self, bucket: str, name: str, row: Document) -> None:
        key = f"{bucket}/{name}"
        if self._documents.find(KIND, key) is None:
            self._documents.create(KIND, key, row, parent=bucket)
        else:
            self._documents.change(KIND, key, lambda _: row)


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, target: Any, digests: Digests) -> None:
        self._target, self._digests = target, digests

    def write(self, piece: bytes) -> int:
        self._digests.update(piece)
        written: int = self._target.write(piece)
        return written


def _generation(found: os.stat_result) -> int:
    """A file's generation, which is never 0: that is an object's which does not exist.

    An archive can give its files the time 0. Theirs is then the time at which they came here.
    """
    changed = found.st_mtime_ns // 1000
    return changed if changed > 0 else max(1, found.st_ctime_ns // 1000)


def fields(told: Mapping[str, Any]) -> Document:
    """What is kept of the metadata that a client sends.

    Raises:
        Refusal: one has another type; or asks for what is not served, such as a hold.
    """
    for name in ("temporaryHold", "eventBasedHold", "retention", "customerEncryption", "kmsKeyName"):
        if told.get(name):
            raise Refusal("UNIMPLEMENTED", f"objects: the emulator does not serve {name}")
    found = {name: told[name] for name in KEPT if told.get(name) is not None}
    for name, value in found.items():
        expected = dict if name == "metadata" else str
        if not isinstance(value, expected):
            raise Refusal("INVALID_ARGUMENT", f"{name}: expected {expected.__name__}. Received: {value!r:.80}")
    return found


def resource(stored: Stored, address: str) -> Document:
    """An object as the API shows it.

    Args:
        stored: the object.
        address: of the emulator, as this client reaches it.
    """
    kept = {key: value for key, value in stored.kept.items() if value not in ("", {})}
    place = f"storage/v1/b/{stored.bucket}/o/{quote(stored.name, safe='')}"
    return {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "selfLink": f"{address}/{place}",
        "mediaLink": f"{address}/download/{place}?generation={stored.generation}&alt=media",
        "bucket": stored.bucket,
        "name": stored.name,
        "storageClass": "STANDARD",
        "contentType": "application/octet-stream",
        "timeCreated": moment(stored.generation),
        "updated": moment(stored.generation),
        "timeStorageClassUpdated": moment(stored.generation),
        **kept,
        "generation": str(stored.generation),
        "metageneration": str(stored.metageneration),
        "size": str(stored.size),
        "etag": etag(stored),
    }


def etag(stored: Stored) -> str:
    """Another one after each change."""
    return f"{stored.generation:x}/{stored.metageneration}"


def moment(microseconds: int) -> str:
    """A time, as the API writes it."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _check(conditions: Conditions, stored: Stored | None) -> None:
    conditions.check(stored.generation if stored else 0, stored.metageneration if stored else 0)


def _check_hashes(told: Mapping[str, Any], digests: Digests) -> None:
    for name, found in (("md5Hash", digests.md5), ("crc32c", digests.crc32c)):
        expected = told.get(name)
        if expected and expected != found:
            raise Refusal(
                "INVALID_ARGUMENT", f'Provided {name} "{expected:.60}" doesn\'t match calculated {name} "{found}".'
            )


def _missing(bucket: str, name: str) -> Refusal:
    return Refusal("NOT_FOUND", f"No such object: {bucket}/{name}")
