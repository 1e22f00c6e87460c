"""A Keras model as ONNX, at the opset of our graphs."""

from __future__ import annotations

from typing import Any

import onnx
import tensorflow as tf
from onnx import TensorProto, helper, version_converter

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.graph import FEATURES, IR_VERSION, OPSET

_CONVERTER_OPSET = 15  # what tf2onnx writes best


def keras_graph(model: Any, output: str) -> onnx.ModelProto:
    """The graph of any Keras model with one input of rows and one output.

    Args:
        model: features float32 [N, W] -> [N, C].
        output: the output's name.

    Returns:
        `features` float32 [N, W] -> `output` float32 [N, C].

    Raises:
        HeadraceError: the model has an operation that ONNX's standard operators cannot say.
    """
    import tf2onnx

    width = int(model.inputs[0].shape[1])
    function = tf.function(lambda features: model(features, training=False))
    spec = (tf.TensorSpec((None, width), tf.float32, name=FEATURES),)
    converted, _ = tf2onnx.convert.from_function(function, spec, opset=_CONVERTER_OPSET)
    foreign = sorted({node.op_type for node in converted.graph.node if node.domain not in ("", "ai.onnx")})
    if foreign:
        raise HeadraceError(f"expected a network of standard operations. Received: {', '.join(foreign)}")
    columns = converted.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    # The converter's shapes name the number of rows in several ways: only ours are kept.
    graph = in_order(
        converted.graph,
        helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", width]),
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", columns]),
    )
    opset = [helper.make_opsetid("", _CONVERTER_OPSET)]
    result = version_converter.convert_version(helper.make_model(graph, opset_imports=opset), OPSET)
    result.ir_version = IR_VERSION
    onnx.checker.check_model(result)
    return result


def in_order(graph: onnx.GraphProto, features: onnx.ValueInfoProto, output: onnx.ValueInfoProto) -> onnx.GraphProto:
    """The same graph, with names and an order that follow from its structure: the converter's differ from run to run.

    Args:
        graph: of one input and one output, whose operators have no graphs inside.
        features, output: what its input and output are to be.
    """
    made = {name: node for node in graph.node for name in node.output}
    constants = {constant.name: constant for constant in graph.initializer}
    names = {graph.input[0].name: features.name, graph.output[0].name: output.name, "": ""}
    nodes: list[onnx.NodeProto] = []
    kept: list[onnx.TensorProto] = []
    todo = [graph.output[0].name]
    done: set[str] = set()
    while todo:  # each node after all that it needs
        name = todo[-1]
        node = made.get(name)
        needs = [need for need in node.input if need and need not in done] if node is not None else []
        if needs:
            todo += reversed(needs)
            continue
        todo.pop()
        if name in done:
            continue
        done.add(name)
        if node is not None:
            done.update(node.output)
            for place, made_here in enumerate(node.output):
                names.setdefault(made_here, f"{node.op_type}_{len(nodes)}" + (f"_{place}" if place else ""))
            nodes.append(_renamed(node, names))
        elif name in constants:
            names[name] = f"constant_{len(kept)}"
            kept.append(onnx.TensorProto())
            kept[-1].CopyFrom(constants[name])
            kept[-1].name = names[name]
    return helper.make_graph(nodes, "network", [features], [output], kept)


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    result = onnx.NodeProto(op_type=node.op_type, name=names[node.output[0]])
    if node.domain:
        result.domain = node.domain
    result.input[:] = [names[name] for name in node.input]
    result.output[:] = [names[name] for name in node.output]
    result.attribute.extend(sorted(node.attribute, key=lambda attribute: str(attribute.name)))
    return result
