"""The encoding of raw features as an ONNX graph, and its marriage with the model's own graph.

The rules are those of `artifacts/signature.py`. All numbers and booleans go through one `Sub` and one `Cast`,
all dates through one parser, so that the graph stays small however many columns there are.

Dates are parsed inside the graph, which can only split strings: every split is fed a padding that guarantees
its number of pieces. A string that is no date of `DATE_PATTERN` fails the whole call: it never counts
as missing.

Texts are not encoded: they leave the encoder as they are, beside the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, version_converter

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import DATE_PATTERN, Input, text_inputs
from headrace.trainer.graph import IR_VERSION, MATRIX, ML_OPSET, OPSET, TEXTS, Graph, code_of, opsets

_PREFIX = "encode/"
_MODEL_PREFIX = "model/"


class _Graph(Graph):
    """With what reading dates needs."""

    def piece(self, text: str, delimiter: str, index: int, padding: int) -> str:
        """The piece of each string at `index`, empty where there are fewer."""
        padded = self.add("StringConcat", text, self.constant(delimiter * padding, np.object_))
        pieces = self.add_many("StringSplit", padded, outputs=2, delimiter=delimiter)[0]
        return self.add("Gather", pieces, self.integer(index), axis=-1)

    def whole(self, digits: str) -> str:
        """Digits, or nothing, as int64."""
        return self.add("Cast", self.leading_zero(digits), to=TensorProto.INT64)

    def leading_zero(self, digits: str) -> str:
        """The same number, but 0 for an empty string."""
        return self.add("StringConcat", self.constant("0", np.object_), digits)


def encoder_graph(inputs: Sequence[Input]) -> onnx.ModelProto:
    """Builds the graph from raw features to the model's matrix.

    Inputs: a tensor [N, 1] per feature, by its name: double for number and boolean, string for the others.
    Outputs: `matrix`, float64 [N, F], columns in the order of `inputs`; and where T of them are texts, `texts`,
    string [N, T].
    """
    graph = _Graph(_PREFIX)
    order: list[int] = []  # the feature behind each column of `parts`, left to right
    parts: list[str] = []
    numeric = [i for i, item in enumerate(inputs) if item.type in ("number", "boolean")]
    dates = [i for i, item in enumerate(inputs) if item.type == "date"]
    for group, encode in ((numeric, _numbers), (dates, _dates)):
        if group:
            names = [inputs[i].name for i in group]
            joined = graph.add("Concat", *names, axis=1)
            parts.append(encode(graph, joined, [inputs[i].offset for i in group]))
            order += group
    for i, item in enumerate(inputs):
        if item.type == "category":
            parts.append(code_of(graph, item.name, item.vocabulary))
            order.append(i)
    outputs = [helper.make_tensor_value_info(_output(MATRIX, inputs), TensorProto.DOUBLE, ["N", len(inputs)])]
    if texts := text_inputs(inputs):
        joined = _output(TEXTS, inputs)
        graph.nodes.append(helper.make_node("Concat", [inputs[i].name for i in texts], [joined], axis=1))
        outputs.append(helper.make_tensor_value_info(joined, TensorProto.STRING, ["N", len(texts)]))
        parts.append(_presence(graph, joined))
        order += texts
    columns = graph.add("Concat", *parts, axis=1)
    places = graph.constant(np.argsort(order), np.int64)
    matrix = helper.make_node("Gather", [columns, places], [outputs[0].name], name=f"{_PREFIX}order", axis=1)
    graph.nodes.append(matrix)
    raw = [helper.make_tensor_value_info(item.name, _tensor_type(item), ["N", 1]) for item in inputs]
    return graph.model("encode", raw, outputs)


def merge(encoder: onnx.ModelProto, matrix_model: onnx.ModelProto) -> onnx.ModelProto:
    """Joins the encoder and a model on `matrix` (and `texts`) into one graph from raw features to the model's outputs.

    The model is brought to the encoder's opset first. Outputs keep their names, unless a feature has the same
    one: then the output is called `model/<name>` (readers take outputs by position).

    Raises:
        HeadraceError: the model's inputs are not `matrix` (and `texts` where the encoder has them), or the matrix is
            not as wide as the encoder's.
    """
    matrix_model = at_opset(matrix_model)
    _check_fit(encoder, matrix_model)
    outputs = {output.name for output in matrix_model.graph.output}
    model = compose.add_prefix(matrix_model, _MODEL_PREFIX)
    joints = [(ours.name, theirs.name) for ours, theirs in zip(encoder.graph.output, model.graph.input, strict=True)]
    merged = compose.merge_models(encoder, model, io_map=joints, name="model")
    taken = {item.name for item in merged.graph.input}
    for name in outputs - taken:
        _rename(merged.graph, _MODEL_PREFIX + name, name)
    onnx.checker.check_model(merged)
    return merged


def _numbers(graph: _Graph, joined: str, offsets: list[float]) -> str:
    return graph.add("Sub", joined, graph.constant(offsets, np.float64))


def _presence(graph: _Graph, texts: str) -> str:
    """String [N, T] -> float64 [N, T]: 1 where there is a text, NaN where it is missing."""
    missing = graph.add("Equal", texts, graph.constant("", np.object_))
    nan, one = graph.constant(float("nan"), np.float64), graph.constant(1.0, np.float64)
    return graph.add("Where", missing, nan, one)


def _dates(graph: _Graph, joined: str, offsets: list[float]) -> str:
    """String [N, D] -> float64 [N, D]: days since 1970 less the offset."""
    one_row = graph.constant([[""] * len(offsets)], np.object_)
    joined = graph.add("Concat", joined, one_row, axis=0)  # splitting no rows at all would give no pieces
    rest = graph.piece(joined, "-", 2, padding=3)  # "01", "01T10:20:30.5Z", "01 10:20:30+01:00"
    spaced = graph.piece(rest, " ", 1, padding=1)
    lettered = graph.piece(graph.piece(rest, " ", 0, padding=1), "T", 1, padding=1)
    day = graph.piece(graph.piece(rest, " ", 0, padding=1), "T", 0, padding=1)
    zoned = graph.piece(graph.add("StringConcat", spaced, lettered), "Z", 0, padding=1)
    days = _days(graph, graph.piece(joined, "-", 0, padding=3), graph.piece(joined, "-", 1, padding=3), day)
    days = graph.add("Add", days, _zero_or_failure(graph, joined))
    clock = graph.piece(zoned, "+", 0, padding=1)
    east = _minutes(graph, graph.piece(zoned, "+", 1, padding=1))
    west = _minutes(graph, graph.piece(joined, "-", 3, padding=3))
    minutes = graph.add("Add", graph.add("Sub", _minutes(graph, clock), east), west)
    minutes = graph.add("Add", graph.add("Mul", days, graph.integer(1440)), minutes)
    micros = graph.add("Mul", minutes, graph.integer(60_000_000))
    micros = graph.add("Add", micros, _microseconds(graph, graph.piece(clock, ":", 2, padding=2)))
    exact = graph.add("Cast", micros, to=TensorProto.DOUBLE)
    value = graph.add("Div", exact, graph.constant(86_400_000_000.0, np.float64))
    value = graph.add("Sub", value, graph.constant(offsets, np.float64))
    missing = graph.add("Equal", joined, graph.constant("", np.object_))
    value = graph.add("Where", missing, graph.constant(float("nan"), np.float64), value)
    return graph.add("Slice", value, graph.constant([0], np.int64), graph.constant([-1], np.int64))


def _zero_or_failure(graph: _Graph, joined: str) -> str:
    """0 for a date or nothing; anything else becomes letters, which the cast to a number fails on."""
    fine = graph.add("RegexFullMatch", joined, pattern=f"(?:{DATE_PATTERN})?")
    text = graph.add("Where", fine, graph.constant("0", np.object_), graph.constant("not a date", np.object_))
    return graph.add("Cast", text, to=TensorProto.INT64)


def _minutes(graph: _Graph, text: str) -> str:
    hours = graph.whole(graph.piece(text, ":", 0, padding=2))
    minutes = graph.whole(graph.piece(text, ":", 1, padding=2))
    return graph.add("Add", graph.add("Mul", hours, graph.integer(60)), minutes)


def _microseconds(graph: _Graph, seconds: str) -> str:
    """Seconds with an optional fraction -> int64 microseconds; what is finer is rounded, half to even."""
    number = graph.add("Cast", graph.leading_zero(seconds), to=TensorProto.DOUBLE)
    scaled = graph.add("Mul", number, graph.constant(1_000_000.0, np.float64))
    return graph.add("Cast", graph.add("Round", scaled), to=TensorProto.INT64)


def _days(graph: _Graph, year: str, month: str, day: str) -> str:
    """Proleptic Gregorian date -> days since 1970-01-01 (Howard Hinnant's days_from_civil), in int64."""
    y, m, d = (graph.whole(part) for part in (year, month, day))
    early = graph.add("Cast", graph.add("Less", m, graph.integer(3)), to=TensorProto.INT64)
    y = graph.add("Sub", y, early)  # the year begins in March: a leap day is its last
    m = graph.add("Add", m, graph.integer(9))
    m = graph.add("Sub", m, graph.add("Mul", graph.integer(12), graph.add("Div", m, graph.integer(12))))
    months = graph.add("Add", graph.add("Mul", m, graph.integer(153)), graph.integer(2))
    days = graph.add("Add", graph.add("Div", months, graph.integer(5)), d)
    days = graph.add("Add", days, graph.add("Mul", y, graph.integer(365)))
    for every, op in ((4, "Add"), (100, "Sub"), (400, "Add")):
        days = graph.add(op, days, graph.add("Div", y, graph.integer(every)))
    return graph.add("Sub", days, graph.integer(719_469))


def _output(name: str, inputs: Sequence[Input]) -> str:
    """The output's name, which must not be a feature's."""
    taken = any(item.name == name for item in inputs)
    return _PREFIX + name if taken else name


def _tensor_type(item: Input) -> int:
    return int(TensorProto.DOUBLE if item.type in ("number", "boolean") else TensorProto.STRING)


def at_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model at the encoder's opsets. Tree ensembles are unchanged between ai.onnx.ml 1 and 3."""
    standard = {item.domain: item.version for item in model.opset_import}
    if standard.get("", OPSET) != OPSET:
        model = version_converter.convert_version(model, OPSET)
    changed = sorted({node.op_type for node in model.graph.node if node.domain == "ai.onnx.ml"} & {"LabelEncoder"})
    ml_version = standard.get("ai.onnx.ml", ML_OPSET)
    if ml_version > ML_OPSET or (ml_version < 2 and changed):
        raise HeadraceError(
            f"model graph: expected ai.onnx.ml of version 1 to {ML_OPSET}. Received: {ml_version} {changed}"
        )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    result.ir_version = IR_VERSION
    del result.opset_import[:]
    result.opset_import.extend(opsets(result.graph.node))
    return result


def _check_fit(encoder: onnx.ModelProto, model: onnx.ModelProto) -> None:
    names = [item.name for item in model.graph.input]
    wanted_names = [MATRIX, TEXTS][: len(encoder.graph.output)]
    if names != wanted_names:
        raise HeadraceError(f"model graph: expected the inputs {wanted_names}. Received: {names}")
    width = encoder.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    wanted = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    if wanted not in (0, width):
        raise HeadraceError(f"model graph: expected a matrix of {width} columns. Received: {wanted}")


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [new if name == old else name for name in field]
    for output in graph.output:
        if output.name == old:
            output.name = new
