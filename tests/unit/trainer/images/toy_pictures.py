"""Pictures that are quickly learned: a bright bar on noise, lying, standing or neither; and snapshots of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset
from headrace.trainer.images.batches import Labelled
from headrace.trainer.images.descent import ImageJob
from headrace.trainer.images.store import Decoded
from headrace.trainer.parameters import Augment, ImageParameters

CLASSES = ("lying", "none", "standing")
SIDE = 32
QUICK = ImageParameters(size=(SIDE, SIDE), epochs=3, batch_size=8, augment=Augment(rotate=0, zoom=0, shift=0))


def pictures(count: int, seed: int = 0, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [count, side, side, 3], and class numbers int32 [count]."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % len(CLASSES)).astype(np.int32)
    pixels = random.normal(90, 20, (count, side, side, 3))
    for picture, label in zip(pixels, labels, strict=True):
        at = int(random.integers(4, side - 4))
        if label != 1:
            picture[(slice(at, at + 2), slice(None)) if label == 0 else (slice(None), slice(at, at + 2))] += 110
    return pixels.clip(0, 255).astype(np.uint8), labels


def labelled(count: int, seed: int = 0) -> Labelled:
    """A split of them in memory."""
    pixels, labels = pictures(count, seed)
    return Labelled(Decoded(pixels), labels)


def image_job(parameters: ImageParameters = QUICK, rows: int = 48, **others: object) -> ImageJob:
    """A training on them."""
    return ImageJob(labelled(rows, 1), labelled(24, 2), len(CLASSES), parameters, 5, **others)  # type: ignore[arg-type]


def snapshot(folder: Path, rows: int = 48, side: int = SIDE) -> Path:
    """A dataset snapshot of them, of PNG files."""
    counts = {"train": rows, "eval": 24, "test": 6}
    columns = {"path": "string", "label": "string", "image": "binary", "weight": "float64"}
    query = {"split": {"by": "hash", "eval": 0.3, "test": 0.1}}
    info = DatasetInfo("classification", [Column(*one) for one in columns.items()], "label", counts,
                       list(CLASSES), id="path", source={"name": "toy"}, query=query)  # fmt: skip
    with write_dataset(folder) as (files, details):
        for seed, (split, count) in enumerate(counts.items(), 1):
            pixels, labels = pictures(count, seed, side)
            table = {"path": [f"{split}/{row}.png" for row in range(count)], "label": [CLASSES[at] for at in labels],
                     "image": [png(one) for one in pixels], "weight": [1.0 + row % 2 for row in range(count)]}  # fmt: skip
            pq.write_table(pa.table(table), files[split])
        details.update(describe(info))
    return folder


def png(pixels: np.ndarray) -> bytes:
    """The file of a picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
