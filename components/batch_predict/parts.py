"""The parts of an output that is being made: each is there whole, with its digest, or not at all.

.NAME.partial/
    job.json              what is made; parts of another job are thrown away
    lock                  held by the process that works
    source.arrow, .json   the rows of a source that could not be read twice alike
    shared.json           the folder that Beam's workers share with this machine, which is taken away with this one
    part-00000.EXT        rows of the output
    part-00000.rejects    the rows without an answer, where there are some (Parquet)
    part-00000.json       written last, durably: without it, or with another digest, the part does not count
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import file_digest, read_json, write_json
from headrace.artifacts.signature import Signature
from headrace.components.batch_predict.job import Job
from headrace.components.batch_predict.score import REJECTS, Done
from headrace.serving.batch.answers import LABEL, probability_names

EXTENSIONS = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "arrow": ".arrow"}
_SHARED = "shared.json"
_LZ4 = ipc.IpcWriteOptions(compression="lz4")


@dataclass
class Part:
    """What a part is, as it is recorded beside it."""

    number: int
    rows: int = 0  # of the output
    rejected: int = 0
    first: int = 0  # rows of the sources before it
    unseen: list[int] = field(default_factory=list)  # of each input, values that training did not know
    infinite: list[int] = field(default_factory=list)  # of each input, numbers that count as missing
    sha256: str = ""  # of the part's file
    rejects_sha256: str = ""  # of the file of its rejects; empty where it has none
    first_reject: str = ""  # for messages


class Work:
    """The folder of an output that is being made."""

    def __init__(self, job: Job, signature: Signature) -> None:
        """Of a job's output. Parts of a single Parquet file are Arrow's, which cost little to put together."""
        self.folder = job.output.with_name(f".{job.output.name}.partial")
        self.format = "arrow" if job.written == "parquet" and not job.folder else job.written
        self._signature, self._header = signature, job.folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the folder.

        Raises:
            HeadraceError: another process does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HeadraceError(
                    f"{self.folder}: expected to be alone. Received: another process that writes the same output"
                ) from None
            yield

    @contextlib.contextmanager
    def tidied(self) -> Iterator[None]:
        """Leaves no folder behind where a job failed before it had made anything of use."""
        try:
            yield
        except BaseException:
            useful = [*self.folder.glob("part-*.json"), *self.folder.glob("source.json"), *self.folder.glob(_SHARED)]
            if not useful:
                self.remove()
            raise

    def begin(self, identity: dict[str, Any]) -> bool:
        """Makes the folder one of this job; whether parts of another one were thrown away."""
        file = self.folder / "job.json"
        if self.belongs_to(identity):
            return False
        others = [place for place in self.folder.iterdir() if place.name not in ("lock", "job.json")]
        self.empty()
        write_json(file, identity)
        return bool(others)

    def belongs_to(self, identity: dict[str, Any]) -> bool:
        """Whether what is here was made for this very job."""
        try:
            return _read(self.folder / "job.json") == identity
        except ArtifactError:
            return False

    def empty(self) -> None:
        """Throws away all that was made before."""
        self.forget()
        _remove(self.folder / "job.json")  # first: what is left, if this is killed, belongs to no job
        for place in self.folder.iterdir():
            if place.name != "lock":
                _remove(place)

    def shared(self) -> str | None:
        """The folder where Beam's workers leave parts; None where there is none yet."""
        try:
            return str(_read(self.folder / _SHARED)["place"])
        except (KeyError, ArtifactError):
            return None

    def share(self, place: str) -> str:
        """Makes a folder the one where Beam's workers leave parts."""
        self.forget()
        write_json(self.folder / _SHARED, {"place": place})
        return place

    def forget(self) -> None:
        """Takes that folder away."""
        place = self.shared()
        if place is not None:
            from headrace.components.batch_predict.beam import delete

            delete(place)
            (self.folder / _SHARED).unlink()

    def spooled(self) -> Path | None:
        """The file of a source's rows that were brought here whole; None where there is none."""
        file = self.folder / "source.arrow"
        try:
            return file if file_digest(file) == _read(file.with_suffix(".json"))["sha256"] else None
        except (OSError, KeyError, ArtifactError):
            return None

    def part_file(self, number: int) -> Path:
        """Where a part's rows lie."""
        return self.folder / f"part-{number:05}{EXTENSIONS[self.format]}"

    def rejects_file(self, number: int) -> Path:
        """Where the rows of a part lie that have no answer."""
        return self.folder / f"part-{number:05}.rejects"

    def record_file(self, number: int) -> Path:
        """Where it says that a part is whole."""
        return self.folder / f"part-{number:05}.json"

    def files(self, part: Part) -> list[Path]:
        """A part's files, the record last: it says that the others are whole."""
        rejects = [self.rejects_file(part.number)] if part.rejects_sha256 else []
        return [self.part_file(part.number), *rejects, self.record_file(part.number)]

    def digest(self) -> str:
        """The digest of the job that the folder belongs to."""
        return str(_read(self.folder / "job.json")["digest"])

    def done(self) -> dict[int, Part]:
        """The parts that are whole, by number; what is left of others is removed."""
        found: dict[int, Part] = {}
        for file in sorted(self.folder.glob("part-*.json")):
            part = self._whole(file)
            if part is not None:
                found[part.number] = part
        for file in self.folder.glob("part-*"):
            number = file.name[5:].partition(".")[0]
            if not number.isdigit() or int(number) not in found or "partial" in file.name:
                file.unlink(missing_ok=True)
        return found

    def _whole(self, file: Path) -> Part | None:
        try:
            part = Part(**_read(file))
            if file_digest(self.part_file(part.number)) != part.sha256:
                return None
            if part.rejects_sha256 and file_digest(self.rejects_file(part.number)) != part.rejects_sha256:
                return None
        except (OSError, TypeError, ArtifactError):
            return None
        return part

    def writer(self, number: int, first: int, inputs: int) -> PartWriter:
        """Begins a part."""
        header = self._header or number == 0
        return PartWriter(self, Part(number, first=first, unseen=[0] * inputs, infinite=[0] * inputs), header)

    def rows_writer(self, file: Path, schema: pa.Schema, header: bool) -> Any:
        """What writes rows in the parts' format; it has `write(batch)` and `close()`."""
        match self.format:
            case "arrow":
                return _Arrow(file, schema)
            case "parquet":
                return _Parquet(file, schema)
            case "csv":
                return _Csv(file, schema, header)
        return _Jsonl(file, self._signature)

    def remove(self) -> None:
        """Takes the folder away, when the output is there."""
        self.forget()
        shutil.rmtree(self.folder, ignore_errors=True)


