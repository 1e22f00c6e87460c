"""A Keras network for pictures, trained: from rows to a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import keras
import numpy as np

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.calibration import fitted_temperature
from headrace.trainer.images.backbones import HEAD, Network, build, load_backbone
from headrace.trainer.images.backend import policy, precision, reproducible
from headrace.trainer.images.descent import ImageJob, descend
from headrace.trainer.loss import loss
from headrace.trainer.model import Rows
from headrace.trainer.parameters import Calibration

BATCH = 32  # pictures that are answered at once


@dataclass(frozen=True)
class Cnn:
    """A trained network for pictures.

    Attributes:
        network: its Keras models, in float32.
        classes: how many.
        curve: split -> log loss after each epoch.
        accuracy: on the eval split after each epoch.
        rounds: the epoch whose weights it has.
        parameters: every setting, and what it was trained on.
        images_per_second: that it learned from, of train; evaluation in between counts as time.
    """

    network: Network
    classes: int
    curve: dict[str, list[float]] = field(repr=False)
    accuracy: list[float] = field(repr=False)
    rounds: int
    parameters: dict[str, Any]
    images_per_second: float
    kind: str = "cnn"
    metric: str = "log_loss"

    def predict(self, pictures: np.ndarray) -> np.ndarray:
        """Keras's own probabilities, float64 (rows, classes), of uint8 [N, H, W, 3]."""
        return np.asarray(self.network.answers.predict(pictures, batch_size=BATCH, verbose=0), np.float64)


def fit(job: ImageJob) -> Cnn:
    """Trains a network; the same seed, data and settings on the same kind of machine give the same one.

    Raises:
        HeadraceError: the backbone is not known, or its weights are not there.
    """
    job = replace(job, parameters=job.parameters.decided())
    reproducible(job.seed)
    name = policy(job.parameters.mixed_precision)
    with precision(name):
        network = build(job.parameters, job.classes)
        load_backbone(network, job.parameters)
    started = time.perf_counter()
    epochs: list[int] = []
    progress = descend(network, replace(job, on_round=_also(epochs, job.on_round)))
    rate = len(epochs) * len(job.train.labels) / (time.perf_counter() - started)
    exact = exact_network(network, job) if name != "float32" else network
    settings = {**asdict(job.parameters), "precision": name, "backend": keras.backend.backend(),
                "weights_in_network": int(network.logits.count_params())}  # fmt: skip
    curve = {split: progress.curves[split] for split in ("train", "eval")}
    accuracy = progress.curves["eval accuracy"]
    return Cnn(exact, job.classes, curve, accuracy, progress.best_epoch, settings, rate)


def _also(epochs: list[int], told: Callable[[int, float], None] | None) -> Callable[[int, float], None]:
    """Notes the epochs that were made here: a training that went on has made some elsewhere."""

    def note(epoch: int, value: float) -> None:
        epochs.append(epoch)
        if told is not None:
            told(epoch, value)

    return note


def exact_network(network: Network, job: ImageJob) -> Network:
    """The same network in float32: what is exported."""
    with precision("float32"):
        exact = build(job.parameters, job.classes)
    exact.logits.set_weights(network.logits.get_weights())
    return exact


def calibrate(model: Cnn, method: Calibration, answers: np.ndarray, rows: Rows) -> Cnn:
    """Divides the network's last layer by the temperature that suits the eval split: the graph stays as it is.

    Args:
        model: its network's weights are changed.
        method: `temperature`, or `none`.
        answers: its probabilities (rows, classes) on the eval split.
        rows: the eval split's labels, with the rows' own weights.

    Raises:
        HeadraceError: another method was asked for.
    """
    if method == "none":
        return model
    if method != "temperature":
        raise HeadraceError(f"train.calibrate: expected none or temperature with model: cnn. Received: {method}")
    temperature = fitted_temperature(answers, rows)
    head = model.network.answers.get_layer(HEAD)
    head.set_weights([weights / temperature for weights in head.get_weights()])
    mended = answers ** (1 / temperature)
    mended /= mended.sum(axis=1, keepdims=True)
    values = {"before": loss(answers, rows.labels, rows.weights, model.classes),
              "after": loss(mended, rows.labels, rows.weights, model.classes)}  # fmt: skip
    record = {
        "method": method,
        "eval_log_loss": {name: float(f"{value:.10g}") for name, value in values.items()},
        "temperature": temperature,
    }
    return replace(model, parameters={**model.parameters, "calibration": record})
