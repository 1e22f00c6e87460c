"""Where schemas and statistics are: beside a spec, in a run, or made for the occasion."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import read_schema, read_schema_file
from headrace.artifacts.statistics import Statistics, read_statistics

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2

    from headrace.pipelines.spec import Spec

_PATIENCE_S = 600.0  # for TFDV to look at statistics, which takes seconds


@dataclass(frozen=True)
class Described:
    """Data that was described: its statistics, where they lie, and what its snapshot says of itself."""

    source: str  # what to call it
    statistics: Statistics
    folder: Path
    info: DatasetInfo


def schema_file(spec: Path) -> Path:
    """Where a spec says that its schema is."""
    from headrace.pipelines.spec import load_spec

    return spec.parent / load_spec(spec).validation.schema_file


def committed(spec: Path) -> Path:
    """The schema beside a spec.

    Raises:
        HeadraceError: there is none.
    """
    file = schema_file(spec)
    if not file.exists():
        raise HeadraceError(
            f"{file}: expected the schema of {spec}. Received: no such file; `headrace schema accept {spec}` takes "
            f"over a run's, `headrace schema infer {spec}` makes one"
        )
    return file


def load(what: str, home: Path) -> tuple[str, schema_pb2.Schema]:
    """A schema, and what to call it: of a schema's file, a spec or its folder, an artifact's folder, or a run.

    Raises:
        HeadraceError: it is none of these, or has no schema.
    """
    path = Path(what)
    if path.is_dir() and (path / "spec.yaml").exists():
        path = path / "spec.yaml"
    if path.suffix in (".yaml", ".yml") and path.exists():
        file = committed(path)
        return str(file), read_schema_file(file)
    if path.is_file():
        return str(path), read_schema_file(path)
    if path.is_dir() and (path / "manifest.json").exists():
        return str(path), read_schema(path)
    run, folder = _artifact(home, what, "examine", "schema")
    return f"run {run}", read_schema(folder)


def described_by_run(home: Path, run: str) -> Described:
    """The data of a run.

    Raises:
        HeadraceError: no such run, or one that did not get so far.
    """
    run_id, folder = _artifact(home, run, "statistics", "statistics")
    _, snapshot = _artifact(home, run_id, "ingest", "dataset")
    return Described(f"run {run_id}", read_statistics(folder), folder, Dataset.open(snapshot, verify=False).info)


def _artifact(home: Path, run: str, task: str, output: str) -> tuple[str, Path]:
    from headrace.pipelines.local.record.finding import find_run, opened
    from headrace.pipelines.local.record.record import load_run

    with opened(home) as record:
        run_id = find_run(record, run)
    result = load_run(home, run_id).tasks.get(task)
    for artifact in result.artifacts.get(output, ()) if result else ():
        if artifact.path and artifact.path.exists():
            return run_id, artifact.path
    raise HeadraceError(
        f"run {run_id}: expected the {output} that `{task}` puts out. Received: none, or no longer there"
    )


@contextmanager
def described_now(spec_file: Path, spec: Spec, source: str | None) -> Iterator[Described]:
    """Reads the spec's source, or another one, and describes it as a run would; nothing is kept."""
    from headrace.components.fingerprint.digest import fingerprint
    from headrace.components.fingerprint.url import absolute, sources_of
    from headrace.components.ingest.ingest import ingest
    from headrace.pipelines.check import joins_resolved
    from headrace.pipelines.check_aggregates import aggregates_resolved
    from headrace.pipelines.compiled import resolve_source

    sources = [absolute(source, Path.cwd())] if source else sources_of(resolve_source(spec.data.source, spec_file))
    with tempfile.TemporaryDirectory(prefix="headrace-schema-") as folder:
        snapshot, output = Path(folder) / "dataset", Path(folder) / "statistics"
        data, children = joins_resolved(spec, spec_file), aggregates_resolved(spec, spec_file)
        read = {name: child.model_dump(mode="json") for name, child in children.items()}
        digest = fingerprint(sources, data.model_dump(mode="json"), read)
        ingest(sources, digest, spec.task, data, snapshot, aggregates=children)
        _tfx("headrace.components.statistics", str(snapshot), str(output))
        info = Dataset.open(snapshot, verify=False).info
        yield Described(source or "the spec's source", read_statistics(output), output, info)


def departures(described: Described, schema: schema_pb2.Schema) -> list[dict[str, Any]]:
    """What validation finds when the data is held against a schema: where, level and line of each."""
    from headrace.artifacts.schema import write_schema_file

    with tempfile.TemporaryDirectory(prefix="headrace-schema-") as folder:
        file = Path(folder) / "schema.pbtxt"
        write_schema_file(file, schema)
        printed = _tfx("headrace.components.examine", str(described.folder), str(file))
    found: list[dict[str, Any]] = json.loads(printed.splitlines()[-1])
    return found


def _tfx(module: str, *arguments: str) -> str:
    """Runs a module in the tfx environment, where TFDV is; returns what it prints."""
    from headrace.pipelines.local.workers.environments import default_environments

    python = default_environments().prefix("tfx") / "bin" / "python"
    environment = {**os.environ, "_KFP_RUNTIME": "true", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [str(python), "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise HeadraceError(f"{module}: expected an end within {_PATIENCE_S} s. Received: none") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["nothing"]
        raise HeadraceError(
            lines[-1] if done.returncode == 1 else f"{module} ended with {done.returncode}: {lines[-1]}"
        )
    return done.stdout
