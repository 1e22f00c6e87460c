"""ONNX's operations on numbers and on shapes as TensorFlow's. Constants come as NumPy arrays, all else as tensors.

Each entry takes a node's attributes and gives the function of its inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import helper

Attributes = dict[str, Any]
Made = Callable[..., Any]
_END = 2**31 - 1  # of a slice that has none


def _simple(function: Callable[..., Any]) -> Callable[[Attributes], Made]:
    """The same function whatever the attributes are."""
    return lambda _: lambda *inputs: function(*map(tf.convert_to_tensor, inputs))


def _divide(a: Any, b: Any) -> Any:
    a, b = tf.convert_to_tensor(a), tf.convert_to_tensor(b)
    return tf.truncatediv(a, b) if a.dtype.is_integer else tf.divide(a, b)


def _cast(attributes: Attributes) -> Made:
    dtype = tf.as_dtype(helper.tensor_dtype_to_np_dtype(attributes["to"]))

    def cast(value: Any) -> Any:
        value = tf.convert_to_tensor(value)
        return tf.strings.to_number(value, dtype) if value.dtype == tf.string else tf.cast(value, dtype)

    return cast


def _concat(attributes: Attributes) -> Made:
    return lambda *parts: tf.concat([tf.convert_to_tensor(part) for part in parts], attributes["axis"])


def _gather(attributes: Attributes) -> Made:
    axis = attributes.get("axis", 0)

    def gather(values: Any, places: Any) -> Any:
        values = tf.convert_to_tensor(values)
        if isinstance(places, np.ndarray) and (places < 0).any():
            places = tf.where(places < 0, places + tf.shape(values, out_type=tf.int64)[axis], places)
        return tf.gather(values, places, axis=axis)

    return gather


def _clip(_: Attributes) -> Made:
    def clip(value: Any, low: Any = None, high: Any = None) -> Any:
        value = value if low is None else tf.maximum(value, low)
        return value if high is None else tf.minimum(value, high)

    return clip


def _reduced(function: Callable[..., Any]) -> Callable[[Attributes], Made]:
    def make(attributes: Attributes) -> Made:
        keep = bool(attributes.get("keepdims", 1))

        def reduced(value: Any, axes: Any = None) -> Any:
            chosen = axes if axes is not None else attributes.get("axes")
            return function(value, axis=None if chosen is None else [int(axis) for axis in chosen], keepdims=keep)

        return reduced

    return make


def _reshape(_: Attributes) -> Made:
    def reshape(value: Any, shape: Any) -> Any:
        if isinstance(shape, np.ndarray) and (shape == 0).any():  # as it is
            own = tf.shape(value, out_type=tf.int64)
            shape = tf.stack([own[place] if size == 0 else tf.constant(size) for place, size in enumerate(shape)])
        return tf.reshape(value, shape)

    return reshape


def _expand(_: Attributes) -> Made:
    def expand(value: Any, shape: Any) -> Any:
        value, shape = tf.convert_to_tensor(value), tf.cast(shape, tf.int32)
        return tf.broadcast_to(value, tf.broadcast_dynamic_shape(tf.shape(value), shape))

    return expand


def _slice(_: Attributes) -> Made:
    def cut(value: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Any:
        value = tf.convert_to_tensor(value)
        count = int(tf.convert_to_tensor(starts).shape[0])
        parts: list[Any] = [slice(None)] * value.shape.rank
        for place in range(count):
            axis = place if axes is None else int(axes[place])
            step = 1 if steps is None else int(steps[place])
            parts[axis] = slice(_bound(starts[place]), _bound(ends[place]), step)
        return value[tuple(parts)]

    return cut


def _bound(value: Any) -> Any:
    if isinstance(value, np.integer | int):
        return max(-_END, min(_END, int(value)))
    return tf.cast(value, tf.int32)


def _shape(attributes: Attributes) -> Made:
    start, end = attributes.get("start", 0), attributes.get("end")
    return lambda value: tf.shape(value, out_type=tf.int64)[start:end]


def _unsqueeze(_: Attributes) -> Made:
    def unsqueeze(value: Any, axes: Any) -> Any:
        for axis in sorted(int(axis) for axis in axes):
            value = tf.expand_dims(value, axis)
        return value

    return unsqueeze


def _top(attributes: Attributes) -> Made:
    largest = bool(attributes.get("largest", 1))

    def top(value: Any, count: Any) -> tuple[Any, Any]:
        signed = value if largest else -value
        values, places = tf.math.top_k(signed, tf.cast(tf.reshape(count, []), tf.int32))
        return (values if largest else -values), tf.cast(places, tf.int64)

    return top


def _unique(_: Attributes) -> Made:
    """In the order of first occurrence. Of the four outputs the second, first places, is asked for by nobody."""

    def unique(flat: Any) -> tuple[Any, None, Any]:
        values, places = tf.unique(flat, out_idx=tf.int64)
        return values, None, places

    return unique


def _softmax(attributes: Attributes) -> Made:
    return lambda value: tf.nn.softmax(value, axis=attributes.get("axis", -1))


def _gemm(attributes: Attributes) -> Made:
    def gemm(a: Any, b: Any, c: Any = None) -> Any:
        product = attributes.get("alpha", 1.0) * tf.matmul(
            a, b, transpose_a=bool(attributes.get("transA", 0)), transpose_b=bool(attributes.get("transB", 0))
        )
        return product if c is None else product + attributes.get("beta", 1.0) * c

    return gemm


NUMBERS: dict[str, Callable[[Attributes], Made]] = {
    "Add": _simple(tf.add), "Sub": _simple(tf.subtract), "Mul": _simple(tf.multiply), "Div": lambda _: _divide,
    "Mod": _simple(tf.math.floormod), "Pow": _simple(tf.pow), "Neg": _simple(tf.negative), "Abs": _simple(tf.abs),
    "Sign": _simple(tf.sign), "Floor": _simple(tf.floor), "Ceil": _simple(tf.math.ceil), "Round": _simple(tf.round),
    "Exp": _simple(tf.exp), "Log": _simple(tf.math.log), "Sqrt": _simple(tf.sqrt), "Sin": _simple(tf.sin),
    "Cos": _simple(tf.cos), "Tanh": _simple(tf.tanh), "Sigmoid": _simple(tf.sigmoid), "Relu": _simple(tf.nn.relu),
    "Erf": _simple(tf.math.erf), "Reciprocal": _simple(tf.math.reciprocal), "Softmax": _softmax,
    "Max": lambda _: lambda *inputs: reduce(tf.maximum, inputs),
    "Min": lambda _: lambda *inputs: reduce(tf.minimum, inputs),
    "IsNaN": _simple(tf.math.is_nan), "IsInf": _simple(tf.math.is_inf), "Not": _simple(tf.logical_not),
    "And": _simple(tf.logical_and), "Or": _simple(tf.logical_or), "Equal": _simple(tf.equal),
    "Less": _simple(tf.less), "LessOrEqual": _simple(tf.less_equal), "Greater": _simple(tf.greater),
    "GreaterOrEqual": _simple(tf.greater_equal), "Where": _simple(tf.where), "Clip": _clip,
    "MatMul": _simple(tf.matmul), "Gemm": _gemm, "ReduceSum": _reduced(tf.reduce_sum),
    "ReduceMax": _reduced(tf.reduce_max), "ReduceMean": _reduced(tf.reduce_mean),
    "Cast": _cast, "Concat": _concat, "Gather": _gather, "Reshape": _reshape, "Expand": _expand, "Slice": _slice,
    "Shape": _shape, "Unsqueeze": _unsqueeze, "TopK": _top, "Unique": _unique, "Identity": _simple(tf.identity),
    "Flatten": lambda _: lambda value: tf.reshape(value, [tf.shape(value)[0], -1]),
}  # fmt: skip
