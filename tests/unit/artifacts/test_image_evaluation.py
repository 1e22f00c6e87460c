"""What an evaluation says of images: read back as written, refused when it is something else."""

from __future__ import annotations

import json

import pytest

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import Evaluation, read_evaluation, write_evaluation
from headrace.artifacts.image_evaluation import (
    FILE,
    REVIEW_FILE,
    UNCERTAIN,
    WRONG,
    ClassQuality,
    ImageEvaluation,
    Labels,
    OperatingPoint,
    Operation,
    Review,
    Robustness,
    Share,
    read_images,
    review_csv,
)

HALF = Share(5, 10, 0.24, 0.76)
DONE = Operation("test", HALF, None, HALF, HALF)
FULL = ImageEvaluation(
    truth="audited",
    classes=(ClassQuality("crack", 10, HALF, HALF), ClassQuality("pass", 0, None, None)),
    operating=OperatingPoint("crack", 0.9, 0.25, DONE, DONE, DONE, ((0.5, 0.2, 1.0), (0.25, 1.0, 0.4))),
    labels=Labels(HALF, {"crack": HALF, "pass": None}, None),
    review=(
        Review(3, 'a "b",c.jpg', "pass", "crack", 0.9, 0.05, WRONG, 2, "crack"),
        Review(4, "d.jpg", "pass", "pass", 0.5, 0.5, UNCERTAIN),
    ),
    robustness=(Robustness("none", 0.0, HALF, HALF), Robustness("blur", 1.0, HALF, HALF, HALF)),
)
EVALUATION = Evaluation(True, "classification", "label", "test", 10, "sha256:d", "sha256:m")


@pytest.mark.parametrize("images", [FULL, ImageEvaluation(None, FULL.classes)])
def test_round_trip(tmp_path, images):
    write_evaluation(tmp_path / "e", EVALUATION, images)
    assert read_images(tmp_path / "e") == images
    assert read_evaluation(tmp_path / "e") == EVALUATION  # which checks that the folder is sealed over all files


def test_a_tables_evaluation_has_none(tmp_path):
    write_evaluation(tmp_path / "e", EVALUATION)
    assert read_images(tmp_path / "e") is None
    assert not (tmp_path / "e" / REVIEW_FILE).exists()


@pytest.mark.parametrize("change", [{"classes": None}, {"review": [{"row": 1}]}, {"operating": {"name": "crack"}}])
def test_other_content_is_refused(tmp_path, change):
    write_evaluation(tmp_path / "e", EVALUATION, FULL)
    file = tmp_path / "e" / FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ArtifactError, match="expected an evaluation of images"):
        read_images(tmp_path / "e")


def test_the_review_list_as_csv():
    assert review_csv(FULL.review).splitlines() == [
        "row,path,label,predicted,probability,label_probability,reason,copies,truth,review",
        '3,"a ""b"",c.jpg",pass,crack,0.900000,0.050000,confidently wrong,2,crack,',
        "4,d.jpg,pass,pass,0.500000,0.500000,uncertain,0,,",
    ]
