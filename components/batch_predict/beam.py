"""The same parts under Apache Beam, for more rows than one machine should score.

Parts are stretches of row groups of Parquet files. Workers open the files themselves, and put whole parts into a folder
that they share with this machine, under a name that this job's own folder keeps: parts that are there already, since a
run was killed, are not made again. Other sources are first brought to Parquet there. Rows are numbered as in process,
and the output is put together by the same code.
"""

from __future__ import annotations

import functools
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.components.batch_predict.job import Job
from headrace.components.batch_predict.kept import kept_types
from headrace.components.batch_predict.parts import Part, Work
from headrace.components.batch_predict.rows import Source, chunks, group_chunks, no_batches, row_groups
from headrace.components.batch_predict.score import RowScorer, category_columns, needed_columns
from headrace.components.beam import fetched_bundle, pipeline_options, runner, temporary, upload_bundle
from headrace.components.ingest.opened import Opened, SourceFile
from headrace.serving.batch.model import ColumnModel, open_model

_SECTION = "beam"  # for messages


class Stretch(NamedTuple):
    """Some row groups of a file: a part."""

    number: int
    file: str  # as Beam's file systems name it
    name: str  # of the source, for messages
    format: str  # of the source, before it was brought to Parquet
    groups: tuple[int, ...]
    first: int  # rows of all sources before it
    before: int  # rows of the sources before its own


def made_by_beam(job: Job, work: Work, bundle: Bundle, sources: Sequence[Source], done: dict[int, Part]) -> list[Part]:
    """All parts, in order; none where there are no rows.

    Raises:
        HeadraceError: an option that is unknown or missing, a row that cannot be read, or more rows without an answer
            than the job allows.
    """
    assert job.beam is not None
    options = pipeline_options(job.beam, _SECTION)
    place = _shared(work, temporary(options, job.beam.runner, _SECTION))
    try:
        wanted = _stretches(job, bundle, sources, place)
    except HeadraceError:
        work.forget()  # the same would come again
        raise
    missing = [one for one in wanted if one.number not in done]
    new = [one for one in missing if not FileSystems.exists(f"{place}/{work.record_file(one.number).name}")]
    if new:
        upload_bundle(bundle.path, f"{place}/model")
        pipeline = beam.Pipeline(runner=runner(job.beam.runner), options=options)
        make = partial(
            _make, job=replace(job, beam=None), version=bundle.version, place=place, kinds=kept_types(job, sources)
        )
        _ = pipeline | "Parts" >> beam.Create(new) | "Spread" >> beam.Reshuffle() | "Score" >> beam.Map(make)
        pipeline.run().wait_until_finish()
    for one in missing:
        _fetch(work, place, one.number)
    parts = sorted(work.done().values(), key=lambda part: part.number)
    _check(job, parts)
    return parts


def delete(place: str) -> None:
    """Takes a folder away that workers shared with this machine. One that stays costs room, and is told of."""
    try:
        FileSystems.delete([place])
    except Exception as error:  # noqa: BLE001  (each file system has errors of its own, and the answers are there)
        print(f"{place}: expected that it can be removed. Received: {error}; nobody needs it any more", flush=True)


def _shared(work: Work, folder: str) -> str:
    """The place of this very job in a folder that the workers share with this machine.

    Its name is told by the work folder alone, so that what was killed finds its parts again, and no other job takes
    them for its own: the rows of a database are others tomorrow, and the job is the same.
    """
    place = work.shared()
    if place is None or not place.startswith(f"{folder}/"):
        place = work.share(f"{folder}/headrace-batch-{work.digest()[:16]}-{secrets.token_hex(8)}")
    if not FileSystems.exists(place):
        FileSystems.mkdirs(place)
    return place


def _check(job: Job, parts: Sequence[Part]) -> None:
    rejected = sum(part.rejected for part in parts)
    if rejected > job.max_rejects:
        first = next(part.first_reject for part in parts if part.rejected)
        more = f", and there are {rejected:,} such rows" if rejected > 1 else ""
        raise HeadraceError(f"{first}; --max-rejects is {job.max_rejects:,}{more}")


