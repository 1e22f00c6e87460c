"""The digits example: real digits as files, and a spec that goes with them."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from headrace.pipelines.check import check_spec

EXAMPLE = Path(__file__).parents[3] / "examples" / "digits"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("digits_generate", EXAMPLE / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = tmp_path_factory.mktemp("digits") / "data"
    assert module.write(data) == 1_797
    return data


def test_every_digit_is_a_file_in_the_folder_of_its_class(written: Path) -> None:
    digits = load_digits()
    files = sorted(written.glob("*/*.png"), key=lambda file: file.name)
    assert [int(file.parent.name) for file in files] == digits.target.tolist()
    with Image.open(files[100]) as image:
        assert (image.size, image.mode) == ((8, 8), "L")
        ink = 255 - np.asarray(image).astype(int)
    assert np.array_equal(np.round(ink * 16 / 255), digits.images[100])  # nothing of the 17 shades is lost


def test_the_spec_goes_with_the_digits(written: Path) -> None:
    shutil.copy(EXAMPLE / "spec.yaml", written.parent)
    spec, head = check_spec(written.parent / "spec.yaml")
    assert spec.of_images
    assert Counter(head["format"].to_pylist()) == {"PNG": head.num_rows}
