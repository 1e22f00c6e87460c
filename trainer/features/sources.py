"""The columns that can be encoded: the inputs, and what is constructed from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from headrace.trainer.expressions.graph import Columns
from headrace.trainer.features.categories import Vocabulary
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.plan import Facts, Source
from headrace.trainer.features.training_rows import TrainRows
from headrace.trainer.features.vocabulary import vocabulary
from headrace.trainer.graph import MATRIX


@dataclass
class Base:
    """What encodings start from.

    Attributes:
        tensor: float64 [N, S]: the matrix, and beside it what was constructed.
        width: S.
        places: source -> its column of the tensor.
        strings: texts -> their tensors of strings, [N, 1].
        sources: what can be encoded.
    """

    tensor: str = MATRIX
    width: int = 0
    places: dict[str, int] = field(default_factory=dict)
    strings: dict[str, str] = field(default_factory=dict)
    sources: list[Source] = field(default_factory=list)


def base_of(graph: FeatureGraph, train: TrainRows, construct: Mapping[str, str], texts: Collection[str]) -> Base:
    """Adds the constructed columns behind the inputs.

    Args:
        texts: columns and constructed strings that are encoded as texts. Other strings become categories, whose
            vocabulary is counted on the sample.
    """
    columns = Columns(graph, train.inputs)
    base = Base(width=len(train.inputs))
    beside: list[str] = []

    def add(source: Source, tensor: str) -> None:
        base.places[source.name] = base.width + len(beside)
        base.sources.append(source)
        beside.append(tensor)

    def add_strings(name: str, made_of: tuple[str, ...], tensor: str, raw: bool) -> None:
        base.strings[name] = tensor
        if name not in texts:
            known = tuple(vocabulary(train.of_sample(graph, tensor, TensorProto.STRING).ravel()))
            coded = Vocabulary(known).emit(graph, tensor)
            add(Source(name, "category", made_of, len(known), known, raw=False), coded)
        elif raw:  # the matrix has a cell that says whether it is there
            base.sources.append(Source(name, "text", made_of))
        else:
            empty = graph.add("Equal", tensor, graph.constant("", np.object_))
            there = graph.add("Where", empty, graph.numbers(np.nan), graph.numbers(1.0))
            add(Source(name, "text", made_of, raw=False), there)

    for place, item in enumerate(train.inputs):
        base.places[item.name] = place
        if item.name in train.ingredients:
            continue
        if item.type == "text":
            add_strings(item.name, (item.name,), columns.raw(item.name).tensor, raw=True)
        else:
            size = len(item.vocabulary) if item.type == "category" else None
            base.sources.append(Source(item.name, item.type, (item.name,), size, item.vocabulary, item.offset))
    for name, value in columns.constructed(construct).items():
        if value.type == "text":
            add_strings(name, value.columns, value.tensor, raw=False)
        else:
            add(Source(name, value.type, value.columns, raw=False), value.tensor)
    base.tensor = graph.beside([MATRIX, *beside])
    base.width += len(beside)
    return base


def facts_of(graph: FeatureGraph, train: TrainRows, base: Base) -> dict[str, Facts]:
    """What the sample shows of each column."""
    values = train.of_sample(graph, base.tensor) if base.tensor != MATRIX else train.sample.matrix
    return {source.name: _facts(source, values[:, base.places[source.name]] + source.offset) for source in base.sources}


def _facts(source: Source, values: np.ndarray) -> Facts:
    finite = values[np.isfinite(values)]
    missing = 1 - len(finite) / len(values) if len(values) else 0.0
    if source.type == "date" and len(finite):
        timed = bool((finite != np.floor(finite)).any())
        return Facts(missing, span=float(np.ptp(finite)), timed=timed)
    if source.type == "number" and len(finite):
        logs = np.sign(finite) * np.log1p(np.abs(finite))
        return Facts(missing, skew=_skew(finite), log_skew=_skew(logs))
    return Facts(missing)


def _skew(values: np.ndarray) -> float:
    """The third standardized moment; 0 for what does not vary."""
    deviation = values.std()
    if not deviation > 1e-12 * max(1.0, abs(values.mean())):
        return 0.0
    return float((((values - values.mean()) / deviation) ** 3).mean())
