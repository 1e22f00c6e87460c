"""Functions of texts as nodes: string [N, 1], with "" where missing. Constants are given as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from headrace.trainer.expressions.arrow_texts import NUMBER_PATTERN
from headrace.trainer.expressions.graph_values import Builder
from headrace.trainer.expressions.nodes import Constant
from headrace.trainer.text_graph import count, length, lower, shared, upper, words_of

Argument = str | Constant  # a tensor's name, or a constant


def _tensor(b: Builder, value: Argument) -> str:
    if isinstance(value, Constant):
        return b.text(value.value) if isinstance(value.value, str) else b.number(float(value.value))
    return value


def _one(build: Callable[[Builder, str], str]) -> Callable[[Builder, Argument], str]:
    return lambda b, value: build(b, _tensor(b, value))


def _compared(b: Builder, *values: Argument) -> str:
    """1 where the first text equals one of the others, 0 where none, NaN where one is missing."""
    first, *others = [_tensor(b, value) for value in values]
    options = b.add("Concat", *others, axis=1) if len(others) > 1 else others[0]
    same = b.graph.to_double(b.add("Equal", first, options))
    found = b.add("ReduceMax", same, b.graph.constant([1], np.int64), keepdims=1)
    for value in (first, *(other for other, given in zip(others, values[1:], strict=True) if isinstance(given, str))):
        found = b.add("Add", found, b.missing_text(value))
    return found


def _concat(b: Builder, first: Argument, second: Argument) -> str:
    """Missing where one of them is."""
    x, y = _tensor(b, first), _tensor(b, second)
    missing = b.add("Or", b.add("Equal", x, b.text("")), b.add("Equal", y, b.text("")))
    return b.add("Where", missing, b.text(""), b.add("StringConcat", x, y))


def _if_else(b: Builder, test: Argument, yes: Argument, no: Argument) -> str:
    condition = _tensor(b, test)
    chosen = b.add("Where", b.add("Greater", condition, b.number(0.5)), _tensor(b, yes), _tensor(b, no))
    return b.add("Where", b.add("IsNaN", condition), b.text(""), chosen)


def _coalesce(b: Builder, first: Argument, second: Argument) -> str:
    x = _tensor(b, first)
    return b.add("Where", b.add("Equal", x, b.text("")), _tensor(b, second), x)


def _trim(b: Builder, texts: str) -> str:
    """The one match from the first to the last character that is no space, or nothing."""
    found = words_of(b.graph, texts, pattern=r"\S(?s:.*\S)?")
    padded = b.add("Concat", found, b.add("Where", b.add("Equal", texts, b.text("")), b.text(""), b.text("")), axis=1)
    return b.graph.column(padded, 0)


def _number(b: Builder, texts: str) -> str:
    """What is no number becomes one that is not used, since a cast would fail on it."""
    fine = b.add("RegexFullMatch", texts, pattern=NUMBER_PATTERN)
    value = b.add("Cast", b.add("Where", fine, texts, b.text("0")), to=TensorProto.DOUBLE)
    return b.add("Where", fine, value, b.number(float("nan")))


def _length(b: Builder, texts: str) -> str:
    return b.add("Add", length(b.graph, texts), b.missing_text(texts))


def _words(b: Builder, texts: str) -> str:
    return b.add("Add", count(b.graph, words_of(b.graph, texts)), b.missing_text(texts))


def _matching(pattern: Callable[[str], str]) -> Callable[[Builder, Argument, Constant], str]:
    def build(b: Builder, value: Argument, constant: Constant) -> str:
        texts = _tensor(b, value)
        found = b.add("RegexFullMatch", texts, pattern=pattern(str(constant.value)))
        return b.add("Add", b.graph.to_double(found), b.missing_text(texts))

    return build


def quoted(text: str) -> str:
    """A pattern that matches this text alone, in RE2's syntax."""
    return "".join(
        character if character.isalnum() or character == "_" or ord(character) > 127
        else r"\x00" if character == "\0" else f"\\{character}"
        for character in text
    )  # fmt: skip


def _word_sets(b: Builder, first: Argument, second: Argument, share: bool) -> str:
    x, y = _tensor(b, first), _tensor(b, second)
    rows = b.add("Shape", b.add("StringConcat", x, y))  # a constant has as many rows as the other
    words = [words_of(b.graph, b.add("Expand", texts, rows)) for texts in (x, y)]
    common, either = shared(b.graph, *words)
    found = b.add("Div", common, either) if share else common
    return b.add("Add", found, b.add("Add", b.missing_text(x), b.missing_text(y)))


TEXT_NODES: dict[str, Callable[..., str]] = {
    "text_equal": _compared,
    "text_not_equal": lambda b, x, y: b.add("Sub", b.number(1.0), _compared(b, x, y)),
    "text_in": _compared,
    "text_is_missing": _one(lambda b, x: b.graph.to_double(b.add("Equal", x, b.text("")))),
    "text_if_else": _if_else,
    "text_coalesce": _coalesce,
    "lower": _one(lambda b, x: lower(b.graph, x)),
    "upper": _one(lambda b, x: upper(b.graph, x)),
    "trim": _one(_trim),
    "concat": _concat,
    "length": _one(_length),
    "words": _one(_words),
    "number": _one(_number),
    "contains": _matching(lambda text: f"(?s:.*){quoted(text)}(?s:.*)"),
    "starts_with": _matching(lambda text: f"{quoted(text)}(?s:.*)"),
    "ends_with": _matching(lambda text: f"(?s:.*){quoted(text)}"),
    "matches": _matching(lambda pattern: pattern),
    "common_words": lambda b, x, y: _word_sets(b, x, y, share=False),
    "overlap": lambda b, x, y: _word_sets(b, x, y, share=True),
}
