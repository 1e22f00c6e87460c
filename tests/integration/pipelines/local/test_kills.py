"""A run that is killed at random moments, and resumed, comes to the same as one that nobody kills."""

import importlib
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).resolve().parents[4] / "benchmarks" / "runner"


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARK)
    play = importlib.import_module("kills").play  # raises when something is lost, doubled or half-written
    kills = sum(play(seed, tmp_path / str(seed), most_kills=3).kills for seed in range(6))
    assert kills > 2
