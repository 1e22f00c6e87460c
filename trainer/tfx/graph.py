"""A model that TFX pushed, as the graphs of a bundle. Runs in the environment `main`.

The SavedModel's signature `encoded` (numbers and texts -> answer) holds TFT's own graph and the network. It is
converted as a whole: nothing of what was fitted is written down a second time. What stands around it is how our server
gives it its inputs, see `artifacts/signature.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.encoder_graph import at_opset, encoder_graph, merge
from headrace.trainer.export.graphs import Graphs
from headrace.trainer.graph import MATRIX, ML, Graph, opsets
from headrace.trainer.network.keras_graph import in_order
from headrace.trainer.tfx.plan import ENCODED, MISSING, NUMBERS, TEXTS, Plan, transformed

_OPSET = 17
_UNSEEN = "\ue001"  # stands for any text that is in no vocabulary: they all mean the same to the model


def export(saved: Path, plan: Plan, signature: Signature) -> Graphs:
    """The two graphs of a bundle.

    Raises:
        HeadraceError: the model has an operation that ONNX's standard operators cannot say.
    """
    network = converted(saved)
    matrix = _behind_matrix(network, plan, signature)
    return Graphs(model=merge(encoder_graph(signature.inputs), matrix), matrix=matrix)


def vocabulary(saved: Path, place: int) -> tuple[str, ...]:
    """The values of a category that TFT has found, as it wrote them beside the model; without the missing one."""
    file = saved / "assets" / transformed("category", place)
    if not file.exists():
        raise HeadraceError(f"{saved}: expected the vocabulary {file.name} in its assets. Received: none")
    return tuple(line for line in file.read_text(encoding="utf-8").splitlines() if line and line != MISSING)


def converted(saved: Path) -> onnx.ModelProto:
    """The signature `encoded` as ONNX: numbers float64 [N, K], and texts string [N, T] -> float32 [N, C].

    Raises:
        HeadraceError: it has an operation that ONNX's standard operators cannot say.
    """
    from tf2onnx import tf_loader
    from tf2onnx.convert import _convert_common

    with _quiet():
        graph, inputs, outputs, tables, rename = tf_loader.from_saved_model(
            str(saved),
            None,
            None,
            tag="serve",
            signatures=[ENCODED],
            return_initialized_tables=True,
            return_tensors_to_rename=True,
        )
        model, _ = _convert_common(
            graph,
            name="tfx",
            opset=_OPSET,
            input_names=inputs,
            output_names=outputs,
            initialized_tables=tables,
            tensors_to_rename=rename,
        )
    for node in model.graph.node:
        if node.op_type == "CategoryMapper":
            node.CopyFrom(_mapper(node))
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain not in ("", ML)})
    if foreign:
        raise HeadraceError(f"{saved}: expected a model of standard operations. Received: {', '.join(foreign)}")
    return at_opset(model)


def _behind_matrix(network: onnx.ModelProto, plan: Plan, signature: Signature) -> onnx.ModelProto:
    """`matrix` float64 [N, F] -> the answers of a bundle: numbers as they are, codes as their texts."""
    graph = Graph("decode/")
    numbers = [place for place, _ in plan.of_kind("number")]
    given: dict[str, str] = {}
    if numbers:
        given[NUMBERS] = graph.add("Gather", MATRIX, graph.constant(numbers, np.int64), axis=1)
    texts = [_text(graph, place, signature.inputs[place]) for place, _ in plan.of_kind("category")]
    if texts:
        given[TEXTS] = graph.add("Concat", *texts, axis=1) if len(texts) > 1 else texts[0]
    inside = compose.add_prefix(network, "tfx/")
    wanted = {item.name.removeprefix("tfx/").removesuffix(":0"): item.name for item in inside.graph.input}
    before = [helper.make_node("Identity", [given[name]], [tensor]) for name, tensor in wanted.items()]
    after = Graph("answer/")
    last = inside.graph.output[0].name
    if len(signature.classes) == 2:  # the network answers the positive class's probability alone
        rest = after.add("Sub", after.constant(1.0, np.float32), last)
        pair = (rest, last) if plan.classes.index(str(plan.positive)) == 1 else (last, rest)
        last = after.add("Concat", *pair, axis=1)
    width = max(1, len(signature.classes))
    nodes = [*graph.nodes, *before, *inside.graph.node, *after.nodes]
    nodes.append(helper.make_node("Identity", [last], [signature.output]))
    given_to = helper.make_tensor_value_info(MATRIX, TensorProto.DOUBLE, ["N", len(signature.inputs)])
    gives = helper.make_tensor_value_info(signature.output, TensorProto.FLOAT, ["N", width])
    constants = [*graph.constants, *inside.graph.initializer, *after.constants]
    whole = helper.make_graph(nodes, "tfx", [given_to], [gives], constants)
    whole = in_order(whole, given_to, gives)  # the converter's names differ from time to time
    return at_opset(helper.make_model(whole, opset_imports=opsets(whole.node)))


def _text(graph: Graph, place: int, item: Input) -> str:
    """A category's cell [N, 1] as its text: codes are 1 + the place in the vocabulary, 0 unseen, NaN missing."""
    cell = graph.column(MATRIX, place)
    missing = graph.add("IsNaN", cell)
    code = graph.add("Where", missing, graph.constant(-1.0, np.float64), cell)
    return graph.add(
        "LabelEncoder",
        graph.add("Cast", code, to=TensorProto.INT64),
        domain=ML,
        keys_int64s=[-1, *range(1, 1 + len(item.vocabulary))],
        values_strings=[MISSING, *item.vocabulary],
        default_string=_UNSEEN,
    )


def _mapper(node: onnx.NodeProto) -> onnx.NodeProto:
    """The converter's mapping of texts to numbers as the newer operation, which takes more than one form of both."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    pairs = sorted(zip(given["cats_int64s"], given["cats_strings"], strict=True))  # TensorFlow has them in no order
    return helper.make_node(
        "LabelEncoder",
        node.input,
        node.output,
        name=node.name,
        domain=ML,
        keys_strings=[text for _, text in pairs],
        values_int64s=[number for number, _ in pairs],
        default_int64=given.get("default_int64", -1),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """What the converter says of its progress is nobody's business; its errors are raised."""
    loggers: list[Any] = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel("ERROR")
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
