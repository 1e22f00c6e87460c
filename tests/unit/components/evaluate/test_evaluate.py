"""The whole evaluation: of models that are known by construction, of a real bundle, and of no model."""

from __future__ import annotations

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from kfp.dsl import ClassificationMetrics, Metrics
from onnx import TensorProto, helper

from headrace.artifacts.absent import write_absent
from headrace.artifacts.bundle import Bundle, write_bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.evaluation import read_evaluation, write_evaluation
from headrace.artifacts.folder import write_json
from headrace.components.evaluate.console import show
from headrace.components.evaluate.evaluate import Subject, assess, evaluate
from headrace.components.evaluate.matrix_model import Cells, MatrixModel
from headrace.components.evaluate.page import evaluation_page
from headrace.components.evaluate.spec import EvaluateSpec

SPEC = EvaluateSpec(
    slices=["plan", "age"],
    gates=[{"fairness": "demographic_parity_difference", "by": "gender", "at_most": 0.1}],
)


def logistic_bundle(path: Path, signature) -> None:
    """A bundle of sigmoid(2 x), as two ONNX graphs."""

    def graph(name: str, kind: int) -> bytes:
        nodes = [
            helper.make_node("Cast", [name], ["x32"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["x32", "two"], ["logit"]),
            helper.make_node("Sigmoid", ["logit"], ["p"]),
            helper.make_node("Sub", ["one", "p"], ["q"]),
            helper.make_node("Concat", ["q", "p"], ["probabilities"], axis=1),
        ]
        constants = [
            helper.make_tensor(key, TensorProto.FLOAT, [1], [value]) for key, value in (("one", 1), ("two", 2))
        ]
        inputs = [helper.make_tensor_value_info(name, kind, ["N", 1])]
        outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 2])]
        made = helper.make_graph(nodes, "g", inputs, outputs, constants)
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    with write_bundle(path, {"name": "logistic"}) as folder:
        (folder / "model.onnx").write_bytes(graph("x", TensorProto.DOUBLE))
        (folder / "matrix.onnx").write_bytes(graph("matrix", TensorProto.DOUBLE))
        signature.write(folder / "signature.json")
        half = {"label": "1", "probabilities": {"0": 0.5, "1": 0.5}}
        write_json(folder / "samples.json", {"instances": [{"x": 0}], "predictions": [half]})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, subjects) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "model"
    logistic_bundle(path, subjects["binary"].signature)
    return path


def test_a_model_that_knows_the_truth(binary, subjects):
    found = assess(subjects["binary"], binary, SPEC)
    assert (found.rows, found.split, found.positive, found.threshold) == (2000, "test", "1", 0.5)
    assert (found.dataset_digest, found.model_digest) == (binary.digest, "sha256:b")
    assert found.undefined == {}
    assert found.metrics["auc"] > 0.85
    assert found.metrics["ece"] < 0.04  # its probabilities are the true ones
    assert found.baseline["auc"] == 0.5
    assert found.baseline["log_loss"] == pytest.approx(math.log(2), abs=0.01)
    low, high = found.intervals["auc"]
    assert low < found.metrics["auc"] < high < low + 0.06
    assert sum(map(sum, found.confusion)) == 2000
    kinds = ["roc", "pr", "gain", "lift", "calibration", "roc_band", "pr_band"]
    assert [curve.kind for curve in found.curves] == kinds
    assert found.importance[0].feature == "x" and found.importance[0].worse_by > 0.2


def test_curves_are_thin_and_finite_and_keep_their_ends(binary, subjects):
    found = assess(subjects["binary"], binary, SPEC)
    for curve in found.curves:
        assert 2 <= len(curve.points) <= 200
        assert all(math.isfinite(value) for point in curve.points for value in point)
    roc = found.curve("roc")
    assert roc.points[0][:2] == (0.0, 0.0) and roc.points[-1][:2] == (1.0, 1.0)


def test_slices_cover_what_is_large_enough(binary, subjects):
    found = assess(subjects["binary"], binary, SPEC)
    plans = {part.value: part for part in found.slices if part.by == "plan"}
    assert set(plans) == {"basic", "premium"}
    (rest,) = found.unjudged
    assert (rest.by, rest.small, rest.least_rows, rest.values) == ("plan", 1, 20, ("trial",))
    assert rest.small_rows + sum(part.rows for part in plans.values()) == 2000
    ages = [part for part in found.slices if part.by == "age"]
    assert len(ages) == 4 and sum(part.rows for part in ages) == 2000
    mean = sum(part.metrics["accuracy"] * part.rows for part in ages) / 2000
    assert mean == pytest.approx(found.metrics["accuracy"])


