"""Statistics of the taxi trips, repeated with noise, beside TFDV's own and a DuckDB scan.

    .venv/bin/python benchmarks/statistics/run.py                        # 1 million rows
    .venv/bin/python benchmarks/statistics/run.py --rows 20000000        # needs some 5 GB in --folder
    .venv/bin/python benchmarks/statistics/run.py --rows 1000000 20000000 --folder /tmp/statistics --keep

For each number of rows it makes a CSV and a snapshot, and measures each contender in a process of its own: wall and CPU
time without imports, and the peak of the memory of the process and its children together, sampled every 50 ms
(pages that they share counted once).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from memory import memory  # noqa: E402 (the benchmarks are scripts, and no package)

TFX = Path(os.environ.get("HEADRACE_ENV_TFX", ROOT / ".venv-tfx")) / "bin" / "python"
TAXI = (
    ROOT / ".venv-tfx" / "lib" / "python3.11" / "site-packages" / "tfx" / "examples"
    / "chicago_taxi_pipeline" / "data" / "simple" / "data.csv"
)  # fmt: skip
NOISY = ("fare", "tips", "trip_miles", "pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude")
SECONDS = ("trip_seconds", "trip_start_timestamp")
SPLITS = {"train": 0.7, "eval": 0.15, "test": 0.15}
PART = 1_000_000  # rows of the CSV that are made at a time
GROUP = 250_000  # rows in a row group of a snapshot of 18 columns
LIMIT = 600  # seconds that a contender may take

HEADRACE = """
from headrace.artifacts.dataset import Dataset
from headrace.components.statistics.compute import task_of
from headrace.components.statistics.generate import generate
from headrace.components.statistics.spec import StatisticsSpec
snapshot = Dataset.open(sys.argv[1], verify=False)
task, _ = task_of(snapshot, StatisticsSpec())
begin()
generate(snapshot, task, [], 1, {workers})
"""
TFDV = """
import tensorflow_data_validation as tfdv
from apache_beam.options.pipeline_options import PipelineOptions
import apache_beam.runners.portability.fn_api_runner
begin()
tfdv.generate_statistics_from_csv(sys.argv[1], pipeline_options=PipelineOptions(runner="FnApiRunner"))
"""
DUCKDB = """
import duckdb
connection = duckdb.connect()
connection.execute("SET threads = 2")
begin()
connection.execute(f"SUMMARIZE SELECT * FROM {source}").fetchall()
"""
CONTENDERS = {
    "headrace, two processes": (TFX, HEADRACE.format(workers=2), "snapshot"),
    "headrace, one process": (TFX, HEADRACE.format(workers=1), "snapshot"),
    "TFDV generate_statistics_from_csv": (TFX, TFDV, "csv"),
    "DuckDB SUMMARIZE of the CSV": (sys.executable, DUCKDB.replace("{source}", "read_csv('{sys.argv[1]}')"), "csv"),
    "DuckDB SUMMARIZE of the Parquet": (
        sys.executable,
        DUCKDB.replace("{source}", "read_parquet('{sys.argv[1]}/*/data.parquet')"),
        "snapshot",
    ),
}
PROLOGUE = """
import os, resource, sys, time
os.environ["_KFP_RUNTIME"] = "true"
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
def begin():
    global started, used
    print("begin", flush=True)
    started, used = time.perf_counter(), cpu()
