"""The values of a category that get a code."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

MOST_VALUES = 1_000  # of a category; rarer ones count as unseen, so that a vocabulary stays a small table


def vocabulary(column: pa.ChunkedArray | np.ndarray, named: Iterable[str] = ()) -> list[str]:
    """The values of a category, rarest first, so that an unseen value lies beside the rare ones.

    Values too rare to learn from are left out: then they are unseen in training too, and what the model does
    with an unseen value was learned. Values that an expression names are kept all the same.
    """
    if isinstance(column, np.ndarray):
        column = pa.array(column, pa.string())
    counted = pc.value_counts(column.drop_null())
    fewest = min(10, max(2, len(column) // 1_000))
    common = counted.filter(pc.greater_equal(counted.field("counts"), fewest)).to_pylist()
    ranked = sorted(
        ((entry["counts"], entry["values"]) for entry in common if entry["values"] != ""),
        key=lambda entry: (-entry[0], entry[1]),
    )
    kept = [value for _, value in ranked[:MOST_VALUES]][::-1]
    return [*sorted(set(named) - {*kept, ""}), *kept]
