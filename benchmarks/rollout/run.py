#!/usr/bin/env python3
"""How often a rollout takes back a version that is not worse, and promotes one that is: simulated, beside the stated
bounds.

    .venv/bin/python benchmarks/rollout/run.py                 # 2,000 of each kind: some 15 minutes on one core
    .venv/bin/python benchmarks/rollout/run.py --rollouts 200  # a first look

Each rollout has the steps, the tests and the levels of `headrace rollout` (`serving.sequential`), and looks after every
200 requests, up to 400 times. The two versions differ in truth by what is given, in units of the check's margin:

- **x0**: they are equal. **x1**: the new one is worse by just the margin, where both errors are most likely: every
  rollback is false, and every promotion misses a regression.
- **x2, x4**: it is worse by more. A promotion misses a regression; a rollback is right, and the sooner the better.

`tides`: the rate of both swings by a factor of ten over the rollout, and there are outbreaks of errors that hit
both. `steps` change the shares all the while. Beside the rollout stands what is often done instead: *z test*, one at
each look on all counts, at the same level. Prints shares with 95 % Wilson intervals, and writes all to
benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from headrace.components.push.canary import Canary
from headrace.pipelines.rollout.checks import levels
from headrace.serving.sequential import anew, block, start, update

RESULTS = Path(__file__).resolve().parents[1] / "results"
REQUESTS, LOOKS = 200, 400
SETTINGS = Canary(step_minutes=0, step_requests=300, outcomes=None, false_rollback=0.05, missed_regression=0.05)
MOST_AT_A_STEP = 10  # looks that a step takes at least
THRESHOLDS = np.linspace(0.1, 0.9, 9)
BASE = {"errors": 0.01, "latency": 0.02}

Rate = Callable[[int], float]


@dataclass(frozen=True)
class Case:
    """One kind of rollout."""

    name: str
    check: str  # in which the new version differs
    times: float  # the margin
    tides: bool = False


CASES = [
    Case("errors x0", "errors", 0), Case("errors x1", "errors", 1), Case("errors x1, tides", "errors", 1, True),
    Case("errors x0, tides", "errors", 0, True), Case("errors x2", "errors", 2), Case("errors x4", "errors", 4),
    Case("latency x1", "latency", 1), Case("latency x2", "latency", 2),
    Case("drift x1", "drift", 1), Case("drift x2", "drift", 2),
]  # fmt: skip


@dataclass
class Found:
    """What became of so many rollouts."""

    rolled_back: float
    promoted: float
    z_rolled_back: float  # by a z test at each look, among the same rollouts
    served_badly: float  # requests that the new version answered until it was taken back; the median
    looks: float  # until it was over, the median


def tide(look: int, swing: bool) -> float:
    """What the rates are multiplied with: a day of 100 looks, and an outbreak now and then."""
    if not swing:
        return 1.0
    return float((10.0 if look % 37 < 3 else 1.0) * math.exp(math.log(10) / 2 * math.sin(look / 100 * 2 * math.pi)))


def simulate(case: Case, rollouts: int, rng: np.random.Generator, settings: Canary = SETTINGS) -> Found:
    """Runs so many rollouts of a kind, all at once."""
    margins = {"errors": settings.errors, "latency": settings.latency, "drift": settings.drift}
    level = levels(settings, len(margins))
    shapes: dict[str, tuple[int, ...]] = {
        "errors": (rollouts,),
        "latency": (rollouts,),
        "drift": (rollouts, 2, len(THRESHOLDS)),
    }
    tests = {name: [start(margin, above, shapes[name]) for above in (True, False)] for name, margin in margins.items()}
    steps = np.asarray([*settings.steps, 100])
    step, at_step, seen = np.zeros(rollouts, int), np.zeros(rollouts, int), np.zeros(rollouts)
    end, result = np.full(rollouts, LOOKS), np.zeros(rollouts, int)  # 1: promoted, -1: rolled back
    bad, z_back, totals = np.zeros(rollouts), np.zeros(rollouts, bool), np.zeros((4, rollouts))
    z = NormalDist().inv_cdf(1 - level.harm)
    for look in range(LOOKS):
        going = result == 0
        if not going.any():
            break
        new = np.where(going, rng.binomial(REQUESTS, steps[step] / 100), 0)
        counts = new, np.where(going, REQUESTS - new, 0)
        for name in margins:
            drawn = draw(case, name, look, counts, rng, margins[name] or 0.0)
            tests[name] = [update(test, block(*drawn)) for test in tests[name]]
            if name == case.check and name != "drift":
                totals += np.asarray([np.where(going, part, 0) for part in drawn])
        harm, passed = verdicts(tests, level.harm, level.health)
        z_back |= going & (z_of(totals, margins[case.check] or 0.0) > z)
        bad += np.where(going, new, 0)
        at_step, seen = at_step + going, seen + np.where(going, new, 0)
        last = step == len(settings.steps) - 2
        ready = going & ~harm & (at_step >= MOST_AT_A_STEP) & (seen >= settings.step_requests) & (~last | passed)
        moved = (ready & ~last)[:, None, None]  # the next step has to be passed for itself
        for name, (bad_one, good) in tests.items():
            tests[name] = [bad_one, anew(good, moved if name == "drift" else moved[:, 0, 0])]
        result = np.where(going & harm, -1, np.where(ready & last, 1, result))
        end = np.where((result != 0) & going, look + 1, end)
        step, at_step, seen = step + (ready & ~last), np.where(ready, 0, at_step), np.where(ready, 0, seen)
    back = result == -1
    median = float(np.median(bad[back])) if back.any() else math.nan
    by_z = float(z_back.mean()) if case.check != "drift" else math.nan
    return Found(float(back.mean()), float((result == 1).mean()), by_z, median, float(np.median(end)))


def draw(case: Case, name: str, look: int, counts: Any, rng: np.random.Generator, margin: float) -> list[Any]:
    """What a look finds of one check: (new sum, new count, sum before, count before)."""
    more = margin * case.times if name == case.check else 0.0
    if name != "drift":
        base = min(0.4, BASE[name] * tide(look, case.tides))
        new, old = rng.binomial(counts[0], min(1.0, base + more)), rng.binomial(counts[1], base)
        return [new, counts[0], old, counts[1]]
    # Scores are even between 0 and 1; the new version's move up from below the middle, by just so much at most.
    edges = np.concatenate([[0.0], THRESHOLDS, [1.0]])
    moved = np.clip(edges - more * np.minimum(1, 2 * np.minimum(edges, 1 - edges)), 0, 1)
    found = []
    for count, cumulative in ((counts[0], moved), (counts[1], edges)):
        bins = rng.multinomial(count, np.diff(cumulative))
        below = np.cumsum(bins, axis=1)[:, :-1].astype(float)
        units = np.broadcast_to(count[:, None].astype(float), below.shape)
        found += [np.stack([below, units - below], axis=1), np.stack([units, units], axis=1)]
    return found


def verdicts(tests: dict[str, Any], harm_level: float, health_level: float) -> tuple[Any, Any]:
    """Where harm was found, and where every check is passed; as `checks.verdict` has it."""
    harm, passed = False, True
    for name, (bad, good) in tests.items():
        worse, well = bad.log(), good.log()
        if name == "drift":
            top = worse.max(axis=(1, 2), keepdims=True)
            worse = top[:, 0, 0] + np.log(np.exp(worse - top).mean(axis=(1, 2)))
            well = well.min(axis=(1, 2))
        harm = harm | (worse >= math.log(1 / harm_level))
        passed = passed & (well >= math.log(1 / health_level))
    return harm, passed


def z_of(totals: Any, margin: float) -> Any:
    """The z statistic of "worse by more than the margin" on all counts so far."""
    new, count, old, other = totals
    shares = new / np.maximum(count, 1), old / np.maximum(other, 1)
    error = np.sqrt(
        sum(share * (1 - share) / np.maximum(n, 1) for share, n in zip(shares, (count, other), strict=True))
    )
    return np.where((count > 30) & (error > 0), (shares[0] - shares[1] - margin) / np.maximum(error, 1e-9), 0.0)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def main() -> None:
    """Runs all rollouts and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rollouts", type=int, default=2000, help="of each kind")
    parser.add_argument("--only", default="", help="kinds that begin so")
    asked = parser.parse_args()
    bound = SETTINGS.false_rollback, SETTINGS.missed_regression
    print(f"stated: false rollbacks up to {100 * bound[0]:g} %, missed regressions up to {100 * bound[1]:g} %")
    print(f"{'kind':<20}{'rolled back':>24}{'promoted':>24}{'z test back':>13}{'bad requests':>14}{'looks':>7}{'s':>6}")
    found, broken = [], []
    for place, case in enumerate(CASES):
        if not case.name.startswith(asked.only):
            continue
        began = time.perf_counter()
        result = simulate(case, asked.rollouts, np.random.default_rng(1000 + place))
        took = time.perf_counter() - began
        cells = []
        for share in (result.rolled_back, result.promoted):
            low, high = wilson(share, asked.rollouts)
            cells.append(f"{100 * share:.1f} ({100 * low:.1f} to {100 * high:.1f}) %")
        z = "–" if math.isnan(result.z_rolled_back) else f"{100 * result.z_rolled_back:.1f} %"
        served = "–" if math.isnan(result.served_badly) else f"{result.served_badly:,.0f}"
        print(
            f"{case.name:<20}{cells[0]:>24}{cells[1]:>24}{z:>13}{served:>14}{result.looks:>7.0f}{took:>6.0f}",
            flush=True,
        )
        found.append(
            {
                "kind": case.name,
                "rollouts": asked.rollouts,
                **{k: None if v != v else v for k, v in vars(result).items()},
            }
        )
        for share, most, counts in (
            (result.rolled_back, bound[0], case.times <= 1),
            (result.promoted, bound[1], case.times >= 1),
        ):
            if counts and wilson(share, asked.rollouts)[0] > most:
                broken.append(case.name)
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / f"rollout-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    target.write_text(
        json.dumps({"false_rollback": bound[0], "missed_regression": bound[1], "found": found}, indent=2) + "\n"
    )
    print(f"written to {target}")
    if broken:
        sys.exit(f"more often than stated: {', '.join(broken)}")


if __name__ == "__main__":
    main()
