#!/usr/bin/env python3
"""How often the paired gate promotes a model that is not better, and how often one that is: simulated pairs of models.

    .venv/bin/python benchmarks/gates/run.py              # 1,000 pairs of each kind: some 20 minutes on one core
    .venv/bin/python benchmarks/gates/run.py --pairs 200  # a first look

Both models see the truth of the same rows through noise that they share in part, as two trainings on the same data do.

- **A/A**: both are equally good in truth. Every promotion by `better_by: 0` is false; 1 - confidence are allowed.
- **margin**: the new model is worse in truth by just the margin of `no_worse_than`; again every promotion is false.
- **A/B**: the new model is better in truth, by what is given; promotions are right, and their share is the power.

Beside the gate stands what it is compared with: *the figure alone* (promote where the metric is better, as without
`confidence`), and *unpaired* (promote where the one-sided bound of the difference is above the margin by the errors of
both estimates, which forgets that both were judged on the same rows). Prints shares with their own 95 % intervals, and
writes all to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headrace.artifacts.metrics import METRICS
from headrace.components.evaluate.measure import measure_one
from headrace.components.evaluate.scores import Scores
from headrace.components.gate.inference import estimate, paired

RESULTS = Path(__file__).resolve().parents[1] / "results"
CONFIDENCE = 0.95
ALIKE = 0.8  # correlation of the two models' noise
LARGE = 400_000  # rows that stand for the truth

Maker = Callable[[Any, int, float, float], tuple[Scores, Scores]]


def two_classes(rng: Any, rows: int, own: float, other: float) -> tuple[Scores, Scores]:
    """Two models of a rare class; the higher the signal, the better."""
    actual = rng.random(rows) < 0.2
    shared = rng.normal(size=rows)
    made = []
    for signal in (own, other):
        noise = math.sqrt(ALIKE) * shared + math.sqrt(1 - ALIKE) * rng.normal(size=rows)
        # The posterior of its own signal, so that both are calibrated, and the better one has the lower log loss.
        log_odds = signal * (signal * actual + noise) - signal**2 / 2 + math.log(0.2 / 0.8)
        probability = 1 / (1 + np.exp(-log_odds))
        outputs = np.column_stack([1 - probability, probability])
        made.append(Scores("classification", actual.astype(int), outputs, ("no", "yes"), 1))
    return made[0], made[1]


def values(rng: Any, rows: int, own: float, other: float) -> tuple[Scores, Scores]:
    """Two models of a number; the higher the signal, the smaller the error, which has heavy tails."""
    truth = rng.gamma(2.0, 2.0, rows)
    shared = rng.standard_t(5, size=rows)
    made = []
    for signal in (own, other):
        error = (math.sqrt(ALIKE) * shared + math.sqrt(1 - ALIKE) * rng.standard_t(5, size=rows)) / signal
        made.append(Scores("regression", truth, (truth + error)[:, None]))
    return made[0], made[1]


class Case(NamedTuple):
    """A metric, on whose rows, and by how much models differ in it."""

    metric: str
    make: Maker
    margin: float  # of the non-inferiority gate
    gains: tuple[float, ...]  # of A/B pairs


CASES = [
    Case("auc", two_classes, 0.01, (0.01, 0.02)),
    Case("log_loss", two_classes, 0.01, (0.01, 0.02)),
    Case("recall", two_classes, 0.02, (0.03, 0.06)),
    Case("f1", two_classes, 0.02, (0.02, 0.04)),
    Case("pr_auc", two_classes, 0.01, (0.02, 0.04)),
    Case("rmse", values, 0.02, (0.02, 0.05)),
    Case("median_absolute_error", values, 0.02, (0.02, 0.05)),
]
BASE = 1.5  # signal of the champion


@functools.cache
def level(metric: str, make: Maker, signal: float) -> float:
    """The metric in truth."""
    value = measure_one(make(np.random.default_rng(99), LARGE, signal, signal)[0], metric)
    if value is None:
        raise RuntimeError(f"{metric} is not defined")
    return value


def signal_for(case: Case, gain: float) -> float:
    """The signal at which the metric is better than the champion's by `gain` in truth."""
    if gain == 0:
        return BASE
    sign = 1 if METRICS[case.metric].higher_is_better else -1
    low, high = 0.5, 4.0
    for _ in range(18):
        middle = (low + high) / 2
        better = sign * (level(case.metric, case.make, middle) - level(case.metric, case.make, BASE))
        low, high = (middle, high) if better < gain else (low, middle)
    return (low + high) / 2


class Shares(NamedTuple):
    """Of the pairs, how many each rule promotes."""

    gate: float
    figure: float
    unpaired: float
    seconds: float  # one test takes


def shares(case: Case, rows: int, gain: float, margin: float, pairs: int, seed: int) -> Shares:
    """Promotions among pairs of models, the first better than the second by `gain` in truth."""
    rng = np.random.default_rng(seed)
    sign = 1 if METRICS[case.metric].higher_is_better else -1
    signal = signal_for(case, gain)
    promoted = np.zeros(3)
    took = 0.0
    for _ in range(pairs):
        ours, theirs = case.make(rng, rows, signal, BASE)
        began = time.perf_counter()
        found = paired(ours, theirs, case.metric)
        took += time.perf_counter() - began
        sure = found.bound(CONFIDENCE, False) if sign > 0 else -found.bound(CONFIDENCE, True)
        apart = math.hypot(*(estimate(scores, case.metric).error for scores in (ours, theirs)))
        promoted += [sure > -margin, sign * found.value > -margin, sign * found.value - 1.645 * apart > -margin]
    return Shares(*(promoted / pairs), took / pairs)


def main() -> None:
    """Runs all pairs and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of models of each kind")
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 1000, 5000], help="rows of the test split")
    parser.add_argument("--metrics", nargs="+", default=[case.metric for case in CASES])
    asked = parser.parse_args()
    found = []
    print(f"{'metric':<22}{'rows':>6}  {'pairs':<14}{'gate':>16}{'figure alone':>14}{'unpaired':>15}{'ms':>8}")
    for case in CASES:
        if case.metric not in asked.metrics:
            continue
        kinds = [("A/A", 0.0, 0.0), (f"margin {case.margin:g}", -case.margin, case.margin)]
        kinds += [(f"A/B +{gain:g}", gain, 0.0) for gain in case.gains]
        for rows in asked.rows:
            for place, (kind, gain, margin) in enumerate(kinds):
                result = shares(case, rows, gain, margin, asked.pairs, 1000 * rows + place)
                reach = 196 * math.sqrt(result.gate * (1 - result.gate) / asked.pairs)
                gate = f"{100 * result.gate:.1f} ± {reach:.1f} %"
                print(
                    f"{case.metric:<22}{rows:>6}  {kind:<14}{gate:>16}{100 * result.figure:>12.1f} %"
                    f"{100 * result.unpaired:>13.1f} %{1000 * result.seconds:>8.1f}",
                    flush=True,
                )
                found.append({"metric": case.metric, "rows": rows, "pairs": kind, **result._asdict()})
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"gates-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    target.write_text(json.dumps({"confidence": CONFIDENCE, "pairs": asked.pairs, "found": found}, indent=2) + "\n")
    print(f"written to {target}")


if __name__ == "__main__":
    main()
