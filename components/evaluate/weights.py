"""How much each row counts in an evaluation."""

from __future__ import annotations

import pyarrow as pa

from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.row_weights import row_weights as weights_of
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
    return weights_of(table[column], column, "evaluate.weight")
