"""What training is told; light to import, so that a spec can be checked without the learners."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from headrace.artifacts.gains import Gains
from headrace.trainer.images.names import Backbone

Calibration = Literal["none", "sigmoid", "isotonic", "temperature"]
Precision = Literal["float32", "float16", "int8"]
Flip = Literal["none", "horizontal", "vertical", "both"]
MixedPrecision = Literal["auto", "none", "bfloat16", "float16"]
Schedule = Literal["cosine", "constant"]
Objective = Literal["value", "f1", "youden"]


@dataclass(frozen=True)
class GbdtParameters:
    """What a boosting run is told; the names are LightGBM's."""

    learning_rate: float = 0.05
    num_leaves: int | None = None  # None: by the number of rows
    min_child_samples: int | None = None  # None: by the number of rows
    feature_fraction: float | None = None  # None: 0.8, and 1 beside words
    bagging_fraction: float | None = None  # likewise
    lambda_l2: float = 1.0
    n_estimators: int = 2000
    early_stopping_rounds: int = 50
    monotone: Mapping[str, int] = field(default_factory=dict)  # feature -> 1 rising, -1 falling

    def for_rows(self, rows: int, sparse: bool = False) -> GbdtParameters:
        """The same parameters, with what goes by the training rows decided.

        Args:
            rows: how many they are.
            sparse: they are words, mostly zeros. What tells is then in few rows and few features each: trees that
                see a share of them miss it, and only deep ones find which words go together.
        """
        leaves = min(63, max(31 if sparse else 7, int(math.sqrt(rows) / 7)))
        share = 1.0 if sparse else 0.8
        return replace(
            self,
            num_leaves=self.num_leaves or leaves,
            min_child_samples=self.min_child_samples or min(20, max(5, rows // 100)),
            feature_fraction=self.feature_fraction or share,
            bagging_fraction=self.bagging_fraction or share,
        )


@dataclass(frozen=True)
class LinearParameters:
    """What a linear model is told; `alpha` and `l1_ratio` are scikit-learn's names."""

    alpha: float | None = None  # penalty on the mean loss of a row; None: the best on the eval split
    l1_ratio: float = 0.0  # 0 ridge, 1 lasso
    max_iter: int = 300  # of the solver, for each penalty that is tried


@dataclass(frozen=True)
class MlpParameters:
    """What a neural network is told."""

    hidden_units: tuple[int, ...] = (128, 64)
    dropout: float = 0.3
    embedding_size: int = 4
    numeric_bins: int = 16
    wide: bool = True
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int | None = None  # None: by the number of rows
    epochs: int = 200
    early_stopping_epochs: int = 16

    def for_rows(self, rows: int, sparse: bool = False) -> MlpParameters:
        """The same parameters, with what goes by the number of training rows decided."""
        by_rows = 1 << min(10, max(4, round(math.log2(max(rows, 1) / 100))))
        return replace(self, batch_size=self.batch_size or by_rows)


@dataclass(frozen=True)
class Augment:
    """How far a picture is varied each time that training shows it; what is drawn is uniform within."""

    flip: Flip = "horizontal"
    rotate: float = 10.0  # degrees to either side
    zoom: float = 0.1  # to 1 / (1 + zoom) and 1 + zoom of its size
    shift: float = 0.05  # of its height and width
    brightness: float = 0.1  # of the range of values
    contrast: float = 0.1  # factor of 1 - contrast to 1 + contrast about the picture's mean


@dataclass(frozen=True)
class ImageParameters:
    """What a network for pictures is told."""

    backbone: Backbone = "small"
    weights: str = "none"  # none, imagenet, or a file of the backbone's weights
    weights_digest: str | None = None  # of that file; None where it is not to be checked
    size: tuple[int, int] = (224, 224)  # height, width that the network sees
    head_epochs: int = 3  # of the head alone, where the backbone has weights
    epochs: int = 30
    learning_rate: float = 1.5e-3
    fine_tune_rate: float = 1e-4  # of all layers, where the backbone has weights
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    dropout: float = 0.1
    batch_size: int | None = None  # None: by the backbone
    early_stopping_epochs: int = 8
    schedule: Schedule = "cosine"
    mixed_precision: MixedPrecision = "auto"
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        if isinstance(self.augment, Mapping):  # as a section of the spec has it
            object.__setattr__(self, "augment", Augment(**self.augment))
        object.__setattr__(self, "size", tuple(self.size))

    def decided(self) -> ImageParameters:
        """The same parameters, with what goes by the backbone decided."""
        return replace(self, batch_size=self.batch_size or (16 if self.backbone == "small" else 32))


@dataclass(frozen=True)
class ModuleParameters:
    """A user's own module: its text, and what the spec says to it."""

    file: str = ""
    text: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


PARAMETERS: dict[str, type[Any]] = {
    "gbdt": GbdtParameters,
    "linear": LinearParameters,
    "mlp": MlpParameters,
    "cnn": ImageParameters,
    "module": ModuleParameters,
}


@dataclass(frozen=True)
class Export:
    """What a bundle holds beside the ONNX graphs: a SavedModel of TensorFlow, files of TensorFlow Lite."""

    saved_model: bool = False
    tflite: tuple[Precision, ...] = ()


@dataclass(frozen=True)
class Training:
    """How a model is trained: what a learner, and what is around it, is told.

    Attributes:
        kind: of model, one of `PARAMETERS`.
        parameters: of that kind.
        seed: of everything random.
        class_weight: how much a row counts by its class: `balanced`, every class the same in sum, or class -> weight.
        sample_weight: the column that says how much a row counts.
        calibrate: how probabilities are mended on the eval split.
        export: what the bundle holds beside the ONNX graphs.
        threshold: from which probability on a row is predicted positive, of two classes; or what chooses it on eval.
        gains: what decisions bring, for the threshold of most value.
    """

    kind: str = "gbdt"
    parameters: Any = field(default_factory=GbdtParameters)
    seed: int = 0
    class_weight: Literal["balanced"] | Mapping[str, float] | None = None
    sample_weight: str | None = None
    calibrate: Calibration = "none"
    export: Export = field(default_factory=Export)
    threshold: float | Objective = 0.5
    gains: Gains | None = None
