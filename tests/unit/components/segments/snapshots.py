"""Small snapshots with a column of segments, to part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Column, DatasetInfo, describe, write_dataset


def write_snapshot(path: Path, column: Mapping[str, Sequence[object]], type: pa.DataType | None = None) -> Path:
    """A snapshot whose column `region` has these values by split; `x` numbers the rows over all splits."""
    start, rows = 0, {}
    type = type or pa.string()
    with write_dataset(path) as (files, details):
        for split in SPLITS:
            values = list(column.get(split, ()))
            rows[split] = len(values)
            x = pa.array(range(start, start + len(values)), pa.int64())
            start += len(values)
            y = pa.array([number % 2 for number in range(len(values))], pa.int64())
            table = pa.table({"region": pa.array(values, type), "x": x, "label": y})
            pq.write_table(table, files[split])
        name = {"date32[day]": "date32", "double": "float64"}.get(str(type), str(type))
        columns = [Column("region", name), Column("x", "int64"), Column("label", "int64")]
        info = DatasetInfo(
            "classification", columns, "label", rows, classes=["0", "1"], positive="1", query={"split": {"by": "hash"}}
        )
        details.update(describe(info))
    return path


def same(values: Sequence[object]) -> dict[str, Sequence[object]]:
    """The same values in every split."""
    return dict.fromkeys(SPLITS, values)
