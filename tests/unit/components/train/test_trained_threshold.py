"""The threshold that the spec asks for is chosen on eval, stands in the bundle, and is what the server decides by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_json
from headrace.artifacts.schema import parse_schema, write_schema
from headrace.components.evaluate.evaluate import evaluate
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.train.spec import TrainSpec
from headrace.components.train.train import train_model
from headrace.components.transform.fit import fit
from headrace.components.transform.spec import FeaturesSpec
from headrace.serving.scorer import Scorer

VALUE = {"true_positive": {"column": "fee", "times": 6, "plus": -5}, "false_positive": -5, "currency": "USD"}
QUICK = {"gbdt": {"n_estimators": 30}}


def rows(seed: int, count: int = 600, classes: int = 2) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    label = np.digitize(x + rng.logistic(size=count), [1.5, 3.0][: classes - 1])
    return pa.table({"x": x, "fee": rng.gamma(2, 5, count), "y": [str(value) for value in label]})


def artifacts(folder: Path, classes: int = 2) -> Path:
    names = [str(code) for code in range(classes)]
    info = DatasetInfo("classification", [], "y", dict.fromkeys(("train", "eval", "test"), 600), names)
    positive = "1" if classes == 2 else None
    with write_dataset(folder / "dataset") as (files, details):
        for seed, file in enumerate(files.values()):
            pq.write_table(rows(seed, classes=classes), file)
        query = {"split": {"by": "hash", "eval": 0.3, "test": 0.3}}
        columns = [
            {"name": "x", "type": "float64"},
            {"name": "fee", "type": "float64"},
            {"name": "y", "type": "string"},
        ]
        details.update(
            {**describe(DatasetInfo(**{**vars(info), "positive": positive, "query": query})), "columns": columns}
        )
    fit(folder / "dataset", FeaturesSpec(drop=["fee"]), folder / "transform")
    write_schema(folder / "schema", parse_schema('feature { name: "x" type: FLOAT }'))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return artifacts(tmp_path_factory.mktemp("artifacts"))


def trained(made: Path, output: Path, threshold, value=None, **more) -> tuple[Bundle, dict]:
    settings = TrainSpec(**{**QUICK, **more, "threshold": threshold})
    places = output / "bundle", output / "report.html", output / "card.html"
    parts = made / "dataset", made / "transform", made / "schema"
    logged = train_model(*parts, "tiny", settings, *places, value=value)
    return Bundle.open(output / "bundle"), logged


@pytest.mark.parametrize("by", ["f1", "youden", "value"])
def test_a_threshold_is_chosen_and_served(made, tmp_path, by, capsys):
    bundle, logged = trained(made, tmp_path, by, VALUE)
    at = bundle.signature.threshold
    assert at == logged["threshold"] != 0.5
    record = read_json(bundle.lineage)["training"]["threshold"]
    assert record["chosen"] == by and record["at"] == at and record["rows"] == 600 and record["split"] == "eval"
    assert record["reached"] > record["at_half"]
    page = (tmp_path / "report.html").read_text()
    assert "Threshold" in page and "best by" in page
    assert f"threshold {at:g}, best by" in capsys.readouterr().out
    found = evaluate(
        tmp_path / "bundle", made / "dataset", EvaluateSpec(value=VALUE), tmp_path / "e", tmp_path / "e.html"
    )
    assert found.threshold == found.value.threshold == at
    if by == "value":
        assert found.value.best_threshold == at
        assert found.value.amounts["model"] == found.value.amounts["best"]
    test = Dataset.open(made / "dataset").table("test")
    body = json.dumps({"instances": test.select(["x"]).to_pylist()}).encode()
    answers = json.loads(Scorer(bundle).score(body).body)["predictions"]
    said = np.array([answer["label"] == "1" for answer in answers])
    probability = np.array([answer["probabilities"]["1"] for answer in answers])
    assert (said == (probability >= at)).all() and said.mean() == pytest.approx(found.value.amounts["model"].share)


def test_a_number_is_taken_as_it_is(made, tmp_path):
    bundle, logged = trained(made, tmp_path, 0.2)
    assert bundle.signature.threshold == 0.2 and "threshold" not in logged
    assert read_json(bundle.lineage)["training"]["threshold"] == {"chosen": "given", "at": 0.2}


def test_it_is_chosen_after_calibration(made, tmp_path):
    plain, _ = trained(made, tmp_path / "a", "f1", class_weight={"1": 30})
    mended, _ = trained(made, tmp_path / "b", "f1", class_weight={"1": 30}, calibrate="sigmoid")
    assert mended.signature.threshold < plain.signature.threshold


def test_value_without_gains_and_more_than_two_classes_are_refused(made, tmp_path):
    with pytest.raises(HeadraceError, match="expected gains to choose by value: evaluate.value. Received: none"):
        trained(made, tmp_path / "a", "value")
    several = artifacts(tmp_path / "several", classes=3)
    with pytest.raises(HeadraceError, match="train.threshold: expected a label of two classes. Received: f1"):
        trained(several, tmp_path / "b", "f1")
    bundle, _ = trained(several, tmp_path / "c", 0.5)
    assert bundle.signature.threshold is None


def test_a_gain_that_eval_lacks_ends_the_training_with_the_place(made, tmp_path):
    with pytest.raises(
        HeadraceError, match="evaluate.value.true_positive: expected a column of the data. Received: `fe`"
    ):
        trained(made, tmp_path, "value", {"true_positive": "fe"})
