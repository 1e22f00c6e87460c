"""Training by gradient descent in one or two stages, with a checkpoint after each epoch.

Where the backbone has weights, its head learns first, alone: a fresh head's first gradients would spoil what is there.
Then all layers learn at a lower rate. The order of the pictures follows from the seed and the epoch's number, and all
else that changes is in the checkpoint: a training that was killed and goes on gives the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from headrace.trainer.checkpoints import read_arrays, write_arrays
from headrace.trainer.images.augment import Augmentation
from headrace.trainer.images.backbones import Network
from headrace.trainer.images.batches import Batches, Labelled
from headrace.trainer.loss import loss
from headrace.trainer.parameters import ImageParameters, Schedule

STATE = "network.npz"
WARM_UP = 0.05  # of the steps, in which the rate rises from nothing
LEAST_RATE = 0.01  # of the rate, at the end of a cosine


@dataclass(frozen=True)
class ImageJob:
    """One training on pictures.

    Attributes:
        train, evaluation: what is learned from, and what says when to stop.
        classes: how many.
        parameters: of the network and its training.
        seed: of everything random.
        checkpoints: a folder that outlives a killed process; None where there is none.
        on_round: called after each epoch with its number, from 1, and the eval split's log loss.
    """

    train: Labelled
    evaluation: Labelled
    classes: int
    parameters: ImageParameters
    seed: int = 0
    checkpoints: Path | None = None
    on_round: Callable[[int, float], None] | None = None


@dataclass(frozen=True)
class Stage:
    """A part of the training: which layers learn, how long, how fast."""

    epochs: int
    rate: float
    schedule: Schedule
    whole: bool  # the backbone too


@dataclass
class Progress:
    """What an epoch leaves to the next; `weights` are those of the best epoch."""

    epoch: int = 0
    best_epoch: int = 0
    best: float = math.inf
    curves: dict[str, list[float]] = field(default_factory=lambda: {"train": [], "eval": [], "eval accuracy": []})
    weights: list[np.ndarray] = field(default_factory=list)


def stages(parameters: ImageParameters) -> list[Stage]:
    """Head and all of a backbone with weights; all at once of a fresh one."""
    if parameters.weights == "none":
        return [Stage(parameters.epochs, parameters.learning_rate, parameters.schedule, whole=True)]
    head = Stage(parameters.head_epochs, parameters.learning_rate, "constant", whole=False)
    tuned = Stage(parameters.epochs, parameters.fine_tune_rate, parameters.schedule, whole=True)
    return [stage for stage in (head, tuned) if stage.epochs]


def descend(network: Network, job: ImageJob) -> Progress:
    """Trains until the eval split has not improved for a while, and leaves the network with its best weights.

    Returns:
        the curves: log loss of train, as it was met while learning, and of eval; accuracy on eval.
    """
    parameters = job.parameters
    model = _varied(network, job)
    progress, saved = _resumed(job.checkpoints, model)
    first = 0
    for stage in stages(parameters):
        last = first + stage.epochs
        if progress.epoch < last:
            _compile(model, network, stage, job)
            if progress.epoch > first:  # the checkpoint is of this stage
                _assign(model.optimizer.variables, saved)
            while progress.epoch < last and not (stage.whole and _over(progress, first, parameters)):
                _epoch(model, network, job, progress)
                _save(job.checkpoints, progress, model)
                if job.on_round is not None:
                    job.on_round(progress.epoch, progress.curves["eval"][-1])
        first = last
    network.logits.set_weights(progress.weights)
    return progress


def logits_of(model: Any, rows: Labelled, size: int) -> np.ndarray:
    """The network's answers before the softmax, float64 (rows, classes)."""
    return np.asarray(model.predict(Batches(rows, np.arange(len(rows.labels)), size), verbose=0), np.float64)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax, float64 (rows, classes)."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _varied(network: Network, job: ImageJob) -> Any:
    """The network behind the augmentation: what is trained."""
    pixels = keras.Input((*job.parameters.size, 3), dtype="float32")
    return keras.Model(pixels, network.logits(Augmentation(job.parameters.augment, job.seed)(pixels)))


