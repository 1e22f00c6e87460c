"""How much each row counts, by a column of the data: in training, and in an evaluation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError, row_count


def row_weights(column: pa.ChunkedArray, name: str, key: str) -> npt.NDArray[np.float64]:
    """A column as weights, (rows,); whole numbers beyond 2^53 are rounded.

    Args:
        column: the values.
        name: the column's.
        key: what names it in the spec, for messages.

    Raises:
        HeadraceError: they are no numbers, or one is missing, negative or not finite.
    """
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)):
        raise HeadraceError(f"{key}: expected numbers in the column {name}. Received: {column.type}")
    values = np.asarray(column.cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy(), np.float64)
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise HeadraceError(
            f"{key}: expected a number of 0 or more in every row of {name}. "
            f"Received: {column[first].as_py()} in row {first + 1:,}, and in {row_count(int(wrong.sum()))} in all"
        )
    return values
