"""Models that were trained elsewhere, as models of ours: scikit-learn's, LightGBM's, Keras's, and any ONNX graph."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, compose, helper

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import open_graph
from headrace.trainer.encoder_graph import at_opset
from headrace.trainer.graph import FEATURES, ML, ML_OPSET, OPSET, Graph
from headrace.trainer.loss import loss, metric_name
from headrace.trainer.model import Features, Job, Model, dense

TOLERANCE = 1e-4  # a graph of scikit-learn's computes in float32 what it computes in float64
_TRIED = 16  # rows that a converted graph is tried on at once; what it answers is the parity's affair
_ROWS = 16_384  # that are answered at once
_ACCEPTED = "a scikit-learn estimator, a LightGBM or Keras model, an onnx.ModelProto or a headrace.trainer.model.Model"

Answer = Callable[[Features], np.ndarray]


@dataclass(frozen=True)
class Own:
    """A user's own model (a `headrace.trainer.model.Model`)."""

    answer: Answer
    proto: onnx.ModelProto = field(repr=False)
    classes: int
    metric: str
    parameters: dict[str, Any]
    tolerance: float
    file: str
    curve: dict[str, list[float]] = field(default_factory=dict, repr=False)
    rounds: int = 1
    share: np.ndarray | None = None
    kind: str = "module"

    def predict(self, features: Features) -> np.ndarray:
        """The model's own answer, checked.

        Raises:
            HeadraceError: it fails for these rows, or its answer is none: another shape, not finite, no probabilities.
        """
        columns = max(1, self.classes)
        try:
            parts = [self.answer(features[at : at + _ROWS]) for at in range(0, features.shape[0], _ROWS)]
        except ValueError as error:
            raise HeadraceError(
                f"{self.file}: expected a model that answers whatever comes: missing values too, which a server gets "
                f"one day (an imputer before it will do). Received: {error}"
            ) from error
        answers = np.concatenate(parts).astype(np.float64) if parts else np.empty((0, columns))
        if answers.shape != (features.shape[0], columns):
            raise HeadraceError(
                f"{self.file}: expected answers of the shape {(features.shape[0], columns)}. Received: {answers.shape}"
            )
        if not np.isfinite(answers).all():
            place = int(np.argmin(np.isfinite(answers).all(axis=1)))
            raise HeadraceError(
                f"{self.file}: expected finite answers. Received: {answers[place]} for {_row(features, place)}"
            )
        if self.classes and (answers.min(initial=0) < -1e-6 or np.abs(answers.sum(axis=1) - 1).max(initial=0) > 1e-3):
            place = int(np.argmax(np.abs(answers.sum(axis=1) - 1)))
            raise HeadraceError(
                f"{self.file}: expected probabilities of the {columns} classes, that add up to 1. "
                f"Received: {answers[place]}"
            )
        return answers

    def graph(self, output: str) -> onnx.ModelProto:
        """The model as ONNX."""
        assert output == self.proto.graph.output[0].name
        return self.proto

    def importance(self) -> np.ndarray | None:
        """What the model itself says, if it does."""
        return self.share

    def thresholds(self) -> dict[int, np.ndarray]:
        """Those of trees that read the features as they come."""
        return tree_thresholds(self.proto)


def own_model(returned: Any, job: Job, parameters: dict[str, Any], tolerance: float | None, file: str) -> Own:
    """Wraps what a user's `fit` returned, and measures it.

    Raises:
        HeadraceError: it is no model, or one of other classes or another number of features.
    """
    made = _convert(returned, job, file)
    output = "probabilities" if job.classes else "value"
    try:
        graph = made.graph(output)  # now: what has no graph must fail as the user's own error, not in the export
        tried = {FEATURES: dense(job.evaluation.features[:_TRIED])}
        open_graph(graph.SerializeToString()).run(None, tried)  # some converters make what does not run
    except HeadraceError:
        raise
    except Exception as error:
        raise HeadraceError(
            f"{file}: expected a model that can be put into ONNX. Received: {type(returned).__name__}, which cannot: "
            f"{type(error).__name__}: {error}"
        ) from error
    given = {name: getattr(returned, name) for name in ("parameters", "curve", "rounds") if _is_ours(returned)}
    own = Own(
        answer=made.answer,
        proto=graph,
        classes=job.classes,
        metric=metric_name(job.classes),
        parameters={**parameters, **given.get("parameters", {})},
        tolerance=tolerance or made.tolerance,
        file=file,
        share=made.share,
    )
    if given.get("curve", {}).get("eval") and returned.metric == own.metric:
        return replace(own, curve=dict(given["curve"]), rounds=int(given["rounds"]))
    splits = {"train": job.train, "eval": job.evaluation}
    measured = {
        split: [loss(own.predict(rows.features), rows.labels, rows.weights, job.classes)]
        for split, rows in splits.items()
    }
    return replace(own, curve=measured)


