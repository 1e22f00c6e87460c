"""What a batch prediction is asked for, and what identifies it: a job that was killed goes on only as itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ValidationError

from headrace import __version__
from headrace.artifacts import bundle as files
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_json
from headrace.artifacts.signature import Signature
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.fingerprint.url import public
from headrace.components.ingest.spec import DataSpec
from headrace.components.statistics.spec import BeamSpec
from headrace.serving.batch.answers import answer_names

OutputFormat = Literal["parquet", "csv", "jsonl"]
SUFFIXES: dict[str, OutputFormat] = {".parquet": "parquet", ".csv": "csv", ".jsonl": "jsonl"}
ROW = "row"
MODEL_COLUMNS = ("model", "model_version", "model_digest")
PART_ROWS = 500_000  # that a part of the output has: what a kill can cost


@dataclass(frozen=True)
class Reading:
    """How a source is read. What is not given is as it was for the data that the model learned from."""

    format: str | None = None  # of the files, where a suffix does not tell it
    query: str | None = None  # what a database is asked
    null_values: tuple[str, ...] | None = None  # what counts as missing in text files
    separator: str | None = None  # of text files
    decimal: str | None = None  # what stands before a fraction in text files


@dataclass(frozen=True)
class Job:
    """One batch prediction."""

    sources: tuple[str, ...]  # as they can be opened from here
    output: Path  # a file named .parquet, .csv or .jsonl; without a suffix a folder of such files
    format: OutputFormat | None = None  # of a folder's files; a file's suffix tells its own
    key: str | None = None  # the column that names each row in the output, instead of its number
    keep: tuple[str, ...] = ()  # further columns of the source that the output has
    max_rejects: int = 0  # rows without an answer before the job fails
    reading: Reading = field(default_factory=Reading)
    beam: BeamSpec | None = None  # Apache Beam's runner and options; None: in this process
    part_rows: int = PART_ROWS
    threads: int = 0  # in process; 0: as many as there are cores

    def __post_init__(self) -> None:
        suffix = self.output.suffix
        if self.output.name in ("", ".."):
            raise HeadraceError(f"output: expected a file's or a folder's name. Received: {self.output}")
        if suffix not in ("", *SUFFIXES):
            named = ", ".join(SUFFIXES)
            raise HeadraceError(
                f"{self.output}: expected a file named {named}, or a folder (without a suffix). Received: {suffix}"
            )
        if self.format is not None and self.format not in get_args(OutputFormat):
            raise HeadraceError(f"format: expected {', '.join(get_args(OutputFormat))}. Received: {self.format}")
        if suffix and self.format is not None and self.format != SUFFIXES[suffix]:
            raise HeadraceError(f"{self.output}: expected a name that fits the format. Received: {self.format}")

    @property
    def written(self) -> OutputFormat:
        """The format of the output."""
        return SUFFIXES.get(self.output.suffix) or self.format or "parquet"

    @property
    def folder(self) -> bool:
        """Whether the output is a folder of files, one for each part."""
        return not self.output.suffix

    def beside(self, name: str) -> Path:
        """A file beside the output, named after it."""
        return self.output.with_name(f"{self.output.name}.{name}")

    def identity(self, bundle: Bundle, source_digest: str) -> dict[str, Any]:
        """All that decides the parts' content. `max_rejects` and threads do not."""
        how = {
            "sources": [public(one) for one in self.sources],
            "source_digest": source_digest,
            "model": bundle.digest,
            "version": bundle.version,
            "key": self.key,
            "keep": list(self.keep),
            "reading": asdict(self.reading),
            "format": self.written,
            "folder": self.folder,
            "part_rows": self.part_rows,
            "beam": self.beam is not None,
            "headrace": __version__,
        }
        return {**json.loads(json.dumps(how)), "digest": hashlib.sha256(json.dumps(how).encode()).hexdigest()}


def columns_of(job: Job, signature: Signature) -> list[str]:
    """The output's columns, in order.

    Raises:
        HeadraceError: two have the same name.
    """
    named = [job.key] if job.key else [ROW]
    found = [*named, *job.keep, *answer_names(signature), *MODEL_COLUMNS]
    if twice := sorted({name for name in found if found.count(name) > 1}):
        raise HeadraceError(
            f"expected columns that are not the output's own in --key and --keep. Received: {', '.join(twice)}; "
            f"the output's own are {', '.join([*answer_names(signature), *MODEL_COLUMNS])}"
        )
    return found


def trained_with(bundle: Bundle) -> dict[str, Any]:
    """The `data` section of the spec that the model was trained by; empty where the bundle does not say."""
    if files.LINEAGE not in bundle.manifest.files:
        return {}
    lineage: Mapping[str, Any] = read_json(bundle.lineage)
    return dict(lineage.get("data", {}).get("query") or {})


def data_spec(job: Job, bundle: Bundle) -> DataSpec:
    """How the sources are read: as the model's own data, but for what the job says otherwise."""
    trained, reading = trained_with(bundle), job.reading
    values: dict[str, Any] = {
        "source": job.sources[0],  # what is read is said elsewhere
        "label": bundle.signature.label,
        "format": reading.format,
        "query": reading.query,
        "null_values": list(reading.null_values) if reading.null_values is not None else trained.get("null_values"),
        "separator": reading.separator or trained.get("separator"),
        "decimal": reading.decimal or trained.get("decimal"),
        "trim": trained.get("trim"),
        "types": trained.get("types"),
        # Rows that cannot be read are counted here, and not where they are read.
        "rejects": {"at_most": 2**62},
    }
    if bundle.signature.image is not None and reading.format is None:
        values["format"] = trained.get("format")
    try:
        return DataSpec(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        (first, *_) = error.errors()
        where = ".".join(map(str, first["loc"]))
        raise HeadraceError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from None


def content_digest(job: Job, data: DataSpec) -> str:
    """`sha256:<hex>` of what the sources hold now. It reads files and queries whole.

    Raises:
        HeadraceError: a source is not there, cannot be read, or changes meanwhile.
    """
    settings = {"format": data.format, "query": data.query, "labelled": False}
    return fingerprint(list(job.sources), {name: value for name, value in settings.items() if value is not None})