def _compile(model: Any, network: Network, stage: Stage, job: ImageJob) -> None:
    parameters = job.parameters
    network.backbone.trainable = stage.whole
    steps = stage.epochs * Batches(job.train, np.arange(len(job.train.labels)), _batch(job), 1).num_batches
    optimizer = keras.optimizers.AdamW(_rate(stage, steps), weight_decay=parameters.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    on_jax = keras.backend.backend() == "jax"
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=parameters.label_smoothing),
        weighted_metrics=[keras.metrics.CategoricalCrossentropy(name="log_loss", from_logits=True)],
        jit_compile="auto" if on_jax else False,  # TensorFlow's XLA cannot turn pictures, and is slower on a CPU
    )
    model.optimizer.build(model.trainable_variables)


def _rate(stage: Stage, steps: int) -> Any:
    if stage.schedule == "constant":
        return stage.rate
    warm_up = math.ceil(WARM_UP * steps)
    return keras.optimizers.schedules.CosineDecay(0.0, max(1, steps - warm_up), alpha=LEAST_RATE,
                                                  warmup_target=stage.rate, warmup_steps=warm_up)  # fmt: skip


def _epoch(model: Any, network: Network, job: ImageJob, progress: Progress) -> None:
    order = np.random.default_rng([job.seed, progress.epoch]).permutation(len(job.train.labels))
    batches = Batches(job.train, order, _batch(job), job.classes)
    # Keras shuffles batches, which are shuffled already; and the order must be the seed's.
    history = model.fit(batches, epochs=1, shuffle=False, verbose=0).history
    answers = probabilities(logits_of(network.logits, job.evaluation, _batch(job)))
    evaluation, weights = job.evaluation.labels, job.evaluation.weights
    value = loss(answers, evaluation, weights, job.classes)
    progress.epoch += 1
    progress.curves["train"].append(float(history["log_loss"][0]))
    progress.curves["eval"].append(value)
    progress.curves["eval accuracy"].append(float(np.average(answers.argmax(axis=1) == evaluation, weights=weights)))
    if value < progress.best:
        progress.best, progress.best_epoch = value, progress.epoch
        progress.weights = network.logits.get_weights()


def _batch(job: ImageJob) -> int:
    return job.parameters.decided().batch_size or 1


def _over(progress: Progress, first: int, parameters: ImageParameters) -> bool:
    return progress.epoch - max(first, progress.best_epoch) >= parameters.early_stopping_epochs


def _save(folder: Path | None, progress: Progress, model: Any) -> None:
    if folder is None:
        return
    numbers = np.array([progress.epoch, progress.best_epoch, progress.best], np.float64)
    arrays = {"progress": numbers, **{f"curve {name}": np.array(values) for name, values in progress.curves.items()}}
    for name, variables in (("model", model.variables), ("optimizer", model.optimizer.variables)):
        arrays |= {f"{name}{place}": keras.ops.convert_to_numpy(value) for place, value in enumerate(variables)}
    arrays |= {f"best{place}": weights for place, weights in enumerate(progress.weights)}
    write_arrays(folder / STATE, arrays)


def _resumed(folder: Path | None, model: Any) -> tuple[Progress, list[np.ndarray]]:
    """Puts the model where a checkpoint left it, if there is one; gives the progress and the optimizer's state."""
    arrays = None if folder is None else read_arrays(folder / STATE)
    if arrays is None:
        return Progress(), []
    _assign(model.variables, _numbered(arrays, "model"))
    epoch, best_epoch, best = arrays["progress"].tolist()
    curves = {name: arrays[f"curve {name}"].tolist() for name in Progress().curves}
    print(f"training goes on after epoch {int(epoch)}, from its checkpoint")
    progress = Progress(int(epoch), int(best_epoch), best, curves, _numbered(arrays, "best"))
    return progress, _numbered(arrays, "optimizer")


def _numbered(arrays: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    count = sum(key.startswith(name) and key.removeprefix(name).isdigit() for key in arrays)
    return [arrays[f"{name}{place}"] for place in range(count)]


def _assign(variables: Any, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
