"""What the tests of ingestion share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.artifacts.dataset import SPLITS, Dataset
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import Ingested, ingest
from headrace.components.ingest.spec import DataSpec

ROWS = [f"{i},{i % 2},{i / 3:.3f}" for i in range(300)]


def table(header: str = "id,y,x", rows: list[str] = ROWS) -> str:
    return "\n".join([header, *rows]) + "\n"


def take(
    source: str | list[str], snapshot: Path, *, previous: Path | None = None, task: str = "classification", **more: Any
) -> tuple[Ingested, Dataset]:
    """Ingests sources; what was found, and the snapshot."""
    data = DataSpec(**{"source": source, "label": "y", "id": "id", **more})
    found = ingest(source, fingerprint(source, data.model_dump(mode="json")), task, data, snapshot, previous)
    return found, Dataset.open(snapshot)


def whole(dataset: Dataset) -> pa.Table:
    """All rows of a snapshot."""
    return pa.concat_tables([dataset.table(split) for split in SPLITS])


def column(dataset: Dataset, name: str, by: str = "id") -> list[Any]:
    """A column's values, in the order of another."""
    return whole(dataset).sort_by(by)[name].to_pylist()


def splits_of(dataset: Dataset, key: str = "id") -> dict[Any, str]:
    """Each row's split, by its id."""
    return {value: split for split in SPLITS for value in dataset.table(split)[key].to_pylist()}