def _stretches(job: Job, bundle: Bundle, sources: Sequence[Source], place: str) -> list[Stretch]:
    """The parts that there are to be, by the row groups of the sources' files."""
    found: list[Stretch] = []
    first = 0
    for position, source in enumerate(sources):
        before = first
        if source.format == "parquet":
            assert source.file is not None  # Parquet is always a file
            groups, file = row_groups(source), source.file.name
        else:
            file = f"{place}/source-{position}.parquet"
            groups = _spool(job, bundle, source, file)
        taken: list[int] = []
        rows = 0
        for group, count in enumerate(groups):
            taken += [group] if count else []
            rows += count
            if taken and (rows >= job.part_rows or group == len(groups) - 1):
                name = source.opened.name
                found.append(Stretch(len(found), file, name, source.format, tuple(taken), first, before))
                first, taken, rows = first + rows, [], 0
    return found


def _spool(job: Job, bundle: Bundle, source: Source, file: str) -> list[int]:
    """Brings a source that is no Parquet to a file that all workers can open; the rows of its row groups."""
    counts: list[int] = []
    writer: pq.ParquetWriter | None = None
    with FileSystems.create(file) as stream:
        for chunk in chunks([source], needed_columns(job, bundle.signature), [], 0):
            for one in chunk.unreadable:
                raise HeadraceError(
                    f"{one.source}, {one.rejection.place}: {one.rejection.why}; under Apache Beam a row that cannot be "
                    "read ends the job: leave out --beam, or convert the source to Parquet"
                )
            if writer is None:
                writer = pq.ParquetWriter(stream, chunk.batch.schema, compression="zstd")
            writer.write_batch(chunk.batch)
            counts.append(chunk.batch.num_rows)
        if writer is not None:
            writer.close()
    return counts


def _make(one: Stretch, job: Job, version: str | None, place: str, kinds: Mapping[str, pa.DataType]) -> None:
    """Scores a stretch, and puts its part into the shared folder; again, if Beam repeats it."""
    bundle, model = _model(f"{place}/model")
    if version is not None:
        bundle = bundle.registered(version)
    scorer = RowScorer(job, bundle, model)
    file = SourceFile(one.name, lambda: FileSystems.open(one.file))
    source = Source(Opened(one.name, None, no_batches, text=False), one.format, parses=False, file=file)
    with tempfile.TemporaryDirectory(prefix="headrace-part-") as folder:
        work = Work(replace(job, output=Path(folder) / job.output.name), bundle.signature)
        work.folder.mkdir()
        writer = work.writer(one.number, one.first, len(bundle.signature.inputs))
        columns, categories = needed_columns(job, bundle.signature), category_columns(bundle.signature)
        for chunk in group_chunks(source, one.groups, one.first, one.before, columns, categories):
            writer.add(scorer.score(chunk, kinds))
        for made in work.files(writer.commit()):
            with made.open("rb") as stream, FileSystems.create(f"{place}/{made.name}") as written:
                shutil.copyfileobj(stream, written, 1 << 20)


@functools.lru_cache(maxsize=1)
def _model(place: str) -> tuple[Bundle, ColumnModel]:
    """The model, brought to this worker and loaded once."""
    bundle = fetched_bundle(place)
    return bundle, open_model(bundle)


def _fetch(work: Work, place: str, number: int) -> None:
    """Brings a part here; its record last, which says that the rest of it is whole."""
    rejects = work.rejects_file(number)
    for file in (work.part_file(number), rejects, work.record_file(number)):
        if file == rejects and not FileSystems.exists(f"{place}/{file.name}"):
            continue
        with FileSystems.open(f"{place}/{file.name}") as stream, file.open("wb") as written:
            shutil.copyfileobj(stream, written, 1 << 20)
