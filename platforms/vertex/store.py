"""Vertex AI's Model Registry, by the public API of google.cloud.aiplatform.

    model <name>                       a version per bundle; aliases and labels `headrace-*` show what the log says
    metadata artifacts                 an entry of the log each, `headrace-audit-00000017`: a name is taken only once
    <bucket>/<name>/<digest>/          the bundle, which the serving image loads; documents beside it

Vertex's endpoints are not touched: which version an endpoint serves is what the log says, and our own servers follow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from headrace.artifacts.bundle import Bundle
from headrace.platforms.interface import ModelVersion
from headrace.platforms.ledger.store import Kept, Shown, StoreError
from headrace.platforms.local.files import bundle_files
from headrace.platforms.vertex import experiments
from headrace.platforms.vertex.settings import Serving

SCHEME = "vertex:"
_ENTRY, _AUDIT = "entry", "headrace-audit"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")
_TAKEN = "default"  # the alias that Vertex moves itself
_SERVED = ("machine", "replicas", "gpu", "gpus", "spot", "account", "cpu", "idle", "log", "table", "monitor")
_OPTIONS = ("bucket", "image", "endpoint", *_SERVED)


@dataclass(frozen=True)
class VertexPlace:
    """Where models are kept.

    Attributes:
        project: the Google Cloud project.
        location: its region.
        bucket: the folder of bundles in Cloud Storage, `gs://BUCKET/FOLDER`; needed to register.
        image: the container image that serves a bundle; Vertex keeps it with each version. Needed to register.
        endpoint: another address of the API; by http on this machine, an emulator that asks for no credentials.
        machine: that a version is served on, `e2-standard-2`. With it, endpoints are Vertex AI's and follow the log;
            without, the log alone says what is behind a name, and our own servers follow it.
        replicas: with `machine`: the least and the most, `1-2`; `0-2` scales to none.
        gpu: likewise: the accelerator of each.
        gpus: likewise: how many of them.
        spot: likewise: `yes` for machines that may be taken away.
        account: likewise: the service account of the containers.
        cpu, idle, log, table: likewise: `target_cpu`, `idle_minutes`, `log_sample` and `log_table` of `Serving`.
        monitor: likewise: what Vertex AI watches of endpoints, in JSON; see `monitoring.watched`.
    """

    project: str
    location: str
    bucket: str = ""
    image: str = ""
    endpoint: str | None = None
    machine: str = ""
    replicas: str = ""
    gpu: str = ""
    gpus: str = ""
    spot: str = ""
    account: str = ""
    cpu: str = ""
    idle: str = ""
    log: str = ""
    table: str = ""
    monitor: str = ""

    @property
    def serving(self) -> Serving:
        """What versions are served on.

        Raises:
            HeadraceError: an option is no number, or they do not fit one another.
        """
        least, _, most = (self.replicas or "1-2").partition("-")
        usual = Serving()
        try:
            return Serving(
                machine=self.machine or usual.machine,
                min_replicas=int(least),
                max_replicas=int(most or least),
                accelerator=self.gpu,
                accelerators=int(self.gpus or 1) if self.gpu else 0,
                spot=self.spot == "yes",
                service_account=self.account,
                target_cpu=int(self.cpu or usual.target_cpu),
                idle_minutes=int(self.idle or usual.idle_minutes),
                log_sample=float(self.log or 0),
                log_table=self.table,
            )
        except ValueError as error:
            given = ", ".join(f"{name}={getattr(self, name)}" for name in _SERVED if getattr(self, name))
            raise StoreError(f"platform: expected replicas as 1-2, and numbers. Received: {given}: {error}") from None

    def served_on(self, serving: Serving) -> VertexPlace:
        """The same place, whose endpoints are Vertex AI's, with these machines."""
        usual = Serving()
        return replace(
            self,
            machine=serving.machine,
            replicas=f"{serving.min_replicas}-{serving.max_replicas}",
            gpu=serving.accelerator,
            gpus=str(serving.accelerators) if serving.accelerators > 1 else "",
            spot="yes" if serving.spot else "",
            account=serving.service_account,
            cpu=str(serving.target_cpu) if serving.target_cpu != usual.target_cpu else "",
            idle=str(serving.idle_minutes) if serving.idle_minutes != usual.idle_minutes else "",
            log=str(serving.log_sample) if serving.log_sample else "",
            table=serving.log_table,
        )

    @property
    def uri(self) -> str:
        """As `open_platform` takes it."""
        options = {name: value for name in _OPTIONS if (value := getattr(self, name))}
        return f"{SCHEME}{quote(self.project, safe=':')}/{self.location}{'?' + urlencode(options) if options else ''}"

    @classmethod
    def of(cls, uri: str) -> VertexPlace:
        """From `vertex:PROJECT/LOCATION?bucket=gs://...&image=...`.

        Raises:
            StoreError: the URI is another.
        """
        address, _, query = uri.removeprefix(SCHEME).removeprefix("//").partition("?")
        project, _, location = address.strip("/").partition("/")
        options = dict(parse_qsl(query))
        wrong = sorted(set(options) - set(_OPTIONS))
        if not project or not re.fullmatch(r"[a-z0-9-]+", location) or wrong:
            expected = "vertex:PROJECT/LOCATION?bucket=gs://BUCKET/FOLDER&image=IMAGE"
            raise StoreError(f"platform: expected {expected}. Received: {uri!r}")
        if not options.get("bucket", "gs://").startswith("gs://"):
            raise StoreError(f"platform: expected a bucket as gs://BUCKET/FOLDER. Received: {options['bucket']!r}")
        if alone := [name for name in _SERVED[1:] if name in options and "machine" not in options]:
            raise StoreError(f"platform: expected machine=TYPE beside {alone[0]}, to serve on. Received: none")
        return cls(project, location, **options)


