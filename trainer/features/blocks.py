"""Blocks of columns that go through the same steps together, so that a graph of hundreds of columns stays small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from onnx import TensorProto

from headrace.trainer.features import words
from headrace.trainer.features.categories import Hash, Vocabulary, fit_one_hot, fit_order, fit_share
from headrace.trainer.features.dates import fit_date
from headrace.trainer.features.encoding import Column, Encoding, record
from headrace.trainer.features.graph import FeatureGraph
from headrace.trainer.features.numbers import fit_number
from headrace.trainer.features.plan import Source
from headrace.trainer.features.sources import Base
from headrace.trainer.features.steps import PARTS, Chain, Step
from headrace.trainer.features.target import Label, fit_target, make_label
from headrace.trainer.features.training_rows import TrainRows, applied
from headrace.trainer.features.vocabulary import vocabulary

_DATES = ("age", "year", *PARTS)
_UNFITTED = frozenset({"keep", "days", "log", "sqrt", "missing", "year", *PARTS})  # nothing to learn from the rows


@dataclass(frozen=True)
class Block:
    """Columns side by side in one tensor.

    Attributes:
        tensor: [N, m].
        columns: the m columns.
        single: it is float32 already; else float64.
        out_of_fold: the train rows' values where they were fitted on the label, (rows, m).
        untouched: the inputs whose matrix cells these columns are; empty where they are no such.
    """

    tensor: str
    columns: tuple[Column, ...]
    single: bool = False
    out_of_fold: np.ndarray | None = None
    untouched: tuple[str, ...] = ()


@dataclass
class Fitting:
    """What is put together while features are fitted.

    Attributes:
        graph: as far as it has come.
        train: the train split.
        base: the encoded inputs, and what is constructed from them.
        seed: of the folds.
        fitted: what was learned, for the record.
    """

    graph: FeatureGraph
    train: TrainRows
    base: Base
    seed: int
    fitted: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def label(self) -> Label:
        """For what is fitted on the label."""
        train = self.train
        return make_label(train.label, train.classes, train.weights, self.seed, train.groups())

    def block(self, sources: Sequence[Source], chain: Chain) -> Block | None:
        """Emits and fits a chain for the columns that have the same; None where a text has no word."""
        first = chain[0]
        if sources[0].type == "text" and first.name != "missing":
            return self._of_text(sources[0], chain)
        places = [self.base.places[source.name] for source in sources]
        tensor = self.graph.columns(self.base.tensor, places, self.base.width)
        if first.name not in ("keep", "missing") and any(source.offset for source in sources):
            tensor = self.graph.add("Add", tensor, self.graph.numbers([[source.offset for source in sources]]))
        columns = tuple(self._column(source) for source in sources)
        if all(step.name == "keep" for step in chain):
            names = tuple(source.name if source.raw else "" for source in sources)
            return Block(tensor, columns, untouched=names)
        return self._steps(Block(tensor, columns), chain)

    def _column(self, source: Source) -> Column:
        return Column(source.sources, source.name, source.name, source.size, source.values)

    def _of_text(self, source: Source, chain: Chain) -> Block | None:
        """What begins with the string itself, or with its code."""
        first, text = chain[0], self.base.strings[source.name]
        column = Column(source.sources, source.name, source.name)
        if first.name == "words":
            return self._words(text, column, first.argument)
        if first.name == "hash":
            hashed = Hash(first.argument or 1024)
            return self._steps(self._applied(hashed, Block(text, (column,))), chain[1:])
        strings = self.train.of_sample(self.graph, text, TensorProto.STRING).ravel()
        known = Vocabulary(tuple(vocabulary(strings)))
        coded = self._applied(known, Block(text, (column,)))
        return self._steps(coded, chain[1:] if first.name == "code" else chain)

    def _words(self, text: str, column: Column, options: Mapping[str, Any]) -> Block | None:
        tokens = words.tokens_of(self.graph, text, options["analyzer"])
        given = self.train.batches_of_sample(self.graph, tokens, TensorProto.STRING)
        fitted = words.fit_words(given, **options)
        if fitted is None:
            return None
        self._record(fitted, [column])
        return Block(fitted.emit(self.graph, text), tuple(fitted.columns([column])), single=True)

    def _steps(self, block: Block, chain: Chain) -> Block:
        for step in chain:
            if step.name == "target":
                block = self._target(block, step)
            elif step.name == "ordinal":
                block = self._ordinal(block, step)
            elif step.name not in ("keep", "code"):
                block = self._applied(self._fit(block, step), block)
        return block

    def _fit(self, block: Block, step: Step) -> Encoding:
        width = len(block.columns)
        values = np.zeros((1, width))
        if step.name not in _UNFITTED and block.out_of_fold is not None:
            values = block.out_of_fold[self.train.sampled]
        elif step.name not in _UNFITTED:
            values = self.train.of_sample(self.graph, block.tensor)
        sizes = [column.size or 0 for column in block.columns]
        if step.name == "one_hot":
            return fit_one_hot(step.argument, values, sizes)
        if step.name == "share":
            return fit_share(values, sizes)
        if step.name in _DATES:
            return fit_date(step.name, values)
        fitted: Encoding = fit_number(step.name, step.argument, values)
        return fitted

    def _target(self, block: Block, step: Step) -> Block:
        """Fitted on all rows; these are few columns, and each row's label counts."""
        needed = sorted({name for column in block.columns for name in column.sources})
        codes = self.train.of_all(self.graph, block.tensor, needed)
        table, held_out = fit_target(codes, [column.size or 0 for column in block.columns], self.label, step.argument)
        return replace(self._applied(table, block), out_of_fold=held_out)

    def _ordinal(self, block: Block, step: Step) -> Block:
        """Each column has an order of its own values."""
        tables = [fit_order(step.argument, column) for column in block.columns]
        joined = type(tables[0])("ordinal", tuple(table.tables[0] for table in tables))
        return self._applied(joined, block)

    def _applied(self, encoding: Encoding, block: Block) -> Block:
        self._record(encoding, block.columns)
        tensor = encoding.emit(self.graph, block.tensor)
        # What stands behind something that was fitted on the label must not see the row's own label either.
        held_out = None if block.out_of_fold is None else applied(encoding, block.out_of_fold)
        return Block(tensor, tuple(encoding.columns(block.columns)), out_of_fold=held_out)

    def _record(self, encoding: Encoding, columns: Sequence[Column]) -> None:
        learned = {"step": type(encoding).__name__, "of": [column.made for column in columns], **record(encoding)}
        self.fitted.append(learned)
