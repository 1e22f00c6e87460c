"""ExampleGen's executor for our snapshots. Runs in the `tfx` environment.

TFX has one for Parquet, which takes every 0 and False for missing, and a bool for nothing that it knows. A snapshot's
manifest says of each column what it is, so nothing is guessed here:

    int64, float64, bool   a float; missing: none
    date32, timestamp      a float: days since 1970
    string                 bytes; missing: none
    the label              of classes, an int: its place among them
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor

DAY = 86_400_000_000.0  # microseconds
_ROWS = 10_000


class Executor(BaseExampleGenExecutor):  # type: ignore[misc]
    """Reads a snapshot's splits into tf.Examples."""

    def GetInputSourceToExamplePTransform(self) -> beam.PTransform:
        """What TFX asks for."""
        return _to_examples


@beam.ptransform_fn  # type: ignore[untyped-decorator]
@beam.typehints.with_output_types(tf.train.Example)  # type: ignore[untyped-decorator]
def _to_examples(pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str) -> beam.PCollection:
    base = exec_properties["input_base"]
    return (
        pipeline
        | "Pattern" >> beam.Create([os.path.join(base, split_pattern)])  # noqa: PTH118 (it may be a bucket's)
        | "Files" >> beam.FlatMap(lambda pattern: [m.path for m in FileSystems.match([pattern])[0].metadata_list])
        | "Apart" >> beam.Reshuffle()
        | "Rows" >> beam.FlatMap(read_examples, base)
    )


def read_examples(file: str, base: str) -> Iterator[tf.train.Example]:
    """The rows of one Parquet file of a snapshot."""
    import pyarrow.parquet as pq

    with FileSystems.open(os.path.join(base, "manifest.json")) as stream:  # noqa: PTH118
        details = json.loads(stream.read())["details"]
    label, classes = details["label"], details["classes"]
    with FileSystems.open(file) as stream:
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=_ROWS):
            names = batch.schema.names
            columns = [
                _labels(batch.column(place), classes) if name == label and classes else _values(batch.column(place))
                for place, name in enumerate(names)
            ]
            for row in zip(*columns, strict=True):
                features = {name: value for name, value in zip(names, row, strict=True) if value is not None}
                yield tf.train.Example(features=tf.train.Features(feature=features))


def _labels(column: Any, classes: list[str]) -> list[tf.train.Feature]:
    places = {name: place for place, name in enumerate(classes)}
    return [_feature("int64_list", places[value]) for value in column.to_pylist()]


def _values(column: Any) -> list[tf.train.Feature | None]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [_feature("bytes_list", value.encode()) if value else None for value in column.to_pylist()]
    if pa.types.is_date(kind):
        numbers = column.cast(pa.int32()).to_pylist()
    elif pa.types.is_timestamp(kind):
        numbers = [None if value is None else value / DAY for value in column.cast(pa.int64()).to_pylist()]
    elif pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = column.to_pylist()
    else:
        raise ValueError(f"expected numbers, truth values, texts or dates. Received: {kind}")
    return [None if value is None or value != value else _feature("float_list", float(value)) for value in numbers]


def _feature(kind: str, value: Any) -> tf.train.Feature:
    feature = tf.train.Feature()
    getattr(feature, kind).value.append(value)
    return feature
