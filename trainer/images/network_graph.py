"""A Keras network over pictures as a bundle's model.onnx: resizing, scaling and the network in one graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, version_converter

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Input
from headrace.trainer.graph import FEATURES, IR_VERSION, OPSET, Graph
from headrace.trainer.images.frozen import frozen
from headrace.trainer.images.resize import add_resize, picture_input
from headrace.trainer.network.keras_graph import in_order

_CONVERTER_OPSET = 15  # what tf2onnx writes best


def image_graph(network: Any, item: Input, output: str) -> onnx.ModelProto:
    """The whole: the input's name, uint8 [N, h, w, 3] of any size -> `output` float32 [N, C].

    Args:
        network: a Keras model, pixels float32 [N, height, width, 3], 0 to 255 -> [N, C].
        item: the signature's input.
        output: the output's name.

    Raises:
        HeadraceError: the network has an operation that ONNX's standard operators cannot say.
    """
    graph = Graph("pixels/")
    pixels = graph.add("Cast", add_resize(graph, item), to=TensorProto.FLOAT)
    shape: list[str | int] = ["N", item.height, item.width, 3]
    first = graph.model(
        "pixels", [picture_input(item)], [helper.make_tensor_value_info(pixels, TensorProto.FLOAT, shape)]
    )
    second = compose.add_prefix(_network_graph(network, item, output), "network/", rename_outputs=False)
    merged = compose.merge_models(first, second, io_map=[(pixels, second.graph.input[0].name)], name="model")
    onnx.checker.check_model(merged)
    return merged


def _network_graph(network: Any, item: Input, output: str) -> onnx.ModelProto:
    import tf2onnx

    function = frozen(network, item, compiled=False)
    converted, _ = tf2onnx.convert.from_graph_def(
        function.graph.as_graph_def(),
        input_names=[function.inputs[0].name],
        output_names=[function.outputs[0].name],
        opset=_CONVERTER_OPSET,
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    foreign = sorted({node.op_type for node in converted.graph.node if node.domain not in ("", "ai.onnx")})
    if foreign:
        raise HeadraceError(f"expected a network of standard operations. Received: {', '.join(foreign)}")
    columns = int(network.outputs[0].shape[1])
    graph = in_order(
        converted.graph,
        helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["N", item.height, item.width, 3]),
        helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", columns]),
    )
    opset = [helper.make_opsetid("", _CONVERTER_OPSET)]
    result = version_converter.convert_version(helper.make_model(graph, opset_imports=opset), OPSET)
    result.ir_version = IR_VERSION
    result.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return result


def _erfc(context: Any, node: Any, name: str, _: Any) -> Any:
    """1 - erf, which ONNX has; GELU is written with erfc."""
    given, made = node.input[0], node.output[0]
    shapes, types = [context.get_shape(made)], [context.get_dtype(made)]
    context.remove_node(name)
    erf = context.make_node("Erf", [given], shapes=shapes, dtypes=types).output[0]
    one = context.make_const(f"{name}/one", np.array(1, np.float32)).output[0]
    return context.make_node("Sub", [one, erf], outputs=[made], name=name, shapes=shapes, dtypes=types)
