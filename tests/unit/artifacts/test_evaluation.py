"""The evaluation's format: read back as written; refused when damaged, newer or not finite."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.evaluation import (
    FORMAT,
    VERSION,
    Curve,
    Evaluation,
    Importance,
    Slice,
    Unjudged,
    read_evaluation,
    write_evaluation,
)
from headrace.artifacts.fairness_found import Fairness, Group
from headrace.artifacts.folder import write_folder, write_json
from headrace.artifacts.metrics import FAIRNESS, METRICS

FULL = Evaluation(
    present=True,
    task="classification",
    label="churned",
    split="test",
    rows=100,
    dataset_digest="sha256:d",
    model_digest="sha256:m",
    classes=("0", "1"),
    positive="1",
    threshold=0.5,
    metrics={"auc": 0.8},
    undefined={"mcc": "all rows are of class 0"},
    intervals={"auc": (0.7, 0.9)},
    baseline={"auc": 0.5},
    confusion=((50, 10), (5, 35)),
    curves=(Curve("roc", ((0.0, 0.0, 1.0), (1.0, 1.0, 0.0)), "1"),),
    slices=(Slice("plan", "basic", 40, {"auc": 0.7}, {"mcc": "why"}),),
    unjudged=(Unjudged("plan", 2, 7, 20, values=("trial", "gift")),),
    fairness=(
        Fairness(
            "gender",
            (Group("f", 50, 0.4, None, 0.1),),
            {"demographic_parity_difference": 0.1},
            {"equalized_odds_ratio": "why"},
            ("x",),
        ),
    ),
    importance=(Importance("tenure", "log_loss", 0.1),),
    importance_rows=100,
    importance_skipped=3,
)


def test_round_trip(tmp_path):
    write_evaluation(tmp_path / "e", FULL)
    assert read_evaluation(tmp_path / "e") == FULL
    assert FULL.kind == "binary"
    assert FULL.curve("roc", "1") is FULL.curves[0]
    assert FULL.curve("pr") is None


def test_absence_round_trip(tmp_path):
    nothing = Evaluation(False, "regression", "y", "test", 10, "sha256:d")
    write_evaluation(tmp_path / "e", nothing)
    assert read_evaluation(tmp_path / "e") == nothing


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_not_written(tmp_path, value):
    with pytest.raises(ArtifactError, match="expected finite numbers in an evaluation"):
        write_evaluation(tmp_path / "e", replace(FULL, metrics={"auc": value}))
    assert not (tmp_path / "e").exists()


def test_damaged_is_refused(tmp_path):
    write_evaluation(tmp_path / "e", FULL)
    file = tmp_path / "e" / "evaluation.json"
    file.write_text(file.read_text().replace("0.8", "0.9"))
    with pytest.raises(ArtifactError, match="Received: changed content"):
        read_evaluation(tmp_path / "e")
    file.unlink()
    with pytest.raises(ArtifactError, match="Received: no such file"):
        read_evaluation(tmp_path / "e")


def test_newer_version_is_refused(tmp_path):
    with write_folder(tmp_path / "e", FORMAT, 4, {}) as folder:
        write_json(folder / "evaluation.json", {})
    with pytest.raises(ArtifactError, match="expected headrace/evaluation of format version 3 or older"):
        read_evaluation(tmp_path / "e")


@pytest.mark.parametrize(
    "change", [{"present": None}, {"metrics": None}, {"metrics": {"auc": "x"}}, {"more": 1}, {"unfit": None}]
)
def test_other_content_is_refused(tmp_path, change):
    write_evaluation(tmp_path / "good", FULL)
    value = json.loads((tmp_path / "good" / "evaluation.json").read_text())
    with write_folder(tmp_path / "e", FORMAT, VERSION, {}) as folder:
        write_json(folder / "evaluation.json", value | change)
    with pytest.raises(ArtifactError, match="expected an evaluation"):
        read_evaluation(tmp_path / "e")


def test_missing_field_is_refused(tmp_path):
    write_evaluation(tmp_path / "good", FULL)
    value = json.loads((tmp_path / "good" / "evaluation.json").read_text())
    for name in value:
        path = tmp_path / f"without-{name}"
        with write_folder(path, FORMAT, VERSION, {}) as folder:
            write_json(folder / "evaluation.json", {key: item for key, item in value.items() if key != name})
        with pytest.raises(ArtifactError, match="expected an evaluation"):
            read_evaluation(path)


def test_version_1_is_read(tmp_path):
    write_evaluation(tmp_path / "new", FULL)
    value = json.loads((tmp_path / "new" / "evaluation.json").read_text())
    for name in ("importance_rows", "importance_skipped", "unfit"):
        del value[name]
    del value["unjudged"][0]["values"]
    with write_folder(tmp_path / "e", FORMAT, 1, {}) as folder:
        write_json(folder / "evaluation.json", value)
    old = replace(FULL, importance_rows=0, importance_skipped=0, unjudged=(Unjudged("plan", 2, 7, 20),))
    assert read_evaluation(tmp_path / "e") == old


def test_every_metric_has_a_known_direction():
    assert METRICS["auc"].higher_is_better is True
    assert METRICS["rmse"].higher_is_better is False
    assert METRICS["bias"].higher_is_better is None
    assert [name for name, info in METRICS.items() if info.name != name or not info.tasks] == []
    assert FAIRNESS["demographic_parity_difference"].higher_is_better is False
    assert FAIRNESS["demographic_parity_ratio"].higher_is_better is True
    assert METRICS["brier"].fits("classification") and not METRICS["brier"].fits("regression")
