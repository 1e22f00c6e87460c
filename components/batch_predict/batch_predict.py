"""A bundle's answers for all rows of its sources: in order, by parts, in bounded memory; what was killed goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc as ipc

from headrace import __version__
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import file_digest, read_json, write_json
from headrace.artifacts.parallel import cores, in_order
from headrace.components.batch_predict.check import check_sources
from headrace.components.batch_predict.finish import Files, check_keys, finish, free
from headrace.components.batch_predict.job import Job, content_digest, data_spec
from headrace.components.batch_predict.kept import as_type, kept_types, one_schema
from headrace.components.batch_predict.parts import Part, PartWriter, Work
from headrace.components.batch_predict.rows import DATABASES, Chunk, Source, chunks, empty_chunk, open_rows
from headrace.components.batch_predict.score import Done, RowScorer, category_columns, needed_columns
from headrace.components.fingerprint.url import kind_of, public
from headrace.components.ingest.opened import Opened
from headrace.components.ingest.spec import DataSpec

_LZ4 = ipc.IpcWriteOptions(compression="lz4")


@dataclass(frozen=True)
class Predicted:
    """What a batch prediction did."""

    files: Files
    rows: int  # with an answer
    rejected: int  # without one
    unseen: dict[str, int]  # input -> values that training did not know
    infinite: dict[str, int]  # input -> infinite numbers, which count as missing
    resumed: int  # rows of parts that were there already
    seconds: float
    notes: tuple[str, ...] = ()


def batch_predict(
    job: Job,
    bundle: Bundle,
    overwrite: bool = False,
    restart: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Predicted:
    """Answers every row of the sources that can be answered; each row has one output or one reject.

    What was killed goes on from its last whole part, where sources, model and settings are the same.

    Args:
        job: what is asked for.
        bundle: the model, opened and checked.
        overwrite: replaces what lies at the output's place.
        restart: begins anew, whatever parts are there.
        progress: told how many rows there are, part by part.

    Raises:
        HeadraceError: the sources do not fit the model, more rows than `max_rejects` have no answer, or the output's
            place is taken. Whole parts stay, for the next try.
    """
    started, begun = time.monotonic(), datetime.now(UTC)
    data = data_spec(job, bundle)
    scorer = RowScorer(job, bundle)
    work = Work(job, bundle.signature)
    job.output.absolute().parent.mkdir(parents=True, exist_ok=True)
    with work.locked(), work.tidied():
        if restart:
            work.empty()
        sources, digest, notes = _opened(job, data, work, bundle)
        identity = job.identity(bundle, digest)
        before = free(job, work, identity, overwrite)
        if before is not None:
            work.remove()
            return _as_before(job, before, time.monotonic() - started)
        if work.begin(identity):
            notes.append("the parts of another job were thrown away")
        done = work.done()
        resumed = sum(part.rows + part.rejected for part in done.values())
        sizes = _sizes(sources)
        sources, spooled = _readable(job, work, bundle, sources, notes)
        parts = _made(job, work, scorer, sources, done, progress, bundle)
        if _sizes(sources) != sizes and not spooled:
            raise HeadraceError(f"{shown(job)}: expected sources at rest. Received: some that changed meanwhile")
        check_keys(job, work, parts)
        found = Predicted(
            Files(job.output, None, job.output),
            rows=sum(part.rows for part in parts),
            rejected=sum(part.rejected for part in parts),
            unseen=_summed(bundle, [part.unseen for part in parts]),
            infinite=_summed(bundle, [part.infinite for part in parts]),
            resumed=resumed,
            seconds=0.0,
            notes=tuple(notes),
        )
        files = finish(job, work, parts, _about(job, bundle, identity, digest or spooled, found, begun))
        return replace(found, files=files, seconds=time.monotonic() - started)


def shown(job: Job) -> str:
    """How messages name the sources: without secrets."""
    return public(job.sources[0]) + (f" and {len(job.sources) - 1} more" if len(job.sources) > 1 else "")


def _is_database(job: Job) -> bool:
    """Whether the rows are those of a query, which need not come in the same order again."""
    kinds = {kind_of(one) in DATABASES for one in job.sources}
    if len(kinds) > 1:
        raise HeadraceError(f"{shown(job)}: expected files, or databases. Received: some of both")
    return kinds == {True}


def _opened(job: Job, data: DataSpec, work: Work, bundle: Bundle) -> tuple[list[Source], str, list[str]]:
    """The sources, checked; the digest of their content, empty of a database; and what a person should know."""
    database = _is_database(job)
    if database and work.belongs_to(job.identity(bundle, "")) and work.spooled() is not None:
        return [], "", ["goes on with the rows that were read before; --restart reads them anew"]
    sources = open_rows(job.sources, data)
    check_sources(job, bundle, sources)
    notes = [note for source in sources for note in source.opened.notes]
    if database:
        return sources, "", notes
    return sources, content_digest(job, data), notes


def _readable(
    job: Job, work: Work, bundle: Bundle, sources: list[Source], notes: list[str]
) -> tuple[list[Source], str]:
    """The sources as they can be read twice alike: rows of a database are first brought to a file, with its digest."""
    if not _is_database(job):
        return sources, ""
    file = work.folder / "source.arrow"
    if work.spooled() is None:
        schema = one_schema(needed_columns(job, bundle.signature), sources)
        with ipc.new_file(file, schema, options=_LZ4) as writer:
            for source in sources:
                for batch in source.opened.batches():
                    named = [(source.opened.name, one.name, batch.column(one.name), one.type) for one in schema]
                    columns = [as_type(column, kind, where, name) for where, name, column, kind in named]
                    writer.write_batch(pa.record_batch(columns, schema=schema))
                notes += [note for note in source.opened.notes if note not in notes]
        write_json(file.with_suffix(".json"), {"sha256": file_digest(file), "time": datetime.now(UTC).isoformat()})

    def batches() -> Iterator[pa.RecordBatch]:
        with pa.memory_map(str(file)) as stream:
            reader = ipc.open_file(stream)
            for place in range(reader.num_record_batches):
                yield reader.get_batch(place)

    with pa.memory_map(str(file)) as stream:
        schema = ipc.open_file(stream).schema
    digest = str(read_json(file.with_suffix(".json"))["sha256"])
    return [Source(Opened(shown(job), schema, batches, text=False), "database", parses=False)], f"sha256:{digest}"


def _made(
    job: Job,
    work: Work,
    scorer: RowScorer,
    sources: Sequence[Source],
    done: dict[int, Part],
    progress: Callable[[int], None] | None,
    bundle: Bundle,
) -> list[Part]:
    """All parts, in order: those that are there, and the others as they are made."""
    count, kinds, inputs = _Count(job, progress), kept_types(job, sources), len(bundle.signature.inputs)
    columns, categories = needed_columns(job, bundle.signature), category_columns(bundle.signature)
    parts: dict[int, Part] = {}
    if job.beam is not None:
        from headrace.components.batch_predict.beam import made_by_beam

        parts = {part.number: part for part in made_by_beam(job, work, bundle, sources, done)}
    else:
        threads = job.threads or cores()
        with ThreadPoolExecutor(threads, "batch") as pool:
            wanted = _numbered(chunks(sources, columns, categories, job.max_rejects), job.part_rows)
            new = _without(wanted, done, parts, count)
            scored = in_order(pool, lambda one: (one[0], one[1], scorer.score(one[1], kinds)), new, 2 * threads)
            _write(work, scored, parts, inputs, count)
    if not parts:
        empty = empty_chunk(sources[0], columns)
        _write(work, [(0, empty, scorer.score(empty, kinds))], parts, inputs, count)
    return [parts[number] for number in sorted(parts)]


class _Count:
    """Counts rows, and ends the job where too many have no answer."""

    def __init__(self, job: Job, progress: Callable[[int], None] | None) -> None:
        self._job, self._progress = job, progress
        self._rows = self._rejected = 0
        self._first = ""

    def add(self, rows: int, rejected: int, first: str) -> None:
        """Adds rows with and without an answer, and the first of those without."""
        self._rows += rows + rejected
        self._rejected += rejected
        self._first = self._first or first
        most = self._job.max_rejects
        if self._rejected > most:
            more = f", and there are {self._rejected:,} such rows or more" if self._rejected > 1 else ""
            raise HeadraceError(f"{self._first}; --max-rejects is {most:,}{more}")

    def tell(self) -> None:
        """Tells how many there are."""
        if self._progress is not None:
            self._progress(self._rows)


def _numbered(chunks: Iterable[Chunk], part_rows: int) -> Iterator[tuple[int, Chunk]]:
    """Chunks with the number of their part: the same for the same sources, whatever was done before."""
    number = rows = 0
    for chunk in chunks:
        if rows >= part_rows:
            number, rows = number + 1, 0
        rows += chunk.batch.num_rows + len(chunk.unreadable)
        yield number, chunk


def _without(
    wanted: Iterable[tuple[int, Chunk]], done: dict[int, Part], parts: dict[int, Part], count: _Count
) -> Iterator[tuple[int, Chunk]]:
    """The chunks of parts that are not there yet."""
    for number, chunk in wanted:
        if number not in done:
            yield number, chunk
        elif number not in parts:
            part = parts[number] = done[number]
            count.add(part.rows, part.rejected, part.first_reject)


def _write(
    work: Work, scored: Iterable[tuple[int, Chunk, Done]], parts: dict[int, Part], inputs: int, count: _Count
) -> None:
    writer: PartWriter | None = None
    try:
        for number, chunk, done in scored:
            if writer is not None and writer.part.number != number:
                parts[writer.part.number] = writer.commit()
                writer = None
                count.tell()
            if writer is None:
                first = int(chunk.rows[0]) - 1 if len(chunk.rows) else chunk.first
                writer = work.writer(number, first, inputs)
            writer.add(done)
            count.add(done.table.num_rows, done.rejects.num_rows, writer.part.first_reject)
        if writer is not None:
            parts[writer.part.number] = writer.commit()
            writer = None
            count.tell()
    finally:
        if writer is not None:
            writer.abandon()


def _sizes(sources: Sequence[Source]) -> list[tuple[str, int, int]]:
    """What tells that files of this machine changed."""
    paths = [source.file.path for source in sources if source.file is not None and source.file.path is not None]
    found = [(str(path), path.stat()) for path in paths]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]


def _summed(bundle: Bundle, counts: Sequence[Sequence[int]]) -> dict[str, int]:
    total = np.sum(np.array(counts, np.int64).reshape(-1, len(bundle.signature.inputs)), axis=0)
    return {item.name: int(count) for item, count in zip(bundle.signature.inputs, total, strict=True) if count}


def _about(
    job: Job, bundle: Bundle, identity: dict[str, Any], source_digest: str, found: Predicted, begun: datetime
) -> dict[str, Any]:
    return {
        "job": identity["digest"],
        "model": {"name": bundle.name, "version": bundle.version, "digest": bundle.digest},
        "source": {"names": identity["sources"], "digest": source_digest, "query": job.reading.query},
        "rows": {"read": found.rows + found.rejected, "predicted": found.rows, "rejected": found.rejected},
        "unseen": found.unseen,
        "infinite": found.infinite,
        "key": job.key,
        "keep": list(job.keep),
        "notes": list(found.notes),
        "began": begun.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "headrace": __version__,
    }


def _as_before(job: Job, manifest: dict[str, Any], seconds: float) -> Predicted:
    """The result of a job that was done before."""
    from headrace.components.batch_predict.finish import MANIFEST, REJECTS

    rows, rejects = manifest["rows"], job.beside(REJECTS)
    files = Files(job.output, rejects if rejects.is_file() else None, job.beside(MANIFEST))
    return Predicted(
        files,
        rows["predicted"],
        rows["rejected"],
        manifest["unseen"],
        manifest["infinite"],
        resumed=rows["read"],
        seconds=seconds,
        notes=("this very output was there already",),
    )
