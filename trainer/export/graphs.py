"""From a trained model to the two graphs of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, compose, helper

from headrace.artifacts.signature import Input
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.graph import FEATURES, IR_VERSION, ML_OPSET, OPSET, opsets

if TYPE_CHECKING:
    import lightgbm as lgb  # which only one kind of model needs


@dataclass(frozen=True)
class Graphs:
    """A model as graphs: from raw columns, and from the encoded matrix."""

    model: onnx.ModelProto
    matrix: onnx.ModelProto


def export(model: onnx.ModelProto, inputs: Sequence[Input], features: onnx.ModelProto) -> Graphs:
    """Builds the two graphs of a bundle.

    Args:
        model: from `features` to the outputs.
        inputs: the raw features.
        features: from `matrix` (and `texts`) to `features`: the transform's own.
    """
    matrix = behind(features, model)
    onnx.checker.check_model(matrix)
    return Graphs(model=merge(encoder_graph(inputs), matrix), matrix=matrix)


def tree_graph(booster: lgb.Booster, width: int, output: str) -> onnx.ModelProto:
    """The trees alone: `features` float32 [N, width] -> `probabilities` [N, C] or `value` [N, 1]."""
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    converted = convert_lightgbm(
        booster, initial_types=[(FEATURES, FloatTensorType([None, width]))], zipmap=False, target_opset=15
    )
    trees = next(node for node in converted.graph.node if node.op_type.startswith("TreeEnsemble"))
    # Around the trees the converter puts casts and identities for scikit-learn's sake; a server need not pay for them.
    node = onnx.NodeProto()
    node.CopyFrom(trees)
    node.input[:] = [FEATURES]
    node.output[:] = ["class_number", output] if node.op_type == "TreeEnsembleClassifier" else [output]
    columns = max(2, booster.num_model_per_iteration()) if output == "probabilities" else 1
    graph = helper.make_graph(
        [node],
        "trees",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", columns])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def behind(features: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """The features and the model as one graph from `matrix` (and `texts`)."""
    first = compose.add_prefix(features, "features/", rename_inputs=False)
    second = compose.add_prefix(model, "learned/", rename_outputs=False)
    io_map = [(first.graph.output[0].name, second.graph.input[0].name)]
    return compose.merge_models(_same_opsets(first), _same_opsets(second), io_map=io_map, name="model")


def _same_opsets(model: onnx.ModelProto) -> onnx.ModelProto:
    model.ir_version = IR_VERSION
    del model.opset_import[:]
    model.opset_import.extend(opsets(model.graph.node))
    return model
