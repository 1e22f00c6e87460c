"""MLflow's Model Registry, by MLflow's own client: a tracking server, or a database that it speaks to.

    registered model <name>            a version per bundle; tags `headrace.*` and aliases show what the log says
    registered model headrace.audit    a version per entry of the log, with the entry as a tag
    experiment headrace.registry       a run per version, whose artifacts are the bundle and its documents

MLflow numbers the versions of a model one after the other, and never gives a number twice: that is the log's order.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import Bundle
from headrace.platforms.interface import ModelVersion
from headrace.platforms.ledger.store import Kept, Shown, StoreError
from headrace.platforms.local.files import bundle_files

AUDIT = "headrace.audit"
EXPERIMENT = "headrace.registry"
_TAG = "headrace."
_ENTRY = f"{_TAG}entry"
_LONGEST = 100_000  # characters of a tag
_PAGE = 10_000  # versions in one answer
_RESERVED = re.compile(r"latest|v\d+")  # aliases that MLflow keeps for itself
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # instead of minutes for a server that is not there
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_ABOUT = (
    "Not a model: the audit log of what headrace registers here, an entry per version, each chained to the one before."
)


class MlflowStore:
    """Implements `platforms.ledger.store.Store`.

    Credentials are MLflow's own variables: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD.
    """

    def __init__(self, tracking: str) -> None:
        """`tracking` is MLflow's own URI. A server has a place for files; a database has mlartifacts/ beside it."""
        self.uri = f"mlflow:{tracking}"
        self._tracking = tracking
        self._artifacts: str | None = None
        if tracking.startswith("sqlite:///"):
            self._artifacts = (Path(tracking.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()
        self._log: tuple[str, str] | None = None

    def check_name(self, name: str, others: Sequence[str]) -> None:
        """Refuses the log's own name, and one that differs from another's by case alone; see `Store.check_name`."""
        if name == AUDIT:
            raise StoreError(f"model name: expected another than that of the audit log. Received: {name!r}")
        twins = [other for other in others if other != name and other.lower() == name.lower()]
        if twins:  # MySQL takes the two for one
            raise StoreError(f"model name: expected {twins[0]!r}, which is registered. Received: {name!r}")

    def check_alias(self, alias: str) -> None:
        """Refuses MLflow's own aliases; see `Store.check_alias`."""
        if _RESERVED.fullmatch(alias):
            raise StoreError(f"alias: expected none of MLflow's own, such as `latest` and `v1`. Received: {alias!r}")

    def entries(self, after: int) -> list[tuple[int, str]]:
        """The log's entries; see `Store.entries`."""
        with self._connected() as client:
            filter = f"name='{AUDIT}' AND version_number > {after}"
            found = [(int(item.version), str(item.tags.get(_ENTRY, ""))) for item in _versions(client, filter)]
        return sorted(found)

    def append(self, after: int, text: str) -> None:
        """Adds an entry; see `Store.append`. One that comes second is added behind the other."""
        if len(text) > _LONGEST:
            raise StoreError(f"audit log: expected an entry of up to {_LONGEST} characters. Received: {len(text)}")
        with self._connected() as client:
            if self._log is None:
                self._log = self._open_log(client)
            run, source = self._log
            client.create_model_version(AUDIT, source, run_id=run, tags={_ENTRY: text}, await_creation_for=0)

    def _open_log(self, client: Any) -> tuple[str, str]:
        """The run, and its artifacts' place, that entries of the log name as their source: servers refuse others."""
        _ensure(client, AUDIT, _ABOUT)
        experiment = self._experiment(client)
        there = client.search_runs([experiment], f"tags.`{_TAG}log` = 'true'", max_results=1)
        run = there[0] if there else client.create_run(experiment, run_name="audit log", tags={f"{_TAG}log": "true"})
        if not there:
            client.set_terminated(run.info.run_id)
        return str(run.info.run_id), str(run.info.artifact_uri)

    def keep(self, bundle: Bundle, name: str, run: str) -> Kept:
        """Stores a bundle as artifacts of a run, and that as the next version; see `Store.keep`."""
        with self._connected() as client, tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "bundle"
            for file in bundle_files(bundle):  # what else lies in the folder is no part of it
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).symlink_to((bundle.path / file).resolve())
            kept = client.create_run(
                self._experiment(client), run_name=f"{name} {run}".strip(), tags=_source(name, run)
            )
            id, root = kept.info.run_id, str(kept.info.artifact_uri).rstrip("/")
            client.log_artifacts(id, str(folder), "bundle")
            client.set_terminated(id)
            _ensure(client, name, "Registered by headrace.")
            tags = {f"{_TAG}digest": bundle.digest, **_source(name, run)}
            made = client.create_model_version(name, f"{root}/bundle", run_id=id, tags=tags)
            return Kept(int(made.version), f"{root}/bundle")

    def discard(self, name: str, kept: Kept) -> None:
        """Removes a version that is none, and its run; see `Store.discard`."""
        with self._connected() as client:
            id = client.get_model_version(name, str(kept.version)).run_id
            client.delete_model_version(name, str(kept.version))
            client.delete_run(id)

    def fetch(self, uri: str, folder: Path) -> None:
        """Copies a bundle; see `Store.fetch`."""
        from mlflow.artifacts import download_artifacts

        with self._connected(), tempfile.TemporaryDirectory(dir=folder.parent) as place:
            Path(download_artifacts(uri, dst_path=place, tracking_uri=self._tracking)).rename(folder)

    def keep_document(self, name: str, version: int, uri: str, digest: str, content: bytes) -> str:
        """Stores a file among the artifacts of the version's run; see `Store.keep_document`."""
        hexadecimal = digest.partition(":")[2]
        with self._connected() as client, tempfile.TemporaryDirectory() as place:
            file = Path(place) / hexadecimal
            file.write_bytes(content)
            id = client.get_model_version(name, str(version)).run_id
            client.log_artifact(id, str(file), "documents")
        return f"{uri.removesuffix('/bundle')}/documents/{hexadecimal}"

    def fetch_document(self, place: str) -> bytes:
        """The content of such a file; see `Store.fetch_document`."""
        from mlflow.artifacts import download_artifacts

        with self._connected(), tempfile.TemporaryDirectory() as folder:
            return Path(download_artifacts(place, dst_path=folder, tracking_uri=self._tracking)).read_bytes()

    def show(self, version: ModelVersion) -> None:
        """Sets aliases and tags; see `Store.show`."""
        with self._connected() as client:
            there = client.get_model_version(version.name, version.version)
            wanted = _tags(version)
            for key, value in wanted.items():
                if there.tags.get(key) != value:
                    client.set_model_version_tag(version.name, version.version, key, value)
            for key in sorted(there.tags.keys() - wanted.keys()):
                if key.startswith((f"{_TAG}approved_by.", f"{_TAG}endpoints")):
                    client.delete_model_version_tag(version.name, version.version, key)
            now = {
                key
                for key, value in client.get_registered_model(version.name).aliases.items()
                if str(value) == version.version
            }
            for alias in sorted(now - set(version.aliases)):
                client.delete_registered_model_alias(version.name, alias)
            for alias in sorted(set(version.aliases) - now):
                client.set_registered_model_alias(version.name, alias, version.version)

    def shown(self, name: str) -> dict[int, Shown]:
        """Aliases and states on MLflow's pages; see `Store.shown`."""
        with self._connected() as client:
            aliases = client.get_registered_model(name).aliases
            return {
                int(item.version): Shown(
                    frozenset(key for key, value in aliases.items() if str(value) == str(item.version)),
                    str(item.tags.get(f"{_TAG}state", "")),
                )
                for item in _versions(client, f"name='{name}'")
            }

    def _experiment(self, client: Any) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            try:
                return str(client.create_experiment(EXPERIMENT, self._artifacts))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        for variable, value in _SETTINGS.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        logging.getLogger("mlflow.store.model_registry").setLevel(logging.WARNING)  # it tells of each version
        try:
            yield MlflowClient(self._tracking, self._tracking)
        except (MlflowException, SQLAlchemyError, OSError) as error:  # requests' errors are OSErrors
            told = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)[:500]
            raise StoreError(f"{self.uri}: expected an MLflow registry that answers. Received: {told}") from error


