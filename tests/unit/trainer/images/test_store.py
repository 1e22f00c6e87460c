"""The pictures of a split: in memory and on disk they are the same ones, and a bad one is named."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Input
from headrace.trainer.images.store import Decoded, Encoded, load
from tests.unit.trainer.images.toy_pictures import SIDE, pictures, snapshot


def test_pictures_in_memory_and_on_disk_are_the_same(tmp_path) -> None:
    data = Dataset.open(snapshot(tmp_path / "data", rows=40))
    item = Input("image", "image", height=SIDE, width=SIDE)
    memory, disk = load(data, "train", item, 1 << 30), load(data, "train", item, 0)
    assert isinstance(memory, Decoded) and isinstance(disk, Encoded)
    places = np.array([39, 0, 7, 7])
    expected = pictures(40, seed=1)[0][places]
    np.testing.assert_array_equal(memory.batch(places), expected)
    np.testing.assert_array_equal(disk.batch(places), expected)


def test_pictures_of_another_size_are_resized_alike(tmp_path) -> None:
    data = Dataset.open(snapshot(tmp_path / "data", rows=6, side=50))
    item = Input("image", "image", height=SIDE, width=20)
    memory, disk = load(data, "train", item, 1 << 30), load(data, "train", item, 0)
    places = np.arange(6)
    assert memory.batch(places).shape == (6, SIDE, 20, 3)
    np.testing.assert_array_equal(memory.batch(places), disk.batch(places))


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("tests.unit.trainer.images.toy_pictures.png", lambda pixels: b"no picture")
    data = Dataset.open(snapshot(tmp_path / "data", rows=6))
    with pytest.raises(HeadraceError, match="row 1 of the train split: expected the bytes of a JPEG or PNG file"):
        load(data, "train", Input("image", "image", height=SIDE, width=SIDE), 1 << 30)
