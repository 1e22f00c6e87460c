"""A Keras network for tables: codes embedded, numbers standardized and binned, a wide and a deep part."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf

from headrace.trainer.model import Features, Job, Rows
from headrace.trainer.network.descent import descend
from headrace.trainer.network.keras_graph import keras_graph
from headrace.trainer.network.layers import Network, build, counts_of_codes, settle_unseen
from headrace.trainer.network.layout import Layout, dense, fit_layout
from headrace.trainer.parameters import MlpParameters
from headrace.trainer.threads import tensorflow_threads

BATCH_ROWS = 16_384  # rows that are answered at once
_THREADS = 2  # TensorFlow's sums come out the same with one or two, and otherwise with more


@dataclass(frozen=True)
class Mlp:
    """A trained network (a `headrace.trainer.model.Model`)."""

    network: Any  # a Keras model, features [N, W] -> probabilities [N, C] or value [N, 1]
    classes: int
    metric: str
    curve: dict[str, list[float]] = field(repr=False)
    rounds: int
    parameters: dict[str, Any]
    kind: str = "mlp"
    tolerance: float = 2e-5  # float32 sums of some hundred products, in another order

    def predict(self, features: Features) -> np.ndarray:
        """Keras's own answer."""
        parts = [
            np.asarray(self.network(dense(features[start : start + BATCH_ROWS]), training=False), np.float64)
            for start in range(0, features.shape[0], BATCH_ROWS)
        ]
        return np.concatenate(parts) if parts else np.empty((0, max(1, self.classes)))

    def graph(self, output: str) -> onnx.ModelProto:
        """The network as ONNX."""
        return keras_graph(self.network, output)

    def importance(self) -> np.ndarray | None:
        """A network cannot tell; evaluation shuffles the features instead."""
        return None

    def thresholds(self) -> dict[int, np.ndarray]:
        """A network's answer does not jump."""
        return {}


def fit(job: Job) -> Mlp:
    """Trains on the train split until the eval split has not improved for a while."""
    parameters: MlpParameters = job.parameters.for_rows(job.train.features.shape[0])
    _reproducible(job.seed)
    counted = slice(None) if job.train.weights is None else job.train.weights > 0
    layout = fit_layout(job.train.features[counted], job.features, parameters.numeric_bins, job.seed)
    mean, spread = _scale(job.train) if job.classes == 0 else (0.0, 1.0)
    network = build(layout, len(job.features), job.classes, parameters, mean, spread)
    progress = descend(network.logits, _standardized(job, mean, spread), parameters, _loss(job.classes))
    _settle(network, layout, job)
    root = job.classes == 0
    curve = {
        split: [spread * float(np.sqrt(value)) if root else value for value in values]
        for split, values in (("train", progress.train_curve), ("eval", progress.eval_curve))
    }
    metric = "rmse" if root else "log_loss"
    return Mlp(network.answers, job.classes, metric, curve, progress.best_epoch, asdict(parameters))


def _reproducible(seed: int) -> None:
    """The same seed gives the same weights, and float32 is float32 on every device."""
    keras.utils.set_random_seed(seed)
    tensorflow_threads(min(_THREADS, int(os.environ.get("OMP_NUM_THREADS", 0)) or _THREADS))
    tf.config.experimental.enable_op_determinism()
    tf.config.experimental.enable_tensor_float_32_execution(False)  # of 10 bits: the graph would answer otherwise


def _scale(rows: Rows) -> tuple[float, float]:
    """The labels' mean and standard deviation, by the rows' weights; 1 where they do not vary."""
    mean = float(np.average(rows.labels, weights=rows.weights))
    return mean, float(np.sqrt(np.average((rows.labels - mean) ** 2, weights=rows.weights))) or 1.0


def _standardized(job: Job, mean: float, spread: float) -> Job:
    """The same training, with a regression's labels of mean 0 and standard deviation 1."""
    told = job.on_round
    if job.classes:
        return job

    def rescaled(epoch: int, value: float) -> None:
        if told is not None:
            told(epoch, spread * float(np.sqrt(value)))

    return replace(
        job,
        train=replace(job.train, labels=(job.train.labels - mean) / spread),
        evaluation=replace(job.evaluation, labels=(job.evaluation.labels - mean) / spread),
        on_round=rescaled,
    )


def _loss(classes: int) -> Callable[[Any, Any], Any]:
    """(labels (n,), logits [n, C]) -> the loss of each row: log loss, or the squared error."""
    if classes == 0:
        return lambda labels, logits: tf.square(logits[:, 0] - labels)
    if classes == 2:
        return lambda labels, logits: tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(labels, tf.float32), logits[:, 0])
    return lambda labels, logits: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _settle(network: Network, layout: Layout, job: Job) -> None:
    if len(layout.codes):
        codes = dense(job.train.features[:, layout.codes])
        settle_unseen(network, layout, counts_of_codes(codes, layout))
