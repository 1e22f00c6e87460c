"""Functions of texts over Arrow arrays; see `expression_graph_texts` for the same in the graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

WORD = r"[\pL\pN_]"  # a word is a run of letters, digits and underscores, of any script
# What both Arrow and ONNX Runtime read as a float64 without overflow or underflow; any other text is no number.
NUMBER_PATTERN = r"[+-]?(?:[0-9]{1,150}(?:[.][0-9]{0,150})?|[.][0-9]{1,150})(?:[eE][+-]?[0-9]{1,2})?"
SPACES = " \t\n\r\f"  # as RE2's \s


def _upper(value: Any) -> Any:
    """Letter by letter, as the C library does it: ß stays, which has no capital that is a letter of its own there."""
    if isinstance(value, pa.Scalar):
        return _upper(pa.chunked_array([pa.array([value.as_py()], pa.string())]))[0]
    chunks = value.chunks if isinstance(value, pa.ChunkedArray) else [value]
    done = []
    for chunk in chunks:
        pieces = pc.split_pattern(chunk, "ß")
        upper = pa.ListArray.from_arrays(pieces.offsets, pc.utf8_upper(pieces.values), mask=pc.is_null(pieces))
        done.append(pc.binary_join(upper, "ß"))
    return pa.chunked_array(done, pa.string())


def _number(value: Any) -> Any:
    is_number = pc.match_substring_regex(value, rf"\A(?:{NUMBER_PATTERN})\z")
    return pc.if_else(is_number, value, pa.scalar(None, pa.string())).cast(pa.float64())


def _by_words(count: Callable[[set[str], set[str]], float | None]) -> Callable[[Any, Any], Any]:
    def compute(a: Any, b: Any) -> Any:
        rows = next((len(value) for value in (a, b) if not isinstance(value, pa.Scalar)), 1)
        values = [
            None if left is None or right is None else count(left, right)
            for left, right in zip(_words(a, rows), _words(b, rows), strict=True)
        ]
        both_constant = isinstance(a, pa.Scalar) and isinstance(b, pa.Scalar)
        return pa.scalar(values[0], pa.float64()) if both_constant else pa.array(values, pa.float64())

    return compute


def _words(value: Any, rows: int) -> list[set[str] | None]:
    if isinstance(value, pa.Scalar):
        value = pa.array([value.as_py()] * rows, pa.string())
    split = pc.split_pattern_regex(value, rf"[^{WORD[1:-1]}]+").to_pylist()
    return [None if words is None else set(words) - {""} for words in split]


def _overlap(a: set[str], b: set[str]) -> float | None:
    return len(a & b) / len(a | b) if a | b else None


def _constant(function: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    return lambda value, constant: function(value, pattern=constant.as_py())


TEXTS: dict[str, Callable[..., Any]] = {
    "lower": pc.utf8_lower,
    "upper": _upper,
    "trim": lambda value: pc.utf8_trim(value, characters=SPACES),
    "concat": lambda a, b: pc.binary_join_element_wise(a, b, ""),
    "length": lambda value: pc.utf8_length(value).cast(pa.float64()),
    "words": lambda value: pc.count_substring_regex(value, WORD + "+").cast(pa.float64()),
    "number": _number,
    "contains": _constant(pc.match_substring),
    "starts_with": _constant(pc.starts_with),
    "ends_with": _constant(pc.ends_with),
    "matches": lambda value, pattern: pc.match_substring_regex(value, rf"\A(?:{pattern.as_py()})\z"),
    "common_words": _by_words(lambda a, b: float(len(a & b))),
    "overlap": _by_words(_overlap),
}