@dataclass(frozen=True)
class _Made:
    answer: Answer
    graph: Callable[[str], onnx.ModelProto]
    tolerance: float = TOLERANCE
    share: np.ndarray | None = None


def _convert(returned: Any, job: Job, file: str) -> _Made:
    if isinstance(returned, onnx.ModelProto):
        return _from_graph(returned, job, file)
    if _is_ours(returned):
        model: Model = returned
        return _Made(model.predict, model.graph, model.tolerance, model.importance())
    if "lightgbm" in sys.modules and (trees := _trees(returned, job)) is not None:
        return _Made(trees.predict, trees.graph, trees.tolerance, trees.importance())
    if "keras" in sys.modules and isinstance(returned, sys.modules["keras"].Model):
        return _from_keras(returned, job, file)
    if "sklearn" in sys.modules and isinstance(returned, sys.modules["sklearn.base"].BaseEstimator):
        return _from_sklearn(returned, job, file)
    raise HeadraceError(f"{file}: expected fit(job) to return {_ACCEPTED}. Received: {type(returned).__name__}")


def _is_ours(returned: Any) -> bool:
    wanted = ("metric", "curve", "rounds", "parameters", "tolerance", "predict", "graph", "importance", "thresholds")
    return all(hasattr(returned, name) for name in wanted)


def _trees(returned: Any, job: Job) -> Any:
    """LightGBM's own model as our trees, hardened; None where it is something else."""
    import lightgbm as lgb

    from headrace.trainer.models.gbdt import Trees, harden

    booster = returned.booster_ if isinstance(returned, lgb.LGBMModel) else returned
    if not isinstance(booster, lgb.Booster):
        return None
    best = booster.best_iteration if booster.best_iteration > 0 else booster.current_iteration()
    return Trees(harden(booster, best), len(job.features), job.classes, metric_name(job.classes), {}, best, {})


def _from_keras(model: Any, job: Job, file: str) -> _Made:
    """A network of one input, the features, and one output: a value, probabilities, or the positive class's alone."""
    # By its name in a text: a warm worker does not import TensorFlow for a module that has nothing to do with it.
    keras_graph = import_module("headrace.trainer.network.keras_graph").keras_graph

    if len(model.inputs) != 1 or len(model.outputs) != 1 or model.inputs[0].shape[1:] != (len(job.features),):
        raise HeadraceError(
            f"{file}: expected a Keras model of one input [N, {len(job.features)}] and one output. "
            f"Received: inputs {[tuple(each.shape) for each in model.inputs]}, {len(model.outputs)} outputs"
        )

    def answer(features: Features) -> np.ndarray:
        return _both(np.asarray(model(dense(features), training=False)), job.classes)

    return _Made(answer, lambda output: _fitted(keras_graph(model, output), output, job, file))


def _from_sklearn(model: Any, job: Job, file: str) -> _Made:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    _floor_thresholds(model)
    columns = [("features", FloatTensorType([None, len(job.features)]))]
    if job.classes:
        if not hasattr(model, "predict_proba"):
            raise HeadraceError(
                f"{file}: expected a classifier with predict_proba (CalibratedClassifierCV gives one to any). "
                f"Received: {type(model).__name__}"
            )
        if list(model.classes_) != list(range(job.classes)):
            raise HeadraceError(
                f"{file}: expected a classifier of the classes 0 to {job.classes - 1}, as job.train.labels has them. "
                f"Received: {', '.join(map(str, model.classes_))}"
            )
    options: Mapping[Any, Any] = {id(model): {"zipmap": False}} if job.classes else {}

    def graph(output: str) -> onnx.ModelProto:
        converted = to_onnx(model, initial_types=columns, options=options, target_opset={"": OPSET, ML: ML_OPSET})
        return _fitted(converted, output, job, file)

    def answer(features: Features) -> np.ndarray:
        if job.classes:
            return np.asarray(model.predict_proba(features))
        return np.asarray(model.predict(features), np.float64).reshape(features.shape[0], -1)

    share = np.asarray(getattr(model, "feature_importances_", ()), np.float64)
    told = share.shape == (len(job.features),) and share.sum() > 0 and (share >= 0).all()
    return _Made(answer, graph, share=share / share.sum() if told else None)


def _floor_thresholds(model: Any) -> None:
    """Makes the thresholds of histogram-boosted trees float32, wherever in the model they are.

    The converter rounds them to the nearest float32, which may lie above: a row on the threshold would go the other
    way. For float32 rows the greatest float32 that is not greater means the same; of scikit-learn's other trees the
    converter knows.
    """
    from headrace.trainer.models.gbdt import floor_float32

    for predictors in getattr(model, "_predictors", ()):
        for predictor in predictors:
            predictor.nodes["num_threshold"] = floor_float32(predictor.nodes["num_threshold"])
    inner: list[Any] = []
    for name in ("steps", "estimators_", "best_estimator_", "final_estimator_", "calibrated_classifiers_", "estimator"):
        found = getattr(model, name, None)
        parts = found if isinstance(found, list) else found.ravel() if isinstance(found, np.ndarray) else [found]
        inner += [part[1] if isinstance(part, tuple) else part for part in parts]  # of a pipeline: (name, step)
    for part in inner:
        if hasattr(part, "get_params") or hasattr(part, "calibrators"):
            _floor_thresholds(part)


