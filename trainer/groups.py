"""Rows that belong together: those of the same id, and of the same group where the data is split by group.

They are never in two splits, and so in no two folds: what is known of the one would tell the other.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import DatasetInfo


def group_columns(info: DatasetInfo, columns: Container[str]) -> tuple[str, ...]:
    """Those of a split's columns whose rows of one value belong together: the id, and the group that it is split by."""
    split = info.query.get("split") or {}
    group = split.get("column") if split.get("by") == "group" else None
    return tuple(dict.fromkeys(name for name in (info.id, group) if name is not None and name in columns))


def groups_of(table: pa.Table, places: np.ndarray | None = None) -> np.ndarray | None:
    """Which rows belong together.

    Args:
        table: the `group_columns` of a split.
        places: the rows that are asked for, int64; None: all.

    Returns:
        a number for each group, (places,); None where each row stands alone.
    """
    if not table.num_columns:
        return None
    chosen = slice(None) if places is None else places
    numbers = [_numbers(column)[chosen] for column in table.columns]
    shared = [each for each in numbers if len(np.unique(each)) < len(each)]
    return _joined(shared) if len(shared) > 1 else shared[0] if shared else None


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """A number for each different value, (rows,). A missing one says nothing of its row, which has its own."""
    numbers = column.combine_chunks().dictionary_encode().indices
    alone = pa.array(np.arange(len(column)) + len(column))
    return np.asarray(pc.coalesce(numbers.cast(pa.int64()), alone).to_numpy(zero_copy_only=False))


def _joined(numbers: Sequence[np.ndarray]) -> np.ndarray:
    """The groups of rows that several columns hold together, (rows,): also of two rows that a third ties together."""
    from scipy.sparse import coo_matrix, csgraph

    rows = len(numbers[0])
    ties, nodes = [], rows  # of a graph of rows and values
    for each in numbers:
        codes = np.unique(each, return_inverse=True)[1]
        ties.append(codes + nodes)
        nodes += int(codes.max()) + 1
    ends = np.tile(np.arange(rows), len(numbers)), np.concatenate(ties)
    graph = coo_matrix((np.ones(len(ends[0])), ends), shape=(nodes, nodes))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1][:rows])