class VertexStore:
    """Implements `platforms.ledger.store.Store`."""

    def __init__(self, place: VertexPlace) -> None:
        self.uri = place.uri
        self._place = place

    def check_name(self, name: str, others: Sequence[str]) -> None:
        """Refuses a name that would be another's in Vertex; see `Store.check_name`."""
        twins = [other for other in others if other != name and model_id(other) == model_id(name)]
        if twins:
            expected = f"another name than {twins[0]!r} in small letters, digits, `-` and `_`"
            raise StoreError(f"model name: expected {expected}. Received: {name!r}")

    def check_alias(self, alias: str) -> None:
        """Refuses what is no alias in Vertex; see `Store.check_alias`."""
        if alias == _TAKEN or not _ALIAS.fullmatch(alias):
            rule = "two letters or digits or more, no `-` at the end, and not `default`"
            raise StoreError(f"alias: expected {rule}. Received: {alias!r}")

    def entries(self, after: int) -> list[tuple[int, str]]:
        """The log's entries; see `Store.entries`."""
        with self._connected() as aiplatform:
            found: dict[int, str] = {}
            if after == 0:
                listed = aiplatform.Artifact.list(filter=f'display_name="{_AUDIT}"')
                found = {_number(item.resource_name): str(item.metadata.get(_ENTRY, "")) for item in listed}
            last = max(found, default=after)
            while (item := aiplatform.Artifact.get(_id(last + 1))) is not None:  # a list may lag behind
                last += 1
                found[last] = str(item.metadata.get(_ENTRY, ""))
            return sorted(found.items())

    def append(self, after: int, text: str) -> None:
        """Adds an entry; see `Store.append`. One that comes second is not added: the name is taken."""
        from google.api_core.exceptions import Conflict

        with self._connected() as aiplatform:
            try:
                aiplatform.Artifact.create(
                    schema_title="system.Artifact",
                    resource_id=_id(after + 1),
                    display_name=_AUDIT,
                    metadata={_ENTRY: text},
                )
            except Conflict:
                return

    def keep(self, bundle: Bundle, name: str, run: str) -> Kept:
        """Copies a bundle into the bucket, and uploads it as the next version; see `Store.keep`."""
        place = self._place
        if not place.bucket or not place.image:
            missing = " and ".join(what for what in ("bucket", "image") if not getattr(place, what))
            raise StoreError(
                f"{self.uri}: expected ?bucket=gs://... and &image=... to register. Received: no {missing}"
            )
        with self._connected() as aiplatform:
            hexadecimal = bundle.digest.partition(":")[2]
            uri = f"{place.bucket.rstrip('/')}/{name}/{hexadecimal}"
            files = _files(uri)
            for file in bundle_files(bundle):
                files.put_file(str(bundle.path / file), f"{uri}/{file}")
            return Kept(self._upload(aiplatform, bundle, name, uri), uri)

    def _upload(self, aiplatform: Any, bundle: Bundle, name: str, uri: str) -> int:
        from google.api_core.exceptions import Conflict

        common = {
            "serving_container_image_uri": self._place.image,
            "artifact_uri": uri,
            "serving_container_predict_route": "/predict",
            "serving_container_health_route": "/health",
            "serving_container_ports": [8080],
            "display_name": name,
            "version_description": f"Registered by headrace. {bundle.digest}",
            "labels": {"headrace-digest": bundle.digest.partition(":")[2][:63]},
        }
        id = model_id(name)
        there = _model(aiplatform, id)
        if there is None:
            try:
                return int(aiplatform.Model.upload(model_id=id, **common).version_id)
            except Conflict:  # another process was faster
                there = _model(aiplatform, id)
        parent = there.resource_name
        return int(aiplatform.Model.upload(parent_model=parent, is_default_version=False, **common).version_id)

    def discard(self, name: str, kept: Kept) -> None:
        """Removes a version that is none; see `Store.discard`. Its files are those of the version that is one."""
        with self._connected() as aiplatform:
            _registry(aiplatform, name).delete_version(str(kept.version))

    def fetch(self, uri: str, folder: Path) -> None:
        """Copies a bundle; see `Store.fetch`."""
        with self._connected():
            files = _files(uri)
            root = files._strip_protocol(uri)
            for file in files.find(root):
                target = folder / _name(root, str(file))
                target.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(file, str(target))

    def keep_document(self, name: str, version: int, uri: str, digest: str, content: bytes) -> str:
        """Stores a file beside the model's bundles; see `Store.keep_document`."""
        place = f"{uri.rpartition('/')[0]}/documents/{digest.partition(':')[2]}"
        with self._connected():
            _files(place).pipe_file(place, content)
        return place

    def fetch_document(self, place: str) -> bytes:
        """The content of such a file; see `Store.fetch_document`."""
        with self._connected():
            return bytes(_files(place).cat_file(place))

    def show(self, version: ModelVersion) -> None:
        """Sets aliases and labels; see `Store.show`."""
        with self._connected() as aiplatform:
            registry = _registry(aiplatform, version.name)
            wanted = set(version.aliases)
            now = set(registry.get_version_info(version.version).version_aliases) - {_TAKEN}
            if now - wanted:
                registry.remove_version_aliases(sorted(now - wanted), version.version)
            if wanted - now:
                registry.add_version_aliases(sorted(wanted - now), version.version)
            registry.update_version(version.version, labels=_labels(version))

    def shown(self, name: str) -> dict[int, Shown]:
        """Aliases and states in Vertex; see `Store.shown`."""
        with self._connected() as aiplatform:
            registry = _registry(aiplatform, name)
            return {
                int(item.version_id): Shown(
                    frozenset(item.version_aliases) - {_TAKEN},
                    str(registry.get_model(item.version_id).labels.get("headrace-state", "")),
                )
                for item in registry.list_versions()
            }

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError

        experiments.quiet()
        from google.cloud import aiplatform

        place = experiments.Place(self._place.project, self._place.location, endpoint=self._place.endpoint)
        try:
            experiments.knock(place)
            aiplatform.init(project=place.project, location=place.location, **experiments.transport(place.endpoint))
            yield aiplatform
        except (GoogleAPIError, GoogleAuthError, OSError) as error:  # requests' errors are OSErrors
            told = next(iter(str(error).splitlines()), type(error).__name__)[:500]
            where = f"{SCHEME}{place.project}/{place.location}"
            raise StoreError(f"{where}: expected Vertex AI to answer. Received: {told}") from error


