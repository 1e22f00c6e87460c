"""A model of images is evaluated from end to end: its metrics, its mistakes, its report."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.evaluation import read_evaluation
from headrace.artifacts.image_evaluation import UNCERTAIN, WRONG, Labels, Share, read_images
from headrace.components.evaluate.evaluate import evaluate
from headrace.components.evaluate.images import page
from headrace.components.evaluate.images.assess import assess_images
from headrace.components.evaluate.images.network import Network
from headrace.components.evaluate.spec import EvaluateSpec
from tests.unit.components.evaluate.images.conftest import image_bundle, written

SPEC = EvaluateSpec(
    slices=["camera"],
    recall={"class": "red", "at_least": 0.9},
    look={"review": 6, "attention": 3, "robustness": 30},
)


def test_from_a_bundle_to_files_that_can_be_read_back(bundle, data, tmp_path):
    found = evaluate(bundle.path, data.path, SPEC, tmp_path / "e", tmp_path / "report.html")
    images = read_images(tmp_path / "e")
    assert read_evaluation(tmp_path / "e") == found
    assert found.rows == 90 and found.metrics["accuracy"] == pytest.approx(0.9)  # every tenth label is wrong
    assert {(part.by, part.value) for part in found.slices} == {("camera", "c0"), ("camera", "c1")}
    assert found.importance == () and found.baseline["accuracy"] == pytest.approx(1 / 3)
    again, seen = assess_images(Network.of(bundle), data, SPEC)
    assert again == found and seen.found == images
    page = (tmp_path / "report.html").read_text()
    for text in ("Finding red", "Mistakes", "What the model looked at", "Robustness", "Labels to review", "Slices"):
        assert text in page
    assert page.count("data:image/jpeg") > 15 and not re.search(r"\bnan\b", page, re.IGNORECASE)


def test_the_review_list_names_the_wrong_labels(bundle, data, tmp_path):
    evaluate(bundle.path, data.path, SPEC, tmp_path / "e", tmp_path / "report.html")
    images = read_images(tmp_path / "e")
    wrong = [item for item in images.review if item.reason == WRONG]
    assert [item.row % 10 for item in wrong] == [4] * 6  # those that are mislabelled, by construction
    assert all(item.probability > item.label_probability and item.label != item.predicted for item in wrong)
    assert sum(item.reason == UNCERTAIN for item in images.review) == 6
    rows = list(csv.DictReader((tmp_path / "e" / "review.csv").read_text().splitlines()))
    assert [row["path"] for row in rows] == [item.path for item in images.review]
    assert rows[0]["reason"] == WRONG and rows[0]["review"] == ""


def test_against_the_truth_the_labels_are_a_rival(network, data):
    settings = SPEC.model_copy(update={"truth": "truth"})
    found, seen = assess_images(network, data, settings)
    assert found.metrics["accuracy"] == 1.0 and found.label == "y"
    assert seen.found.truth == "truth" and seen.found.labels.accuracy.value == pytest.approx(0.9)
    assert seen.found.labels.review.value == 1.0  # all that the list doubts are wrong
    assert seen.mistakes == ()
    assert [item.truth for item in seen.found.review[:6]] == [item.predicted for item in seen.found.review[:6]]


@pytest.mark.parametrize(("wrong", "words"), [(1, "1 is wrong."), (2, "2 are wrong.")])
def test_wrong_labels_are_counted_in_words(wrong, words):
    labels = Labels(Share(180, 200, 0.85, 0.94), {}, Share(wrong, 39, 0.0, 0.2))
    assert f"Of the 39 labels that the review list doubts most, {words}" in page._labels(labels)


def test_images_without_a_truth_are_left_out(network, tables, tmp_path):
    test = tables["test"]
    known = pa.array([name if i % 3 else None for i, name in enumerate(test["truth"].to_pylist())])
    data = written(tmp_path / "data", {**tables, "test": test.set_column(3, "truth", known)})
    found, seen = assess_images(network, data, SPEC.model_copy(update={"truth": "truth"}))
    assert found.rows == 60 and found.metrics["accuracy"] == 1.0
    assert all(row % 3 for row in seen.rows) and {item.row % 3 for item in seen.found.review} == {1, 2}
    assert seen.paths[0] == "2/1.png"


def test_a_truth_that_is_not_there(network, data):
    with pytest.raises(HeadraceError, match=r"evaluate\.truth: expected a column of the data.*did you mean `truth`"):
        assess_images(network, data, EvaluateSpec(truth="truths"))


def test_a_class_that_is_not_there(network, data):
    with pytest.raises(HeadraceError, match=r"evaluate\.recall: expected one of the label's classes.*mean `green`"):
        assess_images(network, data, EvaluateSpec(recall={"class": "greem", "at_least": 0.9}))


def test_two_classes_have_a_positive_one(tables, tmp_path):
    classes = ("green", "red")
    parts = {name: table.filter(pc.is_in(table["y"], pa.array(classes))) for name, table in tables.items()}
    parts = {name: table.filter(pc.is_in(table["truth"], pa.array(classes))) for name, table in parts.items()}
    data = written(tmp_path / "data", parts, classes, positive="red")
    found, seen = assess_images(Network.of(image_bundle(tmp_path / "model", classes)), data, SPEC)
    assert (found.positive, found.threshold) == ("red", 0.5) and found.curves[0].kind == "roc"
    assert seen.found.operating.reached.recall.of == found.confusion[1][0] + found.confusion[1][1]


def test_a_model_that_answers_nan_has_no_metrics_and_shows_nothing(network, data):
    broken = replace(network, answer=lambda pictures: np.full((len(pictures), 3), np.nan))
    found, seen = assess_images(broken, data, SPEC)
    assert found.metrics == {} and seen is None


def test_a_champion_of_a_table_does_not_fit_images(bundle, data, tmp_path):
    table = written(tmp_path / "table", {name: data.table(name).drop(["image"]) for name in ("train", "eval", "test")})
    found = evaluate(bundle.path, table.path, EvaluateSpec(), tmp_path / "e", tmp_path / "report.html")
    assert found.unfit == "column `image`, which the model needs, is not in the data"
    assert read_images(tmp_path / "e") is None


def test_an_image_that_cannot_be_decoded_is_named(network, tables, tmp_path):
    test = tables["test"]
    contents = [b"no image" if row == 7 else content.as_py() for row, content in enumerate(test["image"])]
    broken = test.set_column(2, "image", pa.array(contents, pa.binary()))
    data = written(tmp_path / "data", {**tables, "test": broken})
    with pytest.raises(HeadraceError, match="test, row 7, column `image`: expected the bytes of a JPEG or PNG"):
        assess_images(network, data, SPEC)


def test_what_only_images_have_is_refused_for_a_table():
    assert EvaluateSpec().without_images(False) == SPEC.without_images(True) == {}
    assert set(SPEC.without_images(False)) == {"recall", "look"}
    plain = SPEC.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert EvaluateSpec(**plain) == SPEC and plain["recall"]["class"] == "red"
    assert not {"truth", "recall", "look"} & set(EvaluateSpec().model_dump(mode="json", exclude_none=True))
    assert set(EvaluateSpec(explain={"rows": 5}).without_images(True)) == {"explain"}
