"""Texts as nodes of a graph: lower case, words, which of them are the same.

    words = words_of(graph, lower(graph, texts))         # [N, 1] -> [N, most words of a row], "" where a row has fewer

The same words are what a bag of words is fitted on and what it counts (run the graph on the train split, and count
what comes out): there is one definition of a word, ONNX Runtime's. These nodes take one row at least.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from headrace.trainer.expressions.arrow_texts import WORD
from headrace.trainer.graph import MICROSOFT, Graph

_CHUNK = 64  # characters; a power of 2


def lower(graph: Graph, texts: str) -> str:
    """String [N, 1] in lower case, letter by letter."""
    return _case(graph, texts, "LOWER")


def upper(graph: Graph, texts: str) -> str:
    """String [N, 1] in upper case, letter by letter."""
    return _case(graph, texts, "UPPER")


def _case(graph: Graph, texts: str, change: str) -> str:
    flat = graph.add("Reshape", texts, graph.constant([-1], np.int64))
    # A locale that every image has: libraries other than Debian's call it so too.
    changed = graph.add("StringNormalizer", flat, case_change_action=change, locale="C.UTF-8")
    return graph.add("Reshape", changed, graph.constant([-1, 1], np.int64))


def words_of(graph: Graph, texts: str, least: int = 1, pattern: str = WORD + "+") -> str:
    """The words of texts [N, 1], as string [N, M]: M is the most that a row has (0 where none has any), "" pads.

    Args:
        least: characters of a word; shorter ones are left out. scikit-learn's vectorizers take 2.
        pattern: what a word is, in RE2's syntax; of several matches at a place the longest is taken.
    """
    flat = graph.add("Reshape", texts, graph.constant([-1], np.int64))
    return graph.add("Tokenizer", flat, domain=MICROSOFT, mark=0, pad_value="", mincharnum=least, tokenexp=pattern)


def count(graph: Graph, words: str) -> str:
    """How many words [N, M] there are in each row: float64 [N, 1]."""
    there = graph.add("Not", graph.add("Equal", words, graph.constant("", np.object_)))
    return graph.add("ReduceSum", graph.to_double(there), graph.constant([1], np.int64), keepdims=1)


def length(graph: Graph, texts: str) -> str:
    """How many characters (code points) texts [N, 1] have: float64 [N, 1].

    ONNX cannot tell, and a string for each character would be too many: so whole chunks of 64 are counted, and
    patterns tell the rest bit by bit. That is as many strings as chunks.
    """
    found = graph.add("Mul", count(graph, words_of(graph, texts, pattern=_any(_CHUNK))), _number(graph, _CHUNK))
    bit = _CHUNK // 2
    while bit:
        pattern = f"(?:{_any(2 * bit)})*{_any(bit)}{_any(0, bit - 1)}"
        has_bit = graph.to_double(graph.add("RegexFullMatch", texts, pattern=pattern))
        found = graph.add("Add", found, graph.add("Mul", has_bit, _number(graph, bit)))
        bit //= 2
    return found


def _any(least: int, most: int | None = None) -> str:
    """A pattern of so many characters, line breaks among them."""
    return f"(?s:.{{{least}}})" if most is None else f"(?s:.{{{least},{most}}})"


def _number(graph: Graph, value: float) -> str:
    return graph.constant([[value]], np.float64)


class Shared(NamedTuple):
    """How many different words are in both texts, and in either; float64 [N, 1]."""

    common: str
    either: str


def shared(graph: Graph, a: str, b: str) -> Shared:
    """Compares the words [N, Ma] and [N, Mb] of two texts as sets.

    Words become numbers by `Unique` over the batch and are sorted within their row, where the different ones are
    counted: memory and time grow with the words, not with their pairs.
    """
    pad = graph.add("Expand", graph.constant([[""]], np.object_), _rows_by_one(graph, a))
    joined = graph.add("Concat", a, b, pad, axis=1)
    flat = graph.add("Reshape", joined, graph.constant([-1], np.int64))
    numbers = graph.add_many("Unique", flat, outputs=3, sorted=0)[2]
    numbers = graph.add("Reshape", numbers, graph.add("Shape", joined))
    width, end = graph.add("Shape", a, start=1), graph.constant([np.iinfo(np.int64).max], np.int64)
    axis, start = graph.constant([1], np.int64), graph.constant([0], np.int64)
    of_a = graph.add("Slice", numbers, start, width, axis)
    of_b = graph.add("Slice", numbers, width, end, axis)  # with the pad at its end
    pads = graph.add("Slice", numbers, graph.constant([-1], np.int64), end, axis)
    either = _different(graph, numbers)
    first = _different(graph, graph.add("Concat", of_a, pads, axis=1))
    both = graph.add("Sub", graph.add("Add", first, _different(graph, of_b)), either)
    return Shared(both, either)


def _rows_by_one(graph: Graph, tensor: str) -> str:
    rows = graph.add("Shape", tensor, start=0, end=1)
    return graph.add("Concat", rows, graph.constant([1], np.int64), axis=0)


def _different(graph: Graph, numbers: str) -> str:
    """How many different numbers [N, M + 1] a row has beside its pad."""
    width = graph.add("Shape", numbers, start=1)
    ordered = graph.add_many("TopK", numbers, width, outputs=2, axis=1, largest=0)[0]
    one, axis = graph.constant([1], np.int64), graph.constant([1], np.int64)
    later = graph.add("Slice", ordered, one, width, axis)
    earlier = graph.add("Slice", ordered, graph.constant([0], np.int64), graph.constant([-1], np.int64), axis)
    steps = graph.add("Not", graph.add("Equal", later, earlier))
    return graph.add("ReduceSum", graph.add("Cast", steps, to=TensorProto.DOUBLE), axis, keepdims=1)
