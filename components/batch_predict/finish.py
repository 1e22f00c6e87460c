"""From parts to the output: put together, hashed, and moved to its place in one step; with a manifest beside it."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import file_digest, read_json, write_json
from headrace.components.batch_predict.job import Job
from headrace.components.batch_predict.parts import EXTENSIONS, Part, Work, parquet_writer

FORMAT, FORMAT_VERSION = "headrace/predictions", 1
REJECTS, MANIFEST = "rejects.parquet", "manifest.json"  # beside the output, named after it
_FINISHING = "finishing"  # in the work folder: what lies at the output's place may be of this very job
_MEMORY = "1GB"  # that looking for repeated keys may take


class Files(NamedTuple):
    """What there is when a job is done."""

    output: Path
    rejects: Path | None  # None: every row has an answer
    manifest: Path


def free(job: Job, work: Work, identity: Mapping[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """The manifest where the output is there already, as this very job made it; None where it is to be made.

    Raises:
        HeadraceError: something else lies at the output's place.
    """
    if not job.output.exists():
        return None
    manifest = job.beside(MANIFEST)
    if manifest.is_file() and not overwrite:
        found = read_json(manifest)
        whole = isinstance(found, dict) and found.get("job") == identity["digest"] and identity["source_digest"]
        if whole and _as_recorded(job.output, found.get("files", {})):
            return dict(found)
    ours = (work.folder / _FINISHING).exists() and work.belongs_to(dict(identity))
    if overwrite or ours or _is_empty_folder(job.output):
        return None
    raise HeadraceError(
        f"{job.output}: expected a place that is still free. Received: "
        f"{'a folder' if job.output.is_dir() else 'a file'} of something else; --overwrite replaces it"
    )


def _is_empty_folder(place: Path) -> bool:
    return place.is_dir() and not any(place.iterdir())


def _as_recorded(output: Path, files: Mapping[str, Any]) -> bool:
    for name, entry in files.items():
        file = output / name if output.is_dir() else output
        if not file.is_file() or file.stat().st_size != entry["bytes"] or file_digest(file) != entry["sha256"]:
            return False
    return bool(files)


def check_keys(job: Job, work: Work, parts: Sequence[Part]) -> None:
    """Refuses a key that names two rows: nobody could tell whose the answers are. In bounded memory.

    Raises:
        HeadraceError: with how many there are, and the first.
    """
    if job.key is None:
        return
    import duckdb
    import pyarrow.dataset as ds

    files = [str(work.part_file(part.number)) for part in parts]
    with duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": str(work.folder / "keys")}) as engine:
        # The key alone, under another name: in DuckDB's eyes two columns must not differ in case alone.
        if work.format in ("arrow", "parquet"):
            rows = ds.dataset(files, format="ipc" if work.format == "arrow" else "parquet")
            engine.register("answered", rows.scanner(columns={"key": ds.field(job.key)}))
            source = "answered"
        elif work.format == "csv":
            source = _csv(files, job.folder, job.key)
        else:
            key = '"' + job.key.replace('"', '""') + '"'
            form = f"format='newline_delimited', columns={{{key}: 'VARCHAR'}}"
            source = f"(SELECT {key} AS key FROM read_json({files!r}, {form}))"
        repeated = f"SELECT key, count(*) FROM {source} GROUP BY 1 HAVING count(*) > 1"
        [(count,)] = engine.execute(f"SELECT count(*) FROM ({repeated})").fetchall()
        if not count:
            return
        first = [repr(value) for value, _ in engine.execute(f"{repeated} ORDER BY 1 LIMIT 3").fetchall()]
    raise HeadraceError(
        f"expected every `{job.key}` once, as --key names the rows by it. Received: {count:,} of them more than once, "
        f"such as {', '.join(first)}; --keep {job.key} has it beside the rows' numbers"
    )


def _csv(files: Sequence[str], headers: bool, key: str) -> str:
    """The key in parts of CSV, as DuckDB reads them: without `headers` only the first one says what its columns are."""
    with Path(files[0]).open(newline="", encoding="utf-8") as stream:
        names = next(csv.reader(stream))
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(names)))
    form = f"auto_detect=false, delim=',', quote='\"', escape='\"', columns={{{columns}}}"
    groups = [(files, "true")] if headers else [(files[:1], "true"), (files[1:], "false")]
    chosen = f"SELECT c{names.index(key)} AS key"
    read = [f"{chosen} FROM read_csv({list(group)!r}, header={header}, {form})" for group, header in groups if group]
    return f"({' UNION ALL '.join(read)})"


def finish(job: Job, work: Work, parts: Sequence[Part], about: dict[str, Any]) -> Files:
    """Puts the parts together, and the output to its place.

    Args:
        job: what was asked for.
        work: where the parts lie.
        parts: all of them, in order.
        about: what the manifest says beside the files.
    """
    made = work.folder / "output"
    shutil.rmtree(made, ignore_errors=True)
    made.unlink(missing_ok=True)
    files = _folder(job, work, parts, made) if job.folder else _file(job, work, parts, made)
    rejects = _rejects(job, work, parts)
    (work.folder / _FINISHING).touch()
    _move(made, job.output, work.folder / "old")
    manifest = {"format": FORMAT, "format_version": FORMAT_VERSION, **about, "files": files}
    write_json(job.beside(MANIFEST), manifest)
    work.remove()
    return Files(job.output, rejects, job.beside(MANIFEST))


def _move(made: Path, output: Path, aside: Path) -> None:
    if output.is_dir() or (made.is_dir() and output.exists()):
        output.replace(aside)  # a folder cannot be replaced in one step, nor a file by a folder
    made.replace(output)


def _entry(file: Path, rows: int) -> dict[str, Any]:
    return {"rows": rows, "bytes": file.stat().st_size, "sha256": file_digest(file)}


def _folder(job: Job, work: Work, parts: Sequence[Part], made: Path) -> dict[str, Any]:
    made.mkdir()
    files = {}
    for place, part in enumerate(parts):
        name = f"part-{place:05}-of-{len(parts):05}{EXTENSIONS[job.written]}"
        try:
            os.link(work.part_file(part.number), made / name)
        except OSError:  # a file system without links
            shutil.copyfile(work.part_file(part.number), made / name)
        files[name] = {"rows": part.rows, "bytes": (made / name).stat().st_size, "sha256": part.sha256}
    return files


def _file(job: Job, work: Work, parts: Sequence[Part], made: Path) -> dict[str, Any]:
    if job.written == "parquet":
        _parquet(work, parts, made)
    else:
        with made.open("wb") as output:
            for part in parts:
                with work.part_file(part.number).open("rb") as stream:
                    shutil.copyfileobj(stream, output, 1 << 20)
    with made.open("rb") as stream:
        os.fsync(stream.fileno())
    return {job.output.name: _entry(made, sum(part.rows for part in parts))}


def _parquet(work: Work, parts: Sequence[Part], made: Path) -> None:
    writer: pq.ParquetWriter | None = None
    try:
        for part in parts:
            with pa.memory_map(str(work.part_file(part.number))) as stream:
                table = ipc.open_file(stream).read_all()
                if writer is None:
                    writer = parquet_writer(made, table.schema)
                writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _rejects(job: Job, work: Work, parts: Sequence[Part]) -> Path | None:
    file = job.beside(REJECTS)
    rejected = [part for part in parts if part.rejected]
    if not rejected:
        file.unlink(missing_ok=True)  # of an output that is replaced
        return None
    made = work.folder / "rejects"
    schema = pq.read_schema(work.rejects_file(rejected[0].number))
    with pq.ParquetWriter(made, schema, compression="zstd") as writer:
        for part in rejected:
            writer.write_table(pq.read_table(work.rejects_file(part.number)))
    made.replace(file)
    return file
