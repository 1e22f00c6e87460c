"""Specs of pictures: what goes without saying, what does not fit, what is compiled, what `headrace init` writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.check import check_spec
from headrace.pipelines.compile import training_ir
from headrace.pipelines.init import init
from headrace.pipelines.spec import Spec, SpecError, load_spec

MINIMAL = {"name": "widgets", "task": "image_classification", "data": {"source": "photos"}}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two classes, and a CSV that lists the same files."""
    random = np.random.default_rng(1)
    rows = ["path,kind,thing"]
    for name in ("good", "bad"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).resize((32, 24), Image.Resampling.BICUBIC)
            picture.save(tmp_path / "photos" / name / f"{number:02}.png")
            rows.append(f"{name}/{number:02}.png,{name},T{number // 2}")
    (tmp_path / "photos" / "list.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "photos"


def test_what_goes_without_saying():
    spec = Spec.model_validate(MINIMAL)
    assert (spec.data.format, spec.data.label.name, spec.data.id) == ("images", "label", "path")
    assert (spec.data.split.by, spec.data.split.column, spec.train.model) == ("group", "group", "cnn")
    assert (spec.predicted, spec.of_images) == ("classification", True)


def test_shares_alone_leave_the_split_by_group():
    data = {"source": "photos", "split": {"eval": 0.2, "test": 0.1}}
    split = Spec.model_validate({**MINIMAL, "data": data}).data.split
    assert (split.by, split.column, split.eval, split.test) == ("group", "group", 0.2, 0.1)


def test_a_column_that_holds_together_is_part_of_the_groups():
    data = {"source": "x.csv", "split": {"by": "group", "column": "thing"}}
    found = Spec.model_validate({**MINIMAL, "data": data}).data
    assert (found.split.column, found.splitting.column) == ("thing", "group")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("task: classification\ndata: {source: photos, format: images, label: x}",
         "2: task: expected image_classification with data.format: images. Received: classification"),
        ("task: image_classification\ndata: {source: photos, format: csv, label: x}",
         "3: data.format: expected images with task: image_classification. Received: csv"),
        ("task: image_classification\ndata: {source: photos}\nfeatures:\n  drop: [camera]",
         "5: features.drop: expected no features of pictures.*train.cnn.augment. Received: `drop`"),
        ("task: image_classification\ndata: {source: photos}\ntrain:\n  model: gbdt",
         "5: train.model: expected cnn with task: image_classification. Received: gbdt"),
        ("task: image_classification\ndata: {source: photos}\ntrain:\n  tune: {trials: 3}",
         "5: train.tune: expected none with task: image_classification.*Received: a section"),
        ("task: classification\ndata: {source: x.csv, label: x}\ntrain:\n  model: cnn",
         "5: train.model: expected cnn only with task: image_classification. Received: it with classification"),
        ("task: image_classification\ndata: {source: photos}\nevaluate: {gates: [{metric: rmse, at_most: 1}]}",
         "4: evaluate.gates.0: expected a metric of classification"),
    ],
)  # fmt: skip
def test_what_does_not_fit_pictures_is_told_with_its_line(tmp_path: Path, change: str, message: str):
    (tmp_path / "spec.yaml").write_text(f"name: widgets\n{change}\n")
    with pytest.raises(SpecError, match=f"spec.yaml:{message}"):
        load_spec(tmp_path / "spec.yaml")


def test_empty_features_are_none():
    assert Spec.model_validate({**MINIMAL, "features": {"drop": []}}).of_images


def test_the_same_pipeline_without_features():
    pictures = yaml.safe_load(training_ir(Spec.model_validate(MINIMAL), ""))
    table = {"name": "rows", "task": "classification", "data": {"source": "x.csv", "label": "y"}}
    rows = yaml.safe_load(training_ir(Spec.model_validate(table), ""))
    tasks, all_tasks = (ir["root"]["dag"]["tasks"] for ir in (pictures, rows))
    assert set(all_tasks) - set(tasks) == {"transform"}
    assert set(tasks["train"]["dependentTasks"]) == {"ingest", "statistics", "validate"}
    assert set(tasks["train"]["inputs"]["artifacts"]) == {"dataset", "statistics", "schema"}
    for name in ("ingest", "gate"):
        assert tasks[name]["inputs"]["parameters"]["task"]["runtimeValue"]["constant"] == "classification"
    settings = [ir["train"]["inputs"]["parameters"]["train"]["runtimeValue"]["constant"] for ir in (tasks, all_tasks)]
    assert settings[0]["model"] == "cnn"
    assert "cnn" not in settings[1]  # so that what is new for pictures leaves the pipelines of tables as they are


def test_a_spec_is_checked_against_its_pictures(photos: Path):
    spec = photos.parent / "spec.yaml"
    text = (
        "name: widgets\ntask: image_classification\n"
        "data: {source: photos/list.csv, label: kind, split: {by: group, column: thing}}\n"
    )
    spec.write_text(text + "evaluate: {slices: [thing]}\n")
    _, head = check_spec(spec)
    assert head.num_rows == 60
    spec.write_text(text + "evaluate: {slices: [camera]}\n")
    with pytest.raises(SpecError, match=r":4: evaluate.slices.0: expected a column of the source. Received: `camera`"):
        check_spec(spec)


def test_init_of_a_folder(photos: Path, tmp_path: Path):
    (photos / "list.csv").unlink()
    (photos / "bad" / "torn.png").write_bytes((photos / "bad" / "00.png").read_bytes()[:200])
    file = init(tmp_path / "mine", photos, None, None, None, force=False)
    spec, head = check_spec(file)
    assert (spec.task, spec.train.model, spec.data.split.column) == ("image_classification", "cnn", "group")
    assert spec.data.rejects.at_most == 10
    assert set(head["label"].to_pylist()) == {"bad", "good"}
    text = file.read_text()
    assert "2 classes: bad (31), good (30)" in text
    assert "such as bad/torn.png: damaged data" in text
    assert "32 x 24 pixels" in text


def test_init_of_a_list(photos: Path, tmp_path: Path):
    file = init(tmp_path / "mine", photos / "list.csv", "kind", None, None, force=False)
    spec, _ = check_spec(file)
    assert (spec.data.label.name, spec.data.split.by, spec.data.split.column) == ("kind", "group", "thing")
    assert "thing: 15 values" in file.read_text()


def test_init_says_what_is_missing(photos: Path, tmp_path: Path):
    with pytest.raises(HeadraceError, match="--id: expected none for pictures"):
        init(tmp_path / "mine", photos, None, None, "path", force=False)
    with pytest.raises(HeadraceError, match="expected the column `label`, which data.label names"):
        init(tmp_path / "mine", photos / "list.csv", None, None, None, force=False)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(HeadraceError, match=r"--label: expected the column of .*rows.csv to predict. Received: none"):
        init(tmp_path / "mine", tmp_path / "rows.csv", None, None, None, force=False)
