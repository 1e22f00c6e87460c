"""The file of weights that a spec names is found and fingerprinted when it is compiled."""

from __future__ import annotations

import hashlib

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.train.spec import TrainSpec
from headrace.components.train.weights_file import weights_files, with_weights


def of(weights: str, model: str = "cnn") -> TrainSpec:
    return TrainSpec(model=model, cnn={"weights": weights})


def test_a_file_beside_the_spec_is_named_whole_with_its_digest(tmp_path) -> None:
    (tmp_path / "some.weights.h5").write_bytes(b"weights")
    found = with_weights(of("some.weights.h5"), tmp_path).training().parameters
    assert found.weights == str(tmp_path / "some.weights.h5")
    assert found.weights_digest == hashlib.sha256(b"weights").hexdigest()
    assert weights_files(of("some.weights.h5")) == ["some.weights.h5"]


@pytest.mark.parametrize("weights", ["none", "imagenet", "gs://bucket/some.weights.h5"])
def test_what_is_no_file_here_stays_as_it_is(weights: str, tmp_path) -> None:
    assert with_weights(of(weights), tmp_path) == of(weights)
    assert weights_files(of(weights)) == []


def test_a_table_needs_no_weights(tmp_path) -> None:
    assert with_weights(of("nothing.h5", "gbdt"), tmp_path) == of("nothing.h5", "gbdt")


def test_a_missing_file_is_an_error_before_anything_runs(tmp_path) -> None:
    with pytest.raises(HeadraceError, match="expected the file of train.cnn.weights.*Received: no such file"):
        with_weights(of("nothing.h5"), tmp_path)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="expected none or temperature with model: cnn. Received: isotonic"):
        TrainSpec(model="cnn", calibrate="isotonic")
    with pytest.raises(ValueError, match="greater than or equal to 32"):
        TrainSpec(model="cnn", cnn={"size": [224, 16]})
    with pytest.raises(ValueError, match="resnet50"):
        TrainSpec(model="cnn", cnn={"backbone": "resnet5"})
