"""A model that reads texts, from a request to the answer, in every way that a bundle is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from tiny_bundle import body, signature_of

from headrace.artifacts.answer import predictions
from headrace.artifacts.bundle import MATRIX, MODEL, SAMPLES, SIGNATURE, Bundle, write_bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import write_json
from headrace.artifacts.raw_inputs import batches, open_graph, run_graph
from headrace.artifacts.signature import Input
from headrace.artifacts.text_batches import MOST_CHARACTERS, MOST_ROWS, text_slices
from headrace.components.evaluate.importance import by_cells
from headrace.components.evaluate.matrix_model import MatrixModel
from headrace.pipelines.explained import explain_instances
from headrace.serving.request import BadRequest
from headrace.serving.scorer import Scorer
from headrace.serving.verify import verify_samples
from headrace.trainer.encoder_graph import encoder_graph, merge
from tests.unit.serving.raw_graph import OnnxModel
from tests.unit.trainer.construct_graph import construct_graph

INPUTS = (Input("note", "text"), Input("n", "number", offset=2.0), Input("title", "text"), Input("new", "boolean"))
CONSTRUCT = {"words": "words(note)", "same": "overlap(lower(note), lower(title))"}
WIDTH = len(INPUTS) + len(CONSTRUCT)
INSTANCES: list[dict[str, Any]] = [
    {"note": "Refund NOW 🙂", "n": 1, "title": "now or never", "new": True},
    {"note": None, "n": None, "title": "", "new": None},
    {"note": "!?", "n": 2.5, "title": "a\u0000b", "new": False},
]
WORDS = np.array([2, 0, 0], float)
SAME = np.array([1 / 4, 0, 0])  # of refund, now, or, never


def summed() -> onnx.ModelProto:
    """A model that adds its features up, what is missing as 0."""
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("ReduceSum", ["filled", "axis"], ["value"], keepdims=1),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
        for name, width in (("features", WIDTH), ("value", 1))
    ]
    graph = helper.make_graph(nodes, "sum", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_text_bundle(tmp_path_factory.mktemp("texts") / "bundle"))


def write_text_bundle(path: Path) -> Path:
    from headrace.trainer.export.graphs import export

    signature = signature_of("regression", INPUTS)
    graphs = export(summed(), INPUTS, construct_graph(INPUTS, CONSTRUCT))
    there = np.array([[1, 1], [0, 0], [1, 1]], float)  # the cells of both texts
    numbers = np.array([1 - 2 + 1, 0, 0.5 + 0], float)
    expected = (there.sum(axis=1) + numbers + WORDS + SAME).astype(np.float32).reshape(-1, 1)
    with write_bundle(path, {"name": "texts"}) as folder:
        onnx.save(graphs.model, folder / MODEL)
        onnx.save(graphs.matrix, folder / MATRIX)
        signature.write(folder / SIGNATURE)
        write_json(folder / SAMPLES, {"instances": INSTANCES, "predictions": predictions(signature, expected)})
    return path


def table(instances: list[dict[str, Any]]) -> pa.Table:
    types = {"note": pa.string(), "n": pa.float64(), "title": pa.string(), "new": pa.bool_()}
    return pa.table({name: pa.array([row[name] for row in instances], type) for name, type in types.items()})


def test_the_server_answers_as_the_features_say(bundle: Bundle) -> None:
    checked = verify_samples(Scorer(bundle), bundle, requests=3)
    assert checked.passed, checked.mismatches


def test_the_raw_graph_answers_the_same(bundle: Bundle) -> None:
    expected = [[prediction["value"]] for prediction in bundle.samples()[1]]
    np.testing.assert_allclose(OnnxModel(bundle).predict(table(INSTANCES)), expected, rtol=1e-6)
    np.testing.assert_allclose(run_graph(open_graph(bundle.model), table(INSTANCES), INPUTS), expected, rtol=1e-6)


def test_many_rows_are_answered_in_parts(bundle: Bundle) -> None:
    """As those of one request are alone; a long text among short ones would make a rectangle of too many words."""
    long = {**INSTANCES[0], "note": "word " * (MOST_CHARACTERS // 50)}
    instances = [*INSTANCES, *([INSTANCES[0]] * 30), long, *INSTANCES]
    answers = json.loads(Scorer(bundle).score(body(*instances)).body)["predictions"]
    alone = [json.loads(Scorer(bundle).score(body(row)).body)["predictions"][0] for row in INSTANCES]
    assert [answers[i]["value"] for i in (0, 1, 2)] == [row["value"] for row in alone]
    assert answers[-3:] == answers[:3]
    assert answers[33]["value"] > 70_000
    np.testing.assert_allclose(OnnxModel(bundle).predict(table(instances)).ravel(), [row["value"] for row in answers])


def test_how_rows_are_taken_together() -> None:
    def sizes(lengths: list[int], most: int = MOST_ROWS) -> list[int]:
        return [rows.stop - rows.start for rows in text_slices(np.array(lengths), most)]

    assert sizes([]) == []
    assert sizes([0] * 2_500) == [1_024, 1_024, 452]
    assert sizes([3, 3, 3], most=2) == [2, 1]
    assert sizes([MOST_CHARACTERS * 2] * 2) == [1, 1]
    assert sizes([10, MOST_CHARACTERS // 2, 10, 10]) == [2, 2]
    texts = table([{**INSTANCES[0], "note": "x" * length} for length in (10, MOST_CHARACTERS // 2 - 100, 10, 10)])
    assert [part.num_rows for part in batches(texts, INPUTS)] == [2, 2]
    assert [part.num_rows for part in batches(texts.select(["n"]), INPUTS[1:2], most=3)] == [3, 1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "instances[0].note: expected a string or null. Received: 7"),
        (["a"], 'instances[0].note: expected a string or null. Received: ["a"]'),
    ],
)
def test_what_is_no_text_is_refused(bundle: Bundle, value: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refused:
        Scorer(bundle).score(body({**INSTANCES[0], "note": value}))
    assert str(refused.value) == message
    with pytest.raises(HeadraceError, match=r"column 'note': expected strings for a text. Received: int64"):
        OnnxModel(bundle).predict(table(INSTANCES).set_column(0, "note", pa.array([1, 2, 3])))


def test_half_a_surrogate_pair_is_refused_and_no_crash(bundle: Bundle) -> None:
    broken = body(INSTANCES[0]).replace(b"Refund", b"\\ud800")
    with pytest.raises(BadRequest):
        Scorer(bundle).score(broken)


def test_a_text_is_shuffled_as_any_feature(bundle: Bundle) -> None:
    model = MatrixModel.of(bundle)
    answer = by_cells(model, model.encode(table(INSTANCES)))
    order = np.array([2, 0, 1])
    expected = answer(None, order).ravel() - WORDS - SAME + WORDS[order]
    got = answer("note", order).ravel()
    assert got[0] == pytest.approx(expected[0])


def test_a_graph_without_its_texts_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    only_matrix = construct_graph((Input("n", "number"),), {})
    with pytest.raises(HeadraceError, match=r"expected the inputs \['matrix', 'texts'\]. Received: \['matrix'\]"):
        merge(encoder_graph(INPUTS), only_matrix)
    other = tmp_path / "other"
    with write_bundle(other, {}) as folder:
        for name in (MODEL, SAMPLES, SIGNATURE):
            (folder / name).write_bytes((bundle.path / name).read_bytes())
        onnx.save(summed(), folder / MATRIX)
    with pytest.raises(ArtifactError, match=r"expected the inputs .*'texts', 'tensor\(string\)', \[2\]"):
        Scorer(Bundle.open(other))


def test_an_answer_is_explained_with_its_text(bundle: Bundle) -> None:
    found = explain_instances(bundle, INSTANCES)
    for row, explanation in enumerate(found):
        made_of = explanation["contributions"]
        assert explanation["base"] + sum(made_of.values()) == pytest.approx(explanation["output"], abs=1e-9)
        assert explanation["output"] == pytest.approx(OnnxModel(bundle).predict(table(INSTANCES))[row, 0])
        assert "note" in made_of
