"""How much each row counts in an evaluation."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.components.evaluate.scores import Floats


def row_weights(table: pa.Table, column: str | None) -> Floats | None:
    """The weights of a table's rows, (N,); None where no column is named.

    Raises:
        HeadraceError: there is no such column, or a weight is missing, negative or no number.
    """
    if column is None:
        return None
    if column not in table.column_names:
        hint = nearest_column(column, table.column_names)
        raise HeadraceError(f"evaluate.weight: expected a column of the data. Received: `{column}`; {hint}")
    try:
        values = np.asarray(table[column].cast(pa.float64(), safe=False).fill_null(float("nan")).to_numpy(), np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        found = table[column].type
        raise HeadraceError(f"evaluate.weight: expected numbers in the column {column}. Received: {found}") from None
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise HeadraceError(
            f"evaluate.weight: expected a number of 0 or more in every row of {column}. "
            f"Received: {table[column][first].as_py()} in row {first + 1:,}, and in {int(wrong.sum()):,} in all"
        )
    return values
