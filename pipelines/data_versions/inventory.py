"""The data versions that a home knows: snapshots that its runs put out or read, and that its models name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headrace.artifacts.dataset import FORMAT, SPLITS, VERSION, Dataset, DatasetInfo
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import MANIFEST, read_json, read_manifest
from headrace.components.fingerprint.url import public
from headrace.pipelines.data_versions.of_models import Trained
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import ArtifactRecord
from headrace.pipelines.local.store import entries


@dataclass(frozen=True)
class DataVersion:
    """One snapshot, by its content, wherever and however often it was put out."""

    digest: str
    made: float | None = None  # when a run first had it, seconds since the epoch; None where no run did
    rows: dict[str, int] = field(default_factory=dict)  # split -> rows; empty where nothing tells any more
    source: str = ""  # for people
    runs: tuple[str, ...] = ()  # ids of those that put it out or read it, oldest first
    models: tuple[str, ...] = ()  # "churn:3": trained from it
    paths: tuple[Path, ...] = ()  # where copies of it lie; none once it was collected

    @property
    def there(self) -> bool:
        """Whether it was not collected."""
        return bool(self.paths)

    def open(self, *, verify: bool = True) -> Dataset:
        """The snapshot; where there are copies, the first that is whole.

        Raises:
            HeadraceError: it was collected, or is damaged.
        """
        problems = []
        for path in self.paths:
            try:
                return self.open_copy(path, verify=verify)
            except ArtifactError as error:
                problems.append(error)
        if problems:
            raise problems[0]
        had = f" (run {self.runs[-1]} had it)" if self.runs else ""
        raise HeadraceError(
            f"expected the snapshot {self.digest} in the store. Received: it is not there any more{had}; "
            "a run on the same source and spec makes the same version again"
        )

    def open_copy(self, path: Path, *, verify: bool = True) -> Dataset:
        """One copy, which has the digest that the version is known by.

        Raises:
            ArtifactError: it is damaged.
        """
        found = Dataset.open(path, verify=verify)
        if found.digest != self.digest:
            raise ArtifactError(f"{path}: expected the snapshot {self.digest}. Received: {found.digest}")
        return found


def known_versions(record: Record | None, models: Sequence[Trained] = ()) -> list[DataVersion]:
    """Every data version of a home, the latest first.

    Args:
        record: the home's record of runs; None where nothing has run yet.
        models: its registered versions.
    """
    seen: dict[str, list[Any]] = {}
    for row in _uses(record) if record else ():
        seen.setdefault(row["digest"], []).append(row)
    home = record.home if record else Path()
    versions = [found for digest, rows in seen.items() if (found := _version(home, digest, rows, models)) is not None]
    known = {version.digest for version in versions}
    named = dict.fromkeys(digest for model in models for digest in model.data if digest not in known)
    versions += [DataVersion(digest, models=_trained(digest, models)) for digest in named]
    return sorted(versions, key=lambda version: -(version.made or 0.0))


def from_folder(folder: Path, models: Sequence[Trained] = ()) -> DataVersion:
    """A snapshot that lies anywhere, such as one that was checked out.

    Raises:
        ArtifactError: the folder is no snapshot.
    """
    found = Dataset.open(folder, verify=False)
    return DataVersion(
        found.digest,
        rows=found.info.rows,
        source=source_text(found.info),
        models=_trained(found.digest, models),
        paths=(folder.absolute(),),
    )


def placed(home: Path, item: ArtifactRecord) -> ArtifactRecord:
    """An artifact as it lies in this home."""
    here = entries.placed(home, item.path) if item.path else None
    return item if here == item.path else replace(item, uri=str(here))


def snapshots(artifacts: Iterable[ArtifactRecord]) -> list[ArtifactRecord]:
    """Those of a run's artifacts that are snapshots, each content once."""
    found = {item.digest: item for item in artifacts if item.digest and _is_snapshot(item)}
    return list(found.values())


def source_text(info: DatasetInfo) -> str:
    """Where a snapshot came from, in a few words."""
    name = info.source.get("name") or info.source.get("uri") or ""
    return ", ".join(map(str, name)) if isinstance(name, list) else str(name)


def _uses(record: Record) -> list[Any]:
    query = (
        "SELECT artifacts.digest, artifacts.record, uses.run, uses.direction, runs.started, tasks.parameters "
        "FROM artifacts JOIN uses ON artifact = artifacts.id JOIN runs ON runs.id = uses.run "
        "JOIN tasks ON tasks.run = uses.run AND tasks.path = uses.path "
        "WHERE artifacts.type = 'system.Dataset' AND artifacts.digest IS NOT NULL "
        "ORDER BY runs.started, uses.direction DESC"  # what put it out before what read it
    )
    return record.rows(query)


def _version(home: Path, digest: str, rows: list[Any], models: Sequence[Trained]) -> DataVersion | None:
    """What the uses of one content say; None where it is no snapshot."""
    texts = dict.fromkeys(row["record"] for row in rows)
    artifacts = [placed(home, ArtifactRecord(**json.loads(text))) for text in texts]
    if not any(_is_snapshot(item) for item in artifacts):
        return None
    stored = dict(_stored(artifacts))
    info = next((found for found in stored.values() if found), None)
    counted = [{s: int(item.metadata.get(f"{s}_rows", 0)) for s in SPLITS} for item in artifacts if _counts(item)]
    return DataVersion(
        digest=digest,
        made=rows[0]["started"],
        rows=info.rows if info else next(iter(counted), {}),
        source=source_text(info) if info else _source_of(rows),
        runs=tuple(dict.fromkeys(row["run"] for row in rows)),
        models=_trained(digest, models),
        paths=tuple(stored),
    )


def _stored(artifacts: Iterable[ArtifactRecord]) -> Iterator[tuple[Path, DatasetInfo | None]]:
    """Where copies of a content lie, and what they say of themselves; None where that is damaged."""
    for item in artifacts:
        if item.path is not None and (item.path / MANIFEST).is_file():
            try:
                yield item.path, Dataset(item.path, read_manifest(item.path, FORMAT, VERSION, verify=False)).info
            except (ArtifactError, OSError, KeyError, TypeError):
                yield item.path, None  # `verify` says what is wrong with it


def _is_snapshot(item: ArtifactRecord) -> bool:
    """Whether an artifact is a snapshot: by its manifest, or once it is gone by what ingestion says of one."""
    if item.type != "system.Dataset":
        return False
    if item.path is not None and (item.path / MANIFEST).is_file():
        try:
            return str(read_json(item.path / MANIFEST).get("format")) == FORMAT
        except (ArtifactError, AttributeError):
            return _counts(item)
    return _counts(item)


def _counts(item: ArtifactRecord) -> bool:
    return all(f"{split}_rows" in item.metadata for split in SPLITS)


def _source_of(rows: list[Any]) -> str:
    """The last part of what the task that put it out was told to read."""
    for row in rows:
        given = json.loads(row["parameters"]).get("source") if row["direction"] == "out" else None
        if isinstance(given, str) and given:
            return public(given).rstrip("/").rpartition("/")[2]
    return ""


def _trained(digest: str, models: Sequence[Trained]) -> tuple[str, ...]:
    return tuple(model.label for model in models if digest in model.data)
