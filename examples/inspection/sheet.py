"""Draws the contact sheet of README.md: each class, from a defect that is hardly visible to one that is obvious.

python examples/inspection/sheet.py [FILE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from camera import photograph
from defects import CLASSES
from PIL import Image

FILE = Path(__file__).parent / "contact_sheet.jpg"
SEVERITIES = (0.0, 0.2, 0.45, 0.7, 1.0)
SEED = 21
GAP = 6


def sheet() -> np.ndarray:
    """A row for each class, a column for each severity; uint8 [height, width, 3]."""
    rows = []
    for number, kind in enumerate(CLASSES):
        row = []
        for place, severity in enumerate(SEVERITIES):
            widget, shot = (np.random.default_rng([SEED, number, place, part]) for part in (1, 2))
            row.append(photograph(widget, shot, kind, severity))
        rows.append(_spaced(row, 1))
    return _spaced(rows, 0)


def _spaced(pictures: list[np.ndarray], axis: int) -> np.ndarray:
    edges = [(0, GAP) if side == axis else (0, 0) for side in (0, 1)] + [(0, 0)]
    joined = np.concatenate([np.pad(one, edges, constant_values=255) for one in pictures], axis=axis)
    return joined[: joined.shape[0] - GAP if axis == 0 else None, : joined.shape[1] - GAP if axis == 1 else None]


if __name__ == "__main__":
    Image.fromarray(sheet()).save(Path(sys.argv[1]) if len(sys.argv) > 1 else FILE, quality=80)