class PartWriter:
    """Writes one part; nothing counts before `commit`."""

    def __init__(self, work: Work, part: Part, header: bool) -> None:
        self.part = part
        self._work, self._header = work, header
        self._file = work.part_file(part.number)
        self._partial = self._file.with_name(self._file.name + ".partial")
        self._rows: Any = None
        self._rejects: list[pa.RecordBatch] = []

    def add(self, done: Done) -> None:
        """Adds what became of a chunk."""
        if self._rows is None:
            self._rows = self._work.rows_writer(self._partial, done.table.schema, self._header)
        if done.table.num_rows:
            self._rows.write(done.table)
        if done.rejects.num_rows:
            self._rejects.append(done.rejects)
            self.part.first_reject = self.part.first_reject or _first(done.rejects)
        part = self.part
        part.rows += done.table.num_rows
        part.rejected += done.rejects.num_rows
        part.unseen = (np.array(part.unseen) + done.unseen).tolist()
        part.infinite = (np.array(part.infinite) + done.infinite).tolist()

    def commit(self) -> Part:
        """Closes the part: rows, rejects, and then the record that makes it count."""
        assert self._rows is not None  # a part has a chunk at least
        self._rows.close()
        _sync(self._partial)
        self._partial.replace(self._file)
        part = self.part
        part.sha256 = file_digest(self._file)
        if self._rejects:
            file = self._work.rejects_file(part.number)
            pq.write_table(pa.Table.from_batches(self._rejects, REJECTS), file)
            _sync(file)
            part.rejects_sha256 = file_digest(file)
        write_json(self._work.record_file(part.number), asdict(part))
        return part

    def abandon(self) -> None:
        """Leaves nothing."""
        if self._rows is not None:
            with contextlib.suppress(Exception):
                self._rows.close()
        self._partial.unlink(missing_ok=True)


class _Arrow:
    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._writer = ipc.new_file(file, schema, options=_LZ4)

    def write(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def close(self) -> None:
        self._writer.close()


class _Parquet:
    """One row group a part: a part's rows are few."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._writer, self._schema = parquet_writer(file, schema), schema
        self._batches: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)

    def close(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches, self._schema))
        self._writer.close()


class _Csv:
    def __init__(self, file: Path, schema: pa.Schema, header: bool) -> None:
        self._schema = pa.schema([(one.name, _csv_type(one.type)) for one in schema])
        self._writer = pa_csv.CSVWriter(file, self._schema, write_options=pa_csv.WriteOptions(include_header=header))

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [column.cast(one.type) for column, one in zip(batch.columns, self._schema, strict=True)]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        self._writer.close()


def _csv_type(kind: pa.DataType) -> pa.DataType:
    """Texts for dictionaries; float64 for float32, so that the digits are those of the server's JSON."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.float64() if pa.types.is_float32(kind) else kind


class _Jsonl:
    """Objects as the server answers them, with the row's number or key, and the model."""

    def __init__(self, file: Path, signature: Signature) -> None:
        self._stream = file.open("wb")
        self._encode = msgspec.json.Encoder(enc_hook=_worded).encode_lines
        self._classes = signature.classes
        self._probabilities = probability_names(signature)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = {name: batch.column(place).to_pylist() for place, name in enumerate(batch.schema.names)}
        if LABEL in columns and self._probabilities:
            values = zip(*(columns.pop(name) for name in self._probabilities), strict=True)
            nested = [dict(zip(self._classes, row, strict=True)) for row in values]
            columns = {
                name: value
                for known, column in columns.items()
                for name, value in (
                    [(known, column), ("probabilities", nested)] if known == LABEL else [(known, column)]
                )
            }
        names = list(columns)
        self._stream.write(
            self._encode([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)])
        )

    def close(self) -> None:
        self._stream.close()


def _worded(value: Any) -> str:
    """A moment or a duration with nanoseconds, which are pandas' own types, as the others are written."""
    return str(value.isoformat())


def parquet_writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer whose dictionaries are for texts alone: probabilities do not repeat."""
    repeated = [one.name for one in schema if pa.types.is_dictionary(one.type) or pa.types.is_string(one.type)]
    return pq.ParquetWriter(file, schema, compression="zstd", compression_level=1, use_dictionary=repeated)


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _first(rejects: pa.RecordBatch) -> str:
    one = rejects.slice(0, 1).to_pylist()[0]
    return f"{one['source']}, {one['place']}: {one['reason']}"


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _read(file: Path) -> dict[str, Any]:
    value = read_json(file)
    if not isinstance(value, dict):
        raise ArtifactError(f"{file}: expected a JSON object. Received: {json.dumps(value)[:60]}")
    return value
