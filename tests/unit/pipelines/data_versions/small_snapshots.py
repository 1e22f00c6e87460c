"""Small snapshots, written as ingestion writes them, from tables that are given for each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Column, Dataset, DatasetInfo, describe, write_dataset

NAMES = {"double": "float64", "date32[day]": "date32"}


def snapshot(folder: Path, schema: pa.Schema, splits: dict[str, list[tuple]], **facts: Any) -> Dataset:
    """A snapshot whose splits have these rows."""
    tables = {
        split: pa.Table.from_pylist(
            [dict(zip(schema.names, row, strict=True)) for row in splits.get(split, [])], schema
        )
        for split in SPLITS
    }
    said = {"task": "classification", "label": schema.names[-1], "id": "id" if "id" in schema.names else None, **facts}
    columns = [Column(field.name, NAMES.get(str(field.type), str(field.type))) for field in schema]
    with write_dataset(folder) as (files, details):
        for split, table in tables.items():
            pq.write_table(table, files[split], compression="zstd")
        info = DatasetInfo(columns=columns, rows={split: table.num_rows for split, table in tables.items()}, **said)
        details.update(describe(info))
    return Dataset.open(folder)


def schema(**types: pa.DataType) -> pa.Schema:
    return pa.schema(list(types.items()))
