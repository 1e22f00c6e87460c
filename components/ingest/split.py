"""Splits rows by a hash, so that a row keeps its split when others are added, removed or reordered."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.components.ingest.spec import Split


def split_rows(table: pa.Table, id: str | None, split: Split) -> dict[str, pa.Table]:
    """Divides a table into train, eval and test by the id, or by all columns where there is no id."""
    position = hash_positions(table if id is None else table.select([id]))
    test = position < split.test
    evaluation = ~test & (position < split.test + split.eval)
    masks = {"train": ~(test | evaluation), "eval": evaluation, "test": test}
    return {name: table.filter(pa.array(mask)) for name, mask in masks.items()}


def hash_positions(table: pa.Table) -> np.ndarray:
    """A number in [0, 1) for each row, from the row's values alone; shape (rows,), float64."""
    texts = [pc.coalesce(column.cast(pa.string()), pa.scalar("\0")) for column in table.columns]
    keys = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\x1f")
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys.to_pylist())
    return np.frombuffer(digests, dtype="<u8").astype(np.float64) / 2.0**64
