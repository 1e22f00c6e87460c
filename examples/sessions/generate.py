"""Writes subscribers and what they watched: two tables, of which a model needs the second's past.

    python examples/sessions/generate.py               8,000 subscribers into data/ beside this file
    python examples/sessions/generate.py --describe    also say what the tables hold

Every subscriber was asked about on a day of their own (`asked_on`), and left within 30 days of it or not. Sessions
go on after that day, for those who stayed: whoever counts them sees the future, and the label with it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

DEFAULT_SUBSCRIBERS = 8_000
DEFAULT_SEED = 11
DEFAULT_FOLDER = Path(__file__).parent / "data"
FIRST_DAY = np.datetime64("2026-04-01", "us")
DAY = np.timedelta64(86_400_000_000, "us")
BEFORE, AFTER = 90, 30  # days of sessions around the day that a subscriber was asked about
PLANS, PLAN_SHARES = ("ads", "standard", "premium"), (0.3, 0.45, 0.25)
DEVICES = ("tv", "phone", "tablet", "laptop")

Array = np.ndarray


@dataclass(frozen=True)
class World:
    """What was drawn; arrays of shape (subscribers,) unless said otherwise."""

    ids: Array
    plans: Array
    asked_on: Array  # datetime64[us], midnight
    usual: Array  # sessions a week
    kept: Array  # share of the usual that is left after the fading
    fades: Array  # days before `asked_on` from which it is
    trouble: Array  # share of sessions that stop to buffer
    probability: Array  # of leaving within 30 days
    left: Array  # bool


def draw(subscribers: int, seed: int) -> World:
    """Draws the subscribers, and whether they leave."""
    if subscribers < 1:
        raise ValueError(f"expected subscribers of 1 or more. Received: subscribers={subscribers}")
    random = np.random.Generator(np.random.PCG64(seed))
    numbers = np.arange(subscribers)
    fading = random.random(subscribers) < 0.35
    kept = np.where(fading, random.uniform(0.02, 0.7, subscribers), 1.0)
    plans = random.choice(PLANS, subscribers, p=PLAN_SHARES)
    usual = np.exp(random.normal(1.4, 0.5, subscribers))
    trouble = random.beta(1.2, 8.0, subscribers)
    logit = -2.2 - 1.1 * np.log(kept) - 0.5 * (np.log(usual) - 1.4) + 5.0 * trouble - 0.4 * (plans == "premium")
    probability = 1 / (1 + np.exp(-logit))
    return World(
        ids=np.array([f"SF-{number:05d}" for number in numbers]),
        plans=plans,
        asked_on=FIRST_DAY + random.integers(0, 91, subscribers) * DAY,
        usual=usual,
        kept=kept,
        fades=random.uniform(7, 35, subscribers),
        trouble=trouble,
        probability=probability,
        left=random.random(subscribers) < probability,
    )


def subscribers_table(world: World) -> pa.Table:
    """The data: a row per subscriber."""
    return pa.table(
        {
            "subscriber_id": world.ids,
            "plan": world.plans,
            "asked_on": world.asked_on.astype("datetime64[D]"),
            "left": world.left.astype(np.int64),
        }
    )


def sessions_table(world: World, seed: int) -> pa.Table:
    """The child table: a row per session, in the order of their beginnings."""
    random = np.random.Generator(np.random.PCG64(seed + 1))
    leaves = np.where(world.left, random.uniform(1, AFTER, len(world.ids)), AFTER)
    parts = []  # (from, to, share of the usual), in days from `asked_on`
    parts.append((np.full(len(world.ids), -float(BEFORE)), -world.fades, np.ones(len(world.ids))))
    parts.append((-world.fades, leaves, world.kept))
    who, days = [], []
    for begin, end, share in parts:
        counts = random.poisson(world.usual * share * (end - begin) / 7)
        owners = np.repeat(np.arange(len(world.ids)), counts)
        who.append(owners)
        days.append(random.uniform(begin[owners], end[owners]))
    owners, when = np.concatenate(who), np.concatenate(days)
    seconds = np.floor(when * 86_400).astype(np.int64)
    started = world.asked_on[owners] + (seconds * 1_000_000).astype("timedelta64[us]")
    order = np.lexsort((owners, started))
    owners, started = owners[order], started[order]
    count = len(owners)
    return pa.table(
        {
            "subscriber_id": world.ids[owners],
            "started": started,
            "minutes": np.maximum(1, np.round(random.gamma(2.0, 22.0, count))).astype(np.int64),
            "device": np.array(DEVICES)[random.choice(len(DEVICES), count, p=(0.5, 0.3, 0.1, 0.1))],
            "buffered": random.random(count) < world.trouble[owners],
        }
    )


def write(folder: Path, subscribers: pa.Table, sessions: pa.Table) -> None:
    """Writes `subscribers.csv` and `sessions.parquet`."""
    folder.mkdir(parents=True, exist_ok=True)
    pa.csv.write_csv(subscribers, folder / "subscribers.csv", pa.csv.WriteOptions(quoting_style="none"))
    pa.parquet.write_table(sessions, folder / "sessions.parquet", compression="zstd")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Generate StreamFlow's subscribers and their sessions.")
    parser.add_argument("--subscribers", type=int, default=DEFAULT_SUBSCRIBERS, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="same seed, same rows (%(default)s)")
    parser.add_argument("--output", type=Path, default=DEFAULT_FOLDER, help="the folder (%(default)s)")
    parser.add_argument("--describe", action="store_true", help="also say what the tables hold")
    chosen = parser.parse_args(arguments)
    try:
        world = draw(chosen.subscribers, chosen.seed)
        sessions = sessions_table(world, chosen.seed)
        write(chosen.output, subscribers_table(world), sessions)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{chosen.output}: {chosen.subscribers:,} subscribers, {sessions.num_rows:,} sessions, "
          f"{world.left.mean():.1%} left")  # fmt: skip
    if chosen.describe:
        print(f"AUC of the true probability on these labels: {auc(world.probability, world.left):.3f}")
    return 0


def auc(scores: Array, labels: Array) -> float:
    """The area under the ROC curve, from the ranks (Mann and Whitney); scores without ties."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores)] = np.arange(1, len(scores) + 1)
    positive = int(labels.sum())
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * (len(scores) - positive)))


if __name__ == "__main__":
    sys.exit(main())
