"""Verification fails closed: a difference, a missing key or a NaN is a mismatch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.serving.scorer import Scorer
from headrace.serving.verify import difference, verify_samples

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("want", "got", "apart"),
    [
        ({"value": 1.0}, {"value": 1.0}, 0.0),
        ({"value": 0.5}, {"value": 0.25}, 0.25),
        ({"value": 1000.0}, {"value": 1001.0}, 0.001),
        ({"value": 1.0}, {"value": float("nan")}, INFINITE),
        ({"value": 1.0}, {"value": None}, INFINITE),
        ({"value": 1.0}, {"values": 1.0}, INFINITE),
        ({"value": 1.0}, {"value": True}, INFINITE),
        ({"value": 1.0}, None, INFINITE),
        ({"label": "1", "probabilities": {"0": 0.5}}, {"label": "1", "probabilities": {"0": 0.75}}, 0.25),
        ({"label": "1", "probabilities": {"0": 0.5}}, {"label": "0", "probabilities": {"0": 0.5}}, INFINITE),
    ],
)
def test_difference(want: Any, got: Any, apart: float) -> None:
    assert difference(want, got) == apart


def test_a_sample_that_is_answered_otherwise_fails(bundles: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(bundles["regression"], path)
    samples = json.loads((path / "samples.json").read_text())
    samples["predictions"][4]["value"] += 0.01
    (path / "samples.json").write_text(json.dumps(samples))
    bundle = Bundle.open(path, verify=False)
    report = verify_samples(Scorer(bundle), bundle, requests=1)
    assert not report.passed
    assert [line.partition(":")[0] for line in report.mismatches] == [
        "samples[4], together",
        "samples[4], alone",
    ]
    assert report.largest_difference > 1e-4
    assert report.requests == 20  # every sample at least once
    assert verify_samples(Scorer(bundle), bundle, tolerance=0.1, requests=1).passed