def test_fairness_is_measured_for_the_columns_of_gates(binary, subjects):
    (item,) = assess(subjects["binary"], binary, SPEC).fairness
    assert item.by == "gender" and {group.value for group in item.groups} == {"f", "m"}
    assert item.metrics["demographic_parity_difference"] < 0.08  # the model does not look at it


def test_several_classes(several, subjects):
    found = assess(subjects["several"], several, SPEC)
    assert found.kind == "multiclass" and found.positive is None and found.threshold is None
    assert found.metrics["accuracy"] > 0.7 > found.baseline["accuracy"]
    assert [(curve.kind, curve.of) for curve in found.curves] == [
        *(("roc", name) for name in ("a", "b", "c")),
        ("calibration", None),
    ]
    assert len(found.confusion) == 3


def test_regression(regression, subjects):
    found = assess(subjects["regression"], regression, SPEC)
    assert found.metrics["rmse"] == pytest.approx(1, abs=0.06)
    assert found.metrics["r2"] == pytest.approx(0.9, abs=0.02)
    assert found.baseline["r2"] == pytest.approx(0, abs=0.02)
    assert [curve.kind for curve in found.curves] == ["scatter", "residuals"]
    assert found.confusion == ()


def test_the_same_twice(binary, subjects):
    assert assess(subjects["binary"], binary, SPEC) == assess(subjects["binary"], binary, SPEC)


@pytest.mark.parametrize("task", ["binary", "several", "regression"])
def test_a_model_that_answers_nan_has_no_metrics(task, subjects, request, tmp_path):
    broken = replace(subjects[task], predict=lambda table: subjects[task].predict(table) * np.nan)
    found = assess(broken, request.getfixturevalue(task), SPEC)
    assert found.metrics == {} and found.intervals == {} and found.curves == ()
    write_evaluation(tmp_path / "e", found)
    assert "No metric could be measured." in evaluation_page(found)


def test_a_model_of_something_else_is_refused(binary, several, subjects):
    with pytest.raises(HeadraceError, match="expected a model of classification of `y`"):
        assess(subjects["regression"], binary, SPEC)
    with pytest.raises(HeadraceError, match="expected a model of the classes 0, 1, of which 1 is positive"):
        assess(subjects["several"], binary, SPEC)
    other = replace(subjects["binary"].signature, positive="0")
    with pytest.raises(HeadraceError, match=r"Received: 0, 1, of which 0 is positive"):
        assess(replace(subjects["binary"], signature=other), binary, SPEC)
    narrow = replace(subjects["several"], predict=lambda table: np.zeros((table.num_rows, 2)))
    with pytest.raises(HeadraceError, match=r"expected outputs of shape \(1500, 3\)\. Received: \(1500, 2\)"):
        assess(narrow, several, SPEC)


def test_a_class_that_the_model_does_not_know_counts_as_wrong(several, subjects):
    signature = replace(subjects["several"].signature, classes=("a", "b"), positive="b", threshold=0.5)

    def without_c(table):
        return subjects["several"].predict(table)[:, :2]

    found = assess(replace(subjects["several"], signature=signature, predict=without_c), several, SPEC)
    whole = assess(subjects["several"], several, SPEC)
    assert found.classes == ("a", "b", "c")
    assert sum(row[2] for row in found.confusion) == 0
    assert found.metrics["accuracy"] < whole.metrics["accuracy"]


def test_a_model_of_fewer_classes_in_another_order_is_explained_by_its_own(several, subjects):
    """The data has a class between those of the model, and the model's are not in the data's order."""
    own = ("c", "a")

    def run(cells):
        chance = 1 / (1 + np.exp(-cells.matrix[:, 0]))
        return np.column_stack([chance, 1 - chance])

    matrix = MatrixModel(("x",), lambda table: Cells(np.asarray(table["x"])[:, None]), run)
    subject = Subject(
        replace(subjects["several"].signature, classes=own, positive="c", threshold=0.5),
        "sha256:o",
        lambda table: run(matrix.encode(table)),
        matrix=matrix,
    )
    found = assess(subject, several, SPEC)
    shown = found.attributions.examples
    x = several.table("test")["x"].to_pylist()
    assert {item.of for item in shown} == {"a", "c"}
    for item in shown:
        chance = 1 / (1 + np.exp(-x[item.row]))
        assert item.output == pytest.approx(chance if item.of == "c" else 1 - chance)


