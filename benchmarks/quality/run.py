#!/usr/bin/env python3
"""How good the models are, beside what a user would otherwise take: the same rows, splits, minutes and seeds for all.

    .venv/bin/python benchmarks/quality/run.py                                # everything; hours
    .venv/bin/python benchmarks/quality/run.py --tables wine --only headrace lightgbm --seeds 2
    .venv/bin/python benchmarks/quality/run.py --minutes 2 --seeds 5

Run it with the `main` environment's Python. FLAML and AutoGluon are installed into benchmarks/.peers at first, from
the versions in peers/; where one cannot be installed, the others go on and the table says so. Each contender is a
process of its own. Prints the mean over the seeds with its standard deviation, and each one's paired difference to
plain LightGBM with twice its standard error; writes every single result to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn import metrics as sk
from tables import SPLIT, TABLES, Table, split

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ROOT / "benchmarks" / ".peers"
HEADRACE = Path(sys.executable).with_name("headrace")
UV = ROOT / ".venv-uv" / "bin" / "uv"
REFERENCE = "lightgbm"
OURS = ("headrace", "headrace tuned")
MAIN = ("lightgbm", "sklearn", "sklearn-trees")
OWN_ENVIRONMENT = ("flaml", "autogluon")


@dataclass(frozen=True)
class Result:
    """One contender on one split of one table."""

    table: str
    contender: str
    seed: int
    seconds: float  # the whole process
    metrics: dict[str, float]  # of the test split
    note: str = ""


# --- Contenders -----------------------------------------------------------------------------------------------------


def environment(name: str) -> Path | str:
    """The Python of a peer's own environment, which is made if need be; a text says why there is none."""
    folder = PEERS / name
    python = folder / "bin" / "python"
    wanted = (HERE / "peers" / f"{name}.txt").read_text()
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    for command in (
        [UV, "venv", "--quiet", "--clear", "--python", "3.11", folder],
        [UV, "pip", "install", "--quiet", "--python", python, "-r", HERE / "peers" / f"{name}.txt"],
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return (
                f"not installed: {done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else 'no reason'}"
            )
    stamp.write_text(wanted)
    return python


def peer(name: str, python: Path, table: Table, folder: Path, settings: dict[str, Any]) -> tuple[dict[str, float], str]:
    """A peer's metrics on the test split, measured here, and its own note."""
    task, output = folder / "task.json", folder / f"{name}.json"
    task.write_text(json.dumps(settings))
    command = [python, HERE / "peer.py", name, folder / "data.csv", task, output]
    run([str(part) for part in command], folder / f"{name}.log", settings["cores"])
    found = json.loads(output.read_text())
    return score(table, folder, found["classes"], np.asarray(found["predictions"])), found["note"]


def score(table: Table, folder: Path, classes: list[str], predictions: Any) -> dict[str, float]:
    """The metrics of predictions of the test rows: probabilities in the order of the classes, or numbers."""
    import pandas as pd

    rows = pd.read_csv(folder / "data.csv")
    truth = rows.loc[rows[SPLIT] == "test", table.label].reset_index(drop=True)
    if table.task == "regression":
        return {
            "rmse": float(sk.root_mean_squared_error(truth, predictions)),
            "r2": float(sk.r2_score(truth, predictions)),
        }
    predictions = predictions / predictions.sum(axis=1, keepdims=True)  # some give 32-bit floats
    codes = truth.astype(str).map({name: code for code, name in enumerate(classes)})
    found = {
        "log_loss": float(sk.log_loss(codes, predictions, labels=range(len(classes)))),
        "accuracy": float(sk.accuracy_score(codes, predictions.argmax(axis=1))),
    }
    return found | ({"auc": float(sk.roc_auc_score(codes, predictions[:, 1]))} if len(classes) == 2 else {})


def headrace(name: str, table: Table, folder: Path, settings: dict[str, Any]) -> tuple[dict[str, float], str]:
    """The metrics that a run's evaluation has of the test split; findings about the data are warnings."""
    place = folder / re.sub(r"\W+", "-", name)
    place.mkdir()
    (place / "data.csv").symlink_to(folder / "data.csv")
    by_default = {"features": {"text": list(table.text)}} if table.text else {}
    more = table.variants.get(name.partition(": ")[2], by_default)
    train = {"seed": settings["seed"], **more.get("train", {})}
    if name == "headrace tuned":
        train["tune"] = {"minutes": settings["minutes"], "trials": 10_000}
    spec = {
        "name": "quality",
        "task": table.task,
        "data": {"source": "data.csv", "label": table.label, "split": {"by": "column", "column": SPLIT}},
        "validate": {"on_anomaly": "warn"},
        **{key: value for key, value in more.items() if key != "train"},
        "train": train,
    }
    (place / "spec.yaml").write_text(json.dumps(spec))  # JSON is YAML
    run([str(HEADRACE), "run", "spec.yaml", "--home", "home"], place / "run.log", settings["cores"], place, (0, 3))
    shown = subprocess.run(
        [str(HEADRACE), "show", "latest", "--home", "home", "--json"],
        cwd=place,
        capture_output=True,
        text=True,
        check=True,
    )
    evaluation = json.loads(shown.stdout)["evaluation"]
    wanted = ("auc", "log_loss", "accuracy", "rmse", "r2")
    return {name: value for name, value in evaluation["metrics"].items() if name in wanted}, ""


def run(command: list[str], log: Path, cores: int, folder: Path | None = None, good: tuple[int, ...] = (0,)) -> None:
    """Runs a command to its end, on so many threads; stops the benchmark where it fails."""
    threads = {name: str(cores) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    with log.open("wb") as stream:
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **threads}, stdout=stream, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode not in good:
        tail = log.read_text(errors="replace")[-3000:]
        raise SystemExit(f"expected `{' '.join(command)}` to succeed. Received: exit {done.returncode}\n{tail}")


# --- The whole ------------------------------------------------------------------------------------------------------


def contenders(table: Table, only: list[str] | None) -> list[str]:
    """Those of a table, with its own variants of Headrace."""
    names = [*OURS[:1], *(f"headrace: {name}" for name in table.variants), *OURS[1:], *MAIN, *OWN_ENVIRONMENT]
    return [name for name in names if only is None or any(name == one or name.startswith(one + ":") for one in only)]


def measure(
    table: Table, seed: int, names: list[str], pythons: dict[str, Path], minutes: float, cores: int
) -> list[Result]:
    """Every contender on one split of a table."""
    results = []
    settings = {
        "task": table.task, "label": table.label, "split": SPLIT, "text": list(table.text), "minutes": minutes,
        "seed": seed, "cores": cores,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="quality-") as work:
        folder = Path(work)
        split(table, table.rows(), seed).to_csv(folder / "data.csv", index=False)
        for name in names:
            start = time.perf_counter()
            if name.startswith("headrace"):
                found, note = headrace(name, table, folder, settings)
            else:
                found, note = peer(name, pythons.get(name, Path(sys.executable)), table, folder, settings)
            results.append(Result(table.name, name, seed, time.perf_counter() - start, found, note))
            print(
                f"{table.name}, seed {seed}, {name}: {_line(found)} in {results[-1].seconds:.1f} s {note}", flush=True
            )
    return results


def _line(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in sorted(found.items()))


def report(results: list[Result]) -> str:
    """A Markdown table for each task: means over the seeds, and paired differences to plain LightGBM."""
    lines = []
    for name in dict.fromkeys(result.table for result in results):
        table, mine = TABLES[name], [result for result in results if result.table == name]
        seeds = len({result.seed for result in mine})
        head = ["contender", table.metric, "sd", "better than LightGBM by", "± 2 s.e.", "seconds"]
        lines += [f"\n{name}: {table.metric}, {seeds} seeds\n", _row(head), _row(["---"] * len(head))]
        reference = {r.seed: r.metrics[table.metric] for r in mine if r.contender == REFERENCE}
        sign = 1 if table.higher_is_better else -1
        for contender in dict.fromkeys(result.contender for result in mine):
            own = [result for result in mine if result.contender == contender]
            values = [result.metrics[table.metric] for result in own]
            differences = [sign * (r.metrics[table.metric] - reference[r.seed]) for r in own if r.seed in reference]
            typical = [f"{statistics.mean(values):.4f}", f"{_deviation(values):.4f}"]
            seconds = f"{statistics.median(result.seconds for result in own):.1f}"
            lines.append(_row([contender, *typical, *_difference(differences), seconds]))
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def _difference(values: list[float]) -> list[str]:
    """Mean and twice the standard error; marked where it is worse beyond that."""
    if not values:
        return ["", ""]
    error = 2 * _deviation(values) / math.sqrt(len(values))
    mean = statistics.mean(values)
    mark = " **worse**" if len(values) > 1 and mean < -error else ""
    return [f"{mean:+.4f}{mark}", f"{error:.4f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument(
        "--only", nargs="+", metavar="CONTENDER", help=f"of {', '.join((*OURS, *MAIN, *OWN_ENVIRONMENT))}"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--minutes", type=float, default=1.0, help="of those that search: FLAML, AutoGluon, headrace tuned"
    )
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for name in OWN_ENVIRONMENT:
        if given.only is None or name in given.only:
            found = environment(name)
            if isinstance(found, Path):
                pythons[name] = found
            else:
                missing[name] = found
                print(f"{name}: {found}", file=sys.stderr)
    results: list[Result] = []
    for table in (TABLES[name] for name in given.tables):
        names = [name for name in contenders(table, given.only) if name not in missing]
        for seed in range(given.seeds):
            results += measure(table, seed, names, pythons, given.minutes, given.cores)
    print(report(results))
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"quality-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    facts = {"machine": platform.platform(), "cores": given.cores, "minutes": given.minutes, "load": os.getloadavg()}
    file.write_text(
        json.dumps({**facts, "missing": missing, "results": [asdict(result) for result in results]}, indent=1)
    )
    print(f"\nWritten to {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
