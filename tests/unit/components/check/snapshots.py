"""Snapshots made of columns, for the checks to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Column, Dataset, DatasetInfo, describe, write_dataset

_NAMES = {"double": "float64", "date32[day]": "date32"}


def snapshot(
    path: Path,
    columns: dict[str, list[Any]],
    label: str = "y",
    id: str | None = None,
    task: str = "classification",
    shares: tuple[float, float] = (0.7, 0.15),
    **more: Any,
) -> Dataset:
    """Writes a snapshot whose rows go to train, eval and test in their order."""
    table = pa.table(columns)
    ends = [0, int(table.num_rows * shares[0]), int(table.num_rows * sum(shares)), table.num_rows]
    parts = {split: table.slice(ends[i], ends[i + 1] - ends[i]) for i, split in enumerate(SPLITS)}
    info = DatasetInfo(
        task=task,
        columns=[Column(field.name, _NAMES.get(str(field.type), str(field.type))) for field in table.schema],
        label=label,
        rows={split: part.num_rows for split, part in parts.items()},
        classes=None if task == "regression" else sorted(set(columns[label])),
        id=id,
        **more,
    )
    with write_dataset(path) as (files, details):
        details.update(describe(info))
        for split, file in files.items():
            pq.write_table(parts[split], file)
    return Dataset.open(path)
