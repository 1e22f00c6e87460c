"""The inspection example's photographs: the same for a seed, of the shares that are promised, with defects to be seen."""

from __future__ import annotations

import csv
import importlib
import io
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from headrace.components.ingest.sources.decode import decode
from headrace.pipelines.check import check_spec

EXAMPLE = Path(__file__).parents[3] / "examples" / "inspection"
MODULES = ("widget", "defects", "camera", "generate")
SEED = 11
COUNT = 4_000


@pytest.fixture(scope="module")
def example() -> Iterator[SimpleNamespace]:
    """The example's modules, imported as its script does and forgotten afterwards."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(EXAMPLE))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def plans(example: SimpleNamespace) -> list:
    return [example.generate.plan(number, SEED) for number in range(COUNT)]


@pytest.fixture(scope="module")
def written(example: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("inspection") / "data"
    example.generate.write(40, SEED, data, 1)
    return data


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_small_set_is_the_head_of_a_large_one(example: SimpleNamespace, written: Path, tmp_path: Path) -> None:
    example.generate.write(6, SEED, tmp_path / "data", 1)
    files = sorted(file.name for file in (tmp_path / "data/photos").iterdir())
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "data/photos" / name).read_bytes() == (written / "photos" / name).read_bytes()
    assert rows(tmp_path / "data/labels.csv") == rows(written / "labels.csv")[:6]


def test_the_shares_are_those_that_are_promised(example: SimpleNamespace, plans: list) -> None:
    generate = example.generate
    counts = Counter(photo.truth for photo in plans)
    for name, share in zip(example.defects.CLASSES, generate.SHARES, strict=True):
        assert counts[name] / COUNT == pytest.approx(share, abs=0.03)  # nearly four standard errors
    faults = Counter(photo.fault for photo in plans)
    assert faults["seen_twice"] / COUNT == pytest.approx(generate.SEEN_TWICE, abs=0.008)
    assert faults["copied"] / COUNT == pytest.approx(generate.COPIED, abs=0.004)
    unreadable = sum(faults[name] for name in ("truncated", "empty", "not_an_image"))
    assert unreadable / COUNT == pytest.approx(generate.UNREADABLE, abs=0.004)
    wrong = [photo for photo in plans if photo.label != photo.truth]
    assert len(wrong) / COUNT == pytest.approx(generate.MISLABELLED, abs=0.01)
    assert all(photo.label in generate.CONFUSED[photo.truth] for photo in wrong)
    assert len({photo.path for photo in plans}) == COUNT


def test_a_widget_seen_twice_is_the_same_in_another_photograph(example: SimpleNamespace, plans: list) -> None:
    again = next(photo for photo in plans if photo.fault == "seen_twice")
    copy = next(photo for photo in plans if photo.fault == "copied")
    first, second = (decode(example.generate.content(photo, SEED)) for photo in (plans[again.widget], again))
    assert first.sha256 != second.sha256
    # Same pose: the pictures, small, differ by the light only. Those of two widgets differ by much more.
    other = decode(example.generate.content(next(p for p in plans if p.truth == again.truth and not p.fault), SEED))
    near, far = (shape_difference(first.small, one.small) for one in (second, other))
    assert near < far
    assert example.generate.content(copy, SEED) == example.generate.content(plans[copy.widget], SEED)
    assert plans[copy.widget].truth == copy.truth


def shape_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Of two small pictures, each without its own brightness and contrast."""
    flat = [(a - a.mean()) / a.std() for a in (one.mean(axis=2), other.mean(axis=2))]
    return float(np.abs(flat[0] - flat[1]).mean())


@pytest.mark.parametrize("fault", ["truncated", "empty", "not_an_image"])
def test_faulty_files_cannot_be_read(example: SimpleNamespace, plans: list, fault: str) -> None:
    content = example.generate.content(next(photo for photo in plans if photo.fault == fault), SEED)
    with pytest.raises(ValueError, match="damaged data|an empty file|a file of another kind"):
        decode(content)
    with pytest.raises((UnidentifiedImageError, OSError)), Image.open(io.BytesIO(content)) as image:
        image.load()


@pytest.mark.parametrize("kind", ["scratch", "discoloration", "crack"])
def test_a_defect_is_hardly_visible_to_obvious(example: SimpleNamespace, kind: str) -> None:
    changed = {0.0: [], 1.0: []}
    for seed in range(6):
        for severity, found in changed.items():
            clean, spoilt = (surface(example, seed) for _ in range(2))
            example.defects.spoil(np.random.default_rng([seed, 2]), spoilt, kind, severity)
            found.append(float(np.abs(spoilt.colour - clean.colour).sum()))
    assert min(changed[0.0]) > 0
    assert np.mean(changed[1.0]) > 3 * np.mean(changed[0.0])


def surface(example: SimpleNamespace, seed: int) -> object:
    random = np.random.default_rng([seed, 1])
    pose = example.widget.Pose(0.0, 0.0, 0.0, example.widget.PIXELS)
    return example.widget.draw(random, 224, pose, example.widget.Cap(0.0, 0.0, 0.0))


def test_a_misaligned_cap_is_out_of_tolerance_and_no_other(example: SimpleNamespace) -> None:
    widget = example.widget
    for seed in range(200):
        good = example.defects.seated(np.random.default_rng(seed), "pass", 1.0)
        assert abs(good.turn) <= widget.TURN_TOLERANCE
        bad = example.defects.seated(np.random.default_rng(seed), "misalignment", 0.0)
        far = np.hypot(bad.x - good.x, bad.y - good.y)
        assert abs(bad.turn) > widget.TURN_TOLERANCE or far > widget.OFFSET_TOLERANCE


def test_a_picture_is_what_a_camera_gives(written: Path) -> None:
    path = next(row["path"] for row in rows(written / "truth.csv") if not row["fault"])
    with Image.open(written / path) as image:
        assert (image.size, image.mode, image.format) == ((224, 224), "RGB", "JPEG")
        assert np.asarray(image).std() > 20


def test_the_spec_goes_with_the_photographs(written: Path) -> None:
    shutil.copy(EXAMPLE / "spec.yaml", written.parent)
    spec, head = check_spec(written.parent / "spec.yaml")
    assert spec.of_images
    assert {"label", "widget", "camera", "truth", "severity"} <= set(head.column_names)
    labels, truths = rows(written / "labels.csv"), rows(written / "truth.csv")
    assert "truth" not in labels[0]
    assert [row["path"] for row in labels] == [row["path"] for row in truths]
