"""Training by gradient descent: epochs, early stopping, and a checkpoint after each epoch.

Everything random follows from the seed and the epoch's number, and everything that changes is in the checkpoint: a
training that was killed and goes on gives the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from headrace.trainer.checkpoints import read_arrays, write_arrays
from headrace.trainer.model import Job, Rows
from headrace.trainer.network.layout import dense
from headrace.trainer.parameters import MlpParameters

AT_ONCE = 64  # batches that are made dense together
CELLS = 1 << 24  # and at most so many cells of them: 64 MiB
HALVED_AFTER = 4  # epochs without improvement, as a divisor of those that end the training
STATE = "network.npz"


@dataclass
class Progress:
    """What an epoch leaves to the next; `weights` are those of the best epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf
    train_curve: list[float] = field(default_factory=list)
    eval_curve: list[float] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)


def descend(logits: Any, job: Job, parameters: MlpParameters, loss: Callable[[Any, Any], Any]) -> Progress:
    """Trains until the eval split has not improved for a while, and leaves the model with its best weights.

    Args:
        logits: a Keras model, features [N, W] -> logits; its weights are where training begins.
        job: rows, labels as `loss` takes them, seed, checkpoints.
        parameters: with the batch size decided.
        loss: (labels (n,), logits [n, C]) -> the loss of each row, (n,).

    Returns:
        the curves, as mean losses, and the best epoch.
    """
    optimizer = keras.optimizers.AdamW(parameters.learning_rate, weight_decay=parameters.weight_decay, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "embeddings"])
    optimizer.build(logits.trainable_variables)
    state = [*logits.variables, *optimizer.variables]
    progress = _resumed(job.checkpoints, state)
    train = _trainer(logits, optimizer, loss, parameters.batch_size or 1)
    measure = _measurer(logits, loss)
    while progress.epoch < parameters.epochs and not _over(progress, parameters):
        order = np.random.default_rng([job.seed, progress.epoch]).permutation(job.train.features.shape[0])
        progress.epoch += 1
        progress.train_curve.append(_mean(train, job.train, order, parameters.batch_size or 1))
        value = _mean(measure, job.evaluation, np.arange(job.evaluation.features.shape[0]), 256)
        progress.eval_curve.append(value)
        if value < progress.best:
            progress.best, progress.best_epoch = value, progress.epoch
            progress.weights = [variable.numpy() for variable in logits.variables]
        elif (progress.epoch - progress.best_epoch) % _patience(parameters) == 0:
            optimizer.learning_rate.assign(optimizer.learning_rate / 2)
        _save(job.checkpoints, progress, state)
        if job.on_round is not None:
            job.on_round(progress.epoch, value)
    for variable, weights in zip(logits.variables, progress.weights, strict=True):
        variable.assign(weights)
    return progress


def _over(progress: Progress, parameters: MlpParameters) -> bool:
    return progress.epoch - progress.best_epoch >= parameters.early_stopping_epochs


def _patience(parameters: MlpParameters) -> int:
    return max(1, parameters.early_stopping_epochs // HALVED_AFTER)


def _trainer(logits: Any, optimizer: Any, loss: Callable[[Any, Any], Any], batch: int) -> Callable[..., Any]:
    """One pass over some rows, batch by batch, inside one graph: a call per batch would cost more than the batch."""

    def train(features: Any, labels: Any, weights: Any) -> Any:
        total = tf.constant(0.0)
        for start in tf.range(0, tf.shape(features)[0], batch):
            part = slice(start, start + batch)
            with tf.GradientTape() as tape:
                each = loss(labels[part], logits(features[part], training=True)) * weights[part]
                mean = tf.reduce_mean(each)
            gradients = tape.gradient(mean, logits.trainable_variables)
            optimizer.apply(gradients, logits.trainable_variables)
            total += tf.reduce_sum(each)
        return total

    compiled: Callable[..., Any] = tf.function(train, reduce_retracing=True)
    return compiled


def _measurer(logits: Any, loss: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def measure(features: Any, labels: Any, weights: Any) -> Any:
        return tf.reduce_sum(loss(labels, logits(features, training=False)) * weights)

    compiled: Callable[..., Any] = tf.function(measure, reduce_retracing=True)
    return compiled


def _mean(total: Callable[..., Any], rows: Rows, order: np.ndarray, batch: int) -> float:
    """The weighted mean loss over rows in an order, some batches at a time."""
    width = max(1, rows.features.shape[1])
    at_once = batch * max(1, min(AT_ONCE, CELLS // (width * batch)))
    weights = np.ones(len(rows.labels)) if rows.weights is None else rows.weights
    summed = 0.0
    for start in range(0, len(order), at_once):
        part = order[start : start + at_once]
        labels = rows.labels[part]
        labels = labels.astype(np.float32) if labels.dtype.kind == "f" else labels
        summed += float(total(dense(rows.features[part]), labels, weights[part].astype(np.float32)))
    return summed / float(weights.sum())


def _save(folder: Path | None, progress: Progress, state: list[Any]) -> None:
    if folder is None:
        return
    numbers = np.array([progress.epoch, progress.best_epoch, progress.best], np.float64)
    arrays = {"progress": numbers, "train": np.array(progress.train_curve), "eval": np.array(progress.eval_curve)}
    arrays |= {f"state{place}": variable.numpy() for place, variable in enumerate(state)}
    arrays |= {f"best{place}": weights for place, weights in enumerate(progress.weights)}
    write_arrays(folder / STATE, arrays)


def _resumed(folder: Path | None, state: list[Any]) -> Progress:
    """Goes on from a checkpoint, if there is one that fits; the folder's name says what it is a checkpoint of."""
    arrays = None if folder is None else read_arrays(folder / STATE)
    if arrays is None:
        return Progress()
    for place, variable in enumerate(state):
        variable.assign(arrays[f"state{place}"])
    epoch, best_epoch, best = arrays["progress"].tolist()
    best_weights = [arrays[f"best{place}"] for place in range(sum(name.startswith("best") for name in arrays))]
    curves = arrays["train"].tolist(), arrays["eval"].tolist()
    return Progress(int(epoch), int(best_epoch), best, *curves, best_weights)
