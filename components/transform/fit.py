"""Fits the encodings of the raw features on the train split, and writes them as one graph."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.compute as pc

from headrace.artifacts.dataset import Dataset, DatasetInfo, names_its_row
from headrace.artifacts.errors import HeadraceError, nearest_column
from headrace.artifacts.signature import Input
from headrace.artifacts.transform import DROPPED, FEATURES, GRAPH, ID, LABEL, Feature, Transform, write_transform
from headrace.components.transform.spec import FeaturesSpec
from headrace.trainer.construct_graph import construct_graph
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.expression import parse

MOST_VALUES = 1_000  # of a category; rarer ones count as unseen, so that a vocabulary stays a small table


def fit(dataset: Path, features: FeaturesSpec, output: Path) -> Transform:
    """Fits the transform on the train split and writes it to `output`.

    Raises:
        HeadraceError: the spec names columns that are not there, or no feature is left.
    """
    snapshot = Dataset.open(dataset)
    transform = fit_transform(snapshot.table("train"), snapshot.info, features)
    graph = construct_graph(transform.inputs, transform.construct)
    with write_transform(output, transform) as folder:
        onnx.save(graph, folder / FEATURES)
        onnx.save(merge(encoder_graph(transform.inputs), graph), folder / GRAPH)
    return transform


def fit_transform(train: pa.Table, info: DatasetInfo, features: FeaturesSpec) -> Transform:
    """Chooses the features and fits their encodings on a train table of shape (rows, columns)."""
    _check_names(train, info, features)
    excluded: dict[str, str] = {}
    inputs = []
    named: dict[str, set[str]] = {}  # column -> texts that an expression compares it with
    for text in features.constructed.values():
        for column, texts in parse(text).texts().items():
            named.setdefault(column, set()).update(texts)
    for name in train.column_names:
        reason = exclusion(name, train[name], info, features)
        if reason is None:
            inputs.append(fit_input(name, train[name], named.get(name, set())))
        else:
            excluded[name] = reason
    if not inputs:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in excluded.items())
        raise HeadraceError(f"features: expected at least one column to learn from. Received: none ({reasons})")
    outputs = [_as_it_is(item) for item in inputs]
    outputs += [Feature(name, tuple(parse(text).columns()), text) for name, text in features.constructed.items()]
    return Transform(tuple(inputs), tuple(outputs), excluded, dict(features.constructed))


def _as_it_is(item: Input) -> Feature:
    if item.type == "category":
        return Feature(item.name, (item.name,), "its code", "code", len(item.vocabulary))
    return Feature(item.name, (item.name,), "as it is", raw=item.name)


def exclusion(name: str, column: pa.ChunkedArray, info: DatasetInfo, features: FeaturesSpec) -> str | None:
    """Why a column is no feature; None where it is one."""
    if name == info.label:
        return LABEL
    if name == info.id:
        return ID
    if name in features.drop:
        return DROPPED
    if column.null_count == len(column):
        return "no value in the train split"
    if name in features.keep:
        return None
    if name in info.leaks:
        return "the label is computed from it (features.keep overrules)"
    distinct = pc.count_distinct(column).as_py()
    if distinct == 1 and column.null_count == 0:
        return "the same value in every row of the train split"
    values = len(column) - column.null_count
    if pa.types.is_string(column.type) and names_its_row(distinct, values):
        return f"{distinct:,} different texts in {values:,} rows: it names the row (features.keep overrules)"
    if name.startswith("unnamed_") and distinct == len(column):
        return "an unnamed row number (features.keep overrules)"
    return None


def fit_input(name: str, column: pa.ChunkedArray, named: set[str]) -> Input:
    """The encoding of one raw column, by its type; `named` texts get a code however rare they are."""
    type = column.type
    if pa.types.is_boolean(type):
        return Input(name, "boolean")
    if pa.types.is_string(type):
        return Input(name, "category", vocabulary=tuple(vocabulary(column, named)))
    is_date = pa.types.is_date(type) or pa.types.is_timestamp(type)
    values = numbers(column)
    return Input(
        name,
        "date" if is_date else "number",
        offset=offset(values),
        min=float(values.min()),
        max=float(values.max()),
    )


def vocabulary(column: pa.ChunkedArray, named: Iterable[str] = ()) -> list[str]:
    """The values of a category, rarest first, so that an unseen value lies beside the rare ones.

    Values too rare to learn from are left out: then they are unseen in training too, and what the model does
    with an unseen value was learned. Values that an expression names are kept all the same.
    """
    counts = pc.value_counts(column.drop_null()).to_pylist()
    fewest = min(10, max(2, len(column) // 1_000))
    common = [
        (entry["counts"], entry["values"]) for entry in counts if entry["counts"] >= fewest and entry["values"] != ""
    ]
    kept = [value for _, value in sorted(common, key=lambda entry: (-entry[0], entry[1]))[:MOST_VALUES]][::-1]
    return [*sorted(set(named) - {*kept, ""}), *kept]


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The finite values of a numeric or date column; float64, dates in days since 1970-01-01."""
    if pa.types.is_date(column.type):
        column = column.cast(pa.int32())
    scale = 1.0
    if pa.types.is_timestamp(column.type):
        column, scale = column.cast(pa.int64()), 86_400_000_000.0
    values = column.drop_null().to_numpy().astype(np.float64) / scale
    return values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)


def offset(values: np.ndarray) -> float:
    """What to subtract before float32, which models compute in, so that as few values as possible merge.

    A time in epoch seconds needs one: above 2^24 float32 cannot tell neighbouring seconds apart.
    """
    distinct = np.unique(values)
    candidates = (0.0, float(distinct[0]), float(distinct[len(distinct) // 2]))
    return max(candidates, key=lambda shift: len(np.unique((distinct - shift).astype(np.float32))))


def _check_names(train: pa.Table, info: DatasetInfo, features: FeaturesSpec) -> None:
    left_out = info.source.get("left_out", [])  # by ingestion, for their type: nothing is left to drop
    dropped = [name for name in features.drop if name not in left_out]
    for section, names in (("drop", dropped), ("keep", features.keep)):
        for name in names:
            if name not in train.column_names:
                hint = nearest_column(name, train.column_names)
                raise HeadraceError(f"features.{section}: expected a column of the data. Received: `{name}`; {hint}")
    forbidden = {info.label: LABEL, info.id: ID}
    for name in features.keep:
        if name in forbidden:
            raise HeadraceError(
                f"features.keep: expected a column that may be learned from. Received: `{name}`, {forbidden[name]}"
            )
    for name in features.constructed:
        if name in train.column_names:
            raise HeadraceError(f"features.construct: expected a new name. Received: `{name}`, a column of the data")
