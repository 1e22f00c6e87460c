"""Calibration as nodes of ONNX, behind a model's probabilities; in float64, as where it was fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from headrace.trainer.graph import IR_VERSION, Graph

RAW = "uncalibrated"


class OneMap(Protocol):
    """What is needed of `calibration.Map`."""

    @property
    def scale(self) -> float:
        """Of the log odds."""

    @property
    def shift(self) -> float:
        """Of the log odds, after the scale."""

    @property
    def knots(self) -> np.ndarray:
        """Rising log odds, (K,)."""

    @property
    def values(self) -> np.ndarray:
        """What they become, (K,)."""


def mended_graph(
    model: onnx.ModelProto, output: str, maps: Sequence[OneMap], temperature: float | None, sure: float
) -> onnx.ModelProto:
    """The model's graph with its probabilities mended; its output keeps its name."""
    inner = compose.add_prefix(model, "raw/", rename_inputs=False)
    width = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    outer = _mending(output, width, maps, temperature, sure)
    inner.ir_version = IR_VERSION
    joined = compose.merge_models(inner, outer, io_map=[(inner.graph.output[0].name, RAW)], name="calibrated")
    onnx.checker.check_model(joined)
    return joined


def _mending(
    output: str, width: int, maps: Sequence[OneMap], temperature: float | None, sure: float
) -> onnx.ModelProto:
    """`uncalibrated` float32 [N, C] -> `output` float32 [N, C]."""
    graph = Graph("calibrate/")
    raw = graph.add("Cast", RAW, to=TensorProto.DOUBLE)
    if temperature is not None:
        logs = graph.add("Log", graph.add("Clip", raw, _scalar(graph, sure), _scalar(graph, 1.0)))
        mended = graph.add("Softmax", graph.add("Div", logs, _scalar(graph, temperature)), axis=1)
    elif len(maps) == 1:
        positive = graph.add("Sigmoid", _mapped(graph, _log_odds(graph, graph.column(raw, 1), sure), maps[0]))
        mended = graph.add("Concat", graph.add("Sub", _scalar(graph, 1.0), positive), positive, axis=1)
    else:
        odds = _log_odds(graph, raw, sure)
        each = [graph.add("Sigmoid", _mapped(graph, graph.column(odds, place), map)) for place, map in enumerate(maps)]
        joined = graph.add("Concat", *each, axis=1)
        total = graph.add("ReduceSum", joined, graph.constant([1], np.int64), keepdims=1)
        mended = graph.add("Div", joined, total)
    graph.nodes.append(helper.make_node("Cast", [mended], [output], to=TensorProto.FLOAT))
    return graph.model(
        "calibrate",
        [helper.make_tensor_value_info(RAW, TensorProto.FLOAT, ["N", width])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["N", width])],
    )


def _scalar(graph: Graph, value: float) -> str:
    return graph.constant(value, np.float64)


def _log_odds(graph: Graph, probability: str, sure: float) -> str:
    clipped = graph.add("Clip", probability, _scalar(graph, sure), _scalar(graph, 1 - sure))
    rest = graph.add("Sub", _scalar(graph, 1.0), clipped)
    return graph.add("Sub", graph.add("Log", clipped), graph.add("Log", rest))


def _mapped(graph: Graph, odds: str, map: OneMap) -> str:
    """Odds [N, 1] -> odds [N, 1]. Straight pieces are a sum: the first value, and what each piece adds."""
    if not len(map.knots):
        return graph.add("Add", graph.add("Mul", odds, _scalar(graph, map.scale)), _scalar(graph, map.shift))
    if len(map.knots) == 1:
        return graph.add("Add", graph.add("Mul", odds, _scalar(graph, 0.0)), _scalar(graph, float(map.values[0])))
    lengths = np.diff(map.knots)
    beyond = graph.add("Sub", odds, graph.constant(map.knots[None, :-1], np.float64))  # [N, K - 1]
    within = graph.add("Max", beyond, _scalar(graph, 0.0))
    within = graph.add("Min", within, graph.constant(lengths[None], np.float64))
    rises = graph.add("MatMul", within, graph.constant((np.diff(map.values) / lengths)[:, None], np.float64))
    return graph.add("Add", rises, _scalar(graph, float(map.values[0])))
