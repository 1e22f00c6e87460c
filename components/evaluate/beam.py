"""Scoring and counting under Apache Beam, for test splits beyond one machine.

Work is cut as in process, into stretches of row groups, and what is counted of them is added up in the same order: the
figures are the same to the last bit, on one worker or a thousand.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.components.beam import fetched_bundle, pipeline_options, runner, temporary, upload_bundle
from headrace.components.evaluate.batches import Counted, Predict, Stretch, count_stretch, share_of_rows, stretches
from headrace.components.evaluate.scores import Array, Scores, score
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.tally import from_bytes, to_bytes
from headrace.components.evaluate.weights import row_weights

_SECTION = "evaluate.batches.beam"  # of the spec, for messages
_ROW, _OUTPUTS = "headrace.row", "headrace.outputs"  # columns beside the rows that are kept


def counted_by_beam(
    dataset: str, bundle: Path, info: DatasetInfo, split: str, settings: EvaluateSpec
) -> Iterator[Counted]:
    """What is counted of each stretch of a split, in their order.

    Args:
        dataset: the snapshot's folder, as Beam's file systems name it: a path, or `gs://...` and the like.
        bundle: the model's folder, on this machine.
        info: what the snapshot says of itself.
        split: its split.
        settings: runner, options, and the rows' weights.

    Raises:
        HeadraceError: an unknown option or one that is missing, or model and dataset do not fit each other.
    """
    if settings.batches.beam is None:
        raise ValueError("expected evaluate.batches.beam. Received: none")
    options = pipeline_options(settings.batches.beam, _SECTION)
    work = list(_work(dataset, split))
    root = temporary(options, settings.batches.beam.runner, _SECTION)
    place = f"{root}/headrace-evaluate-{uuid.uuid4().hex}"
    FileSystems.mkdirs(place)
    try:
        upload_bundle(bundle, f"{place}/model")
        _run(settings, options, work, f"{place}/model", info, split, place)
        for _, part in work:
            yield _read(place, part.number)
    finally:
        FileSystems.delete([place])


def _run(
    settings: EvaluateSpec,
    options: PipelineOptions,
    work: list[tuple[str, Stretch]],
    model: str,
    info: DatasetInfo,
    split: str,
    place: str,
) -> None:
    if settings.batches.beam is None:
        raise ValueError("expected evaluate.batches.beam. Received: none")
    pipeline = beam.Pipeline(runner=runner(settings.batches.beam.runner), options=options)
    _ = (
        pipeline
        | "Stretches" >> beam.Create(work)
        | "Spread" >> beam.Reshuffle()
        | "Score" >> beam.Map(_count, model, info, settings.weight, share_of_rows(info.rows[split]), place)
    )
    pipeline.run().wait_until_finish()


def _work(dataset: str, split: str) -> Iterator[tuple[str, Stretch]]:
    file = FileSystems.join(dataset, split, "data.parquet")
    with FileSystems.open(file) as opened:
        for part in stretches(pq.ParquetFile(opened).metadata):
            yield file, part


def _count(
    work: tuple[str, Stretch], model: str, info: DatasetInfo, weight: str | None, share: float, place: str
) -> None:
    """Scores one stretch, and leaves what is counted of it in the shared folder; again, if it is retried."""
    file, part = work
    bundle, predict = _model(model)

    def scored(table: pa.Table, outputs: Array) -> Scores:
        found = score(info, bundle.signature, table[info.label], outputs)
        return replace(found, weights=row_weights(table, weight))

    with FileSystems.open(file) as opened:
        found = count_stretch(pq.ParquetFile(opened), part, predict, scored, share)
    width = found.outputs.shape[1]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(found.outputs).ravel()), width)
    table = found.table.append_column(_ROW, pa.array(found.row)).append_column(_OUTPUTS, flat)
    with FileSystems.create(f"{place}/rows-{part.number}") as file_out:
        pq.write_table(table, file_out)
    with FileSystems.create(f"{place}/tally-{part.number}") as file_out:
        file_out.write(to_bytes(found.tally))


def _read(place: str, index: int) -> Counted:
    with FileSystems.open(f"{place}/tally-{index}") as file:
        counted = from_bytes(file.read())
    with FileSystems.open(f"{place}/rows-{index}") as file:
        table = pq.read_table(pa.BufferReader(file.read()))
    column: Any = table[_OUTPUTS].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    width = table.schema.field(_OUTPUTS).type.list_size
    outputs = np.asarray(column.flatten()).reshape(table.num_rows, width)
    row = np.asarray(table[_ROW].to_numpy())
    return Counted(counted, table.drop_columns([_ROW, _OUTPUTS]), outputs, row)


@functools.lru_cache(maxsize=1)
def _model(place: str) -> tuple[Bundle, Predict]:
    """The model, brought to this worker once."""
    bundle = fetched_bundle(place)
    session, inputs = open_graph(bundle.model), bundle.signature.inputs
    return bundle, lambda table: run_graph(session, table, inputs)
