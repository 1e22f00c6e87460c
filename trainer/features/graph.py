"""The features' graph under construction: encodings add their nodes, and fitting runs it as far as it has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from headrace.trainer.graph import Graph, model_of


class FeatureGraph(Graph):
    """A graph from the encoded inputs, with what blocks of columns need."""

    def __init__(self) -> None:
        super().__init__("feature_")

    def numbers(self, values: Any) -> str:
        """A constant of float64."""
        return self.constant(values, np.float64)

    def integers(self, values: Sequence[int] | np.ndarray) -> str:
        """A constant of int64."""
        return self.constant(values, np.int64)

    def columns(self, tensor: str, places: Sequence[int], width: int) -> str:
        """Some columns of a tensor [N, width]; the tensor itself where they are all of them in their order."""
        if list(places) == list(range(width)):
            return tensor
        return self.add("Gather", tensor, self.integers(places), axis=1)

    def beside(self, tensors: Sequence[str]) -> str:
        """Tensors [N, ...] beside each other."""
        return tensors[0] if len(tensors) == 1 else self.add("Concat", *tensors, axis=1)

    def part(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> onnx.ModelProto:
        """The graph from these inputs to these outputs, tensor value infos: with only the nodes that they need."""
        wanted = {output.name for output in outputs}
        needed: list[onnx.NodeProto] = []
        for node in reversed(self.nodes):  # a node stands behind those that it reads
            if wanted.intersection(node.output):
                needed.append(node)
                wanted.update(node.input)
        constants = [tensor for tensor in self.constants if tensor.name in wanted]
        return model_of(helper.make_graph(needed[::-1], "features", list(inputs), list(outputs), constants))
