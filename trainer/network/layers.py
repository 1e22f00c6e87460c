"""The network: features in, a linear (wide) and a deep answer added up, probabilities or a value out.

Wide and deep is of Cheng et al. 2016, "Wide & Deep Learning for Recommender Systems"; the bins, piecewise linear
encoding, of Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning". Only operations
that ONNX, TensorFlow Lite and TensorFlow Serving share are used: a missing value is told by `x != x`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from headrace.trainer.graph import FEATURES
from headrace.trainer.network.layout import Layout
from headrace.trainer.parameters import MlpParameters

FARTHEST = 10.0  # standard deviations at which a number is cut off: beyond, a network knows nothing
EMBEDDINGS = ("embedding", "wide_codes")  # the layers that hold a row for each value of each code


@dataclass(frozen=True)
class Network:
    """One network under two names, with the same weights.

    Attributes:
        logits: features [N, W] -> [N, C], [N, 1] of the positive class, or [N, 1] a value on the standardized scale.
        answers: features [N, W] -> probabilities [N, C], or a value [N, 1].
    """

    logits: Any
    answers: Any


def build(layout: Layout, width: int, classes: int, parameters: MlpParameters, mean: float, spread: float) -> Network:
    """Makes a network with fresh weights; `keras.utils.set_random_seed` decides them.

    Args:
        layout: the features.
        width: how many features there are.
        classes: of the label; 0 for a regression.
        parameters: the layers' sizes.
        mean, spread: of the label in training, for a regression.
    """
    outputs = 1 if classes in (0, 2) else classes
    features = keras.Input((width,), name=FEATURES, dtype="float32")
    parts, linear = [], []
    if len(layout.numbers):
        numbers, rest = _numbers(features, layout)
        parts += [numbers, *rest]
        if parameters.wide:
            linear.append(layers.Dense(outputs, use_bias=False, kernel_initializer="zeros", name="wide")(numbers))
    if len(layout.codes):
        rows = _rows(features, layout)
        table = int(layout.rows_of_codes[-1])
        embedded = layers.Embedding(table, parameters.embedding_size, embeddings_initializer="zeros",
                                    name=EMBEDDINGS[0])(rows)  # fmt: skip
        parts.append(layers.Flatten()(embedded))
        if parameters.wide:
            each = layers.Embedding(table, outputs, embeddings_initializer="zeros", name=EMBEDDINGS[1])(rows)
            linear.append(ops.sum(each, axis=1))
    deep = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
    for depth, units in enumerate(parameters.hidden_units):
        deep = layers.Dense(units, activation="relu", kernel_initializer="he_normal", name=f"hidden_{depth}")(deep)
        if parameters.dropout:
            deep = layers.Dropout(parameters.dropout, name=f"dropout_{depth}")(deep)
    logits = layers.Dense(outputs, name="deep")(deep)
    for answer in linear:
        logits = layers.Add()([logits, answer])
    return Network(keras.Model(features, logits), keras.Model(features, _answers(logits, classes, mean, spread)))


def _numbers(features: Any, layout: Layout) -> tuple[Any, list[Any]]:
    """The numbers standardized, 0 where missing, and what else is told of them: indicators, bins."""
    raw = ops.take(features, layout.numbers, axis=1)
    missing = ops.not_equal(raw, raw)
    known = ops.where(missing, layout.center, raw)
    standardized = ops.clip((known - layout.center) / layout.scale, -FARTHEST, FARTHEST)
    rest = []
    if len(layout.incomplete):
        rest.append(ops.cast(ops.take(missing, layout.incomplete, axis=1), "float32"))
    if len(layout.binned):
        low, span = layout.edges[:, :-1], np.diff(layout.edges, axis=1)
        slope = np.where(span > 1e-6, 1 / np.maximum(span, 1e-6), 0).astype(np.float32)
        values = ops.expand_dims(ops.take(standardized, layout.binned, axis=1), 2)
        bins = ops.clip((values - low) * slope, 0.0, 1.0)
        rest.append(ops.reshape(bins, (-1, low.size)))
    return standardized, rest


def _rows(features: Any, layout: Layout) -> Any:
    """Each code's row in the table of embeddings, [N, C]: unseen, the known values, missing."""
    raw = ops.take(features, layout.codes, axis=1)
    last = (layout.sizes + 1).astype(np.float32)
    code = ops.where(ops.not_equal(raw, raw), last, raw)
    code = ops.minimum(ops.maximum(code, np.float32(0)), last)
    return ops.cast(code, "int32") + layout.rows_of_codes[:-1].astype(np.int32)


def _answers(logits: Any, classes: int, mean: float, spread: float) -> Any:
    if classes == 0:
        return logits * np.float32(spread) + np.float32(mean)
    if classes == 2:
        positive = ops.sigmoid(logits)
        return layers.Concatenate()([1.0 - positive, positive])
    return ops.softmax(logits)


def settle_unseen(network: Network, layout: Layout, counts: np.ndarray) -> None:
    """Gives values of codes that training never saw the average answer: the mean row, weighted by how often each was.

    Args:
        network: a trained one.
        layout: its features.
        counts: how often training saw each row of the table of embeddings, (rows of the table,).
    """
    bounds = layout.rows_of_codes
    for layer in network.logits.layers:
        if layer.name not in EMBEDDINGS:
            continue
        (table,) = layer.get_weights()
        for start, stop in pairwise(bounds):
            seen = counts[start:stop]
            if seen.any():
                table[start:stop][seen == 0] = np.average(table[start:stop], axis=0, weights=seen)
        layer.set_weights([table])


def counts_of_codes(codes: np.ndarray, layout: Layout) -> np.ndarray:
    """How often codes, float32 (rows, C), name each row of the table of embeddings."""
    found = np.zeros(int(layout.rows_of_codes[-1]), np.int64)
    for place, (start, size) in enumerate(zip(layout.rows_of_codes[:-1], layout.sizes, strict=True)):
        column = np.where(np.isnan(codes[:, place]), size + 1, codes[:, place])
        column = np.clip(column, 0, size + 1).astype(np.int64)
        found[start : start + size + 2] += np.bincount(column, minlength=size + 2)
    return found
