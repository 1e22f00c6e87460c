"""Writing an ONNX graph node by node: what the encoder, the expressions and the features' encodings share.

    graph = Graph("features/")
    doubled = graph.add("Mul", "matrix", graph.constant(2.0, np.float64))

Every graph of ours is of the operator sets below, so that graphs can be joined. ONNX Runtime's own operators
(`com.microsoft`: tokenizing and hashing, which ONNX lacks) are imported only where a graph has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20  # the first with StringSplit and StringConcat
ML_OPSET = 3
IR_VERSION = 9  # what opset 20 was released with: old runtimes can read it
ML, MICROSOFT = "ai.onnx.ml", "com.microsoft"
MATRIX, TEXTS, FEATURES = "matrix", "texts", "features"  # the tensors between encoder, features and model


class Graph:
    """Collects nodes and constants; every method adds what it says and returns its output's name.

    Equal nodes of equal inputs are one: whoever needs the words of a text asks for them, without asking who else did.

    Args:
        prefix: of all names, so that the graph can be merged with one of another prefix.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self._added: dict[bytes, list[str]] = {}
        self._constants: dict[tuple[str, tuple[int, ...], object], onnx.TensorProto] = {}

    @property
    def constants(self) -> list[onnx.TensorProto]:
        """The initializers; equal ones are one."""
        return list(self._constants.values())

    def add(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Adds a node of one output."""
        return self.add_many(op, *inputs, domain=domain, outputs=1, **attributes)[0]

    def add_many(self, op: str, *inputs: str, outputs: int, domain: str = "", **attributes: Any) -> list[str]:
        """Adds a node of several outputs; returns their names."""
        node = helper.make_node(op, inputs, [""] * outputs, domain=domain, **attributes)
        same = node.SerializeToString(deterministic=True)
        if same not in self._added:
            node.name = f"{self.prefix}{op}_{len(self.nodes)}"
            node.output[:] = [node.name, *(f"{node.name}_{place}" for place in range(1, outputs))]
            self.nodes.append(node)
            self._added[same] = list(node.output)
        return self._added[same]

    def constant(self, value: object, dtype: type) -> str:
        """A tensor of this value; `np.object_` makes one of strings."""
        array: np.ndarray[Any, Any] = np.asarray(value, dtype)
        content = tuple(array.ravel().tolist()) if dtype is np.object_ else array.tobytes()
        key = (array.dtype.char, array.shape, content)
        if key not in self._constants:
            name = f"{self.prefix}constant_{len(self._constants)}"
            self._constants[key] = numpy_helper.from_array(array, name)
        return self._constants[key].name

    def integer(self, value: int) -> str:
        """An int64 scalar."""
        return self.constant(value, np.int64)

    def column(self, tensor: str, place: int) -> str:
        """One column [N, 1] of a tensor [N, K]."""
        return self.add("Gather", tensor, self.constant([place], np.int64), axis=1)

    def to_double(self, tensor: str) -> str:
        """The same as float64."""
        return self.add("Cast", tensor, to=TensorProto.DOUBLE)

    def model(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> onnx.ModelProto:
        """The whole as a checked model; inputs and outputs are tensor value infos."""
        return model_of(helper.make_graph(self.nodes, name, inputs, outputs, self.constants))


def code_of(graph: Graph, texts: str, vocabulary: Sequence[str]) -> str:
    """A category's code [N, 1] float64: 1 + its place in the vocabulary, 0 unseen, NaN where missing ("")."""
    code = graph.add(
        "LabelEncoder",
        texts,
        domain=ML,
        keys_strings=["", *vocabulary],
        values_floats=[float("nan"), *(float(1 + place) for place in range(len(vocabulary)))],
        default_float=0.0,
    )
    return graph.to_double(code)


def encoded_inputs(width: int, texts: int) -> list[Any]:
    """The inputs of a graph behind the encoding: `matrix`, and `texts` where there are any."""
    matrix = helper.make_tensor_value_info(MATRIX, TensorProto.DOUBLE, ["N", width])
    return [matrix, *([helper.make_tensor_value_info(TEXTS, TensorProto.STRING, ["N", texts])] if texts else [])]


def model_of(graph: onnx.GraphProto) -> onnx.ModelProto:
    """A graph as a checked model of our operator sets."""
    model = helper.make_model(graph, opset_imports=opsets(graph.node), ir_version=IR_VERSION, producer_name="headrace")
    onnx.checker.check_model(model)
    return model


def opsets(nodes: Iterable[onnx.NodeProto]) -> list[Any]:
    """The operator sets of a graph with these nodes."""
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)]
    if any(node.domain == MICROSOFT for node in nodes):
        imports.append(helper.make_opsetid(MICROSOFT, 1))
    return imports
