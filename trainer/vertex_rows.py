"""Rows as a Vertex AI custom job gets them from a managed dataset, as a snapshot.

Vertex names the splits' files by AIP_TRAINING_DATA_URI, AIP_VALIDATION_DATA_URI and AIP_TEST_DATA_URI, with wildcards,
and their form by AIP_DATA_FORMAT: `csv`, `jsonl` (on Cloud Storage, which it mounts at /gcs), or `bigquery`
(bq://project.dataset.table). How columns are read follows from the transform that the features come from.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from headrace.artifacts.dataset import SPLITS, Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.transform import Transform
from headrace.trainer.checkpoints import mounted

URIS = {"train": "AIP_TRAINING_DATA_URI", "eval": "AIP_VALIDATION_DATA_URI", "test": "AIP_TEST_DATA_URI"}
FORMAT = "AIP_DATA_FORMAT"
_TYPES = {"number": pa.float64(), "boolean": pa.bool_()}  # all else is text, a date too


def write_snapshot(
    environment: Mapping[str, str], recipe: Transform, label: str, task: str, positive: str | None, output: Path
) -> None:
    """Writes the rows that the environment names as a snapshot.

    Args:
        environment: Vertex's variables.
        recipe: the features; of the rows only their columns and the label are kept.
        label: the column to predict.
        task: `classification` or `regression`.
        positive: of two classes the one whose probability is the score; by default the last in order.
        output: where the snapshot appears.

    Raises:
        HeadraceError: a variable is missing, a file is not there, or a column is, or is of another type; the positive
            class is none of the label's.
    """
    read = _reader(environment.get(FORMAT, ""))
    tables: dict[str, pa.Table] = {}
    for split, variable in URIS.items():
        uri = environment.get(variable)
        if not uri and split != "test":
            raise HeadraceError(f"{variable}: expected where the rows of {split} are. Received: nothing")
        tables[split] = _typed(read(uri), recipe, label, task, uri) if uri else tables["eval"].slice(0, 0)
    classes = sorted(pc.unique(tables["train"][label]).to_pylist()) if task == "classification" else None
    if positive is not None and positive not in (classes or []):
        known = ", ".join(classes or []) or "of which it has none"
        raise HeadraceError(f"--positive: expected one of the classes of `{label}`, {known}. Received: {positive}")
    chosen = (positive or classes[-1]) if classes and len(classes) == 2 else None
    rows = {split: table.num_rows for split, table in tables.items()}
    total = max(1, sum(rows.values()))
    split_by = {"by": "the managed dataset", "eval": rows["eval"] / total, "test": rows["test"] / total}
    uris = {split: environment[variable] for split, variable in URIS.items() if environment.get(variable)}
    columns = [Column(field.name, str(field.type).replace("double", "float64")) for field in tables["train"].schema]
    source = {"name": uris["train"], "uris": uris, "format": environment[FORMAT]}
    info = DatasetInfo(task, columns, label, rows, classes, chosen, source=source, query={"split": split_by})
    with write_dataset(output) as (files, details):
        for split in SPLITS:
            pq.write_table(tables[split], files[split])
        details.update(describe(info))


def _reader(form: str) -> Callable[[str], pa.Table]:
    readers = {"csv": _csv, "jsonl": _jsonl, "bigquery": _bigquery}
    if form not in readers:
        raise HeadraceError(f"{FORMAT}: expected {', '.join(readers)}. Received: {form or 'nothing'}")
    return readers[form]


def _csv(uri: str) -> pa.Table:
    # Texts as they stand: what a column is, the transform says. Only an empty cell is missing.
    tables = []
    for file in _files(uri):
        header = pyarrow.csv.open_csv(file).schema.names
        options = pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=True, null_values=[""]
        )
        tables.append(pyarrow.csv.read_csv(file, convert_options=options))
    return pa.concat_tables(tables)


def _jsonl(uri: str) -> pa.Table:
    return pa.concat_tables([pyarrow.json.read_json(file) for file in _files(uri)], promote_options="permissive")


def _bigquery(uri: str) -> pa.Table:
    from google.cloud import bigquery

    table = uri.removeprefix("bq://")
    client = bigquery.Client(project=table.split(".")[0])
    return client.list_rows(client.get_table(table)).to_arrow(create_bqstorage_client=False)


def _files(uri: str) -> list[str]:
    found = sorted(glob.glob(mounted(uri)))
    if not found:
        raise HeadraceError(f"{uri}: expected files of rows. Received: none at {mounted(uri)}")
    return found


def _typed(table: pa.Table, recipe: Transform, label: str, task: str, where: str) -> pa.Table:
    wanted: dict[str, pa.DataType] = {item.name: _TYPES.get(item.type, pa.string()) for item in recipe.inputs}
    wanted[label] = pa.string() if task == "classification" else pa.float64()
    columns: dict[str, Any] = {}
    for name, type in wanted.items():
        if name not in table.column_names:
            raise HeadraceError(f"{where}: expected a column `{name}`. Received: {', '.join(table.column_names)}")
        try:
            columns[name] = table[name].cast(type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise HeadraceError(f"{where}: expected {type} in the column `{name}`. Received: {error}") from None
    if columns[label].null_count:
        raise HeadraceError(
            f"{where}: expected a label in every row. Received: none in {columns[label].null_count:,} rows"
        )
    return pa.table(columns)
