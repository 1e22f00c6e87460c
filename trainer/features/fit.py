"""Fits the features: a plan for every column, one graph for all, and out of fold what is fitted on the label."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import text_inputs
from headrace.artifacts.transform import Feature
from headrace.trainer.features.blocks import Block, Fitting
from headrace.trainer.features.encoding import Column
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.pca import fit_pca
from headrace.trainer.features.plan import Facts, Source, Wanted, chains_of
from headrace.trainer.features.select import select
from headrace.trainer.features.sources import base_of, facts_of
from headrace.trainer.features.steps import Chain
from headrace.trainer.features.training_rows import TrainRows
from headrace.trainer.graph import FEATURES, encoded_inputs

Groups = list[tuple[Chain, list[Source]]]


@dataclass(frozen=True)
class Features:
    """The fitted features.

    Attributes:
        outputs: what they are, W of them.
        graph: `matrix` (and `texts`) -> `features` float32 [N, W].
        out_of_fold: the train rows' values of those that were fitted on the label; None where there are none.
        notes: what was chosen and why.
        fitted: what was learned, for the record.
        left_out: feature -> why it was not selected.
        selected: the features that were, before principal components took the place of some.
        unused: input -> why none of its features was selected.
    """

    outputs: tuple[Feature, ...]
    graph: onnx.ModelProto
    out_of_fold: pa.Table | None
    notes: tuple[str, ...]
    fitted: dict[str, Any]
    left_out: dict[str, str]
    selected: tuple[str, ...]
    unused: dict[str, str]


def fit_features(train: TrainRows, construct: Mapping[str, str], wanted: Wanted, kind: str, seed: int = 0) -> Features:
    """Fits the features for a kind of model.

    Args:
        train: the train split; nothing else is looked at.
        construct: name -> expression.
        wanted: what the spec says.
        kind: of model: `gbdt`, `linear`, `mlp` or `module`.
        seed: of the folds.

    Raises:
        HeadraceError: no feature is left.
    """
    graph = FeatureGraph()
    base = base_of(graph, train, construct, wanted.text_columns)
    facts = facts_of(graph, train, base) if _needs_facts(wanted, kind) else {}
    groups, notes = _plan(base.sources, facts, wanted, kind, train.rows)
    fitting = Fitting(graph, train, base, seed)
    blocks = []
    for chain, sources in groups:
        block = fitting.block(sources, chain)
        if block is None:
            notes.append(f"`{sources[0].name}`: no words, as none is in enough of its texts")
        else:
            blocks.append(block)
    if not blocks:
        raise HeadraceError("features: expected at least one feature. Received: none, as no text has a common word")
    return _finish(fitting, blocks, wanted, notes)


def _needs_facts(wanted: Wanted, kind: str) -> bool:
    """Whether choosing asks what the rows show; trees by default ask nothing, and so nothing is encoded for them."""
    return kind in ("linear", "mlp") or wanted.auto or wanted.missing_indicators is True


def _plan(
    sources: Sequence[Source], facts: Mapping[str, Facts], wanted: Wanted, kind: str, rows: int
) -> tuple[Groups, list[str]]:
    """The chains, each with the columns that have it; texts alone."""
    grouped: dict[tuple[str, ...], tuple[Chain, list[Source]]] = {}
    notes: list[str] = []
    for source in sources:
        chains, said = chains_of(source, facts.get(source.name, Facts()), wanted, kind, rows)
        notes += said
        for chain in chains:
            alone = source.name if source.type == "text" and chain[0].name != "missing" else ""
            grouped.setdefault((*map(repr, chain), alone), (chain, []))[1].append(source)
    return list(grouped.values()), notes


def _finish(fitting: Fitting, blocks: list[Block], wanted: Wanted, notes: list[str]) -> Features:
    """Blocks beside each other, of these the selected columns, and principal components in the place of numbers."""
    graph, train = fitting.graph, fitting.train
    outputs = _features(blocks, train)
    whole = _joined(graph, blocks)
    held_out = _held_out(blocks, outputs)
    left_out: dict[str, str] = {}
    before = outputs
    if wanted.names is not None or wanted.select:
        if wanted.names is not None:
            chosen = [place for place, feature in enumerate(outputs) if feature.name in wanted.names]
        else:
            chosen, left_out, said = select(train, graph, whole, outputs, held_out, wanted.select)
            notes += said
        whole = graph.columns(whole, chosen, len(outputs))
        outputs = tuple(outputs[place] for place in chosen)
    selected = outputs
    if wanted.pca is not None:
        components = fit_pca(train, graph, whole, outputs, wanted.pca)
        notes.append(components.note)
        whole, outputs = components.tensor, components.outputs
        fitting.fitted.append(components.record)
    graph.nodes.append(helper.make_node("Identity", [whole], [FEATURES]))
    result = helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", len(outputs)])
    model = graph.part(encoded_inputs(len(train.inputs), len(text_inputs(train.inputs))), [result])
    kept = {feature.name for feature in outputs if feature.out_of_fold}
    table = pa.table({name: values for name, values in held_out.items() if name in kept}) if kept else None
    return Features(
        outputs,
        model,
        table,
        tuple(notes),
        {"encodings": fitting.fitted},
        left_out,
        tuple(feature.name for feature in selected),
        _unused(before, selected, left_out),
    )


def _unused(before: Sequence[Feature], selected: Sequence[Feature], left_out: Mapping[str, str]) -> dict[str, str]:
    """The inputs that no selected feature is made of, with why one that is made of them was not selected."""
    used = {name for feature in selected for name in feature.sources}
    return {
        name: left_out[feature.name]
        for feature in before
        for name in feature.sources
        if name not in used and feature.name in left_out
    }


def _joined(graph: FeatureGraph, blocks: Sequence[Block]) -> str:
    """All blocks as one float32 tensor."""
    doubles = [block.tensor for block in blocks if not block.single]
    if len(doubles) == len(blocks):
        return graph.add("Cast", graph.beside(doubles), to=TensorProto.FLOAT)
    singles = [
        block.tensor if block.single else graph.add("Cast", block.tensor, to=TensorProto.FLOAT) for block in blocks
    ]
    return graph.beside(singles)


def _features(blocks: Sequence[Block], train: TrainRows) -> tuple[Feature, ...]:
    """What the columns are, under names of their own."""
    numbers = {item.name for item in train.inputs if item.type != "category"}
    taken: set[str] = set()
    found = []
    for block in blocks:
        for place, column in enumerate(block.columns):
            name = _name(column, taken)
            taken.add(name)
            raw = block.untouched[place] if block.untouched else ""
            made = ("its code" if column.size else "as it is") if block.untouched and raw else column.made
            found.append(
                Feature(
                    name,
                    column.sources,
                    made,
                    "code" if column.size else "number",
                    column.size,
                    raw if raw in numbers else None,
                    block.out_of_fold is not None,
                )
            )
    return tuple(found)


def _name(column: Column, taken: set[str]) -> str:
    """Its own; where another feature has that, how it is made."""
    again = (f"{column.made} ({count})" for count in range(2, 1_000))
    return next(each for each in itertools.chain((column.name, column.made), again) if each not in taken)


def _held_out(blocks: Sequence[Block], outputs: Sequence[Feature]) -> dict[str, np.ndarray]:
    """Feature -> its values of the train rows, float32, where it was fitted on the label."""
    found, place = {}, 0
    for block in blocks:
        for own in range(len(block.columns)):
            if block.out_of_fold is not None:
                found[outputs[place].name] = block.out_of_fold[:, own].astype(np.float32)
            place += 1
    return found
