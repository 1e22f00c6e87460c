"""What a model said of each row it was judged on, beside what is true: so that two models can be compared row by row.

    <evaluation>/
        scores.parquet    one row per row of the split, in the snapshot's order
            row           its place in the split, from 0
            truth         the class's place in `classes`, or the value
            outputs       [C] probabilities in the order of `classes`, or the value
            weight        where the spec's evaluation weighs rows
            by.<column>   the slice or group that it is in, for each column that a gate divides rows by
            if_positive, if_negative    what either decision is worth on it, where the spec states that

The file's own metadata holds `classes`, the number of rows in the split, and of which share these are a sample: beyond
`MOST_ROWS` a row is kept if a hash of its place says so, and so the same rows are kept for every model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.artifacts.errors import ArtifactError

if TYPE_CHECKING:  # an evaluation is also read where nothing is counted
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Array = npt.NDArray[Any]

FILE = "scores.parquet"
MOST_ROWS = 5_000_000

_ROWS_PER_GROUP = 262_144
_KEY = b"headrace"
_BY = "by."
_GAINS = ("if_positive", "if_negative")


@dataclass(frozen=True)
class ScoresTable:
    """N rows of one split with what is true of them and what one model says.

    Attributes:
        task: classification or regression.
        row: (N,) places in the split, ascending, int64.
        truth: (N,) places in `classes` as int64, or values as float64.
        outputs: (N, C) probabilities, or (N, 1) values. Probabilities are float32 as graphs give them.
        classes: names of the classes; none in a regression.
        split_rows: rows of the split, of which these may be a sample.
        share: of the split's rows that were kept; 1 for all.
        weight: (N,) how much a row counts; None where each counts the same.
        by: column -> (N,) which slice or group a row is in, as text.
        gains: (N,) what it is worth to call the row positive, and (N,) negative; None where the spec does not say.
    """

    task: str
    row: Array
    truth: Array
    outputs: Array
    classes: tuple[str, ...]
    split_rows: int
    share: float = 1.0
    weight: Array | None = None
    by: Mapping[str, pa.DictionaryArray] = field(default_factory=dict)
    gains: tuple[Array, Array] | None = None

    def __len__(self) -> int:
        return len(self.row)


def write_scores(folder: Path, parts: ScoresTable | Iterable[ScoresTable], most_rows: int = MOST_ROWS) -> None:
    """Writes the rows into an evaluation's folder that is not sealed yet; parts, so that memory stays bounded.

    Of a split of more than `most_rows` rows a sample of about as many is kept. Parts that are one already say so by
    their `share`, and were chosen as `kept` chooses.

    Raises:
        ArtifactError: there is no part, parts differ in their columns, or rows are not in order.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    pieces = iter([parts] if isinstance(parts, ScoresTable) else parts)
    first = next(pieces, None)
    if first is None:
        raise ArtifactError(f"{folder / FILE}: expected rows with their scores. Received: none, not even an empty part")
    share = min(first.share, most_rows / max(first.split_rows, 1))
    schema = _schema(first, share)
    last = -1
    with pq.ParquetWriter(folder / FILE, schema, compression="zstd", use_dictionary=_dictionaries(schema)) as writer:
        for part in (first, *pieces):
            if len(part) and (part.row[0] <= last or (np.diff(part.row) <= 0).any()):
                raise ArtifactError(f"{folder / FILE}: expected rows in the split's order. Received: other")
            last = int(part.row[-1]) if len(part) else last
            table = _table(part, schema, folder)
            if share < 1:
                table = table.filter(pa.array(kept(part.row, share)))
            writer.write_table(table, row_group_size=_ROWS_PER_GROUP)


def kept(row: Array, share: float) -> npt.NDArray[np.bool_]:
    """(N,) whether the rows at these places of a split are in a sample of a share: SplitMix64 (Steele et al. 2014)."""
    import numpy as np

    value = np.asarray(row, dtype=np.uint64) + np.uint64(1)
    with np.errstate(over="ignore"):
        value = value * np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    value ^= value >> np.uint64(31)
    return np.asarray(value >> np.uint64(11), dtype=np.float64) * 2.0**-53 < share


