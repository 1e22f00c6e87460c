"""Bundles by somebody who knows the format: sealed as they should be, and yet refused in one line each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from headrace.artifacts.bundle import FORMAT
from headrace.artifacts.folder import MANIFEST, seal
from headrace.serving.settings import Settings
from headrace.serving.swap import SwapFailed, swap
from headrace.serving.target import Plan, Target
from tests.integration.serving.servers import ask, process, refused, url_of

GIGA = 10**9
Change = Callable[[Path], None]


def resealed(bundle: Path, folder: Path, change: Change) -> Path:
    """A changed copy whose manifest covers the change."""
    shutil.copytree(bundle, folder)
    details = json.loads((folder / MANIFEST).read_text())["details"]
    change(folder)
    seal(folder, FORMAT, 1, details)
    return folder


def signature(change: Callable[[dict[str, Any]], object]) -> Change:
    def changed(folder: Path) -> None:
        value = json.loads((folder / "signature.json").read_text())
        change(value)
        (folder / "signature.json").write_text(json.dumps(value))

    return changed


def bomb(elements: int, columns: int = 2) -> Change:
    """A graph of some hundred bytes that fills memory when it is run."""

    def changed(folder: Path) -> None:
        shape = numpy_helper.from_array(np.array([elements, columns], np.int64), "shape")
        zero = numpy_helper.from_array(np.zeros(1), "zero")
        nodes = [
            helper.make_node("ConstantOfShape", ["shape"], ["many"]),
            helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["matrix"], ["total"], keepdims=1),
            helper.make_node("Mul", ["total", "zero"], ["nothing"]),
            helper.make_node("Cast", ["nothing"], ["small"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["small", "sum"], ["one"]),
            helper.make_node("Concat", ["one"] * columns, ["probabilities"], axis=1),
        ]
        matrix = helper.make_tensor_value_info("matrix", TensorProto.DOUBLE, ["N", 5])
        answers = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)
        graph = helper.make_graph(nodes, "bomb", [matrix], [answers], [shape, zero])
        sets = [helper.make_opsetid("", 20)]
        onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=9), folder / "matrix.onnx")

    return changed


def samples(folder: Path) -> None:
    value = json.loads((folder / "samples.json").read_text())
    value["predictions"][0]["probabilities"]["1"] += 0.25
    (folder / "samples.json").write_text(json.dumps(value))


def texts(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)


LIES: dict[str, tuple[Change, str]] = {
    "memory": (bomb(10**11), "MiB of memory (--load-memory). Received:"),
    "shape": (bomb(1, columns=3), "expected the answers to its samples. Received: ValueError"),
    "samples": (samples, "expected the answers to its 20 samples. Received:"),
    "order": (signature(lambda value: value["inputs"][3]["vocabulary"].reverse()), "expected the answers to its"),
    "classes": (signature(lambda value: value["classes"].reverse()), "expected the answers to its"),
    "inputs": (signature(lambda value: value["inputs"].pop()), "matrix.onnx: expected the inputs"),
    "nesting": (lambda folder: texts(folder, "signature.json", "[" * 10**6), "values within values, without end"),
    "number": (lambda folder: texts(folder, "signature.json", "1" * 10**5), "signature.json: expected JSON. Received"),
    "kind": (lambda folder: texts(folder, "signature.json", "[]"), "signature: expected a JSON object"),
    "cut": (lambda folder: os.truncate(folder / "matrix.onnx", 9000), "matrix.onnx: expected an ONNX graph that is"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_bundle_that_lies_is_refused(name: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    change, told = LIES[name]
    said = refused(resealed(bundles["binary"], tmp_path / "model", change), "--port", 0)
    assert told in said, said
    assert said.startswith("error: ")


def test_a_running_server_does_not_try_it_itself(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = resealed(bundles["binary"], tmp_path / "model", bomb(10**11))
    with pytest.raises(SwapFailed, match=r"version 4: expected it to load and answer with .* MiB of memory"):
        swap(Plan.of(Target(folder, "4")), Settings(), {}, lambda: False)


def test_a_file_of_another_kind_is_not_waited_for(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundles["binary"], folder)
    (folder / "matrix.onnx").unlink()
    os.mkfifo(folder / "matrix.onnx")
    assert "expected the file that the manifest lists" in refused(folder, "--port", 0)
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    assert "a damaged file (it is no plain file)" in refused(folder, "--port", 0)


def test_a_file_with_holes_is_not_read(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundles["binary"], folder)
    os.truncate(folder / "samples.json", 1000 * GIGA)
    assert "Received: changed content, of 1,000,000,000,000" in refused(folder, "--port", 0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"files": []}, "its files is not of the type dict"),
        ({"files": {"matrix.onnx": 1}}, "its entry 'matrix.onnx' is not of the form"),
        ({"format_version": "1"}, "its format_version is not of the type int"),
        ({"details": 5}, "its details is not of the type dict"),
        ({"details": {"name": "a\nb"}}, "expected the digest to cover the manifest"),
        ({"digest": "\ud800"}, "expected the digest to cover the manifest"),
        ({"more": 1}, "a damaged file"),
    ],
)
def test_a_manifest_of_another_form(
    change: dict[str, Any], told: str, bundles: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundles["binary"], folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, **change}))
    assert told in refused(folder, "--port", 0)


def test_a_name_that_breaks_lines_is_refused(bundles: dict[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundles["binary"], folder)
    (folder / MANIFEST).unlink()
    seal(folder, FORMAT, 1, {"name": "churn\r\nset-cookie: x"})
    assert "expected a name of up to 200 printable characters" in refused(folder, "--port", 0)


def test_what_takes_less_than_it_may_is_served(bundles: dict[str, Path], tmp_path: Path) -> None:
    """The limit is that of loading: a request may take more afterwards, as one of many rows does."""
    with process(bundles["binary"], "--port", 0, "--load-memory", 256) as started:
        url = url_of(started)
        rows = json.loads((bundles["binary"] / "samples.json").read_text())["instances"] * 2000
        status, _, answer = ask(url, "POST", "/predict", json.dumps({"instances": rows}).encode())
        assert status == 200 and len(answer["predictions"]) == len(rows)
        limits = Path(f"/proc/{started.pid}/limits").read_text()
        assert next(line for line in limits.splitlines() if line.startswith("Max data size")).split()[3] == "unlimited"
