"""What an evaluation's intervals are worth, and what memory a large split takes.

    .venv/bin/python benchmarks/evaluation/run.py coverage                    # some 10 minutes
    .venv/bin/python benchmarks/evaluation/run.py memory --rows 5000000       # needs 0.5 GB in --folder

`coverage` draws many samples from populations whose metrics are known (from two million rows), and counts how often the
95 % interval of each metric holds the true value. Rows: 100 as a slice has, 1,000, and 20,000 of which a part of 5,000
is resampled. `memory` scores one snapshot at once and in batches, each in a process of its own.
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

import numpy as np

from headrace.components.evaluate.bootstrap import OF_SLICES, intervals
from headrace.components.evaluate.measure import measure
from headrace.components.evaluate.scores import Scores

RESULTS = Path(__file__).resolve().parents[1] / "results"
KINDS = ("binary", "binary, weighted", "multiclass", "regression")
SIZES = ((100, 400, OF_SLICES), (1_000, 300, {}), (20_000, 100, OF_SLICES))  # rows, samples, how they are resampled


def draw(seed: int, rows: int, kind: str) -> Scores:
    """A sample of a population: a model that is somewhat too sure of itself."""
    rng = np.random.default_rng(seed)
    if kind == "regression":
        truth = rng.gamma(4, 5, rows) + 5
        value = truth * 0.9 + 2 + rng.normal(size=rows).clip(-3, 3)
        return Scores("regression", truth, value.reshape(-1, 1))
    if kind == "multiclass":
        shares = np.exp(rng.normal(size=(rows, 4)) * 1.2 + [0.8, 0.3, 0, -0.8])
        shares /= shares.sum(axis=1, keepdims=True)
        true = shares**0.8 / (shares**0.8).sum(axis=1, keepdims=True)
        truth = (rng.random(rows)[:, None] > np.cumsum(true, axis=1)).sum(axis=1).clip(0, 3)
        return Scores("classification", truth, shares, ("a", "b", "c", "d"))
    logit = rng.normal(size=rows) * 1.5 - 1.5
    score = 1 / (1 + np.exp(-logit))
    truth = (rng.random(rows) < 1 / (1 + np.exp(-0.8 * logit))).astype(int)
    weights = rng.gamma(2, 0.5, rows) if "weighted" in kind else None
    return Scores("classification", truth, np.column_stack([1 - score, score]), ("0", "1"), 1, 0.3, weights)


def coverage(kind: str, rows: int, samples: int, how: dict[str, int], true: dict[str, float]) -> dict[str, float]:
    """Metric -> share of the intervals that hold the true value; of those that there are."""
    hits: dict[str, list[bool]] = {}
    for seed in range(samples):
        for name, (low, high) in intervals(draw(seed, rows, kind), 10**7 + seed, **how).items():
            hits.setdefault(name, []).append(low <= true[name] <= high)
    return {name: float(np.mean(found)) for name, found in hits.items()}


def all_coverage() -> dict[str, dict[str, dict[str, float]]]:
    """The table of all kinds and sizes, printed as it grows."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for kind in KINDS:
        true = measure(draw(10**9, 2_000_000, kind))[0]
        for rows, samples, how in SIZES:
            shares = coverage(kind, rows, samples, how, true)
            found.setdefault(kind, {})[str(rows)] = shares
            mean, worst = float(np.mean(list(shares.values()))), min(shares, key=lambda name: shares[name])
            line = f"{kind}, {rows:,} rows: mean {mean:.3f}, least {shares[worst]:.3f} ({worst})"
            print(line, ", ".join(f"{name} {share:.2f}" for name, share in shares.items()), sep="\n  ", flush=True)
    return found


def memory(rows: int, folder: Path) -> dict[str, dict[str, float]]:
    """Peak memory and time of one evaluation, at once and in batches, with what both say of the ROC AUC."""
    _snapshot(folder / "data", rows)
    found = {}
    for name, most in (("at once", 10**9), ("in batches", 200_000)):
        done = subprocess.run(
            [sys.executable, __file__, "one", "--rows", str(most), "--folder", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{rows:,} rows {name}: {found[name]}", flush=True)
    return found


def _snapshot(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset

    rng = np.random.default_rng(0)

    def table(count: int) -> pa.Table:
        values = {f"x{index}": rng.normal(size=count) for index in range(10)}
        label = np.where(rng.random(count) < 1 / (1 + np.exp(-2 * values["x0"])), "1", "0")
        return pa.table({**values, "plan": rng.choice(["a", "b", "c"], count), "y": label})

    counts = {"train": 10_000, "eval": 10_000, "test": rows}
    columns = [Column(f"x{index}", "float64") for index in range(10)]
    columns += [Column("plan", "string"), Column("y", "string")]
    with write_dataset(path) as (files, details):
        for split, count in counts.items():
            with pq.ParquetWriter(files[split], table(0).schema) as writer:
                for start in range(0, count, 250_000):
                    writer.write_table(table(min(250_000, count - start)))
        info = DatasetInfo("classification", columns, "y", counts, classes=["0", "1"], positive="1")
        details.update(describe(info))


def one(folder: Path, most: int) -> None:
    """One evaluation, in this process; prints what it took."""
    from headrace.artifacts.dataset import Dataset
    from headrace.artifacts.signature import Input, Signature
    from headrace.components.evaluate.evaluate import Subject, assess
    from headrace.components.evaluate.spec import EvaluateSpec

    def predict(table):
        score = 1 / (1 + np.exp(-2 * np.asarray(table["x0"])))
        return np.column_stack([1 - score, score]).astype(np.float32)

    subject = Subject(Signature("classification", "y", (Input("x0", "number"),), ("0", "1"), "1", 0.5), "m", predict)
    data = Dataset.open(folder / "data", verify=False)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    settings = EvaluateSpec(slices=["plan"], batches={"most_rows": most}, errors={"search": False})
    found = assess(subject, data, settings)
    took, peak = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": round(took, 1), "mib": (peak - before) // 1024, "auc": found.metrics["auc"]}))


def main() -> None:
    """Runs what is asked for, and keeps its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["coverage", "memory", "one"])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.what == "one":
        one(given.folder, given.rows)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        found = all_coverage() if given.what == "coverage" else memory(given.rows, Path(folder))
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = RESULTS / f"evaluation-{given.what}-{stamp}.json"
    file.write_text(json.dumps({given.what: found}, indent=2) + "\n")
    print(file)


if __name__ == "__main__":
    main()