def model_id(name: str) -> str:
    """A model's name as Vertex takes it for an id: up to 63 small letters, digits, `-` and `_`, a letter first."""
    clean = re.sub(r"[^a-z0-9_-]", "-", name.lower())
    return (clean if clean[0].isalpha() else f"m-{clean}")[:63]


def _id(number: int) -> str:
    return f"{_AUDIT}-{number:08d}"


def _number(resource: str) -> int:
    return int(resource.rpartition("-")[2])


def _model(aiplatform: Any, id: str) -> Any:
    from google.api_core.exceptions import NotFound

    try:
        return aiplatform.Model(id)
    except NotFound:
        return None


def _registry(aiplatform: Any, name: str) -> Any:
    return aiplatform.models.ModelRegistry(model_id(name))


def _files(uri: str) -> Any:
    """The file system of an address."""
    from fsspec.core import url_to_fs

    # Otherwise gcsfs asks another API than the storage's for the kind of the bucket first, and may wait for it.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    return url_to_fs(uri)[0]


def _name(root: str, file: str) -> PurePosixPath:
    """An object's name below the root, as one of a file. Who writes to a bucket may call it `<root>/../../x`."""
    name = file.removeprefix(f"{root.rstrip('/')}/")
    path = PurePosixPath(name)
    if name == file or not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise StoreError(f"{root}: expected objects that are files of a bundle. Received: one named {file!r}")
    return path


def _labels(version: ModelVersion) -> dict[str, str]:
    """What Vertex's console shows of a version, and its filters find: small letters, digits, `-` and `_`, up to 63."""
    labels = {
        "headrace-state": version.state,
        "headrace-digest": version.digest.partition(":")[2],
        "headrace-approvals": str(len(version.approvals)),
        "headrace-run": version.run,
        "headrace-registered-by": version.registered_by,
        **{f"headrace-{key}": value for key, value in version.labels.items()},
    }
    return {label(key): label(value) for key, value in labels.items()}


def label(text: str) -> str:
    """A text as Vertex takes it for a label: up to 63 small letters, digits, `-` and `_`."""
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())[:63]
