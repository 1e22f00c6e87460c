"""The `train` section of the spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from headrace.artifacts.gains import Gains
from headrace.components.section import Section
from headrace.components.tune.spec import TuneSpec
from headrace.components.tune.spec import misfits as misfits_of_space
from headrace.trainer.images.names import SMALLEST_SIDE, Backbone
from headrace.trainer.parameters import (
    PARAMETERS,
    Calibration,
    Export,
    Flip,
    GbdtParameters,
    ImageParameters,
    LinearParameters,
    MixedPrecision,
    MlpParameters,
    ModuleParameters,
    Objective,
    Precision,
    Schedule,
    Training,
)

_GBDT = GbdtParameters()
_LINEAR = LinearParameters()
_MLP = MlpParameters()
_CNN = ImageParameters()


class GbdtSpec(Section):
    """Gradient-boosted trees (LightGBM). The defaults did well on eight tables of 180 to 20,000 rows."""

    learning_rate: float = Field(default=_GBDT.learning_rate, gt=0, le=1)
    """How much each tree adds."""
    num_leaves: int | None = Field(default=_GBDT.num_leaves, ge=2, le=4096)
    """Most leaves of a tree. By default 7 for hundreds of rows (31 where words are features), growing with their square
    root to 63."""
    min_child_samples: int | None = Field(default=_GBDT.min_child_samples, ge=1)
    """Fewest training rows in a leaf. By default a hundredth of the rows, from 5 to 20."""
    feature_fraction: float | None = Field(default=_GBDT.feature_fraction, gt=0, le=1)
    """Share of the features that each tree may use. By default 0.8, and all of them beside words."""
    bagging_fraction: float | None = Field(default=_GBDT.bagging_fraction, gt=0, le=1)
    """Share of the rows that each tree sees. By default 0.8, and all of them beside words."""
    lambda_l2: float = Field(default=_GBDT.lambda_l2, ge=0)
    """L2 penalty on the leaves' values."""
    n_estimators: int = Field(default=_GBDT.n_estimators, ge=1, le=20_000)
    """Most trees (per class); early stopping usually ends sooner."""
    early_stopping_rounds: int = Field(default=_GBDT.early_stopping_rounds, ge=1)
    """Stop when the eval split has not improved for so many trees."""
    monotone: dict[str, Literal[-1, 1]] = Field(default={})
    """Features in which the prediction may only rise (1) or only fall (-1), all else equal; of the positive class's
    probability, where there are classes. It holds for the feature: what is constructed from its column is another."""


class LinearSpec(Section):
    """A linear model (scikit-learn): logistic regression for classes, least squares for numbers, with a penalty."""

    alpha: float | None = Field(default=_LINEAR.alpha, gt=0)
    """The penalty's weight against the mean loss of a row. By default the one that does best on the eval split, of
    thirteen from 1 to 0.000001."""
    l1_ratio: float = Field(default=_LINEAR.l1_ratio, ge=0, le=1)
    """The penalty's kind: 0 shrinks all coefficients (ridge), 1 sets many to zero (lasso), between is both."""
    max_iter: int = Field(default=_LINEAR.max_iter, ge=1)
    """Most iterations of the solver, for each penalty that is tried."""


