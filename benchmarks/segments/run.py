#!/usr/bin/env python3
"""One spec, hundreds of models: how long a run with `for_each` takes per segment, and how much memory.

    .venv/bin/python benchmarks/segments/run.py                  # 20, 100 and 500 segments of some 600 rows
    .venv/bin/python benchmarks/segments/run.py --segments 20

Each run is `headrace run` in a new folder: every segment is trained, evaluated, served once by the real server, judged,
registered and pushed. Then the same again with nothing changed. Wall time has meaning only where nothing else runs;
CPU time is that of the runner and all processes below it. Memory is their proportional set size (pages that they share
counted once), sampled each second. Prints a line per run, and writes all to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from memory import memory

HEADRACE = Path(sys.executable).with_name("headrace")
RESULTS = Path(__file__).resolve().parents[1] / "results"
ROWS = 600  # of a segment, on average
SPEC = """
name: churn
task: classification
data: {source: data.csv, label: churned, id: id}
for_each: {segment: region, least_rows: 100}
evaluate: {gates: [{metric: auc, at_least: 0.55}]}
"""


def write_data(file: Path, segments: int, seed: int = 7) -> None:
    """A table in which what a column says of the label differs from region to region."""
    random, rows = np.random.default_rng(seed), segments * ROWS
    region = random.integers(0, segments, rows)
    plan = random.choice(["basic", "pro", "max"], rows)
    hours, price, age = random.gamma(2, 10, rows), random.normal(12, 3, rows), random.integers(18, 80, rows)
    slope = np.linspace(0.5, 1.5, segments)[region]
    log_odds = slope * (1.2 * (price - 12) / 3 - 0.06 * (hours - 20) + (plan == "basic") * 0.7) - 0.6
    churned = (random.random(rows) < 1 / (1 + np.exp(-log_odds))).astype(int)
    table = {
        "id": np.arange(rows),
        "region": [f"Region {number:03}" for number in region],
        "plan": plan,
        "hours": hours.round(2),
        "price": price.round(2),
        "age": age,
        "churned": churned,
    }
    pyarrow.csv.write_csv(pa.table(table), file)


def measure(folder: Path) -> dict[str, Any]:
    """One `headrace run` in a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, peak = time.monotonic(), 0.0
    with (folder / "out.txt").open("w") as out:
        run = subprocess.Popen([str(HEADRACE), "run", "spec.yaml"], cwd=folder, stdout=out, stderr=subprocess.STDOUT)
        while run.poll() is None:
            peak = max(peak, memory(run.pid))
            time.sleep(1.0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode not in (0, 3):  # 3: by chance a gate did not pass somewhere
        sys.exit((folder / "out.txt").read_text()[-2000:])
    said = [line for line in (folder / "out.txt").read_text().splitlines() if "segments by region" in line]
    return {
        "wall_s": round(time.monotonic() - start, 1),
        "cpu_s": round(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, 1),
        "peak_mib": round(peak),
        "said": said[-1],
        "lines": len((folder / "out.txt").read_text().splitlines()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, nargs="+", default=[20, 100, 500])
    parser.add_argument("--keep", type=Path, help="work here, and leave everything there")
    asked = parser.parse_args()
    found = []
    for segments in asked.segments:
        with tempfile.TemporaryDirectory(prefix="headrace-segments-") as place:
            folder = (asked.keep or Path(place)) / str(segments)
            folder.mkdir(parents=True)
            write_data(folder / "data.csv", segments)
            (folder / "spec.yaml").write_text(SPEC)
            for kind in ("cold", "again"):
                one = {"segments": segments, "kind": kind, **measure(folder)}
                one["wall_s_per_segment"] = round(one["wall_s"] / segments, 2)
                one["cpu_s_per_segment"] = round(one["cpu_s"] / segments, 2)
                found.append(one)
                print(json.dumps(one), flush=True)
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"segments-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(found, indent=2) + "\n")
    print(file)


if __name__ == "__main__":
    main()
