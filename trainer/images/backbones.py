"""Builds a network for pictures: a backbone by name, with weights or without, and a head."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import file_digest
from headrace.trainer.checkpoints import mounted
from headrace.trainer.images.names import APPLICATIONS, BACKBONES, SMALL
from headrace.trainer.images.small import small_features, small_pooled
from headrace.trainer.parameters import ImageParameters

_MEAN = (103.939, 116.779, 123.68)  # of ImageNet's blue, green and red: what Caffe's networks were trained with
HEAD = "head"


@dataclass(frozen=True)
class Network:
    """One network under three names, with the same weights.

    Attributes:
        backbone: pixel values [N, H, W, 3], of 0 to 255 -> features [N, h, w, c].
        logits: pixel values -> [N, C].
        answers: pixel values -> probabilities [N, C].
    """

    backbone: Any
    logits: Any
    answers: Any


def build(parameters: ImageParameters, classes: int) -> Network:
    """Makes a network with fresh weights, under Keras's policy of precision; `load_backbone` gives it known ones."""
    pixels = keras.Input((*parameters.size, 3), dtype="float32", name="pixels")
    backbone = _backbone(parameters)
    # Known weights come with the means and variances of what they were learned from, which few pictures would spoil.
    features = backbone(pixels, training=False) if parameters.weights != "none" else backbone(pixels)
    pooled = small_pooled(features) if parameters.backbone == SMALL else layers.GlobalAveragePooling2D()(features)
    if parameters.dropout:
        pooled = layers.Dropout(parameters.dropout)(pooled)
    logits = layers.Dense(classes, dtype="float32", name=HEAD)(pooled)
    return Network(backbone, keras.Model(pixels, logits), keras.Model(pixels, ops.softmax(logits)))


def _backbone(parameters: ImageParameters) -> Any:
    name, shape = parameters.backbone, (*parameters.size, 3)
    if name not in BACKBONES:
        raise HeadraceError(f"train.cnn.backbone: expected one of {', '.join(BACKBONES)}. Received: {name}")
    pixels = keras.Input(shape, dtype="float32")
    if name == SMALL:
        return keras.Model(pixels, small_features(pixels), name=name)
    application = APPLICATIONS[name]
    body = getattr(keras.applications, application.function)(include_top=False, weights=None, input_shape=shape)
    return keras.Model(pixels, body(_caffe(pixels) if application.caffe else pixels), name=name)


def _caffe(pixels: Any) -> Any:
    channels = [pixels[..., place : place + 1] - mean for place, mean in zip((2, 1, 0), _MEAN, strict=True)]
    return ops.concatenate(channels, axis=-1)


def load_backbone(network: Network, parameters: ImageParameters) -> None:
    """Gives the backbone the weights that `weights` names; nothing is fetched from a network.

    A file is what `Model.save_weights` wrote of `Network.backbone` (.weights.h5), or, of `keras.applications`, what
    Keras publishes (.h5, without the head).

    Raises:
        HeadraceError: there is no such file, or it holds the weights of something else.
    """
    if parameters.weights == "none":
        return
    file = _file(parameters)
    target = network.backbone
    if parameters.backbone != SMALL and not file.name.endswith(".weights.h5"):
        target = target.layers[-1]  # without what is around it here
    try:
        target.load_weights(file)
    except (ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise HeadraceError(
            f"train.cnn.weights: expected weights of {parameters.backbone} in {file}. Received: {reason}"
        ) from None


def _file(parameters: ImageParameters) -> Path:
    if parameters.weights != "imagenet":
        file = Path(mounted(parameters.weights))
        if not file.is_file():
            raise HeadraceError(f"train.cnn.weights: expected none, imagenet, or a file. Received: {file}, not a file")
        if parameters.weights_digest is not None and file_digest(file) != parameters.weights_digest:
            raise HeadraceError(
                f"{file}: expected the weights that the spec was compiled with, {parameters.weights_digest[:12]}... "
                "Received: other content; compile it again"
            )
        return file
    if parameters.backbone == SMALL:
        raise HeadraceError(
            f"train.cnn.weights: expected none or a file with backbone: {SMALL}, of which nobody publishes weights. "
            "Received: imagenet"
        )
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    file = home / "models" / APPLICATIONS[parameters.backbone].weights
    if not file.is_file():
        raise HeadraceError(
            f"train.cnn.weights: expected ImageNet's weights of {parameters.backbone} at {file}; they are not fetched "
            "while a pipeline runs: put them there, or name another file. Received: no such file"
        )
    return file
