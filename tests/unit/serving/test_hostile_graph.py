"""Graphs that no bundle may have are refused before ONNX Runtime sees them; those that we export never are."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.graph_check import ENDLESS, MICROSOFT, STANDARD, check_graph_file

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture
def graph() -> onnx.ModelProto:
    """value = matrix * two."""
    two = numpy_helper.from_array(np.array([2.0]), "two")
    node = helper.make_node("Mul", ["matrix", "two"], ["value"])
    matrix = helper.make_tensor_value_info("matrix", TensorProto.DOUBLE, ["N", 1])
    value = helper.make_tensor_value_info("value", TensorProto.DOUBLE, ["N", 1])
    model: onnx.ModelProto = helper.make_model(helper.make_graph([node], "tiny", [matrix], [value], [two]))
    return model


def received(content: bytes, folder: Path) -> str | None:
    """What is said to be wrong; None where nothing is."""
    file = folder / "matrix.onnx"
    file.write_bytes(content)
    try:
        check_graph_file(file)
    except ArtifactError as error:
        told, _, what = str(error).partition(": expected an ONNX graph that is safe to load. Received: ")
        assert told == str(file)
        return what
    return None


def add(operation: str, domain: str = "", **attributes: Any) -> Change:
    return lambda model: model.graph.node.append(
        helper.make_node(operation, ["matrix"], ["x"], domain=domain, **attributes)
    )


def branches(deep: int) -> onnx.GraphProto:
    inner = [helper.make_node("If", ["yes"], ["y"], then_branch=branches(deep - 1))] if deep else []
    return helper.make_graph(inner, "branch", [], [])


def tensor(**fields: Any) -> Change:
    return lambda model: model.graph.initializer.append(TensorProto(name="t", **fields))


def external(model: onnx.ModelProto) -> None:
    held = model.graph.initializer.add(name="t", data_type=1, dims=[4])
    held.external_data.add(key="location", value="/etc/passwd")
    held.data_location = TensorProto.EXTERNAL


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add(dims=[2**40])


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="mine")


def training(model: onnx.ModelProto) -> None:
    model.training_info.add()


def hidden(model: onnx.ModelProto) -> None:
    """Data in another file, of a tensor that is an attribute of a node in a branch."""
    held = TensorProto(data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=held)], "branch", [], [])
    model.graph.node.append(helper.make_node("If", ["yes"], ["y"], then_branch=inner))


HOSTILE: dict[str, tuple[Change, str]] = {
    "custom": (add("Shell", "evil.corp"), "the operation 'Shell' of 'evil.corp', which is not of the ONNX standard"),
    "preview": (add("Adam", "ai.onnx.preview.training"), "which is not of the ONNX standard"),
    "runtime's own": (add("EPContext", "com.microsoft"), "of ONNX Runtime's own, of which Tokenizer and MurmurHash3"),
    "loop": (add("Loop", body=branches(0)), "the operation Loop, which need not end"),
    "loop in a branch": (
        lambda model: model.graph.node.append(
            helper.make_node(
                "If", ["x"], ["y"], then_branch=helper.make_graph([helper.make_node("Loop", [], [])], "b", [], [])
            )
        ),
        "the operation Loop, which need not end",
    ),
    "deep": (add("If", then_branch=branches(9)), "graphs within graphs, more than 4 deep"),
    "external": (external, "data in another file"),
    "hidden external": (hidden, "data in another file"),
    "sparse": (sparse, "a sparse tensor"),
    "function": (function, "functions of its own"),
    "training": (training, "training information"),
    "giant": (tensor(data_type=1, dims=[2**31, 2**20], raw_data=b"1234"), "2,251,799,813,685,248 elements"),
    "overflow": (tensor(data_type=1, dims=[2**62, 4], raw_data=b""), "elements, and has 0 bytes"),
    "negative": (tensor(data_type=1, dims=[-1], raw_data=b""), "a tensor of a negative length"),
    "short": (tensor(data_type=11, dims=[2], raw_data=b"12345678"), "has 2 elements, and has 8 bytes"),
    "numbers": (tensor(data_type=1, dims=[1000], float_data=[1.0]), "has 1,000 elements, and has 4 bytes"),
    "texts": (tensor(data_type=8, dims=[3], string_data=[b"a"]), "has 3 elements, and has 1 texts"),
    "dimensions": (tensor(data_type=1, dims=[1] * 40, raw_data=b"1234"), "a tensor of more than 32 dimensions"),
    "type": (tensor(data_type=99, dims=[1], raw_data=b"1"), "a tensor of an unknown type, 99"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_bundle_may_have_is_refused(name: str, graph: onnx.ModelProto, tmp_path: Path) -> None:
    change, told = HOSTILE[name]
    assert received(graph.SerializeToString(), tmp_path) is None
    change(graph)
    assert told in (received(graph.SerializeToString(), tmp_path) or "accepted")


def test_what_users_export_is_not(graph: onnx.ModelProto, tmp_path: Path) -> None:
    body = helper.make_graph([helper.make_node("Add", ["a", "b"], ["c"])], "body", [], [])
    for change in (
        add("Scan", body=body, num_scan_inputs=1),
        add("If", then_branch=body, else_branch=body),
        add("Tokenizer", "com.microsoft", pad_value="", separators=[" "]),
        add("TreeEnsembleRegressor", "ai.onnx.ml", nodes_modes=["BRANCH_LEQ"] * 50, nodes_values=[1e30] * 50),
        add("LabelEncoder", "ai.onnx.ml", keys_strings=["x" * 500, "", "é"], values_int64s=[2**62, -1, 0]),
        tensor(data_type=1, dims=[0], raw_data=b""),
        tensor(data_type=9, dims=[2], int32_data=[1, 0]),
        tensor(data_type=7, dims=[3], int64_data=[0, 1, -1]),
        tensor(data_type=8, dims=[2, 1], string_data=[b"", b"x"]),
    ):
        change(graph)
    assert received(graph.SerializeToString(), tmp_path) is None


def test_all_that_we_export_passes(bundles: dict[str, Path]) -> None:
    for folder in bundles.values():
        check_graph_file(folder / "model.onnx")
        check_graph_file(folder / "matrix.onnx")


def test_what_is_no_graph_is_refused(graph: onnx.ModelProto, tmp_path: Path) -> None:
    content = graph.SerializeToString()
    assert received(b"", tmp_path) == "a file of 0 bytes"
    assert "a damaged file" in str(received(b"no graph", tmp_path))
    assert received(onnx.ModelProto(ir_version=9).SerializeToString(), tmp_path) == "no graph in it"
    assert "a damaged file (field 7 of a model twice)" in str(received(content + content[2:], tmp_path))
    with pytest.raises(ArtifactError, match="Received: No such file or directory"):
        check_graph_file(tmp_path / "none.onnx")


def nodes_of(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    inner = [inside for node in graph.node for item in node.attribute for inside in (item.g, *item.graphs)]
    return [*graph.node, *(node for inside in inner for node in nodes_of(inside))]


def test_whatever_passes_is_harmless_to_a_full_reader(bundles: dict[str, Path], tmp_path: Path) -> None:
    """Bytes changed at random: either refused in words, or such that protobuf's own reader finds nothing either."""
    chance = random.Random(8)
    contents = [(bundles[kind] / "matrix.onnx").read_bytes() for kind in ("binary", "regression")]
    passed = refused = 0
    for _ in range(800):
        content = bytearray(chance.choice(contents))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(content) if chance.random() < 0.5 else min(600, len(content)))
            match chance.randrange(4):
                case 0:
                    content[place] = chance.randrange(256)
                case 1:
                    del content[place : min(place + chance.randint(1, 40), len(content) - 1)]
                case 2:
                    content[place:place] = chance.randbytes(chance.randint(1, 12))
                case _:
                    del content[1 + place :]
        if received(bytes(content), tmp_path) is not None:
            refused += 1
            continue
        passed += 1
        try:
            model = onnx.ModelProto.FromString(bytes(content))
        except Exception:  # noqa: BLE001 (within what is not read here, as names: ONNX Runtime refuses it)
            continue
        assert not model.functions and not model.training_info and not model.graph.sparse_initializer
        for node in nodes_of(model.graph):
            assert node.domain in STANDARD or node.op_type in MICROSOFT
            assert node.op_type not in ENDLESS
        for held in model.graph.initializer:
            assert not held.external_data and held.data_location == 0
    assert passed > 10 and refused > 250
