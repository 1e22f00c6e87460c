"""What passed staging, kept in a bucket: written once, read by releases and by whoever starts the pipelines.

commits/SHA/images.json, run.json, gate.json, pipelines/*.yaml   what was run
commits/SHA/promotion.json                                       the digests of all of them; written last
current.json                                                     the promotion of the newest commit that has one
releases/vX.Y.Z.json                                             the promotion that a release stands for
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.delivery import oci
from tools.delivery.asked import needed
from tools.delivery.compile_all import INDEX, read_digests
from tools.delivery.errors import DeliveryError

_SHA = re.compile(r"^[0-9a-f]{40}$")
_TAG = re.compile(r"^v\d+\.\d+\.\d+$")
_TRIES = 5


@dataclass(frozen=True)
class Releases:
    """A bucket, or a folder in one."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, uri: str) -> Releases:
        """From `gs://BUCKET[/FOLDER]`.

        Raises:
            DeliveryError: it is no such address.
        """
        match = re.fullmatch(r"gs://([a-z0-9][a-z0-9._-]+)/?(.*?)/?", uri)
        if not match:
            raise DeliveryError(f"RELEASES: expected gs://BUCKET or gs://BUCKET/FOLDER. Received: {uri!r}")
        return cls(match[1], f"{match[2]}/" if match[2] else "")

    def read(self, name: str) -> tuple[bytes, int] | None:
        """An object and its generation; None where there is none."""
        from google.api_core.exceptions import NotFound

        try:
            blob = self._bucket().get_blob(self.prefix + name)
            return (blob.download_as_bytes(if_generation_match=blob.generation), blob.generation) if blob else None
        except NotFound:  # replaced in between; or no such bucket
            blob = self._bucket().get_blob(self.prefix + name)
            return (blob.download_as_bytes(), blob.generation) if blob else None

    def write(self, name: str, content: bytes, generation: int = 0) -> bool:
        """Writes an object if it is what it was; 0: if there is none.

        Returns:
            Whether it was; nothing was written otherwise.
        """
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket().blob(self.prefix + name)
        try:
            blob.upload_from_string(content, content_type="application/json", if_generation_match=generation)
        except PreconditionFailed:
            return False
        return True

    def keep(self, name: str, content: bytes) -> None:
        """Writes an object that never changes.

        Raises:
            DeliveryError: there is another one of that name.
        """
        if not self.write(name, content) and (there := self.read(name)) and there[0] != content:
            where = f"gs://{self.bucket}/{self.prefix}{name}"
            raise DeliveryError(
                f"{where}: expected what was promoted before. Received: other content for the same commit"
            )

    def _bucket(self) -> Any:
        import os

        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        if os.environ.get("STORAGE_EMULATOR_HOST"):
            return storage.Client(project="emulator", credentials=AnonymousCredentials()).bucket(self.bucket)
        return storage.Client().bucket(self.bucket)


def promote(releases: Releases, commit: str, committed: int, build: Path) -> bool:
    """Keeps what passed the gate, tags its images `current`, and points `current.json` at it.

    Args:
        releases: where.
        commit: what it was built from.
        committed: when that was committed, seconds since 1970; `current.json` never goes back.
        build: the folder with images.json, run.json, gate.json and pipelines/.

    Returns:
        Whether it is the current one now: a build that ends late is kept, and does not take its successor's place.

    Raises:
        DeliveryError: no gate passed for exactly this; or something else was promoted for this commit.
    """
    if not _SHA.match(commit):
        raise DeliveryError(f"COMMIT: expected 40 hexadecimal digits. Received: {commit!r}")
    files = evidence(build, commit)
    for name, content in files.items():
        releases.keep(f"commits/{commit}/{name}", content)
    promotion = {
        "commit": commit,
        "committed": committed,
        "images": json.loads(files["images.json"]),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
    }
    text = _text(promotion)
    releases.keep(f"commits/{commit}/promotion.json", text)
    for _ in range(_TRIES):
        there = releases.read("current.json")
        if there and json.loads(there[0])["committed"] > committed:
            return False
        if (there and there[0] == text) or releases.write("current.json", text, there[1] if there else 0):
            for image in promotion["images"].values():
                oci.tag(image, "current", move=True)
            return True
    raise DeliveryError(
        f"current.json: expected to change it within {_TRIES} tries. Received: somebody else did each time"
    )


def evidence(build: Path, commit: str) -> dict[str, bytes]:
    """The files of a build by their names, after a look whether the gate passed for these very files.

    Raises:
        DeliveryError: it did not, or is of another commit, or a file was changed since.
    """
    needed_files = ("images.json", "run.json", "gate.json", f"pipelines/{INDEX}")
    if missing := [name for name in needed_files if not (build / name).is_file()]:
        raise DeliveryError(
            f"{build}: expected the run on staging and its gate first. Received: no {', '.join(missing)}"
        )
    names = [*needed_files[:3], *(f"pipelines/{file.name}" for file in sorted((build / "pipelines").iterdir()))]
    files = {name: (build / name).read_bytes() for name in names}
    gate = json.loads(files["gate.json"])
    run = json.loads(files["run.json"])
    if gate.get("passed") is not True or gate.get("run") != run.get("id"):
        raise DeliveryError(f"{build}/gate.json: expected a gate that passed for run {run.get('id')}. Received: {gate}")
    if not commit == gate.get("commit") == run.get("commit"):
        received = f"{gate.get('commit')} judged, {run.get('commit')} run"
        raise DeliveryError(f"{build}: expected the gate of commit {commit}. Received: {received}")
    for name, wanted in run["sha256"].items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != wanted:
            raise DeliveryError(f"{build}/{name}: expected the file that was run. Received: another one, made since")
    index = json.loads(files[f"pipelines/{INDEX}"])
    for name, entry in index.items():
        if hashlib.sha256(files.get(f"pipelines/{name}", b"")).hexdigest() != entry["sha256"]:
            raise DeliveryError(f"{build}/pipelines/{name}: expected what {INDEX} says. Received: another file")
    read_digests(build / "images.json")
    return files


def release(releases: Releases, tag: str, commit: str) -> dict[str, Any]:
    """Gives the images that were promoted at a commit a version's tag; they are not built again.

    Returns:
        The promotion.

    Raises:
        DeliveryError: nothing was promoted at this commit, or the version stands for something else.
    """
    needed(TAG=tag, COMMIT=commit)
    if not _TAG.match(tag):
        raise DeliveryError(f"TAG: expected vX.Y.Z. Received: {tag!r}")
    found = releases.read(f"commits/{commit}/promotion.json")
    if found is None:
        where = f"gs://{releases.bucket}/{releases.prefix}commits/{commit}"
        raise DeliveryError(f"{where}: expected a commit that passed staging. Received: none; tag one that did")
    promotion: dict[str, Any] = json.loads(found[0])
    releases.keep(f"releases/{tag}.json", found[0])
    for image in promotion["images"].values():
        oci.tag(image, tag)
    return promotion


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
