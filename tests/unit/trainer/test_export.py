"""The exported graphs answer as the trained trees do, and a bundle that would not is refused."""

import numpy as np
import onnx
import pyarrow as pa
import pytest

from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.signature import Input, Signature
from headrace.trainer.construct_graph import construct_graph
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.export import export
from headrace.trainer.gbdt import fit
from headrace.trainer.parameters import GbdtParameters
from headrace.trainer.parity import ExportError, check_parity

PARAMETERS = GbdtParameters(0.1, 15, 5, 1.0, 1.0, 0.0, 40, 10)
INPUTS = (
    Input("amount", "number"),
    Input("epoch", "number", offset=1_700_000_000.0),
    Input("new", "boolean"),
    Input("plan", "category", vocabulary=("rare", "pro", "basic")),
    Input("since", "date", offset=19_000.0),
)
CONSTRUCT = {"ratio": "amount / (since + 1)", "pro_new": 'plan == "pro" and new'}


def table(rows: int = 800) -> pa.Table:
    random = np.random.default_rng(0)
    missing = random.random(rows) < 0.1
    return pa.table(
        {
            "amount": pa.array(random.normal(size=rows), mask=missing),
            "epoch": pa.array(1_700_000_000 + random.integers(0, 10_000_000, rows)),
            "new": pa.array(random.random(rows) < 0.5, mask=random.random(rows) < 0.1),
            "plan": pa.array(random.choice(["rare", "pro", "basic", "other"], rows), mask=missing),
            "since": pa.array(random.integers(19_000, 19_900, rows).astype(np.int32)).cast(pa.date32()),
        }
    )


def label(rows: pa.Table, classes: int) -> np.ndarray:
    score = np.nan_to_num(np.array(rows["amount"], dtype=float)) + (np.array(rows["epoch"]) - 1.7e9) / 1e7
    if classes == 0:
        return 1e5 + 1e3 * score
    return np.digitize(score, np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1])).astype(np.int32)


def signature(classes: int) -> Signature:
    if classes == 0:
        return Signature("regression", "y", INPUTS)
    names = tuple(map(str, range(classes)))
    return Signature("classification", "y", INPUTS, names, "1" if classes == 2 else None, 0.5 if classes == 2 else None)


def trained(tmp_path, classes: int, construct: dict[str, str]):
    rows = table()
    onnx.save(merge(encoder_graph(INPUTS), construct_graph(INPUTS, construct)), tmp_path / "transform.onnx")
    features = run_graph(open_graph(tmp_path / "transform.onnx"), rows, INPUTS)
    y = label(rows, classes)
    fitted = fit(
        (features[:600], y[:600]),
        (features[600:], y[600:]),
        [str(i) for i in range(features.shape[1])],
        classes,
        PARAMETERS,
        0,
    )
    graphs = export(fitted.booster, INPUTS, construct, signature(classes).output)
    onnx.save(graphs.model, tmp_path / "model.onnx")
    onnx.save(graphs.matrix, tmp_path / "matrix.onnx")
    return fitted.booster, rows


@pytest.mark.parametrize("construct", [{}, CONSTRUCT], ids=["plain", "constructed"])
@pytest.mark.parametrize("classes", [0, 2, 3], ids=["regression", "binary", "three classes"])
def test_graphs_answer_as_the_trees_do(tmp_path, classes, construct):
    booster, rows = trained(tmp_path, classes, construct)
    parity = check_parity(
        booster,
        tmp_path / "transform.onnx",
        tmp_path / "model.onnx",
        tmp_path / "matrix.onnx",
        signature(classes),
        rows,
    )
    assert parity.rows > rows.num_rows  # the difficult rows were among them
    answers = run_graph(open_graph(tmp_path / "model.onnx"), rows, INPUTS)
    assert answers.shape == (800, max(classes, 1))
    if classes:
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_a_graph_that_answers_otherwise_fails(tmp_path):
    booster, rows = trained(tmp_path, 2, {})
    model = onnx.load(tmp_path / "matrix.onnx")
    (weights,) = [a for node in model.graph.node for a in node.attribute if a.name == "class_weights"]
    weights.floats[0] += 0.5
    onnx.save(model, tmp_path / "matrix.onnx")
    with pytest.raises(ExportError, match=r"expected matrix.onnx to answer as the trained model does"):
        check_parity(
            booster, tmp_path / "transform.onnx", tmp_path / "model.onnx", tmp_path / "matrix.onnx", signature(2), rows
        )


def test_a_label_that_cannot_be_learned_is_exported_too(tmp_path):
    """Trees without a single split: every answer is the prior."""
    rows = table(60)
    onnx.save(merge(encoder_graph(INPUTS), construct_graph(INPUTS, {})), tmp_path / "transform.onnx")
    features = run_graph(open_graph(tmp_path / "transform.onnx"), rows, INPUTS)
    y = (np.arange(60) % 2).astype(np.int32)
    lazy = GbdtParameters(0.1, 15, 1_000, 1.0, 1.0, 0.0, 40, 10)
    booster = fit((features[:40], y[:40]), (features[40:], y[40:]), list("abcde"), 2, lazy, 0).booster
    graphs = export(booster, INPUTS, {}, "probabilities")
    onnx.save(graphs.model, tmp_path / "model.onnx")
    onnx.save(graphs.matrix, tmp_path / "matrix.onnx")
    check_parity(
        booster, tmp_path / "transform.onnx", tmp_path / "model.onnx", tmp_path / "matrix.onnx", signature(2), rows
    )
