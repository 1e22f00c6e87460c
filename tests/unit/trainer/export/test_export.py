"""The exported graphs answer as the trained trees do, and a bundle that would not is refused."""

import numpy as np
import onnx
import pyarrow as pa
import pytest

from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.signature import Input, Signature
from headrace.artifacts.transform import (
    FEATURES,
    GRAPH,
    Feature,
    Transform,
    TransformFiles,
    open_transform,
    write_transform,
)
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.export.graphs import export
from headrace.trainer.export.parity import ExportError, check_parity
from headrace.trainer.model import Job, Model, Rows
from headrace.trainer.models.gbdt import fit
from headrace.trainer.parameters import GbdtParameters
from tests.unit.trainer.construct_graph import construct_graph

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


def transform_of(folder, construct: dict[str, str]) -> TransformFiles:
    """A transform of the inputs as they are, and of what is constructed of them."""
    outputs = [Feature(item.name, (item.name,), "as it is", raw=item.name) for item in INPUTS]
    outputs += [Feature(name, (), expression) for name, expression in construct.items()]
    graph = construct_graph(INPUTS, construct)
    with write_transform(folder / "transform", Transform(INPUTS, tuple(outputs), {}, construct)) as files:
        onnx.save(graph, files / FEATURES)
        onnx.save(merge(encoder_graph(INPUTS), graph), files / GRAPH)
    return open_transform(folder / "transform")


def trained(tmp_path, classes: int, construct: dict[str, str], parameters=PARAMETERS, rows=None):
    """A fitted model and what it was fitted behind; its graphs are in the folder."""
    rows = table() if rows is None else rows
    transform = transform_of(tmp_path, construct)
    features = run_graph(open_graph(transform.graph), rows, INPUTS)
    y = label(rows, classes)
    cut = rows.num_rows * 3 // 4
    job = Job(
        Rows(features[:cut], y[:cut]), Rows(features[cut:], y[cut:]), transform.recipe.outputs, classes, parameters, 0
    )
    model = fit(job)
    graphs = export(model.graph(signature(classes).output), INPUTS, onnx.load(transform.features))
    onnx.save(graphs.model, tmp_path / "model.onnx")
    onnx.save(graphs.matrix, tmp_path / "matrix.onnx")
    return model, transform, rows


def parity_of(tmp_path, model: Model, transform: TransformFiles, classes: int, rows: pa.Table):
    return check_parity(model, transform, tmp_path / "model.onnx", tmp_path / "matrix.onnx", signature(classes), rows)


@pytest.mark.parametrize("construct", [{}, CONSTRUCT], ids=["plain", "constructed"])
@pytest.mark.parametrize("classes", [0, 2, 3], ids=["regression", "binary", "three classes"])
def test_graphs_answer_as_the_trees_do(tmp_path, classes, construct):
    model, transform, rows = trained(tmp_path, classes, construct)
    parity = parity_of(tmp_path, model, transform, classes, rows)
    assert parity.rows > rows.num_rows  # the difficult rows were among them
    answers = run_graph(open_graph(tmp_path / "model.onnx"), rows, INPUTS)
    assert answers.shape == (800, max(classes, 1))
    if classes:
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_a_graph_that_answers_otherwise_fails(tmp_path):
    model, transform, rows = trained(tmp_path, 2, {})
    graph = onnx.load(tmp_path / "matrix.onnx")
    (weights,) = [a for node in graph.graph.node for a in node.attribute if a.name == "class_weights"]
    weights.floats[0] += 0.5
    onnx.save(graph, tmp_path / "matrix.onnx")
    with pytest.raises(ExportError, match=r"expected matrix.onnx to answer as the trained model does") as raised:
        parity_of(tmp_path, model, transform, 2, rows)
    worst = [line for line in str(raised.value).splitlines() if " off: " in line]
    assert len(worst) == 3  # with their raw columns
    assert all("'amount': " in line and "and the model [" in line for line in worst)
    assert worst == sorted(worst, key=lambda line: -float(line.split()[0]))


def test_a_label_that_cannot_be_learned_is_exported_too(tmp_path):
    """Trees without a single split: every answer is the prior."""
    lazy = GbdtParameters(0.1, 15, 1_000, 1.0, 1.0, 0.0, 40, 10)
    model, transform, rows = trained(tmp_path, 2, {}, lazy, table(60))
    parity_of(tmp_path, model, transform, 2, rows)
    assert np.ptp(run_graph(open_graph(tmp_path / "model.onnx"), rows, INPUTS)[:, 0]) == 0
