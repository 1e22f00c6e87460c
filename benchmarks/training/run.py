#!/usr/bin/env python3
"""Our training step on a million taxi trips, beside the bare learner's `fit` on a ready matrix, which is the limit.

    .venv/bin/python benchmarks/training/run.py                    # 1 million rows, three repetitions
    .venv/bin/python benchmarks/training/run.py --rows 200000 -n 1

Run it with the `main` environment's Python. First the rows are made and ingested, and the features are fitted; that is
not timed here. Then, in turns, each in a process of its own:

- **step**: what the pipeline's `train` does: the snapshot's rows become features, the trees are fitted, exported to
  ONNX and proven equal on the eval split, and the bundle, its card and the report are written.
- **fit**: LightGBM alone, with the very same settings, on the very same features and labels as a ready float32 matrix
  in memory: `lightgbm.Dataset` and `lightgbm.train` with early stopping on eval, the least that a script could take.

Times are without interpreter start and imports (given beside them). Memory is the peak that the kernel reports of the
process. Prints medians and ratios, and writes every measurement to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SCHEMA = '# headrace schema, format 1\nfeature { name: "fare" type: FLOAT }\n'  # the learner does not read it
LABEL = {"name": "big_tipper", "expression": "tips > 0.2 * fare"}
FEATURES = {"keep": ["fare"]}

# What the kernel keeps for a process begins anew with it; `getrusage` would tell of its parent's memory, too.
PEAK = """
def peak_mib():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
"""
STEP = """
import json, sys, time
from pathlib import Path
began = time.perf_counter()
from headrace.components.train.spec import TrainSpec
from headrace.components.train.train import train_model
import lightgbm, onnx, onnxruntime, pyarrow.parquet
import headrace.trainer.models.gbdt
imported = time.perf_counter()
folder, output = Path(sys.argv[1]), Path(sys.argv[2])
settings = TrainSpec.model_validate(json.loads(sys.argv[3]))
logged = train_model(folder / "dataset", folder / "transform", folder / "schema", "taxi", settings,
                     output / "model", output / "report.html", output / "card.html")
done = time.perf_counter()
print(json.dumps({"seconds": done - imported, "imports": imported - began, "rounds": int(logged["rounds"]),
                  "peak_mib": peak_mib()}))
"""
FIT = """
import json, sys, time
from pathlib import Path
began = time.perf_counter()
import lightgbm, numpy
imported = time.perf_counter()
folder = Path(sys.argv[1])
x, y, eval_x, eval_y = (numpy.load(folder / f"{name}.npy") for name in ("x", "y", "eval_x", "eval_y"))
settings = json.loads((folder / "settings.json").read_text())
ready, memory = time.perf_counter(), peak_mib()
train = lightgbm.Dataset(x, y)
booster = lightgbm.train(settings["parameters"], train, settings["rounds"],
                         valid_sets=[lightgbm.Dataset(eval_x, eval_y, reference=train)],
                         callbacks=[lightgbm.early_stopping(settings["patience"], verbose=False)])
done = time.perf_counter()
print(json.dumps({"seconds": done - ready, "imports": imported - began, "rounds": booster.best_iteration,
                  "peak_mib": peak_mib(), "ready_mib": memory}))
"""


@dataclass(frozen=True)
class Measurement:
    """One process."""

    contender: str
    seconds: float
    imports: float
    rounds: int
    peak_mib: float


def prepare(folder: Path, rows: int, train: dict[str, Any], taxi: Path | None) -> dict[str, Any]:
    """Makes rows, snapshot, transform and schema, and the ready matrix with the learner's settings."""
    from headrace.components.fingerprint.digest import fingerprint
    from headrace.components.ingest.ingest import ingest
    from headrace.components.ingest.spec import DataSpec
    from headrace.components.transform.fit import fit
    from headrace.components.transform.spec import FeaturesSpec

    maker = _module("ingest_benchmark", ROOT / "benchmarks" / "ingest" / "run.py")
    file = folder / "rows.csv"
    maker.make(taxi or maker.TAXI, file, rows)
    data = DataSpec.model_validate({"source": str(file), "label": LABEL})
    ingest(str(file), fingerprint(str(file)), "classification", data, folder / "dataset")
    file.unlink()
    fit(folder / "dataset", FeaturesSpec.model_validate(FEATURES), folder / "transform", "gbdt", "")
    _write_schema(folder / "schema")
    return _write_matrix(folder, train)


