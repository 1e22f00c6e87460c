"""TFDV's statistics of rows that come in batches.

Whoever imports this module imports TensorFlow and Beam. So it is imported by its name where there are rows to describe:
a warm worker has not been made to import it beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2

from headrace.components.statistics.encode import encode


def describe(batches: Iterable[pa.RecordBatch]) -> statistics_pb2.DatasetFeatureStatistics:
    """The statistics over all batches, in the memory of one."""
    generators = stats_impl.get_generators(tfdv.StatsOptions(), in_memory=True)
    partials = [generator.create_accumulator() for generator in generators]
    with np.errstate(all="ignore"):
        for batch in batches:
            encoded = encode(batch)
            partials = [g.add_input(p, encoded) for g, p in zip(generators, partials, strict=True)]
        return stats_impl.extract_statistics_output(partials, generators).datasets[0]
