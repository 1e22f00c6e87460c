"""Fits the features on the train split, and writes them as one graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.artifacts.dataset import Dataset, DatasetInfo
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Input
from headrace.artifacts.transform import FEATURES, GRAPH, OUT_OF_FOLD, WEIGHT, Transform, write_transform
from headrace.components.transform.inputs import (
    check_names,
    construct_of,
    exclusion,
    fit_input,
    named_values,
    taken_for_text,
)
from headrace.components.transform.misfits import misfits
from headrace.components.transform.spec import FeaturesSpec
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.expressions.expression import inlined
from headrace.trainer.features.fit import Features, fit_features
from headrace.trainer.features.plan import Wanted
from headrace.trainer.features.training_rows import TrainRows
from headrace.trainer.groups import group_columns
from headrace.trainer.rows import labels, sample_weights


def fit(dataset: Path, features: FeaturesSpec, output: Path, model: str = "gbdt", sample_weight: str = "") -> Transform:
    """Fits the transform on the train split and writes it to `output`.

    Args:
        dataset: the snapshot; eval and test are not read.
        features: the section of the spec.
        output: where the transform appears.
        model: the kind of model that the features are for.
        sample_weight: the column that says how much a row counts; no feature. Empty: all count the same.

    Raises:
        HeadraceError: the spec names columns that are not there, or no feature is left.
    """
    snapshot = Dataset.open(dataset)
    with pq.ParquetFile(snapshot.file("train")) as file:
        recipe, fitted = fit_transform(_Split(file), snapshot.info, features, model, sample_weight)
    with write_transform(output, recipe) as folder:
        onnx.save(fitted.graph, folder / FEATURES)
        onnx.save(merge(encoder_graph(recipe.inputs), fitted.graph), folder / GRAPH)
        if fitted.out_of_fold is not None:
            pq.write_table(fitted.out_of_fold, folder / OUT_OF_FOLD)
    return recipe


class _Split:
    """The train split, read column by column: no more of it is in memory than what is looked at.

    The file stays open: what it says of all its columns would else be read again for each.
    """

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        self.schema: pa.Schema = file.schema_arrow

    def table(self, columns: Sequence[str]) -> pa.Table:
        return self._file.read(columns=list(columns)).select(list(columns))


class TableSplit:
    """A train split that is in memory already."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self.schema: pa.Schema = table.schema

    def table(self, columns: Sequence[str]) -> pa.Table:
        """Some of its columns, all rows."""
        return self._table.select(list(columns))


def fit_transform(
    train: _Split | TableSplit,
    info: DatasetInfo,
    features: FeaturesSpec,
    model: str = "gbdt",
    sample_weight: str = "",
) -> tuple[Transform, Features]:
    """Chooses and fits the features; the recipe, and the graph with what belongs to it."""
    check_names(train.schema.names, info, features, sample_weight)
    chosen = _choose(train, info, features, sample_weight)
    label = train.table([info.label])[info.label]
    weights = sample_weights(train.table([sample_weight])[sample_weight], sample_weight) if sample_weight else None
    classes = tuple(info.classes or ())
    together = group_columns(info, train.schema.names)
    rows = TrainRows(
        chosen.inputs, train.table, len(label), labels(label, info), classes, chosen.ingredients, weights, together
    )
    construct, excluded = dict(features.constructed), chosen.excluded
    fitted = fit_features(rows, construct, chosen.wanted, model)
    unused, notes, left_out = fitted.unused, fitted.notes, fitted.left_out
    if unused and len(unused) < len(rows.inputs):  # once more without them, so that nobody has to send them
        excluded = excluded | {name: f"left out by features.select: {why}" for name, why in unused.items()}
        rows = replace(rows, inputs=tuple(item for item in rows.inputs if item.name not in unused))
        expressions = inlined(construct)
        construct = {
            name: text for name, text in construct.items() if unused.keys().isdisjoint(expressions[name].columns())
        }
        fitted = fit_features(rows, construct, chosen.wanted.only(fitted.selected), model)
    learned = {**fitted.fitted, "left_out": left_out}
    recipe = Transform(rows.inputs, fitted.outputs, excluded, construct, (*chosen.notes, *notes), learned)
    return recipe, fitted


@dataclass(frozen=True)
class _Chosen:
    """The raw columns, looked at one by one."""

    inputs: tuple[Input, ...]
    ingredients: frozenset[str]
    excluded: dict[str, str]
    notes: list[str]
    wanted: Wanted


def _choose(train: _Split | TableSplit, info: DatasetInfo, features: FeaturesSpec, weight: str) -> _Chosen:
    leaks = [name for name in info.leaks if name not in features.keep]
    made = construct_of(features.constructed, train.schema, [info.label, info.id or "", weight, *leaks])
    named, texts, wanted = named_values(features), features.text_columns, features.wanted
    excluded: dict[str, str] = {}
    inputs, ingredients, notes = [], [], []
    for name in train.schema.names:
        column = train.table([name])[name]
        reason = WEIGHT if name == weight else exclusion(name, column, info, features)
        if reason is not None and (name not in made.read or column.null_count == len(column)):
            excluded[name] = reason
            continue
        found = reason is None and features.auto and name not in features.encode and taken_for_text(column)
        if found and name not in texts:
            notes.append(f"`{name}`: the words of its texts, as hardly any of them occurs twice")
            wanted = replace(wanted, texts={**wanted.texts, name: {}})
        if reason is not None:
            notes.append(f"`{name}` is read by expressions alone: {reason}")
            ingredients.append(name)
        inputs.append(
            fit_input(name, column, named.get(name, set()), text=found or name in texts or name in made.spelt)
        )
    if len(inputs) == len(ingredients) and not features.constructed:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in excluded.items())
        raise HeadraceError(f"features: expected at least one column to learn from. Received: none ({reasons})")
    problems = misfits(features, {**{item.name: item.type for item in inputs}, **made.types})
    if problems:
        raise HeadraceError("\n".join(f"features.{'.'.join(place)}: {problem}" for place, problem in problems))
    return _Chosen(tuple(inputs), frozenset(ingredients), excluded, notes, wanted)
