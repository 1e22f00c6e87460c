#!/usr/bin/env python3
"""From a CSV to a validated snapshot, as the pipeline does it: memory of all processes together, and time by step.

    .venv/bin/python benchmarks/data/run.py                            # 1 and 20 million rows: 2.7 GB in --folder
    .venv/bin/python benchmarks/data/run.py --rows 1000000 --folder DIR

Runs `headrace run` on the taxi table repeated with noise, and interrupts it when `validate` has ended: training is not
measured here. Beside it stands DuckDB's bare scan of the same file, the least that reading it can cost.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
HEADRACE = ROOT / ".venv" / "bin" / "headrace"
SPEC = """\
name: taxi
task: classification
data:
  source: {file}
  label: {{name: big_tipper, expression: "tips > 0.2 * fare"}}
"""


def script(name: str) -> ModuleType:
    """Another file of the benchmarks, which are scripts and no package."""
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


ingest, memory = script("ingest/run"), script("memory").memory


def scan(file: Path) -> float:
    """Seconds that DuckDB's bare scan takes, as a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, ROOT / "benchmarks" / "ingest" / "run.py", "--contender", "scan", str(file)]
    subprocess.run(command, check=True)
    return time.perf_counter() - start


def run(file: Path, folder: Path) -> dict[str, object]:
    """One run to the end of `validate`: seconds, peak of all processes in MiB, and the steps' own seconds."""
    (folder / "spec.yaml").write_text(SPEC.format(file=file))
    start, peak = time.perf_counter(), [0.0]
    process = subprocess.Popen(
        [HEADRACE, "run", "spec.yaml", "--json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )

    def watch() -> None:
        while process.poll() is None:
            peak[0] = max(peak[0], memory(process.pid))
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    steps: dict[str, float] = {}
    seconds = None
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        event = json.loads(line)
        if event.get("state") == "SUCCEEDED" and "task" in event:
            steps[event["task"]] = event["seconds"]
        if event.get("task") == "validate" and event.get("state") == "SUCCEEDED":
            seconds = time.perf_counter() - start
            process.send_signal(signal.SIGINT)
    errors = process.stderr.read()
    process.wait()
    watcher.join()
    if seconds is None:
        raise SystemExit(f"expected the run to come to the end of `validate`. Received:\n{errors[-2000:]}")
    return {"seconds": seconds, "peak_mib": peak[0], "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 20_000_000])
    parser.add_argument("--data", type=Path, default=ingest.TAXI, help="the taxi CSV")
    parser.add_argument("--folder", type=Path, help="where the files are made; by default a temporary folder")
    args = parser.parse_args()
    if not args.data.is_file():
        parser.error(f"expected --data to be the taxi CSV (benchmarks/README.md). Received: {args.data}")
    results = []
    work = Path(tempfile.mkdtemp(prefix="headrace-data-", dir=args.folder))
    try:
        for rows in args.rows:
            file = work / f"taxi-{rows}.csv"
            ingest.make(args.data.resolve(), file, rows)
            project = work / str(rows)
            project.mkdir()
            found = {"rows": rows, "load": os.getloadavg()[0], "scan_seconds": scan(file), **run(file, project)}
            results.append(found)
            steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["steps"].items())
            each = found["seconds"] / rows * 1e6
            print(
                f"{rows:12,} rows  scan {found['scan_seconds']:.1f} s   to the end of validate {found['seconds']:.1f} s"
            )
            print(
                f"{'':14}{each:.2f} µs a row, peak of all processes {found['peak_mib']:,.0f} MiB; {steps}", flush=True
            )
            file.unlink()
            shutil.rmtree(project)
    finally:
        shutil.rmtree(work)
    target = ROOT / "benchmarks" / "results" / f"data-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    print(f"all measurements: {target}")


if __name__ == "__main__":
    main()
