"""What is written for TensorFlow Model Analysis is opened by TFMA itself, in its own environment."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from headrace.artifacts.attributions import Attributions, Mean
from headrace.artifacts.evaluation import Evaluation, Slice
from headrace.components.evaluate.bootstrap import intervals
from headrace.components.evaluate.curves import curves
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.ranking import levels
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.tfma import write_tfma
from headrace.components.evaluate.thresholds import threshold_table

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venv-tfx" / "bin" / "python"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="the tfx environment is not there")]


def evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    score = rng.random(1000)
    truth = (rng.random(1000) < score).astype(int)
    scores = Scores("classification", truth, np.column_stack([1 - score, score]), ("no", "yes"), 1)
    values, undefined = measure(scores)
    around = intervals(scores, 0)
    return Evaluation(
        present=True,
        task="classification",
        label="churned",
        split="test",
        rows=1000,
        dataset_digest="sha256:d",
        model_digest="sha256:m",
        classes=("no", "yes"),
        positive="yes",
        threshold=0.5,
        metrics=values,
        undefined=undefined,
        intervals=around,
        curves=curves(scores, 0),
        thresholds=threshold_table(levels(score, truth == 1, np.ones((1, 1000))), 0.5),
        slices=(
            Slice("plan", "premium", 400, {"auc": 0.75, "accuracy": 0.5}, intervals={"auc": (0.7, 0.8)}),
            Slice("plan × region", "basic × Genève", 100, {"auc": 0.5}),
        ),
        attributions=Attributions("probability", "yes", 100, 32, means=(Mean("tenure", 0.25), Mean("plan", 0.125))),
    )


def test_tfma_opens_it(tmp_path):
    found = evaluation()
    write_tfma(tmp_path / "tfma", found)
    command = [PYTHON, Path(__file__).with_name("tfma_jobs.py"), tmp_path / "tfma"]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    read = json.loads(done.stdout.splitlines()[-1])
    keys = [key for key, _ in read["slices"]]
    assert keys == [[], [["plan", "premium"]], [["plan", "basic"], ["region", "Genève"]]]
    whole = read["slices"][0][1]
    low, high = found.intervals["auc"]
    auc = {"lowerBound": low, "upperBound": high, "value": found.metrics["auc"]}
    assert whole["auc"]["boundedValue"] == pytest.approx(auc)
    assert whole["binary_accuracy"]["boundedValue"]["value"] == pytest.approx(found.metrics["accuracy"])
    assert whole["example_count"] == {"doubleValue": 1000.0}
    assert len(whole) == len(found.metrics) + 1
    assert read["premium"]["binary_accuracy"] == {"doubleValue": 0.5}
    assert read["slicing"] == [[], ["plan"], ["plan", "region"]]
    assert read["label"] == "churned"
    plot = read["plots"][0][1]
    matrices = plot["confusionMatrixAtThresholds"]["matrices"]
    assert len(matrices) == len(found.thresholds)
    chosen = next(one for one in found.thresholds if one.chosen)
    matrix = next(one for one in matrices if one["threshold"] == 0.5)
    assert matrix["truePositives"] == chosen.true_positives
    assert matrix["precision"] == pytest.approx(chosen.precision)
    buckets = plot["calibrationHistogramBuckets"]["buckets"]
    assert sum(bucket["numWeightedExamples"] for bucket in buckets) == 1000
    sizes = {"tenure": {"doubleValue": 0.25}, "plan": {"doubleValue": 0.125}}
    assert read["attributions"][0]["mean_absolute_attribution"] == sizes