"""
EPILOGUE = """
print(time.perf_counter() - started, cpu() - used, flush=True)
"""


def make_csv(source: Path, rows: int, target: Path) -> None:
    """The trips, as often as needed, amounts and places changed by up to 2.5 % and times by up to a minute."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2; SET memory_limit = '3GB'; SELECT setseed(0.42)")
    names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM read_csv('{source}')").fetchall()]
    count = connection.execute(f"SELECT count(*) FROM read_csv('{source}')").fetchall()[0][0]
    chosen = ", ".join(_noisy(name) for name in names)
    times = -(-PART // count)
    part = target.with_suffix(".part")
    with target.open("wb") as file:
        for done in range(0, rows, PART):  # the whole at once would not fit into memory
            trips = f"SELECT {chosen} FROM read_csv('{source}'), range({times}) LIMIT {min(PART, rows - done)}"
            connection.execute(f"COPY ({trips}) TO '{part}' (FORMAT csv, HEADER {done == 0})")
            with part.open("rb") as written:
                shutil.copyfileobj(written, file, 1 << 20)
    part.unlink()


def _noisy(name: str) -> str:
    if name in NOISY:
        return f"round(CAST({name} AS DOUBLE) * (1 + 0.05 * (random() - 0.5)), 6) AS {name}"
    if name in SECONDS:
        return f"CAST({name} AS BIGINT) + CAST(floor(random() * 60) AS BIGINT) AS {name}"
    return name


def make_snapshot(csv: Path, target: Path) -> None:
    """A snapshot of the CSV with 70, 15 and 15 % of each row group's rows."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset

    kinds = {"double": "float64", "null": "string"}
    convert = pc.ConvertOptions(strings_can_be_null=True)
    first = pc.open_csv(
        csv, read_options=pc.ReadOptions(block_size=64 << 20), convert_options=convert
    ).read_next_batch()
    schema = pa.schema([(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in first.schema])
    convert = pc.ConvertOptions(strings_can_be_null=True, column_types=schema)
    counts = dict.fromkeys(SPLITS, 0)
    with write_dataset(target) as (files, details):
        writers = {split: pq.ParquetWriter(file, schema, compression="zstd") for split, file in files.items()}
        for batch in pc.open_csv(csv, read_options=pc.ReadOptions(block_size=32 << 20), convert_options=convert):
            start = 0
            for split, share in SPLITS.items():
                part = batch.slice(start, int(batch.num_rows * share))
                writers[split].write_batch(part, row_group_size=GROUP)
                counts[split] += part.num_rows
                start += part.num_rows
        for writer in writers.values():
            writer.close()
        columns = [Column(f.name, kinds.get(str(f.type), str(f.type))) for f in schema]
        details.update(describe(DatasetInfo(task="regression", columns=columns, label="tips", rows=counts)))


def measure(python: Path | str, code: str, argument: Path) -> dict:
    """Seconds after the imports, and MiB of memory at most: over what the imports take, and in all."""
    command = [str(python), "-c", PROLOGUE + code + EPILOGUE, str(argument)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    errors: list[str] = []
    drain = threading.Thread(target=lambda: errors.append(process.stderr.read()))  # a full pipe would stop it
    drain.start()
    timer = threading.Timer(LIMIT, process.kill)
    assert process.stdout.readline() == "begin\n", "".join(errors)
    timer.start()
    loaded, peak = memory(process.pid), 0.0
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout.read().split()))
    reader.start()
    while reader.is_alive():
        peak = max(peak, memory(process.pid))
        time.sleep(0.05)
    timer.cancel()
    process.wait()
    drain.join()
    if process.returncode == -9:
        return {"seconds": None, "limit": LIMIT}
    assert process.returncode == 0, "".join(errors)[-2_000:]
    return {"seconds": float(lines[-2]), "cpu": float(lines[-1]), "loaded_mib": loaded, "peak_mib": peak}


def run(rows: int, args: argparse.Namespace) -> list[dict]:
    folder = args.folder / str(rows)
    folder.mkdir(parents=True, exist_ok=True)
    csv, snapshot = folder / "taxi.csv", folder / "snapshot"
    if not csv.exists():
        make_csv(args.data, rows, csv)
    if not snapshot.exists():
        make_snapshot(csv, snapshot)
    results = []
    for name, (python, code, what) in CONTENDERS.items():
        if args.only and not any(part in name for part in args.only):
            continue
        repeats = args.repeat if rows <= 2_000_000 and "TFDV" not in name else 1
        found = [measure(python, code, csv if what == "csv" else snapshot) for _ in range(repeats)]
        best = min(found, key=lambda one: one["seconds"] or LIMIT)
        results.append({"rows": rows, "contender": name, "load": os.getloadavg()[0], "repeats": repeats, **best})
        print(line(results[-1]), flush=True)
    if not args.keep:
        shutil.rmtree(folder)
    return results


def line(result: dict) -> str:
    """A row of the README's table."""
    head, load = f"| {result['rows']:,} | {result['contender']}", f"{result['load']:.1f} |"
    if result["seconds"] is None:
        return f"{head} | more than {result['limit']} s | | | | {load}"
    per_row = result["cpu"] / result["rows"] * 1e6
    times = f"{result['seconds']:.2f} s | {result['cpu']:.2f} s | {per_row:.2f} µs"
    extra = result["peak_mib"] - result["loaded_mib"]
    return f"{head} | {times} | {extra:,.0f} MiB over {result['loaded_mib']:,.0f} | {load}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--only", nargs="+", help="contenders with this in their name")
    parser.add_argument("--repeat", type=int, default=3, help="the best is shown; once from 2 million rows on")
    parser.add_argument("--data", type=Path, default=TAXI)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "headrace-statistics")
    parser.add_argument("--keep", action="store_true", help="leave the data there")
    args = parser.parse_args()
    print(
        "| rows | contender | time | CPU | CPU per row | memory | load |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    results = [result for rows in args.rows for result in run(rows, args)]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = ROOT / "benchmarks" / "results" / f"statistics-{stamp}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written to {file}")


if __name__ == "__main__":
    main()
