"""The stated error rates of a rollout, in the simulation of `benchmarks/rollout`, with fewer rollouts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bench() -> Any:
    spec = importlib.util.spec_from_file_location("rollout_bench", ROOT / "benchmarks" / "rollout" / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rollout_bench"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["errors x1, tides", "latency x1", "drift x1"])
def test_at_the_margin_both_errors_are_as_seldom_as_stated(bench: Any, kind: str) -> None:
    case = next(one for one in bench.CASES if one.name == kind)
    found = bench.simulate(case, 100, np.random.default_rng(7))
    assert bench.wilson(found.rolled_back, 100)[0] <= bench.SETTINGS.false_rollback
    assert bench.wilson(found.promoted, 100)[0] <= bench.SETTINGS.missed_regression


@pytest.mark.slow
def test_a_good_version_is_promoted_and_a_bad_one_taken_back(bench: Any) -> None:
    good, bad = (next(one for one in bench.CASES if one.name == f"errors x{times}") for times in (0, 4))
    assert bench.simulate(good, 60, np.random.default_rng(8)).promoted > 0.8
    assert bench.simulate(bad, 60, np.random.default_rng(9)).rolled_back > 0.9