class MlpSpec(Section):
    """A neural network (Keras), wide and deep: categories embedded, numbers standardized and also seen in bins."""

    hidden_units: tuple[Annotated[int, Field(ge=1, le=8192)], ...] = Field(default=_MLP.hidden_units, max_length=16)
    """Units of each hidden layer, from the features to the answer."""
    dropout: float = Field(default=_MLP.dropout, ge=0, lt=1)
    """Share of each hidden layer's units that a training step leaves out."""
    embedding_size: int = Field(default=_MLP.embedding_size, ge=1, le=512)
    """How many numbers each value of a category becomes."""
    numeric_bins: int = Field(default=_MLP.numeric_bins, ge=0, le=256)
    """Bins of equally many rows in which a number is seen as well; 0 for none."""
    wide: bool = _MLP.wide
    """Whether a linear model of the same features is added to the deep one's answer."""
    learning_rate: float = Field(default=_MLP.learning_rate, gt=0, le=1)
    """The step of AdamW; halved whenever the eval split has not improved for a quarter of the epochs that end it."""
    weight_decay: float = Field(default=_MLP.weight_decay, ge=0)
    """How much AdamW shrinks weights, biases and embeddings excepted."""
    batch_size: int | None = Field(default=_MLP.batch_size, ge=1)
    """Rows of a step. By default 16 for hundreds of rows, growing with them to 1,024."""
    epochs: int = Field(default=_MLP.epochs, ge=1)
    """Most passes over the train split; early stopping usually ends sooner."""
    early_stopping_epochs: int = Field(default=_MLP.early_stopping_epochs, ge=1)
    """Stop when the eval split has not improved for so many epochs; the best epoch's weights are kept."""


class AugmentSpec(Section):
    """How far a picture is varied each time that training shows it; evaluation and the server vary nothing."""

    flip: Flip = _CNN.augment.flip
    """Which way a picture may be mirrored: `horizontal`, `vertical`, `both` or `none`, where a class has a hand."""
    rotate: float = Field(default=_CNN.augment.rotate, ge=0, le=180)
    """Most degrees to either side."""
    zoom: float = Field(default=_CNN.augment.zoom, ge=0, le=1)
    """Most by which a picture grows, as a share; it shrinks as far."""
    shift: float = Field(default=_CNN.augment.shift, ge=0, le=0.5)
    """Farthest shift, as a share of the height and the width."""
    brightness: float = Field(default=_CNN.augment.brightness, ge=0, le=1)
    """Most that all pixels become lighter or darker, as a share of the range."""
    contrast: float = Field(default=_CNN.augment.contrast, ge=0, lt=1)
    """Most that pixels move away from, or towards, the picture's mean, as a share of their distance."""


Side = Annotated[int, Field(ge=SMALLEST_SIDE, le=4096)]


class CnnSpec(Section):
    """A network for pictures (Keras): a small one, or a backbone of `keras.applications`, fresh or with weights."""

    backbone: Backbone = _CNN.backbone
    """`small`, for fine defects and few cores, or a network of `keras.applications`."""
    weights: str = Field(default=_CNN.weights, min_length=1)
    """What the backbone begins with: `none`, learning from scratch; `imagenet`, from Keras's own cache folder, which
    nothing is fetched into while a pipeline runs; or a file of weights (.weights.h5, .h5), relative to the spec."""
    weights_digest: str | None = None
    """Of that file. Compiling fills it in, so that other weights are other settings."""
    size: tuple[Side, Side] = _CNN.size
    """Height and width that the network sees. Pictures are resized to it, in the model's own graph."""
    head_epochs: int = Field(default=_CNN.head_epochs, ge=0)
    """Passes in which the head learns alone, where the backbone has weights."""
    epochs: int = Field(default=_CNN.epochs, ge=1)
    """Most passes in which all layers learn; early stopping may end sooner."""
    learning_rate: float = Field(default=_CNN.learning_rate, gt=0, le=1)
    """The step of AdamW: of all layers, or of the head where the backbone has weights."""
    fine_tune_rate: float = Field(default=_CNN.fine_tune_rate, gt=0, le=1)
    """The step of all layers where the backbone has weights: lower, so that what they know is not lost."""
    schedule: Schedule = _CNN.schedule
    """`cosine`: the step rises in the first twentieth, and falls to nearly nothing by the last epoch; or `constant`."""
    weight_decay: float = Field(default=_CNN.weight_decay, ge=0)
    """How much AdamW shrinks weights; biases and what normalizes batches excepted."""
    label_smoothing: float = Field(default=_CNN.label_smoothing, ge=0, lt=1)
    """Share of a label that is spread over all classes: some labels are wrong, and the network need not believe all."""
    dropout: float = Field(default=_CNN.dropout, ge=0, lt=1)
    """Share of the features before the head that a training step leaves out."""
    batch_size: int | None = Field(default=_CNN.batch_size, ge=1)
    """Pictures of a step. By default 16 with the backbone `small`, which needs steps rather than even ones, else 32."""
    early_stopping_epochs: int = Field(default=_CNN.early_stopping_epochs, ge=1)
    """Stop when the eval split has not improved for so many epochs; the best epoch's weights are kept."""
    mixed_precision: MixedPrecision = _CNN.mixed_precision
    """Whether most layers compute in 16 bits: `auto` where there is a GPU, in the form that it multiplies. What is
    exported computes in float32."""
    augment: AugmentSpec = AugmentSpec()
    """How pictures are varied while training."""


