"""Writes scikit-learn's handwritten digits as PNG files, a folder for each digit.

    python examples/digits/generate.py            1,797 digits into data/ beside this file

They are real: 8 x 8 pixels with 17 shades, from the UCI set "Optical Recognition of Handwritten Digits" (E. Alpaydin
and C. Kaynak, 1998; CC BY 4.0), its test part, in which none of the writers of its training part is.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

OUTPUT = Path(__file__).parent / "data"


def write(output: Path) -> int:
    """Writes every digit to `output`/<digit>/<number>.png, grey, 8 x 8; what was there before is replaced."""
    digits = load_digits()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        made = Path(folder) / "data"
        for number, (picture, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
            file = made / str(digit) / f"{number:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels(picture)).save(file)
        if output.exists():
            shutil.rmtree(output)
        made.rename(output)
    return len(digits.images)


def pixels(picture: np.ndarray) -> np.ndarray:
    """Ink from 0 to 16, as grey from white to black; uint8 [8, 8]."""
    return (255 - np.round(picture * (255 / 16))).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args()
    print(f"{given.output}: {write(given.output):,} digits")
