"""Writes StreamFlow's subscribers: a made-up table whose process, and so whose best possible model, is known.

    python examples/churn/generate.py               50,000 rows into data/subscribers.csv beside this file
    python examples/churn/generate.py --describe    also say what the table holds and what a model can reach

`streamflow.py` is the process and `attainable.py` works out what a model can reach. Numbers are rounded to
fixed decimals and formatted here, not by a library: the same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from streamflow import WORLDS, Array, Subscribers, generate

DEFAULT_ROWS = 50_000
DEFAULT_SEED = 7
DEFAULT_OUTPUT = Path(__file__).parent / "data" / "subscribers.csv"

FIRST_NAMES = ("ada", "bela", "chen", "dana", "elif", "femi", "gita", "hugo", "ines", "jomo", "kaya", "liam")
LAST_NAMES = ("abe", "berg", "costa", "diaz", "endo", "fall", "gray", "haas", "ito", "jain", "kim", "lund")


def table(subscribers: Subscribers) -> dict[str, list[str]]:
    """The columns as the CSV has them, in its order: text per cell, "" where missing."""
    t, snapshot = subscribers.truth, subscribers.world.snapshot
    # Times an odd number permutes the 32-bit integers: ids are unique and tell nothing of the order.
    codes = ((t["number"].astype(np.uint64) * 2_654_435_761) % (1 << 32)).tolist()
    names = [f"{a}.{b}" for a in FIRST_NAMES for b in LAST_NAMES]
    columns: dict[str, list[str]] = {
        "subscriber_id": [f"SF-{code:08X}" for code in codes],
        "email": [f"{names[code % len(names)]}.{code}@example.com" for code in codes],
        "signup_date": _dates(snapshot - t["tenure_days"]),
    }
    written: list[tuple[str, Callable[[Array], list[str]]]] = [
        ("tenure_months", _whole), ("signup_channel", _text), ("plan", _text), ("discount_percent", _whole),
        ("monthly_price", _cents), ("total_spend", _cents), ("payment_method", _text), ("autopay", _flags),
        ("payment_failures_90d", _whole),
        ("last_payment_date", lambda _: _dates(snapshot - t["days_since_payment"])),
        ("region", _text), ("device", _text), ("gender", _text), ("age", _whole), ("profiles", _whole),
        ("hours_per_week", _tenths), ("hours_trend_percent", _tenths),
        ("last_active_date", lambda _: _dates(snapshot - t["days_idle"])),
        ("support_tickets_90d", _whole), ("survey_score", _whole), ("churned", _whole),
    ]  # fmt: skip
    for name, as_text in written:
        columns[name] = as_text(t.get(name, t["number"]))
        if name in subscribers.missing:
            holes = subscribers.missing[name].tolist()
            columns[name] = ["" if hole else cell for cell, hole in zip(columns[name], holes, strict=True)]
    return columns


def _text(values: Array) -> list[str]:
    return [str(v) for v in values.tolist()]


def _whole(values: Array) -> list[str]:
    return _text(values.astype(np.int64))


def _tenths(values: Array) -> list[str]:
    return [f"{v:.1f}" for v in values.tolist()]


def _cents(values: Array) -> list[str]:
    return [f"{v:.2f}" for v in values.tolist()]


def _flags(values: Array) -> list[str]:
    return ["true" if v else "false" for v in values.tolist()]


def _dates(values: Array) -> list[str]:
    return _text(np.datetime_as_string(values, unit="D"))


def write_csv(columns: Mapping[str, Sequence[str]], path: Path) -> None:
    """Write the table (UTF-8, "\\n", no quotes: no cell needs them). The file appears whole or not at all."""
    lines = [",".join(columns), *map(",".join, zip(*columns.values(), strict=True))]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write("\n".join([*lines, ""]).encode())
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would shut out the user that a container runs as
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Generate StreamFlow's subscribers as a CSV file.")
    parser.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="subscribers (%(default)s)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="same seed, same bytes (%(default)s)")
    parser.add_argument("--world", choices=list(WORLDS), default="base", help="which snapshot (%(default)s)")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="the file (%(default)s)")
    parser.add_argument("--describe", action="store_true", help="also print shares and the attainable AUC")
    chosen = parser.parse_args(arguments)
    try:
        subscribers = generate(chosen.rows, chosen.seed, chosen.world)
        write_csv(table(subscribers), chosen.output)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{chosen.output}: {chosen.rows:,} subscribers, {subscribers.truth['churned'].mean():.1%} churned")
    if chosen.describe:
        from attainable import describe  # beside this file, which Python puts on the path of a script

        print(describe(subscribers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