def _versions(client: Any, filter: str) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = client.search_model_versions(filter, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _ensure(client: Any, name: str, description: str) -> None:
    """Makes a registered model where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
        return
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


def _source(name: str, run: str) -> dict[str, str]:
    return {f"{_TAG}model": name, **({f"{_TAG}run": run} if run else {})}


def _tags(version: ModelVersion) -> dict[str, str]:
    """What MLflow's pages show of a version, and its search finds."""
    tags = {
        f"{_TAG}state": version.state,
        f"{_TAG}digest": version.digest,
        f"{_TAG}registered_by": version.registered_by,
        **{
            f"{_TAG}approved_by.{number}": f"{item.who}: {item.reason}"
            for number, item in enumerate(version.approvals, 1)
        },
        **{f"{_TAG}label.{key}": value for key, value in version.labels.items()},
        **{f"{_TAG}metric.{key}": repr(value) for key, value in version.metrics.items()},
    }
    if version.endpoints:
        tags[f"{_TAG}endpoints"] = ", ".join(version.endpoints)
    return {_clean(key): value for key, value in tags.items()}


def _clean(key: str) -> str:
    """A key as MLflow takes it: letters, digits, `_`, `-`, `.`, blanks and slashes."""
    return re.sub(r"[^\w\-./ ]", "_", key)[:250]
