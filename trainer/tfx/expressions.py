"""The expressions of `features.construct` in TensorFlow, of numbers and truth values. Runs in the `tfx` environment.

They mean the same as in `trainer/expressions/graph.py`: a missing value is NaN, a truth value is 1, 0 or NaN, and what
is not finite is missing. Every tensor is float64 [N]. What the SavedModel answers is compared with its ONNX form, which
is made of this very graph; that the operations mean the same as ours is a test's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import tensorflow as tf

from headrace.trainer.tfx.plan import Tree


def evaluate(tree: Tree, columns: Mapping[str, Any]) -> Any:
    """The value of a resolved expression, of columns float64 [N] with NaN where missing."""
    if isinstance(tree, str):
        return columns[tree]
    if isinstance(tree, float):
        rows = tf.shape(next(iter(columns.values())))
        return tf.fill(rows, tf.constant(tree, tf.float64))
    op, *arguments = tree
    return _OPERATIONS[op](*(evaluate(argument, columns) for argument in arguments))


def _finite(value: Any) -> Any:
    return tf.where(tf.math.is_inf(value), tf.fill(tf.shape(value), _NAN), value)


def _missing(value: Any) -> Any:
    """0 where there is a number, NaN where it is missing."""
    return tf.where(tf.math.is_nan(value), tf.fill(tf.shape(value), _NAN), tf.zeros_like(value))


def _arithmetic(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: _finite(function(*values)) + sum(map(_missing, values))


def _truth(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: tf.cast(function(x, y), tf.float64) + _missing(x + y)


def _extreme(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: function(x, y) + _missing(x + y)


def _floor(x: Any, y: Any) -> Any:
    return tf.floor(x / y)


def _power(x: Any, y: Any) -> Any:
    return tf.where(tf.math.is_nan(x + y), tf.fill(tf.shape(x), _NAN), tf.pow(x, y))


def _is_in(value: Any, *listed: Any) -> Any:
    found = reduce(tf.logical_or, [tf.equal(value, one) for one in listed])
    return tf.cast(found, tf.float64) + _missing(value)


_NAN = tf.constant(math.nan, tf.float64)
_MIN, _MAX = _extreme(tf.minimum), _extreme(tf.maximum)
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": _arithmetic(tf.add), "subtract": _arithmetic(tf.subtract), "multiply": _arithmetic(tf.multiply),
    "divide": _arithmetic(tf.divide), "power": _arithmetic(_power), "floor_divide": _arithmetic(_floor),
    "modulo": _arithmetic(lambda x, y: x - y * _floor(x, y)),
    "min": _MIN, "max": _MAX, "clip": lambda value, low, high: _MAX(_MIN(value, high), low),
    "negate": _arithmetic(tf.negative), "abs": _arithmetic(tf.abs), "sign": _arithmetic(tf.sign),
    "exp": _arithmetic(tf.exp), "log": _arithmetic(tf.math.log), "sqrt": _arithmetic(tf.sqrt),
    "log2": _arithmetic(lambda x: tf.math.log(x) / math.log(2)),
    "log10": _arithmetic(lambda x: tf.math.log(x) / math.log(10)),
    "log1p": _arithmetic(lambda x: tf.math.log(x + 1)),
    "sin": _arithmetic(tf.sin), "cos": _arithmetic(tf.cos),
    "floor": _arithmetic(tf.floor), "ceil": _arithmetic(tf.math.ceil), "round": _arithmetic(tf.round),
    "less": _truth(tf.less), "less_equal": _truth(tf.less_equal),
    "greater": _truth(tf.greater), "greater_equal": _truth(tf.greater_equal),
    "equal": _truth(tf.equal), "not_equal": _truth(tf.not_equal), "in": _is_in,
    "and": tf.multiply, "or": lambda x, y: x + y - x * y, "not": lambda x: 1 - x,
    "if_else": lambda test, yes, no: tf.where(test > 0.5, yes, no) + _missing(test),
    "coalesce": lambda first, second: tf.where(tf.math.is_nan(first), second, first),
    "is_missing": lambda x: tf.cast(tf.math.is_nan(x), tf.float64), "to_number": lambda x: x,
}  # fmt: skip
