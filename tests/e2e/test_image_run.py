"""Pictures through the whole pipeline: files that cannot be read, columns of the list, what a second run takes as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headrace.artifacts.dataset import Dataset
from tests.e2e.projects import Project

SPEC = """\
name: marks
task: image_classification
data:
  source: data/labels.csv
  split: {by: group, column: thing, eval: 0.2, test: 0.2}
  rejects: {at_most: 2}
statistics: {slices: [camera]}
train: {cnn: {size: [32, 32], epochs: 2, batch_size: 16, augment: {flip: none}}}
evaluate:
  slices: [camera]
  look: {review: 4, attention: 1, robustness: 10}
  gates: [{metric: accuracy, at_least: 0}]
"""


@pytest.fixture
def marks(tmp_path: Path) -> Project:
    """Bright squares on the left or on the right, two pictures of each thing, and one torn file."""
    data = tmp_path / "marks" / "data"
    data.mkdir(parents=True)
    random = np.random.default_rng(5)
    rows = ["path,label,thing,camera"]
    for number in range(160):
        pixels = random.integers(0, 120, (24, 24, 3), dtype=np.uint8)
        side = ("left", "right")[number // 2 % 2]
        place = 3 if side == "left" else 15
        pixels[8:15, place : place + 6] = 250
        Image.fromarray(pixels).save(data / f"{number}.png")
        rows.append(f"{number}.png,{side},T{number // 2},camera-{number % 3}")
    (data / "159.png").write_bytes((data / "159.png").read_bytes()[:300])
    (data / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "marks" / "spec.yaml").write_text(SPEC)
    return Project(tmp_path / "marks")


@pytest.mark.slow
def test_pictures_become_a_model_in_service(marks: Project) -> None:
    said = marks.headrace("run", "spec.yaml").ok()
    shown = marks.show()
    assert "transform" not in shown["tasks"]
    assert marks.versions() == [1]
    assert "159.png: expected an image. Received: damaged data" in said.out + said.err
    [manifest] = marks.home.glob("store/*/*/dataset/manifest.json")
    snapshot = Dataset.open(manifest.parent)
    assert {"thing", "camera", "image"} <= {column.name for column in snapshot.info.columns}
    splits: dict[str, set[str]] = {}
    for split in ("train", "eval", "test"):
        for thing in snapshot.table(split, ["thing"])["thing"].to_pylist():
            splits.setdefault(thing, set()).add(split)
    assert all(len(names) == 1 for names in splits.values())

    marks.headrace("run", "spec.yaml").ok()
    assert {"ingest", "statistics", "train", "evaluate"} <= marks.cached()