def _from_graph(model: onnx.ModelProto, job: Job, file: str) -> _Made:
    output = "probabilities" if job.classes else "value"
    session = open_graph(_fitted(model, output, job, file).SerializeToString())

    def answer(features: Features) -> np.ndarray:
        return np.asarray(session.run(None, {FEATURES: dense(features)})[0])

    return _Made(answer, lambda name: _fitted(model, name, job, file))


def _fitted(model: onnx.ModelProto, output: str, job: Job, file: str) -> onnx.ModelProto:
    """A graph of somebody else's as ours: `features` [N, W] -> `output` [N, C], of our operator sets.

    Raises:
        HeadraceError: it has another number of inputs, no such output, or operators that are too new.
    """
    if len(model.graph.input) != 1:
        names = [item.name for item in model.graph.input]
        raise HeadraceError(f"{file}: expected a graph of one input, the features. Received: {names}")
    model = at_opset(model)
    given, taken = model.graph.input[0].name, _output(model, job, file)
    wanted = max(1, job.classes)
    if len(model.graph.output) > 1:  # a label beside the probabilities, say: what makes it alone is left out
        model = onnx.utils.Extractor(model).extract_model([given], [taken])
    result = compose.add_prefix(model, "own/")  # whatever its names are, none of them is ours
    given, taken = f"own/{given}", f"own/{taken}"
    graph = Graph("answer/")
    nodes = list(result.graph.node)
    before = [helper.make_node("Identity", [FEATURES], [given])]
    width = _columns(model.graph.output[0])
    last = taken
    if job.classes == 2 and width == 1:  # the positive class's probability alone
        last = graph.add("Concat", graph.add("Sub", graph.constant(1.0, np.float32), taken), taken, axis=1)
    if width is None:  # a value for each row, without saying that it is a column
        last = graph.add("Reshape", last, graph.constant([-1, wanted], np.int64))
    graph.nodes.append(helper.make_node("Identity", [last], [output]))
    del result.graph.node[:], result.graph.input[:], result.graph.output[:]
    result.graph.node.extend([*before, *nodes, *graph.nodes])
    result.graph.initializer.extend(graph.constants)
    result.graph.input.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", len(job.features)]))
    result.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", wanted]))
    onnx.checker.check_model(result)
    return result


def _output(model: onnx.ModelProto, job: Job, file: str) -> str:
    """The name of the output that holds the answers: the only one of floating numbers."""
    floats = [item.name for item in model.graph.output if item.type.tensor_type.elem_type == TensorProto.FLOAT]
    named = [name for name in floats if name in ("probabilities", "value")]
    if len(floats) == 1 or len(named) == 1:
        return str((named or floats)[0])
    what = f"probabilities float32 [N, {job.classes}]" if job.classes else "value float32 [N, 1]"
    raise HeadraceError(f"{file}: expected a graph with one output, {what}. Received: {floats or 'none of float32'}")


def _columns(output: onnx.ValueInfoProto) -> int | None:
    """How many columns an output says that it has; None where it does not say, or is no table."""
    shape = output.type.tensor_type.shape.dim
    return shape[1].dim_value or None if len(shape) == 2 else None


def tree_thresholds(model: onnx.ModelProto) -> dict[int, np.ndarray]:
    """Feature's position -> the thresholds, float32, of trees that read `features` themselves."""
    same = {FEATURES}
    found: dict[int, list[np.ndarray]] = {}
    for node in model.graph.node:
        if node.op_type in ("Identity", "Cast") and node.input[0] in same:
            same.add(node.output[0])
        if not node.op_type.startswith("TreeEnsemble") or node.input[0] not in same:
            continue
        attributes: dict[str, AttributeProto] = {item.name: item for item in node.attribute}
        features = np.array(attributes["nodes_featureids"].ints)
        values = np.array(attributes["nodes_values"].floats, np.float32)
        split = np.array([mode != b"LEAF" for mode in attributes["nodes_modes"].strings])
        for place in np.unique(features[split]):
            found.setdefault(int(place), []).append(values[split & (features == place)])
    return {place: np.unique(np.concatenate(values)) for place, values in found.items()}


def _both(answers: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities of both classes, where a network gives the positive one's alone."""
    if classes == 2 and answers.shape[1:] == (1,):
        return np.column_stack([1 - answers, answers])
    return answers


def _row(features: Features, place: int) -> list[float]:
    return [float(value) for value in np.ravel(dense(features[place : place + 1]))[:20]]
