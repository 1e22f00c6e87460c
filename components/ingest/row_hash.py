"""A number for each row from its values alone: what splits go by, and by which equal ids are found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def row_hashes(batch: pa.RecordBatch, columns: Sequence[str] | None = None) -> np.ndarray:
    """64 bits of each row's BLAKE2b, uint64 of shape (rows,): of its values as text, joined by the unit separator.

    Args:
        batch: the rows.
        columns: those that count; all but images by default.
    """
    names = batch.schema.names if columns is None else columns
    texts = [
        pc.coalesce(column.cast(pa.string()), pa.scalar("\0"))
        for column in (batch.column(batch.schema.get_field_index(name)) for name in names)
        if not pa.types.is_binary(column.type)
    ]
    if not texts:
        return np.zeros(batch.num_rows, np.uint64)
    keys = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\x1f")
    _, offsets, data = keys.buffers()
    if data is None:
        data = pa.py_buffer(b"")
    places = np.frombuffer(offsets, np.int32)[keys.offset : keys.offset + len(keys) + 1].tolist()
    view, blake2b = memoryview(data), hashlib.blake2b
    digests = b"".join([blake2b(view[start:end], digest_size=8).digest() for start, end in pairwise(places)])
    return np.frombuffer(digests, dtype="<u8")


def positions(hashes: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each hash, float64."""
    return hashes.astype(np.float64) / 2.0**64
