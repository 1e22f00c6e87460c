"""The proof of an image model's graph: it holds for every picture, and fails where an answer is another."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "serving"))
from picture_bundle import COLOURS, ITEM, colour_graph, encoded, expected, picture

from headrace.artifacts.pictures import PictureError, decode
from headrace.trainer.export.parity import ExportError
from headrace.trainer.images.export import Pictures
from headrace.trainer.images.parity import check_parity, difficult_pictures
from headrace.trainer.images.samples import samples

FILES = [encoded(picture(n % 3, seed=n), "JPEG") for n in range(7)]


def network(pixels: np.ndarray) -> np.ndarray:
    assert pixels.dtype == np.uint8 and pixels.shape[1:] == (24, 32, 3)
    return np.stack([expected(one) for one in pixels])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(colour_graph(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_the_same_answers_are_proven_on_every_kind_of_picture(model: Path) -> None:
    parity = check_parity(network, model, COLOURS, FILES, tolerance=1e-5)
    made = list(difficult_pictures(ITEM))
    assert parity.rows == len(FILES) + len(made)
    assert parity.largest_difference < 1e-5
    sizes = {one.shape for one in made}
    assert {(1, 1, 3), (24, 32, 3), (25, 31, 3), (53, 37, 3)} <= sizes
    assert max(high * wide for high, wide, _ in sizes) > 3_000_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda pixels: network(pixels[:, :, :, ::-1]), "expected model.onnx to answer as the trained network does"),
        (lambda pixels: network(pixels // 2), "expected model.onnx to answer as the trained network does"),
        (lambda pixels: network(pixels) * np.nan, r"Received: inf off"),
        (lambda pixels: network(pixels)[:, :2], r"expected probabilities of the 3 classes.* \(\d+, 2\)"),
    ],
)
def test_other_answers_make_no_bundle(model: Path, wrong: object, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        check_parity(wrong, model, COLOURS, FILES, tolerance=1e-3)  # type: ignore[arg-type]


def test_one_picture_that_is_answered_otherwise_is_named(model: Path) -> None:
    fourth = iter(range(1_000))

    def wrong(pixels: np.ndarray) -> np.ndarray:
        answers = network(pixels)
        for one in answers:
            if next(fourth) == 3:
                one[:] = one[::-1].copy()
        return answers

    with pytest.raises(ExportError, match="for picture 3 of the eval split, of 30 x 20 pixels"):
        check_parity(wrong, model, COLOURS, FILES, tolerance=1e-3)


def test_a_damaged_file_is_no_proof(model: Path) -> None:
    with pytest.raises(PictureError):
        check_parity(network, model, COLOURS, [FILES[0][:200]], tolerance=1e-3)


def test_samples_are_small_files_of_all_classes(model: Path) -> None:
    import base64

    labels = np.array([0] * 30 + [1, 2, 2], np.int32)
    large = encoded(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    files = [encoded(picture(int(label), seed=n), "WEBP") for n, label in enumerate(labels)]
    files[1] = large
    found = samples(Pictures(files, labels), model, COLOURS)
    assert len(found["instances"]) == 16
    assert [one["label"] for one in found["predictions"][:4]] == [
        "red",
        "green",
        "blue",
        found["predictions"][3]["label"],
    ]
    contents = [base64.b64decode(one["image"]["b64"]) for one in found["instances"]]
    assert all(one.startswith((b"\xff\xd8", b"\x89PNG")) and len(one) <= 32 * 1024 for one in contents)
    assert decode(contents[3]).shape == (24, 32, 3)  # instead of the large one


def test_pictures_are_taken_evenly() -> None:
    pictures = Pictures([bytes([n]) for n in range(100)], np.arange(100, dtype=np.int32))
    some = pictures.spread(5)
    assert some.labels.tolist() == [0, 24, 49, 74, 99]
    assert [one[0] for one in some.contents] == some.labels.tolist()
    assert len(pictures.spread(1_000).contents) == 100
