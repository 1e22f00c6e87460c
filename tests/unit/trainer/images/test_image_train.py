"""Training on a snapshot of pictures gives a bundle that answers as the network does, whatever trained it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import parse_schema, write_schema
from headrace.trainer.parameters import ImageParameters, Training
from tests.unit.trainer.images.toy_pictures import CLASSES, QUICK, snapshot

CODE = """
import sys
from pathlib import Path
from headrace.trainer.images.train import train
from headrace.trainer.parameters import Training
from tests.unit.trainer.images.toy_pictures import QUICK, snapshot
folder = Path(sys.argv[1])
(folder / "schema.pbtxt").write_text("")
train(snapshot(folder / "data"), folder / "schema.pbtxt", "bars", Training("cnn", QUICK), {}, folder / "bundle")
"""


@pytest.mark.slow
def test_it_writes_a_whole_bundle_a_report_and_a_card(tmp_path) -> None:
    from headrace.components.train.spec import TrainSpec
    from headrace.components.train.train import train_model

    schema = tmp_path / "schema"
    write_schema(schema, parse_schema('feature { name: "label" type: BYTES }'))
    settings = TrainSpec(model="cnn", cnn={"size": [32, 32], "epochs": 6, "batch_size": 8}, class_weight="balanced",
                         sample_weight="weight", calibrate="temperature", export={"saved_model": False})  # fmt: skip
    data = snapshot(tmp_path / "data")
    places = tmp_path / "bundle", tmp_path / "report.html", tmp_path / "card.html"
    logged = train_model(data, None, schema, "bars", settings, *places)
    bundle = Bundle.open(places[0])
    assert bundle.signature.image is not None and bundle.signature.classes == CLASSES
    assert not bundle.matrix.exists() and len(bundle.samples()[0]) == 16
    lineage = json.loads(bundle.lineage.read_text())
    training = lineage["training"]
    assert training["model"] == "cnn" and training["parameters"]["augment"]["flip"] == "horizontal"
    calibration = training["parameters"]["calibration"]
    assert calibration["eval_log_loss"]["after"] <= calibration["eval_log_loss"]["before"]
    assert lineage["parity"]["largest_difference"] == logged["parity_largest_difference"] < 1e-4
    assert logged["eval_log_loss"] < logged["baseline_eval_log_loss"]
    assert {"train", "eval"} == set(json.loads(bundle.curve.read_text()))
    report, card = places[1].read_text(), places[2].read_text()
    assert "Pictures a second" in report and "Accuracy" in report
    assert "convolutional neural network (Keras)" in card and "temperature, fitted on the eval split" in card


@pytest.mark.slow
def test_it_runs_on_jax(tmp_path) -> None:
    paths = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    lineage = json.loads(Bundle.open(tmp_path / "bundle").lineage.read_text())
    assert lineage["training"]["parameters"]["backend"] == "jax"
    assert lineage["parity"]["largest_difference"] < 1e-4


def test_what_is_no_snapshot_of_pictures_is_refused(tmp_path) -> None:
    from headrace.artifacts.dataset import Dataset
    from headrace.trainer.images.train import make_signature, read_rows

    data = Dataset.open(snapshot(tmp_path / "data"))
    info = replace(data.info, columns=[column for column in data.info.columns if column.name != "image"])
    with pytest.raises(HeadraceError, match="expected, with cnn, a snapshot of pictures.*path .string."):
        make_signature(info, QUICK)
    with pytest.raises(HeadraceError, match="a column of the data: path, weight. Received: `wait`"):
        read_rows(data, Training("cnn", QUICK, sample_weight="wait"))
    with pytest.raises(HeadraceError, match="expected a class of `label`"):
        read_rows(data, Training("cnn", QUICK, class_weight={"leaning": 2.0}))
    train, held_out = read_rows(data, Training("cnn", QUICK, class_weight={"none": 3.0}, sample_weight="weight"))
    assert train.weights is not None and train.weights.mean() == pytest.approx(1)
    none, other = (train.labels == 1).argmax(), 0
    assert train.weights[none] / train.weights[other] == pytest.approx(3 * 2 / 1)  # of the class, and of the row
    assert held_out.own is not None and set(held_out.own.round(6)) == {0.666667, 1.333333}


def test_two_classes_have_a_positive_one(tmp_path) -> None:
    from headrace.artifacts.dataset import Dataset
    from headrace.trainer.images.train import make_signature

    info = Dataset.open(snapshot(tmp_path / "data")).info
    signature = make_signature(replace(info, classes=["fine", "torn"], positive="torn"), ImageParameters(size=(64, 48)))
    assert (signature.positive, signature.threshold) == ("torn", 0.5)
    assert signature.image is not None and (signature.image.height, signature.image.width) == (64, 48)
