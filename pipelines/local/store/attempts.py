"""Where outputs lie: under `tmp` while a task writes them, under `store` once they are whole."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.local.ir.graph import Artifact, Component
from headrace.pipelines.local.ir.values import ValueMismatch, cast, is_unicode, shown
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import ArtifactRecord
from headrace.pipelines.local.store import digests, entries
from headrace.pipelines.local.workers.processes import kill_strays

FULL = (errno.ENOSPC, errno.EDQUOT)


class OutputError(HeadraceError):
    """A task ended well, but what it left behind cannot be read."""


class DiskFull(HeadraceError):
    """There is no room for outputs, logs or the record."""


@contextlib.contextmanager
def disk_full_is_clear(home: Path) -> Any:
    """Turns "no space left on device" into an error that says where."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(home) from None
        raise


def disk_full(home: Path) -> DiskFull:
    free = shutil.disk_usage(home).free
    return DiskFull(
        f"expected room on the disk under {home}. Received: no space left on device "
        f"({free / 2**20:.0f} MiB free). "
        "Free some space and run again: what has finished is kept."
    )


@dataclass(frozen=True)
class Attempt:
    """The temporary place of one attempt at a task."""

    folder: Path
    executor_input: dict[str, Any]

    @property
    def outputs(self) -> Path:
        return self.folder / "outputs"

    @property
    def source(self) -> Path:
        return self.folder / "ephemeral_component.py"

    def parameter(self, name: str) -> Path:
        """The file that a program writes an output parameter to."""
        return self.folder / f"parameter-{name}"


def safe_name(path: str) -> str:
    """A task's path as one file name; short, and distinct for distinct paths."""
    name = re.sub(r"[^\w-]+", "_", path).strip("_")
    if name == path and len(name) <= 80:
        return name
    return f"{name[-60:]}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def prepare(
    home: Path, run_id: str, path: str, attempt: int, component: Component, inputs: Mapping[str, Any]
) -> Attempt:
    """Makes the place of an attempt, and the executor input that points outputs at it."""
    place = Attempt(home / "tmp" / run_id / f"{safe_name(path)}-{attempt}", {})
    place.outputs.mkdir(parents=True)
    executor_input = {
        "inputs": inputs,
        "outputs": {
            "parameters": {name: {"outputFile": str(place.parameter(name))} for name in component.output_parameters},
            "artifacts": {
                name: {
                    "artifacts": [
                        {
                            "name": name,
                            "type": dict(spec.schema),
                            "uri": str(place.outputs / name),
                            "metadata": {},
                        }
                    ]
                }
                for name, spec in component.output_artifacts.items()
            },
            "outputFile": str(place.outputs / "executor_output.json"),
        },
    }
    return Attempt(place.folder, executor_input)


def publish(
    home: Path, path: str, attempt: Attempt, component: Component, *, durable: bool = False
) -> tuple[dict[str, Any], dict[str, tuple[ArtifactRecord, ...]]]:
    """Reads what a task has written, and puts it into the store in one step.

    Returns (output parameters, output artifacts). With `durable`, they outlast a power cut; without, what a cut
    takes is noticed by its digest.

    Raises:
        OutputError: an output of another type than declared, a text that is no Unicode, or an executor output that is
            not JSON, or not what KFP's executor writes.
    """
    said = _executor_output(attempt, path)
    parameters = _parameters(attempt, component, said, path)
    if not component.output_artifacts:
        return parameters, {}
    items = {name: _items(said, name, f"{path}: output `{name}`") for name in component.output_artifacts}
    found = digests.contents(attempt.outputs)
    final = entries.place_of(home, found.digest)
    artifacts = {
        name: _artifacts(name, spec, items[name], attempt.outputs, found, final)
        for name, spec in component.output_artifacts.items()
    }
    artifacts = _with_what_lies_beside(artifacts, found, final)
    entries.keep(home, attempt.outputs, found, durable=durable)
    return parameters, artifacts


def _with_what_lies_beside(
    artifacts: dict[str, tuple[ArtifactRecord, ...]], found: digests.Contents, final: Path
) -> dict[str, tuple[ArtifactRecord, ...]]:
    """Lets the outputs' digests cover what lies beside: who is told `model` may write, and read, `model.joblib`."""
    paths = [item.path for items in artifacts.values() for item in items if item.path]
    inside = {str(path.relative_to(final)) for path in paths if path.is_relative_to(final)}
    beside = {
        name: content
        for name, content in found.hashes.items()
        if content != "folder"
        and inside.isdisjoint(["/".join(name.split("/")[: i + 1]) for i in range(name.count("/") + 1)])
    }
    if not beside:
        return artifacts
    rest = digests.Contents(beside, 0).digest

    def covering(item: ArtifactRecord) -> ArtifactRecord:
        if not _lies_in(item, final):
            return item
        return replace(item, digest="sha256:" + hashlib.sha256(f"{item.digest} {rest}".encode()).hexdigest())

    return {name: tuple(covering(item) for item in items) for name, items in artifacts.items()}


