"""The checks of a rollout: what is compared, what the comparison says by now, and how it is kept between looks.

Each check has two tests on the same counts. One gathers evidence of harm, that the new version is worse by more than
the margin; the other of health, that it is not. Both may be in doubt. How often each is wrong is bounded, however
often one looks (`serving.sequential`): harm at `false_rollback` divided by the number of checks, so that all
together stay below it; health at `missed_regression`, which needs no division, since every check has to be passed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from headrace.components.push.canary import Canary
from headrace.pipelines.rollout.figures import Figures
from headrace.serving.sequential import Array, Block, Wealth, anew, block, start, update

NAMES = ("errors", "latency", "drift", "outcomes")
HARM, PASSED, OPEN = "harm", "passed", "open"
_GRID = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0,
         10.0, 15.0, 20.0, 30.0, 50.0, 70.0, 100.0, 150.0)  # fmt: skip
_BINS = 80  # thresholds of scores, or labels, at most: more than a server counts


@dataclass(frozen=True)
class Check:
    """One comparison so far."""

    name: str
    margin: float
    keys: tuple[str, ...]  # of drift: the thresholds or labels whose shares are compared; else empty
    harm: Wealth
    health: Wealth

    @property
    def totals(self) -> Block:
        """All that was counted, with what waits for the other group."""
        return self.harm.seen + self.harm.waiting


@dataclass(frozen=True)
class Levels:
    """The probabilities of error of one check."""

    harm: float
    health: float


def levels(settings: Canary, checks: int) -> Levels:
    """What each of so many checks may spend."""
    return Levels(settings.false_rollback / max(checks, 1), settings.missed_regression)


def new_check(name: str, margin: float, keys: tuple[str, ...] = ()) -> Check:
    """A check that has seen nothing."""
    if name == "drift":
        shape = (2, len(keys))  # a share may be higher or lower
        return Check(name, margin, keys, start(margin, True, shape), start(margin, False, shape))
    grid = _grid(margin)
    return Check(name, margin, keys, start(grid, True), start(grid, False))


def drift_keys(candidate: Figures, baseline: Figures) -> tuple[str, ...]:
    """Which shares of the predictions can be compared: those up to each threshold, or of each label, that both have."""
    found = {key for key in candidate.predictions if key in baseline.predictions and key != "le +Inf"}
    return tuple(sorted(found, key=_by_bound)[:_BINS])


def look(check: Check, candidate: Figures, baseline: Figures, slow: float | None, alike: float = 1.0) -> Check:
    """The check after what was counted since the last look, `alike` requests of which count as one."""
    counted = _counted(check, candidate, baseline, slow)
    return _seen(check, counted if alike == 1 else counted.scaled(1 / alike))


def _counted(check: Check, candidate: Figures, baseline: Figures, slow: float | None) -> Block:
    if check.name == "errors":
        return block(candidate.errors, candidate.requests, baseline.errors, baseline.requests)
    if check.name == "latency":
        assert slow is not None  # there is no such check before it is known
        parts = [part for one in (candidate, baseline) for part in _slow(one, slow)]
        return block(*parts)
    new, old = (_both_ways(*_shares(one, check.keys)) for one in (candidate, baseline))
    return block(*new, *old)


def _both_ways(shares: Array, units: float) -> tuple[Array, Array]:
    """The sums and counts of shares that may be too high, and of their complements, which may."""
    total, count = shares * units, np.full_like(shares, units)
    return np.stack([total, count - total]), np.stack([count, count])


def outcome_look(check: Check, found: tuple[float, float, float, float], alike: float = 1.0) -> Check:
    """The same for losses between 0 and 1: (candidate's sum, count, baseline's sum, count)."""
    return _seen(check, block(*found).scaled(1 / alike))


def _seen(check: Check, counted: Block) -> Check:
    return replace(check, harm=update(check.harm, counted), health=update(check.health, counted))


def next_step(check: Check) -> Check:
    """The check in the next step, which has to be passed there: what is well with few requests may not be with many.

    Evidence of harm stays. Outcomes come late, and may belong to any step: theirs stays as well.
    """
    return check if check.name == "outcomes" else replace(check, health=anew(check.health))


def verdict(check: Check, level: Levels) -> str:
    """`harm`, `passed`, or `open`: in doubt."""
    harm, health = evidence(check)
    if harm >= math.log(1 / level.harm):
        return HARM
    return PASSED if health >= math.log(1 / level.health) else OPEN


def evidence(check: Check) -> tuple[float, float]:
    """The logarithms of the wealth against "no harm" and against "harm"."""
    harm, health = check.harm.log(), check.health.log()
    if check.name != "drift":
        at = _at_margin(check)
        return float(harm[at]), float(health[at])
    # No harm: every share is within the margin, so the mean over the shares is evidence against all of that. Harm:
    # one of them is not, so there has to be evidence against each.
    top = harm.max()
    return float(top + np.log(np.exp(harm - top).mean())), float(health.min())


def summary(check: Check, level: Levels) -> dict[str, Any]:
    """What the check has found, for people and for the audit log."""
    harm, health = evidence(check)
    totals = check.totals
    drift = check.name == "drift"
    at: Any = np.unravel_index(int(np.argmax(_difference(totals))), np.shape(totals.candidate_sum)) if drift else 0
    parts = [float(np.asarray(part)[at]) if np.ndim(part) else float(part) for part in
             (totals.candidate_sum, totals.candidate_units, totals.baseline_sum, totals.baseline_units)]  # fmt: skip
    told: dict[str, Any] = {"check": check.name, "verdict": verdict(check, level), "margin": check.margin}
    told["candidate"] = {"share": _share(parts[0], parts[1]), "requests": _whole(parts[1])}
    told["baseline"] = {"share": _share(parts[2], parts[3]), "requests": _whole(parts[3])}
    if parts[1] and parts[3]:
        told["difference"] = _short(parts[0] / parts[1] - parts[2] / parts[3])
    if drift:
        told["at"] = _where(check.keys[at[1]], up=not at[0])
    else:
        told["between"] = [_short(bound) for bound in bounds(check, level)]
    told["e_harm"], told["harm_at"] = _e(harm), _short(1 / level.harm)
    told["e_health"], told["passed_at"] = _e(health), _short(1 / level.health)
    return told


def _where(key: str, up: bool) -> str:
    """Which predictions a share is of, in words."""
    kind, _, value = key.partition(" ")
    if kind == "le":
        return f"{'up to' if up else 'above'} {value}"
    return f"{'' if up else 'other than '}{value}"


def bounds(check: Check, level: Levels) -> tuple[float, float]:
    """Between which the difference lies: at every look, with the probabilities of error of the check."""
    grid = np.asarray(check.harm.margin)
    # Up to the first that is not ruled out, so that only one of the nested hypotheses has to be wrong for an error.
    worse = int(np.argmin(np.append(check.harm.log() >= math.log(1 / level.harm), False)))
    better = int(np.argmin(np.append(check.health.log()[::-1] >= math.log(1 / level.health), False)))
    return (float(grid[worse - 1]) if worse else -1.0), (float(grid[len(grid) - better]) if better else 1.0)


def slow_bound(baseline: Figures, asked: float | None) -> float | None:
    """What counts as slow: the first bound of the histogram from what was asked for; or from where 99 % are faster.

    None while nobody asked and fewer than 200 requests were answered.
    """
    finite = sorted(bound for bound in baseline.latency if math.isfinite(bound))
    if not finite:
        return None
    if asked is not None:
        return next((bound for bound in finite if bound >= asked * (1 - 1e-9)), finite[-1])
    count = baseline.latency.get(math.inf, 0.0)
    if count < 200:
        return None
    return next((bound for bound in finite if baseline.latency[bound] >= 0.99 * count), finite[-1])


def to_json(check: Check) -> dict[str, Any]:
    """The check as JSON has it."""
    return {
        "name": check.name,
        "margin": check.margin,
        "keys": list(check.keys),
        "harm": _wealth_out(check.harm),
        "health": _wealth_out(check.health),
    }


def from_json(found: Mapping[str, Any]) -> Check:
    """The check that `to_json` wrote."""
    fresh = new_check(found["name"], found["margin"], tuple(found["keys"]))
    return replace(fresh, harm=_wealth_in(fresh.harm, found["harm"]), health=_wealth_in(fresh.health, found["health"]))


def _wealth_out(wealth: Wealth) -> dict[str, Any]:
    kept = {"logs": wealth.logs.tolist()}
    for name in ("seen", "recent", "waiting"):
        part: Block = getattr(wealth, name)
        sums = (part.candidate_sum, part.candidate_units, part.baseline_sum, part.baseline_units)
        kept[name] = [np.broadcast_to(total, wealth.margin.shape).tolist() for total in sums]
    return kept


def _wealth_in(fresh: Wealth, kept: Mapping[str, Any]) -> Wealth:
    blocks = {name: Block(*(np.asarray(part, float) for part in kept[name])) for name in ("seen", "recent", "waiting")}
    logs = np.asarray(kept["logs"], float)
    return replace(fresh, logs=logs, seen=blocks["seen"], recent=blocks["recent"], waiting=blocks["waiting"])


def _grid(margin: float) -> Array:
    sizes = [margin * step for step in _GRID if margin * step < 0.999]
    return np.asarray(sorted({*sizes, *(-size for size in sizes)}), float)


def _at_margin(check: Check) -> int:
    return int(np.argmin(np.abs(np.asarray(check.harm.margin) - check.margin)))


def _slow(figures: Figures, slow: float) -> tuple[float, float]:
    count = figures.latency.get(math.inf, 0.0)
    return max(0.0, count - min(count, figures.latency.get(slow, count))), count


def _shares(figures: Figures, keys: tuple[str, ...]) -> tuple[Array, float]:
    """The shares of the rows, and for how many requests they count.

    Rows of one request are alike. So the row weighs 1 / (rows of the largest request): no request weighs more than 1
    then, which is what the tests need (Jensen: the mean of a likelihood ratio's power below 1 is at most that power of
    its mean), and where all have as many rows, each counts as one.
    """
    found = figures.predictions
    rows = found.get("le +Inf") or sum(value for key, value in found.items() if key.startswith("label "))
    answered = figures.latency.get(math.inf, 0.0) or figures.requests - figures.errors
    if not rows or answered <= 0:
        return np.zeros(len(keys)), 0.0
    share = np.asarray([found.get(key, 0.0) for key in keys], float) / rows
    return np.clip(share, 0.0, 1.0), float(min(rows / _largest(figures, rows), answered))


def _largest(figures: Figures, rows: float) -> float:
    """The most rows that a request had, or a little more; see `_shares`."""
    bounds = sorted(figures.sizes)
    if not bounds:
        return 1.0
    most = figures.sizes[bounds[-1]]
    found = next(bound for bound in bounds if figures.sizes[bound] >= most)
    return max(min(found, rows), 1.0)


def _by_bound(key: str) -> tuple[str, float, str]:
    kind, _, value = key.partition(" ")
    try:
        return kind, float(value) if kind == "le" else 0.0, value
    except ValueError:
        return kind, 0.0, value


def _difference(totals: Block) -> Array:
    candidate = totals.candidate_sum / np.maximum(totals.candidate_units, 1e-9)
    return np.asarray(candidate - totals.baseline_sum / np.maximum(totals.baseline_units, 1e-9))


def _share(total: float, units: float) -> float | None:
    return _short(total / units) if units else None


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else _short(value)


def _e(log: float) -> float:
    """A wealth as a number that JSON can hold, and people can read."""
    return float(f"{math.exp(min(log, 60.0)):.3g}")
