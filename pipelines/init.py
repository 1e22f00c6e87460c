"""`headrace init`: a look at a file, and a spec for it in which every inference is explained."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import DatasetInfo, names_its_row
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.folder import write_text
from headrace.artifacts.report import number, percent
from headrace.components.fingerprint.url import absolute, is_url, public
from headrace.components.gate.spec import default_gates
from headrace.components.ingest.columns import finite_or_missing
from headrace.components.ingest.csv_source import detect_separator
from headrace.components.ingest.infer import decimal_comma, missing_marks, padded, text_notes_of
from headrace.components.ingest.ingest import check_left_out, left_out, read_table, source_notes
from headrace.components.ingest.label import make_label
from headrace.components.ingest.open import first_text_file
from headrace.components.ingest.rows import head_rows
from headrace.components.ingest.spec import DataSpec, Split
from headrace.components.ingest.written import comma_amounts, written_as
from headrace.components.transform.inputs import exclusion
from headrace.components.transform.spec import FeaturesSpec
from headrace.pipelines.check_data import id_mistake
from headrace.pipelines.image_task import IMAGES
from headrace.pipelines.init_hints import (
    check_header,
    column_notes,
    ill_written,
    label_notes,
    mixed_words,
    positive_class,
)
from headrace.pipelines.init_images import holds_images, image_spec_text, inspect_images
from headrace.pipelines.spec_words import gate_words, model_name, quoted, source_name, source_path, spec_text_of

MOST_ROWS = 200_000  # that are looked at
_NEAR = 1.1  # times as many different texts may be in the train split, by how the rows fall
_SPLIT = Split()
FEW_CLASSES = 20  # a whole-number label with more values is taken for a quantity


@dataclass(frozen=True)
class Look:
    """What the source shows."""

    table: pa.Table
    task: str
    id: str | None
    excluded: dict[str, str]
    notes: list[str]
    data: DataSpec  # how it is written
    positive: tuple[str, str] | None = None  # of two classes, and why


def init(
    folder: Path,
    source: str | Path,
    label: str | None,
    task: str | None,
    id: str | None,
    *,
    format: str | None = None,
    query: str | None = None,
    force: bool,
) -> Path:
    """Writes `spec.yaml` into a folder for a source: a table, a folder of pictures, or a CSV of their paths.

    Args:
        folder: where the spec is to be.
        source: a path or a URL.
        label: the column to predict; of pictures by default `label`.
        task: what is predicted; by default told by the source and the label's values.
        id: the column that identifies a row; by default told by its name and values.
        format: of a table whose suffix does not tell it.
        query: what a database is asked.
        force: whether a spec that is there may be replaced.

    Returns:
        the file.

    Raises:
        HeadraceError: the source cannot be read or learned from, or there is a spec already.
    """
    file, source = folder / "spec.yaml", str(source)
    if file.exists() and not force:
        raise HeadraceError(
            f"{file}: expected no spec there yet. Received: one; give another folder, or --force to replace it"
        )
    if format is None and query is None and _of_images(source, task):
        text = _image_spec(folder, source, label, id)
    elif query is not None and not is_url(source):
        raise HeadraceError(f"--query: expected the URL of a database with it. Received: {source}")
    elif not label:
        raise HeadraceError(f"--label: expected the column of {public(source)} to predict. Received: none")
    else:
        data = DataSpec(
            source=absolute(source, Path.cwd()) if is_url(source) else source, label=label, format=format, query=query
        )
        text = spec_text(folder, source, label, inspect(data, task, id))
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, text)
    return file


def _of_images(source: str, task: str | None) -> bool:
    return task == IMAGES or (task is None and not is_url(source) and holds_images(Path(source)))


def _image_spec(folder: Path, source: str, label: str | None, id: str | None) -> str:
    if id is not None:
        raise HeadraceError(f"--id: expected none for pictures, which are named by their paths. Received: {id}")
    return image_spec_text(folder, source, inspect_images(source, label))


def inspect(data: DataSpec, task: str | None, id: str | None) -> Look:
    """Reads the source and infers how it is written, the task, the id and what is no feature."""
    label, source = data.label.name, public(data.sources[0])
    data, table, notes = read_as_written(data)
    if label not in table.column_names:
        make_label(table, "classification", data, source)  # raises, with the nearest name
    task = task or infer_task(table[label])
    make_label(table, task, data, source)
    if id is not None:
        _check_id(table, id, label, source)
    id = id or infer_id(table, label)
    names = [name for name in table.column_names if name not in (label, id)]
    excluded = _excluded(table.select(names), DatasetInfo(task=task, columns=[], label=label, rows={}, id=id))
    told = [*notes, *(label_notes(table[label]) if task == "classification" else [])]
    for name, column in _texts(table.select(names)).items():
        noted = any(note.startswith(f"`{name}` stays text") for note in notes)
        mixed = mixed_words(column, data.decimal)
        hint = None if mixed or noted else ill_written(name, column, data.decimal)
        if (mixed or hint) and name in excluded:
            excluded[name] = f"{mixed or hint}, and take it out of here"
        elif mixed and not noted:
            told.append(f"`{name}` is {mixed}")
        elif hint:
            told.append(f"`{name}` {hint}")
    told += column_notes(table, [name for name in names if name not in excluded])
    positive = positive_class(table[label]) if task == "classification" else None
    return Look(table, task, id, excluded, told, data, positive)


def _excluded(table: pa.Table, info: DatasetInfo) -> dict[str, str]:
    """What is no feature, and why: by all rows, or by as few as a run trains on, of which more texts are different."""
    reasons = {name: exclusion(name, table[name], info, FeaturesSpec()) for name in table.column_names}
    trained = _trained(table.num_rows)
    for name, column in _texts(table).items():
        reasons[name] = reasons[name] or _names_rows(name, column.take(trained), info)
    return {name: reason for name, reason in reasons.items() if reason}


def _names_rows(name: str, column: pa.ChunkedArray, info: DatasetInfo) -> str | None:
    return exclusion(name, column, info, FeaturesSpec()) if _names_its_row(column) else None


def _names_its_row(column: pa.ChunkedArray, more: float = 1.0) -> bool:
    """Whether a text, with so many times as many different ones, identifies its row."""
    return names_its_row(round(more * pc.count_distinct(column).as_py()), len(column) - column.null_count)


@functools.lru_cache(maxsize=1)  # of one table, once for all its columns
def _trained(rows: int) -> pa.Array:
    """So many rows as the train split of the spec that is written has, drawn as a split by hash draws them."""
    share = 1 - _SPLIT.eval - _SPLIT.test
    return pa.array(np.sort(np.random.default_rng(0).permutation(rows)[: round(share * rows)]))


def read_as_written(data: DataSpec) -> tuple[DataSpec, pa.Table, list[str]]:
    """Reads the source as it seems to be written: how that is, the rows, and notes on them."""
    text = first_text_file(data.sources, data)
    if text is not None:
        data = data.model_copy(update={"separator": detect_separator(text)})
    rows, notes = _read(data)
    if text is not None and any(map(padded, _texts(rows).values())):
        data = data.model_copy(update={"trim": True})
        rows, notes = _read(data)
    texts = _texts(rows).values()
    if text is not None and (any(map(decimal_comma, texts)) or comma_amounts(texts, rows.schema.types)):
        data = data.model_copy(update={"decimal": ","})
        rows, notes = _read(data)
    if marks := _missing_marks(rows, data):
        data = data.model_copy(update={"null_values": [*data.null_values, *marks]})
        rows, notes = _read(data)
    written = {name: types for name, column in _texts(rows).items() if (types := written_as(column, data.decimal))}
    if sure := {name: types[0] for name, types in written.items() if len(types) == 1}:
        data = data.model_copy(update={"types": sure})
        rows, notes = _read(data)
    if text is not None:
        check_header(rows, text.name)
    unsure = {name: types for name, types in written.items() if len(types) > 1}
    return data, rows, [*notes, *(_choice(name, types) for name, types in unsure.items())]


def _texts(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: rows[name] for name in rows.column_names if pa.types.is_string(rows[name].type)}


def _missing_marks(rows: pa.Table, data: DataSpec) -> list[str]:
    """What means that a number or a date is missing, unless it is a class as well."""
    texts = _texts(rows)
    classes = set(texts.pop(data.label.name).unique().to_pylist()) if data.label.name in texts else set()
    found = dict.fromkeys(mark for column in texts.values() for mark in missing_marks(column, data.decimal))
    return [mark for mark in found if mark not in classes]


def _choice(name: str, types: Sequence[str]) -> str:
    choices = " or ".join(f"`{type}`" for type in types)
    return f"`{name}` stays text: its dates may be {choices}; say which in data.types"


def _read(data: DataSpec) -> tuple[pa.Table, list[str]]:
    table = read_table(data.sources, data)
    check_left_out(left_out(table), data, table.name)
    notes = source_notes(table)
    rows = head_rows(table, MOST_ROWS)
    finite = [finite_or_missing(batch, data.label.name)[0] for batch in rows.to_batches()]
    return pa.Table.from_batches(finite, rows.schema), [*notes, *text_notes_of(rows, data.decimal)]


def infer_task(column: pa.ChunkedArray) -> str:
    """Few whole numbers, and all that is no number, are classes; other numbers are a quantity."""
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        return "classification"
    whole = pa.types.is_integer(column.type) or pc.all(pc.equal(column, pc.floor(column))).as_py()
    return "classification" if whole and pc.count_distinct(column).as_py() <= FEW_CLASSES else "regression"


def _check_id(table: pa.Table, id: str, label: str, source: str) -> None:
    """Refuses a column that a run would not take for the id."""
    if id not in table.column_names:
        raise HeadraceError(
            f"{source}: expected the id column `{id}`. "
            f"Received: no such column; {nearest_column(id, table.column_names)}"
        )
    if id == label:
        raise HeadraceError(f"--id: expected another column than the label. Received: `{id}` for both")
    if wrong := id_mistake(id, table[id]):
        raise HeadraceError(f"{source}: {wrong}")


def infer_id(table: pa.Table, label: str) -> str | None:
    """The first column that is named like an id and identifies every row."""
    name: str
    for name in table.column_names:
        column = table[name]
        named = re.search(r"(^|_|\b)(id|uuid|key)$", name, re.IGNORECASE) or name.endswith(("Id", "ID"))
        if name != label and named and not column.null_count and pc.count_distinct(column).as_py() == len(column):
            return name
    return None


def spec_text(folder: Path, source: str, label: str, look: Look) -> str:
    """The spec as YAML, with what was inferred, and why, in comments."""
    table = look.table
    lines = [
        f"# Written by `headrace init` from {source_name(source)}: "
        f"{'its first ' if table.num_rows == MOST_ROWS else ''}{table.num_rows:,} rows, {table.num_columns} columns.",
        "# Check it with `headrace validate`, run it with `headrace run`.",
        f"name: {model_name(folder, source)}",
        f"task: {look.task}  # {_label_words(table[label], look.task)}",
        "data:",
        f"  source: {quoted(source_path(folder, source))}",
        *([f"  format: {look.data.format}"] if look.data.format else []),
        *([f"  query: {quoted(look.data.query)}"] if look.data.query else []),
        *([f"  separator: {json.dumps(look.data.separator)}"] if look.data.separator else []),
        *(["  trim: true  # spaces around a field are none of its value"] if look.data.trim else []),
        *(['  decimal: ","  # numbers are written like 1,5'] if look.data.decimal == "," else []),
        *(
            [f"  null_values: {json.dumps(look.data.null_values)}"]
            if "null_values" in look.data.model_fields_set
            else []
        ),
        *(["  types:  # how texts are written that are dates and numbers"] if look.data.types else []),
        *[f"    {quoted(name)}: {quoted(type)}" for name, type in look.data.types.items()],
        f"  label: {quoted(label)}",
        *([f"  positive: {quoted(look.positive[0])}  # {look.positive[1]}"] if look.positive else []),
        *(
            [f"  id: {quoted(look.id)}  # a different value in every row"]
            if look.id
            else ["  # id: no column names the rows; the split goes by all of them"]
        ),
        "  split: {by: hash, eval: 0.15, test: 0.15}",
        "features:",
        f"  drop: [{', '.join(quoted(name) for name in look.excluded)}]",
        *[f"  #   {name}: {reason}" for name, reason in look.excluded.items()],
        "  # What the model will see:",
        *[
            f"  #   {name}: {_column_words(table[name])}"
            for name in table.column_names
            if name not in (label, look.id, *look.excluded)
        ],
        *[f"  # Note: {note}" for note in look.notes],
        "train: {model: gbdt}",
        "evaluate:",
        "  gates:  # all must hold, or the model is not pushed",
        *[f"    - {gate_words(gate)}" for gate in default_gates(look.task)],
    ]
    return spec_text_of(lines)


def _label_words(column: pa.ChunkedArray, task: str) -> str:
    if task == "regression":
        low, high = pc.min_max(column).as_py().values()
        return f"a quantity from {number(low)} to {number(high)}"
    counts = sorted(pc.value_counts(column).to_pylist(), key=lambda entry: -entry["counts"])
    shown = ", ".join(f"{entry['values']} ({entry['counts']:,})" for entry in counts[:5])
    return f"{len(counts)} classes: {shown}{', ...' if len(counts) > 5 else ''}"


def _column_words(column: pa.ChunkedArray) -> str:
    missing = f", {percent(column.null_count / len(column))} missing" if column.null_count else ""
    if pa.types.is_string(column.type):
        values = pc.count_distinct(column).as_py()
        nearly = ""
        if _names_its_row(column.take(_trained(len(column))), _NEAR):
            nearly = (
                ": where the train split has a few more, it names the row, and is left out (features.keep keeps it)"
            )
        return f"category, {values:,} value{'' if values == 1 else 's'}{missing}{nearly}"
    if pa.types.is_boolean(column.type):
        return f"boolean{missing}"
    low, high = pc.min_max(column).as_py().values()
    if pa.types.is_temporal(column.type):
        return f"date, {low} to {high}{missing}"
    return f"number, {number(low)} to {number(high)}{missing}"