def _write_schema(folder: Path) -> None:
    from headrace.artifacts.schema import parse_schema, write_schema

    write_schema(folder, parse_schema(SCHEMA, "schema.pbtxt"))


def _write_matrix(folder: Path, train: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from headrace.artifacts.dataset import Dataset
    from headrace.artifacts.transform import open_transform
    from headrace.components.train.spec import TrainSpec
    from headrace.trainer.models.gbdt import _settings
    from headrace.trainer.rows import ready

    training = TrainSpec.model_validate(train).training({})
    rows = ready(Dataset.open(folder / "dataset"), open_transform(folder / "transform"), training)
    for name, array in (
        ("x", rows.train.features), ("y", rows.train.labels),
        ("eval_x", rows.evaluation.features), ("eval_y", rows.evaluation.labels),
    ):  # fmt: skip
        np.save(folder / f"{name}.npy", array)
    parameters = training.parameters.for_rows(len(rows.train.labels))
    settings = {
        "parameters": _settings(parameters, "binary", 2, training.seed),
        "rounds": parameters.n_estimators,
        "patience": parameters.early_stopping_rounds,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    return {"train_rows": len(rows.train.labels), "features": rows.train.features.shape[1]}


def _module(name: str, file: Path) -> Any:
    """Another benchmark's script: they are no package."""
    specification = importlib.util.spec_from_file_location(name, file)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # a dataclass looks itself up there
    specification.loader.exec_module(module)
    return module


def measure(contender: str, folder: Path, train: dict[str, Any], cores: int) -> Measurement:
    """Runs one side in a process of its own."""
    output = Path(tempfile.mkdtemp(dir=folder))
    threads = {"OMP_NUM_THREADS": str(cores)}
    command = [
        sys.executable,
        "-c",
        PEAK + (STEP if contender == "step" else FIT),
        str(folder),
        str(output),
        json.dumps(train),
    ]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"expected {contender} to succeed. Received: exit {done.returncode}\n{done.stderr[-3000:]}")
    shutil.rmtree(output)
    found = json.loads(done.stdout.splitlines()[-1])
    return Measurement(contender, found["seconds"], found["imports"], found["rounds"], found["peak_mib"])


def report(measurements: list[Measurement], facts: dict[str, Any]) -> str:
    """Medians as a Markdown table, and their ratio."""
    lines = [
        f"{facts['rows']:,} rows, {facts['train_rows']:,} of them train, {facts['features']} features, "
        f"{facts['cores']} threads, load {facts['load'][0]:.1f}", "",
        "| | seconds | imports | rounds | peak MiB |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    medians: dict[str, float] = {}
    for contender in ("fit", "step"):
        mine = [one for one in measurements if one.contender == contender]
        medians[contender] = statistics.median(one.seconds for one in mine)
        lines.append(
            f"| {contender} | {medians[contender]:.2f} | {statistics.median(one.imports for one in mine):.2f} "
            f"| {mine[0].rounds} | {statistics.median(one.peak_mib for one in mine):,.0f} |"
        )
    return "\n".join([*lines, f"\nstep / fit: {medians['step'] / medians['fit']:.2f}x"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("-n", "--repetitions", type=int, default=3)
    parser.add_argument("--data", type=Path, help="the taxi CSV; by default the one in the TFX wheel")
    parser.add_argument("--folder", type=Path, help="where the files are made, which are removed; by default in TMPDIR")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--rounds", type=int, default=200, help="most trees: repeated rows go on improving for thousands"
    )
    given = parser.parse_args()
    train = {"gbdt": {"n_estimators": given.rounds}}
    with tempfile.TemporaryDirectory(prefix="training-", dir=given.folder) as work:
        folder = Path(work)
        prepared = prepare(folder, given.rows, train, given.data)
        measurements = [
            measure(contender, folder, train, given.cores)
            for _ in range(given.repetitions)
            for contender in ("fit", "step")
        ]
    facts = {
        "machine": platform.platform(),
        "cores": given.cores,
        "load": os.getloadavg(),
        "rows": given.rows,
        **prepared,
    }
    print(report(measurements, facts))
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"training-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps({**facts, "measurements": [asdict(one) for one in measurements]}, indent=1))
    print(f"\nWritten to {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
