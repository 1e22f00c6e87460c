"""What TFX's components are told of a spec: plain data, which travels as JSON through TFX's own properties.

Imported in both environments, so the standard library is all that it needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

LABEL = "label"  # of the transformed examples; the raw ones have the column's own name
PREDICTION = "outputs"  # of the SavedModel's serving signature, as in TFX's examples
ENCODED = "encoded"  # the signature from numbers and texts, which is what becomes ONNX
NUMBERS, TEXTS = "numbers", "texts"  # its inputs
MISSING = "\ue000"  # stands for a missing text: a character of the private use area, which no data has


Tree = str | float | list[Any]  # of an expression: a column's name, a number, or an operation before its arguments
_OPERATIONS = """
    add subtract multiply divide power floor_divide modulo min max clip negate abs sign exp log sqrt log2 log10 log1p
    sin cos floor ceil round less less_equal greater greater_equal equal not_equal in and or not if_else coalesce
    is_missing to_number
"""
OPERATIONS = frozenset(_OPERATIONS.split())  # that `expressions.py` has


@dataclass(frozen=True)
class Column:
    """A raw feature.

    `kind` is what TFX takes it for: `number` (also booleans, and dates as days since 1970), or `category`. `type` is
    what a bundle's signature says, and `min` and `max` its range in training. One that is no `feature` is read by
    expressions alone.
    """

    name: str
    kind: str
    type: str = "number"
    min: float | None = None
    max: float | None = None
    feature: bool = True


@dataclass(frozen=True)
class Constructed:
    """A number or truth value that is made of raw columns, by an expression of the spec."""

    name: str
    tree: Tree

    @property
    def reads(self) -> tuple[str, ...]:
        """The raw columns that it is made of."""
        return tuple(dict.fromkeys(_columns(self.tree)))


@dataclass(frozen=True)
class Bound:
    """A gate as TFX's Evaluator takes it: a Keras or TFMA metric, by its class, and its limits.

    `slice` is a column whose every value must hold. `change` is how much worse than the blessed model before it may
    be: its direction follows from `higher`.
    """

    metric: str
    higher: bool
    limit: float | None = None
    change: float | None = None
    slice: str | None = None


@dataclass(frozen=True)
class Plan:
    """One training by TFX.

    Attributes:
        name: the model's.
        task: classification | regression.
        label: the raw column.
        classes: of the label; their places are the label's numbers. None of a regression.
        positive: the class whose probability the model answers, where there are two.
        columns: the raw columns that the model is asked with.
        constructed: what expressions make of them.
        mlp: the section `train.mlp` of the spec.
        seed: of training.
        bounds: what the Evaluator demands.
        metrics: what it measures beside.
        slices: the columns that it measures by.
        tune: how many trials the Tuner makes; 0: there is no Tuner.
        beam: Apache Beam's arguments.
    """

    name: str
    task: str
    label: str
    classes: tuple[str, ...]
    positive: str | None
    columns: tuple[Column, ...]
    mlp: dict[str, Any]
    seed: int = 0
    bounds: tuple[Bound, ...] = ()
    metrics: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    tune: int = 0
    beam: tuple[str, ...] = field(default=("--direct_num_workers=1",))
    constructed: tuple[Constructed, ...] = ()

    @property
    def outputs(self) -> int:
        """How many numbers the network answers: the positive class's probability, one for each class, or the value."""
        return len(self.classes) if len(self.classes) > 2 else 1

    def of_kind(self, kind: str) -> list[tuple[int, Column]]:
        """The columns of one kind, each with its place among all."""
        return [(place, column) for place, column in enumerate(self.columns) if column.kind == kind]

    def features(self, kind: str) -> list[int]:
        """The places of the features of one kind; those of constructed ones follow the columns'."""
        places = [place for place, column in self.of_kind(kind) if column.feature]
        return places + ([len(self.columns) + i for i in range(len(self.constructed))] if kind == "number" else [])

    def for_trainer(self) -> Plan:
        """What training depends on: a gate that is moved is no reason to train anew."""
        return replace(self, bounds=(), metrics=(), slices=(), beam=())

    def for_transform(self) -> Plan:
        """What the transformed features depend on."""
        bins = {"numeric_bins": self.mlp["numeric_bins"]}
        return replace(self.for_trainer(), mlp=bins, seed=0, tune=0)

    def to_json(self) -> str:
        """As it travels."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """The plan that was written."""
        value = json.loads(text)
        return cls(
            **{
                **value,
                "classes": tuple(value["classes"]),
                "columns": tuple(Column(**item) for item in value["columns"]),
                "constructed": tuple(Constructed(**item) for item in value["constructed"]),
                "bounds": tuple(Bound(**item) for item in value["bounds"]),
                **{name: tuple(value[name]) for name in ("metrics", "slices", "beam")},
            }
        )


def _columns(tree: Tree) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, list):
        for argument in tree[1:]:
            yield from _columns(argument)


def transformed(kind: str, place: int) -> str:
    """The name of a transformed feature: a column's own may be no name to TensorFlow."""
    return f"{kind}_{place}"
