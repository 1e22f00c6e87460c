"""Networks for pictures: they learn, go on after a kill as if there had been none, and begin with given weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.images.batches import Labelled
from headrace.trainer.images.names import APPLICATIONS, SMALL, Backbone
from headrace.trainer.images.store import Decoded
from headrace.trainer.parameters import Augment, ImageParameters
from tests.unit.trainer.images.toy_pictures import CLASSES, QUICK, SIDE, image_job, labelled


def weights(model) -> list[np.ndarray]:
    return model.network.answers.get_weights()


def assert_same(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


class Killed(Exception):
    """Ends a training after an epoch, as a kill does: what is not in the checkpoint is lost."""


def killed_after(epoch: int):
    def told(made: int, value: float) -> None:
        if made == epoch:
            raise Killed

    return told


def test_it_learns() -> None:
    from headrace.trainer.images.cnn import fit

    asked = image_job(replace(QUICK, epochs=5, augment=Augment()), rows=72)
    told: list[tuple[int, float]] = []
    model = fit(replace(asked, on_round=lambda epoch, value: told.append((epoch, value))))
    constant = -np.log(1 / len(CLASSES))
    assert model.curve["eval"][model.rounds - 1] < 0.9 * constant
    assert model.accuracy[model.rounds - 1] > 0.5 and model.images_per_second > 0
    assert told == list(enumerate(model.curve["eval"], 1))
    answers = model.predict(asked.evaluation.pictures.batch(np.arange(24)))
    assert answers.shape == (24, 3)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-6)


def tiny():
    """A network of one convolution, with all that a training has to keep: running means, dropout."""
    import keras

    from headrace.trainer.images.backbones import Network

    keras.utils.set_random_seed(0)
    pixels = keras.Input((SIDE, SIDE, 3))
    features = keras.layers.Conv2D(4, 5, 3)(keras.layers.Rescaling(1 / 127.5, -1.0)(pixels))
    backbone = keras.Model(pixels, keras.layers.BatchNormalization()(features))
    pooled = keras.layers.Dropout(0.2)(keras.layers.GlobalMaxPooling2D()(backbone(pixels)))
    logits = keras.Model(pixels, keras.layers.Dense(3)(pooled))
    return Network(backbone, logits, logits)


@pytest.mark.parametrize("after", [2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_killed_it_goes_on_to_the_same_weights(after: int, tmp_path) -> None:
    """Between the stages, and in the stage of all layers."""
    from headrace.trainer.images.descent import descend

    asked = image_job(replace(QUICK, weights="given", head_epochs=2, epochs=2, augment=Augment()))
    whole, network = tiny(), tiny()
    progress = descend(whole, asked)
    with pytest.raises(Killed):
        descend(tiny(), replace(asked, checkpoints=tmp_path, on_round=killed_after(after)))
    again: list[int] = []
    resumed = descend(network, replace(asked, checkpoints=tmp_path, on_round=lambda epoch, value: again.append(epoch)))
    assert again == list(range(after + 1, 5))
    assert resumed.curves == progress.curves and resumed.best_epoch == progress.best_epoch
    assert_same(network.logits.get_weights(), whole.logits.get_weights())


def test_it_stops_early_and_keeps_the_best_epoch() -> None:
    from headrace.trainer.images.descent import descend

    # So fast that it diverges: what is kept is an early epoch.
    asked = image_job(replace(QUICK, epochs=20, learning_rate=0.9, schedule="constant", early_stopping_epochs=2))
    network = tiny()
    progress = descend(network, asked)
    assert progress.epoch == progress.best_epoch + 2 < 20
    assert progress.best == min(progress.curves["eval"]) == progress.curves["eval"][progress.best_epoch - 1]
    assert_same(network.logits.get_weights(), progress.weights)


def test_weights_of_classes_count() -> None:
    from headrace.trainer.images.descent import descend, logits_of

    def weighted(rows: Labelled, others: float) -> Labelled:
        weights = np.where(rows.labels == 1, 1.0, others)
        return replace(rows, weights=weights / weights.mean())

    asked, shares = image_job(replace(QUICK, epochs=4, learning_rate=0.02)), []
    for others in (0.02, 1.0):
        network = tiny()
        train, evaluation = weighted(asked.train, others), weighted(asked.evaluation, others)
        descend(network, replace(asked, train=train, evaluation=evaluation))
        shares.append((logits_of(network.logits, asked.evaluation, 8).argmax(axis=1) == 1).mean())
    assert shares[0] > shares[1] + 0.2


@pytest.mark.slow
def test_a_process_ended_by_sigkill_loses_no_whole_epoch(tmp_path) -> None:
    from headrace.trainer.images.cnn import fit

    code = (
        "import os, signal, sys; from dataclasses import replace; from pathlib import Path\n"
        "from headrace.trainer.images.cnn import fit\n"
        "from tests.unit.trainer.images.toy_pictures import image_job\n"
        "fit(replace(image_job(), checkpoints=Path(sys.argv[1]),\n"
        "    on_round=lambda epoch, value: os.kill(os.getpid(), signal.SIGKILL) if epoch == 2 else None))\n"
    )
    paths = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env={**os.environ, "PYTHONPATH": paths},
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    again: list[int] = []
    resumed = fit(replace(image_job(), checkpoints=tmp_path, on_round=lambda epoch, value: again.append(epoch)))
    assert again == [3]
    whole = fit(image_job())
    assert resumed.curve == whole.curve
    assert_same(weights(resumed), weights(whole))


@pytest.mark.slow
def test_weights_of_a_pretext_task_beat_a_fresh_start_where_labels_are_few(tmp_path) -> None:
    """The pretext: which way a picture of 8 bars of random brightness was turned costs no label."""
    from headrace.trainer.images.cnn import fit

    many = replace(QUICK, epochs=12, learning_rate=3e-3)
    learned = fit(replace(image_job(many), train=turned(360, 3), evaluation=turned(60, 4), classes=2))
    assert learned.accuracy[learned.rounds - 1] > 0.9
    file = tmp_path / "pretext.weights.h5"
    learned.network.backbone.save_weights(file)
    few = replace(QUICK, head_epochs=15, epochs=5, early_stopping_epochs=20)
    reached = {}
    for name in ("none", str(file)):
        asked = replace(image_job(replace(few, weights=name), rows=12), evaluation=labelled(150, 9))
        model = fit(asked)
        reached[name] = model.curve["eval"][model.rounds - 1]
    assert reached[str(file)] < 0.7 * reached["none"], reached


def turned(count: int, seed: int) -> Labelled:
    """Pictures with several lying bars, half of them turned by 90 degrees: which, is the label."""
    random = np.random.default_rng(seed)
    pixels = random.normal(90, 20, (count, SIDE, SIDE, 3))
    labels = (np.arange(count) % 2).astype(np.int32)
    for place, label in enumerate(labels):
        for at in random.integers(0, SIDE - 2, 3):
            pixels[place, at : at + 2] += random.uniform(40, 110)
        if label:
            pixels[place] = pixels[place].transpose(1, 0, 2)
    return Labelled(Decoded(pixels.clip(0, 255).astype(np.uint8)), labels)


def test_the_backbones_are_those_of_keras() -> None:
    import keras

    assert get_args(Backbone) == (SMALL, *APPLICATIONS)
    for application in APPLICATIONS.values():
        assert callable(getattr(keras.applications, application.function))


def saved(folder: Path) -> Path:
    from headrace.trainer.images.backbones import build

    file = folder / "some.weights.h5"
    build(QUICK, 3).backbone.save_weights(file)
    return file


def test_weights_that_are_not_there_or_of_something_else_are_refused(tmp_path, monkeypatch) -> None:
    from headrace.artifacts.folder import file_digest
    from headrace.trainer.images.backbones import build, load_backbone

    def refused(**wanted: object) -> str:
        parameters = replace(QUICK, **wanted)
        with pytest.raises(HeadraceError) as caught:
            load_backbone(network, parameters)
        return str(caught.value)

    network = build(QUICK, 3)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    file = saved(tmp_path)
    load_backbone(network, replace(QUICK, weights=str(file), weights_digest=file_digest(file)))
    assert "of which nobody publishes weights" in refused(weights="imagenet")
    message = refused(weights="imagenet", backbone="resnet50")
    assert str(tmp_path / "models" / APPLICATIONS["resnet50"].weights) in message and "not fetched" in message
    assert "not a file" in refused(weights=str(tmp_path / "none.weights.h5"))
    assert "compile it again" in refused(weights=str(file), weights_digest="0" * 64)
    file.write_bytes(b"no weights")
    assert "expected weights of small" in refused(weights=str(file))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenetv3small", "resnet50"])
def test_a_backbone_takes_what_keras_publishes_and_is_given_pixels_as_it_wants_them(
    name, tmp_path, monkeypatch
) -> None:
    import h5py
    import keras
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    from headrace.trainer.images.backbones import build, load_backbone

    application = APPLICATIONS[name]
    shape = (SIDE, SIDE, 3)
    published = getattr(keras.applications, application.function)(include_top=False, weights=None, input_shape=shape)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    with h5py.File(tmp_path / "models" / application.weights, "w") as file:
        save_weights_to_hdf5_group(file, published)
    parameters = ImageParameters(backbone=name, weights="imagenet", size=(SIDE, SIDE))
    network = build(parameters, 3)
    load_backbone(network, parameters)
    pixels = labelled(4).pictures.batch(np.arange(4)).astype(np.float32)
    module = keras.applications.resnet if application.caffe else keras.applications.mobilenet_v3
    expected = published.predict(module.preprocess_input(pixels.copy()), verbose=0)
    got = network.backbone.predict(pixels, verbose=0)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    network.answers.save(tmp_path / "network.keras")  # as the export gets it
    again = keras.models.load_model(tmp_path / "network.keras", compile=False)
    np.testing.assert_allclose(again.predict(pixels, verbose=0), network.answers.predict(pixels, verbose=0), atol=1e-6)


@pytest.mark.slow
def test_mixed_precision_trains_and_is_exact_afterwards() -> None:
    import keras

    from headrace.trainer.images.cnn import fit

    model = fit(image_job(replace(QUICK, mixed_precision="bfloat16", epochs=2)))
    assert keras.config.dtype_policy().name == "float32"
    assert model.parameters["precision"] == "mixed_bfloat16"
    assert {layer.compute_dtype for layer in model.network.answers._flatten_layers()} <= {"float32"}