def _lies_in(item: ArtifactRecord, final: Path) -> bool:
    return item.path is not None and item.path.is_relative_to(final)


def _executor_output(attempt: Attempt, path: str) -> dict[str, Any]:
    file = attempt.outputs / "executor_output.json"
    try:
        said = json.loads(file.read_bytes())
        file.unlink()
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: expected JSON in the executor's output file. Received: {error}") from None
    if not isinstance(said, dict):
        raise OutputError(f"{path}: expected a mapping in the executor's output file. Received: {type(said).__name__}")
    return said


def _parameters(attempt: Attempt, component: Component, said: Mapping[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    values = _mapping(said.get("parameterValues"), f"{path}: parameterValues in the executor's output file")
    for name, kind in component.output_parameters.items():
        where, file = f"{path}: output `{name}`", attempt.parameter(name)
        try:
            if name in values:
                found[name] = cast(values[name], kind, where)
            elif file.is_file():
                found[name] = cast(file.read_text(encoding="utf-8"), kind, where)
        except UnicodeDecodeError as error:
            raise OutputError(f"{where}: expected UTF-8 text in its file. Received: {error}") from None
        except ValueMismatch as error:
            raise OutputError(str(error)) from None
        except RecursionError:
            raise OutputError(f"{where}: expected a value that can be read. Received: one nested too deeply") from None
    return found


def _mapping(value: Any, where: str) -> dict[str, Any]:
    """What a mapping of the executor's output holds; one that is missing, or null, holds nothing."""
    if value and not isinstance(value, dict):
        raise OutputError(f"{where}: expected a mapping. Received: {shown(value)}")
    return value or {}


def _items(said: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """What an executor's output says of the artifacts of one output, if anything."""
    named = _mapping(said.get("artifacts"), f"{where}: artifacts in the executor's output file")
    items = _mapping(named.get(name), where).get("artifacts") or []
    if not isinstance(items, list):
        raise OutputError(f"{where}: expected a list of artifacts. Received: {shown(items)}")
    for item in items:
        if not isinstance(item, dict):
            raise OutputError(f"{where}: expected an artifact as a mapping. Received: {shown(item)}")
        _mapping(item.get("metadata"), f"{where}: metadata")
        if not is_unicode(item):
            raise OutputError(f"{where}: expected Unicode text in its place and metadata. Received: {shown(item)}")
    return items


def _artifacts(
    name: str,
    spec: Artifact,
    items: list[dict[str, Any]],
    outputs: Path,
    found: digests.Contents,
    final: Path,
) -> tuple[ArtifactRecord, ...]:
    if not items and not spec.is_list:
        items = [{"uri": str(outputs / name)}]
    return tuple(_artifact(name, spec, item, outputs, found, final) for item in items)


def _artifact(
    name: str, spec: Artifact, said: Mapping[str, Any], outputs: Path, found: digests.Contents, final: Path
) -> ArtifactRecord:
    uri = str(said.get("custom_path") or said.get("uri") or outputs / name)
    digest: str | None = None
    files = size = 0
    local = Path(uri.removeprefix("file://"))
    if "://" not in uri or uri.startswith("file://"):
        files, size = digests.extent(local)
        if local.is_relative_to(outputs):
            place = str(local.relative_to(outputs))
            digest = digests.digest_within(found, outputs, place)
            uri = str(final / place)
        else:
            digest = digests.artifact_digest(local)
    return ArtifactRecord(
        name=name,
        type=spec.title,
        uri=uri,
        digest=digest,
        metadata=dict(said.get("metadata") or {}),
        files=files,
        bytes=size,
        schema=dict(spec.schema),
    )


def seem_there(artifacts: Mapping[str, tuple[ArtifactRecord, ...]]) -> bool:
    """Whether outputs lie where they were put, as far as a look without reading tells; remote ones never count."""
    items = [item for items in artifacts.values() for item in items]
    return all(item.digest and item.path and digests.extent(item.path) == (item.files, item.bytes) for item in items)


def workspace(home: Path, run_id: str) -> Path:
    """The folder that the tasks of a run share, where its pipeline asks for one."""
    return home / "workspaces" / run_id


def remove_tmp(home: Path, run_id: str) -> None:
    """Removes what a run has left of temporary outputs."""
    shutil.rmtree(home / "tmp" / run_id, ignore_errors=True)


def clean_up(home: Path, record: Record) -> list[str]:
    """Marks the runs whose process died, and removes what they left: processes, and their temporary outputs.

    Returns the ids of those runs. Runs of living processes are left alone.
    """
    tmp = home / "tmp"
    folders = (
        list(tmp.iterdir()) if tmp.is_dir() else []
    )  # before the record is asked: a run is recorded before it has a folder
    alive = set()
    dead = []
    for run_id, owner in record.unfinished():
        if owner.alive():
            alive.add(run_id)
            continue
        kill_strays(run_id)
        record.interrupted(run_id)
        dead.append(run_id)
    for folder in folders:
        if folder.name not in alive:
            shutil.rmtree(folder, ignore_errors=True)
    return dead