def test_an_unknown_slice_column(binary, subjects):
    with pytest.raises(HeadraceError, match="did you mean `plan`"):
        assess(subjects["binary"], binary, EvaluateSpec(slices=["plans"]))


def test_a_bundle_from_disk(binary, bundle, subjects, tmp_path):
    found = evaluate(bundle, binary.path, SPEC, tmp_path / "evaluation", tmp_path / "report.html")
    assert found.model_digest == Bundle.open(bundle).digest
    assert read_evaluation(tmp_path / "evaluation") == found
    expected = assess(subjects["binary"], binary, SPEC)
    assert found.metrics == pytest.approx(expected.metrics, abs=1e-6)
    page = (tmp_path / "report.html").read_text()
    for text in (
        "ROC AUC",
        "Calibration",
        "Confusion matrix",
        "Slices",
        "Fairness",
        "premium",
        binary.digest,
    ):
        assert text in page
    assert not re.search(r"\bnan\b", page, re.IGNORECASE)


def test_no_champion_is_an_evaluation_that_says_so(binary, tmp_path):
    write_absent(tmp_path / "model", "no champion yet")
    found = evaluate(tmp_path / "model", binary.path, SPEC, tmp_path / "e", tmp_path / "report.html")
    assert found == read_evaluation(tmp_path / "e")
    assert found.present is False and found.metrics == {} and found.model_digest is None
    assert (found.rows, found.dataset_digest) == (2000, binary.digest)
    assert "There was no model to evaluate." in (tmp_path / "report.html").read_text()


def test_a_champion_that_does_not_fit_is_an_evaluation_that_says_so(regression, bundle, tmp_path):
    out = tmp_path / "e", tmp_path / "report.html"
    found = evaluate(bundle, regression.path, SPEC, *out)
    assert found == read_evaluation(tmp_path / "e")
    assert found.present and found.metrics == {} and found.model_digest == Bundle.open(bundle).digest
    assert found.unfit == "the model is a classification of `y`, and the data's is a regression of `y`"
    assert "does not fit this data" in (tmp_path / "report.html").read_text()


def test_a_champion_that_fits_is_measured_as_any_model(binary, bundle, tmp_path):
    own = evaluate(bundle, binary.path, SPEC, tmp_path / "a", tmp_path / "a.html")
    assert evaluate(bundle, binary.path, SPEC, tmp_path / "b", tmp_path / "b.html") == own
    assert own.unfit == "" and own.metrics


def test_a_champion_that_is_damaged_is_still_an_error(regression, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "model")
    (tmp_path / "model" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="changed content"):
        evaluate(tmp_path / "model", regression.path, SPEC, tmp_path / "e", tmp_path / "e.html")


def test_a_model_that_is_not_there_is_an_error(binary, tmp_path):
    with pytest.raises(ArtifactError):
        evaluate(tmp_path / "none", binary.path, SPEC, tmp_path / "e", tmp_path / "report.html")
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("task", ["binary", "several", "regression"])
def test_kfps_own_metrics_are_filled_and_finite(task, subjects, request):
    found = assess(subjects[task], request.getfixturevalue(task), SPEC)
    metrics, curves = Metrics(), ClassificationMetrics()
    show(found, metrics, curves)
    assert metrics.metadata == found.metrics
    json.dumps(curves.metadata, allow_nan=False)
    assert ("confidenceMetrics" in curves.metadata) is (task == "binary")
    assert ("confusionMatrix" in curves.metadata) is (task != "regression")
    if task == "several":
        assert curves.metadata["confusionMatrix"]["rows"][0] == {"row": list(found.confusion[0])}


def test_the_worst_slice_stands_first(binary, subjects):
    def bad_for_premium(table):
        outputs = subjects["binary"].predict(table)
        premium = np.asarray(table["plan"]) == "premium"
        outputs[premium] = outputs[premium][:, ::-1]
        return outputs

    found = assess(replace(subjects["binary"], predict=bad_for_premium), binary, SPEC)
    page = evaluation_page(found)
    table = page[page.index('id="slices"') :]
    assert table.index("premium") < table.index("basic")