class ExportSpec(Section):
    """What a bundle holds beside its ONNX graphs: of networks, linear models, and modules of such operations."""

    saved_model: bool | None = None
    """Whether a SavedModel from raw columns is there, for TensorFlow Serving and Vertex AI's TensorFlow containers. By
    default where the model is a network."""
    tflite: tuple[Precision, ...] = ()
    """TensorFlow Lite files from features to the answer: `float32`, `float16`, `int8`. Their sizes and what they lose
    are on the card."""


def _names(value: Any) -> Any:
    """Classes as they are named: YAML reads a class `0` as a number."""
    if not isinstance(value, dict):
        return value
    return {str(name).lower() if isinstance(name, bool) else str(name): weight for name, weight in value.items()}


ClassWeights = Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(_names)]


class TrainSpec(Section):
    """Which model is trained, and how."""

    model: Literal["gbdt", "linear", "mlp", "cnn", "module"] = "gbdt"
    """The kind of model: `gbdt`, gradient-boosted trees; `linear`; `mlp`, a neural network; `cnn`, one of pictures;
    `module`, your own."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """The same seed, data and settings give the same model."""
    class_weight: Literal["balanced"] | ClassWeights | None = None
    """How much a row counts in training by its class: `balanced`, all classes the same in sum, or a weight for each,
    `{stays: 1, leaves: 5}`; a class that is not named has 1. Uncalibrated probabilities are shifted by it."""
    sample_weight: str | None = Field(default=None, min_length=1)
    """A column of numbers, 0 or more: how much a row counts in training. It is no feature."""
    calibrate: Calibration = "none"
    """How probabilities are mended, on the eval split: `sigmoid` (Platt), `isotonic`, `temperature`; or not at all."""
    threshold: Annotated[float, Field(ge=0, le=1)] | Objective = 0.5
    """From which probability on a row is predicted positive, where there are two classes: a number, or what is best on
    the eval split: `value`, the money that `evaluate.value` states; `f1`; or `youden`, recall plus specificity. It is
    part of the model: what is served decides by it."""
    gbdt: GbdtSpec = GbdtSpec()
    """Settings of the trees."""
    linear: LinearSpec = LinearSpec()
    """Settings of the linear model."""
    mlp: MlpSpec = MlpSpec()
    """Settings of the network."""
    cnn: CnnSpec = CnnSpec()
    """Settings of the network for pictures."""
    export: ExportSpec = ExportSpec()
    """What the bundle holds for TensorFlow."""
    module: str | None = Field(default=None, pattern=r"^[^:]+\.py$")
    """A file beside the spec with a function `fit(job)` that trains a model of your own: docs/models.md."""
    module_text: str | None = None
    """The module's text. Compiling fills it in, so that it trains wherever the pipeline runs."""
    parameters: dict[str, Any] = Field(default={})
    """What your own module finds in `job.parameters`."""
    tune: TuneSpec | None = None
    """Searches the model's parameters before it is trained: docs/tuning.md. By default they stay as they stand."""

    @model_validator(mode="before")
    @classmethod
    def _a_module_is_a_kind(cls, value: Any) -> Any:
        """`module: my_model.py` alone says which kind it is."""
        if isinstance(value, dict) and value.get("module") is not None and "model" not in value:
            return {**value, "model": "module"}
        return value

    @model_validator(mode="after")
    def _a_module_where_there_is_one(self) -> TrainSpec:
        if (self.model == "module") != (self.module is not None):
            received = "none" if self.module is None else f"`{self.module}` with model: {self.model}"
            raise ValueError(f"module: expected a file with model: module, and only with it. Received: {received}")
        if self.parameters and self.model != "module":
            raise ValueError(f"parameters: expected those of your own module. Received: some with model: {self.model}")
        return self

    @model_validator(mode="after")
    def _tensorflow_has_no_trees(self) -> TrainSpec:
        if self.model == "gbdt" and (self.export.saved_model or self.export.tflite):
            raise ValueError(
                "export: expected a model that TensorFlow can compute: linear, mlp or module. Received: model: gbdt"
            )
        return self

    @model_validator(mode="after")
    def _a_network_for_pictures_is_calibrated_by_its_temperature(self) -> TrainSpec:
        if self.model == "cnn" and self.calibrate not in ("none", "temperature"):
            raise ValueError(f"calibrate: expected none or temperature with model: cnn. Received: {self.calibrate}")
        return self

    @model_validator(mode="after")
    def _the_space_fits_the_model(self) -> TrainSpec:
        found = misfits_of_space(self.tune, self.section) if self.tune else {}
        if found:
            errors = [
                InitErrorDetails(
                    type=PydanticCustomError("value_error", "{error}", {"error": text}),
                    loc=("tune", "space", name) if name else ("tune", "space"),
                    input=self.tune,
                )
                for name, text in found.items()
            ]
            raise ValidationError.from_exception_data("TrainSpec", errors)
        return self

    @property
    def section(self) -> Section | None:
        """The parameters of the chosen kind as the file has them; None of one's own module, which has no section."""
        section: Section | None = None if self.model == "module" else getattr(self, self.model)
        return section

    def training(self, tuned: dict[str, Any] | None = None, gains: Gains | None = None) -> Training:
        """What the trainer is told.

        Args:
            tuned: parameters of this kind of model that overrule the section's own.
            gains: what decisions bring, for the threshold of most value.
        """
        saved_model = self.model in ("mlp", "cnn") if self.export.saved_model is None else self.export.saved_model
        return Training(
            self.model,
            self.parameters_of_kind(tuned),
            self.seed,
            self.class_weight,
            self.sample_weight,
            self.calibrate,
            Export(saved_model, self.export.tflite),
            self.threshold,
            gains if self.threshold == "value" else None,
        )

    def parameters_of_kind(self, tuned: dict[str, Any] | None = None) -> Any:
        """The parameters of the chosen kind, one of `trainer.parameters.PARAMETERS`."""
        if self.model == "module":
            return ModuleParameters(self.module or "", self.module_text or "", {**self.parameters, **(tuned or {})})
        section: Section = getattr(self, self.model)
        checked = type(section)(**{**section.model_dump(), **(tuned or {})})
        return PARAMETERS[self.model](**checked.model_dump())

    def misfits(self, task: str) -> dict[str, str]:
        """What does not go with a task, by the field's name."""
        if task == "classification":
            return {}
        received = f"a {task}"
        found = {}
        if self.class_weight is not None:
            found["class_weight"] = f"expected weights of classes only in a classification. Received: {received}"
        if self.calibrate != "none":
            found["calibrate"] = f"expected calibration only of a classification's probabilities. Received: {received}"
        if self.threshold != 0.5:
            found["threshold"] = f"expected a threshold only in a classification of two classes. Received: {received}"
        return found