def read_scores(path: Path | str, columns: Iterable[str] | None = None) -> ScoresTable:
    """Reads the scores of an evaluation that was opened, and so checked, before (see `read_evaluation`).

    Args:
        path: the evaluation's folder.
        columns: the columns to read groups by; all by default.

    Raises:
        ArtifactError: there are none, or the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = Path(path) / FILE
    if not file.is_file():
        raise ArtifactError(f"{file}: expected the scores of each row. Received: no such file")
    try:
        with pq.ParquetFile(file) as opened:
            head = json.loads(opened.schema_arrow.metadata[_KEY])
            names = opened.schema_arrow.names
            if columns is not None:
                wanted = {_BY + name for name in columns}
                names = [name for name in names if not name.startswith(_BY) or name in wanted]
            table = opened.read(names)
        return _from_table(table, head)
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{file}: expected the scores of each row. Received: {error!r}") from None


def _schema(part: ScoresTable, share: float) -> pa.Schema:
    import pyarrow as pa

    classes = part.task != "regression"
    fields = [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("truth", pa.int32() if classes else pa.float64(), nullable=False),
        pa.field("outputs", pa.list_(pa.float32(), part.outputs.shape[1]) if classes else pa.float64()),
    ]
    if part.weight is not None:
        fields.append(pa.field("weight", pa.float64(), nullable=False))
    fields += [pa.field(_BY + name, pa.dictionary(pa.int32(), pa.string())) for name in part.by]
    if part.gains is not None:
        fields += [pa.field(name, pa.float64()) for name in _GAINS]
    head = {"task": part.task, "classes": list(part.classes), "split_rows": part.split_rows, "share": share}
    return pa.schema(fields, metadata={_KEY: json.dumps(head, ensure_ascii=False)})


def _dictionaries(schema: pa.Schema) -> list[str]:
    """The columns that Parquet stores as a dictionary: of probabilities no two are the same."""
    return [name for name in schema.names if name.startswith(_BY)]


def _table(part: ScoresTable, schema: pa.Schema, folder: Path) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    arrays: dict[str, Any] = {"row": part.row, "truth": part.truth}
    if part.task == "regression":
        arrays["outputs"] = np.asarray(part.outputs[:, 0], dtype=np.float64)
    else:
        flat = np.ascontiguousarray(part.outputs, dtype=np.float32).ravel()
        arrays["outputs"] = pa.FixedSizeListArray.from_arrays(pa.array(flat), part.outputs.shape[1])
    if part.weight is not None:
        arrays["weight"] = part.weight
    arrays |= {_BY + name: values for name, values in part.by.items()}
    if part.gains is not None:
        arrays |= dict(zip(_GAINS, part.gains, strict=True))
    if set(arrays) != set(schema.names) or {len(values) for values in arrays.values()} != {len(part)}:
        raise ArtifactError(
            f"{folder / FILE}: expected {len(part):,} rows of {', '.join(schema.names)}. Received: other"
        )
    columns = [pa.array(arrays[name]).cast(schema.field(name).type) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema)


def _from_table(table: pa.Table, head: dict[str, Any]) -> ScoresTable:
    import pyarrow as pa

    classes = tuple(str(name) for name in head["classes"])
    task, rows = str(head["task"]), table.num_rows
    if task == "regression":
        outputs, kind = _numbers(table["outputs"])[:, None], "float64"
    else:
        flat = table["outputs"].combine_chunks().flatten() if rows else pa.array([], pa.float32())
        width = table.schema.field("outputs").type.list_size
        outputs, kind = flat.to_numpy(zero_copy_only=False).reshape(rows, width), "int64"
    names = set(table.column_names)
    return ScoresTable(
        task=task,
        row=_numbers(table["row"]),
        truth=_numbers(table["truth"]).astype(kind),
        outputs=outputs,
        classes=classes,
        split_rows=int(head["split_rows"]),
        share=float(head["share"]),
        weight=_numbers(table["weight"]) if "weight" in names else None,
        by={name.removeprefix(_BY): _one(table[name]) for name in table.column_names if name.startswith(_BY)},
        gains=(_numbers(table[_GAINS[0]]), _numbers(table[_GAINS[1]])) if names.issuperset(_GAINS) else None,
    )


def _numbers(column: pa.ChunkedArray[Any]) -> Array:
    import numpy as np

    return np.asarray(column.to_numpy())


def _one(column: pa.ChunkedArray[Any]) -> pa.DictionaryArray:
    import pyarrow as pa

    found: Any = column.unify_dictionaries().combine_chunks()
    if isinstance(found, pa.ChunkedArray):  # of no rows
        found = pa.concat_arrays(found.chunks) if found.num_chunks else pa.array([], column.type)
    return found
