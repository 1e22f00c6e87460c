#!/usr/bin/env python3
"""From a CSV file to a sealed snapshot, beside DuckDB's bare scan of the same file, which is the limit.

Run it with the `main` environment's Python. Both contenders are whole processes (interpreter start and imports are in
the time), taking turns on the same file: the taxi table repeated with noise, which is made first. Prints seconds,
microseconds a row, the peak resident memory and the ratio, and writes every measurement to benchmarks/results/.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
TAXI = (
    HERE.parents[1] / ".venv-tfx" / "lib" / "python3.11" / "site-packages" / "tfx" / "examples"
    / "chicago_taxi_pipeline" / "data" / "simple" / "data.csv"
)  # fmt: skip
NOISE = """
COPY (
    SELECT taxi.* EXCLUDE (k) REPLACE (
        round(fare + hash(i) % 100 / 100.0, 2) AS fare,
        trip_start_timestamp + (hash(i + 1) % 86400)::BIGINT AS trip_start_timestamp,
        round(trip_miles + hash(i + 2) % 100 / 1000.0, 3) AS trip_miles,
        trip_seconds + (hash(i + 3) % 60)::BIGINT AS trip_seconds
    )
    FROM range({rows}) r(i) JOIN taxi ON k = i % {count}
) TO '{file}' (HEADER)
"""


@dataclass(frozen=True)
class Measurement:
    """One whole process."""

    contender: str
    rows: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


# --- What the processes do ----------------------------------------------------------------------------------


def make(taxi: Path, file: Path, rows: int) -> None:
    """Writes that many rows of the taxi table, each with noise of its own in four columns."""
    import duckdb

    with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
        connection.execute(
            f"CREATE TABLE taxi AS SELECT *, row_number() OVER () - 1 AS k FROM read_csv('{taxi}', header = true)"
        )
        count = connection.execute("SELECT count(*) FROM taxi").fetchall()[0][0]
        connection.execute(NOISE.format(rows=rows, count=count, file=file))


def scan(file: Path) -> None:
    """Reads and types every value with DuckDB, and keeps none."""
    import duckdb

    with duckdb.connect() as connection:
        names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM read_csv('{file}')").fetchall()]
        every = ", ".join(f'max("{name}")' for name in names)
        connection.execute(f"SELECT {every} FROM read_csv('{file}')").fetchall()


def snapshot(file: Path) -> None:
    """Ingests the file. It has no id, so the split goes by a hash of all columns of a row, the dearest there is."""
    from headrace.components.fingerprint.digest import fingerprint
    from headrace.components.ingest.ingest import ingest
    from headrace.components.ingest.spec import DataSpec

    label = {"name": "big_tipper", "expression": "tips > 0.2 * fare"}
    data = DataSpec.model_validate({"source": str(file), "label": label})
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        ingest(str(file), fingerprint(str(file)), "classification", data, Path(folder) / "snapshot")


# --- Measuring ----------------------------------------------------------------------------------------------


def measure(contender: str, file: Path, rows: int, limit_gib: float) -> Measurement:
    """Runs one contender as a process, whose heap may not grow beyond the limit."""

    def limited() -> None:
        size = int(limit_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))

    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, __file__, "--contender", contender, str(file)], preexec_fn=limited)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"expected {contender} to succeed on {rows:,} rows. Received: exit {process.returncode}")
    return Measurement(contender, rows, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def table(measurements: list[Measurement]) -> str:
    """Medians, and the ratio to the scan of as many rows."""
    lines = [f"{'rows':>12}  {'contender':10}{'seconds':>9}{'µs a row':>10}{'CPU s':>8}{'peak MiB':>10}{'/ scan':>8}"]
    for rows in dict.fromkeys(one.rows for one in measurements):
        mine = [one for one in measurements if one.rows == rows]
        limit = statistics.median(one.seconds for one in mine if one.contender == "scan")
        for name in dict.fromkeys(one.contender for one in mine):
            some = [one for one in mine if one.contender == name]
            seconds, cpu = (
                statistics.median(getattr(one, what) for one in some) for what in ("seconds", "cpu_seconds")
            )
            peak = max(one.peak_mib for one in some)
            lines.append(
                f"{rows:12,}  {name:10}{seconds:9.2f}{seconds / rows * 1e6:10.2f}{cpu:8.1f}{peak:10.0f}"
                f"{seconds / limit:7.1f}x"
            )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 5_000_000])
    parser.add_argument("--data", type=Path, default=TAXI, help="the taxi CSV")
    parser.add_argument("--repetitions", "-n", type=int, default=3)
    parser.add_argument("--limit-gib", type=float, default=4, help="of each process's heap")
    parser.add_argument("--folder", type=Path, help="where the files are made; by default a temporary folder")
    parser.add_argument("--contender", choices=("scan", "snapshot"), help=argparse.SUPPRESS)
    parser.add_argument("file", type=Path, nargs="?", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contender is None and not args.data.is_file():
        parser.error(f"expected --data to be the taxi CSV (benchmarks/README.md). Received: {args.data}")
    return args


def main() -> None:
    args = arguments()
    if args.contender:
        (scan if args.contender == "scan" else snapshot)(args.file)
        return
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{cores} cores, load before {load:.2f}")
    work = Path(tempfile.mkdtemp(prefix="headrace-ingest-", dir=args.folder))
    measurements: list[Measurement] = []
    try:
        for rows in args.rows:
            file = work / f"taxi-{rows}.csv"
            make(args.data.resolve(), file, rows)
            for _ in range(args.repetitions):
                for contender in ("scan", "snapshot"):
                    one = measure(contender, file, rows, args.limit_gib)
                    measurements.append(one)
                    print(f"  {rows:12,}  {contender:10}{one.seconds:8.2f} s{one.peak_mib:8.0f} MiB", flush=True)
            file.unlink()
    finally:
        shutil.rmtree(work)
    print("\n" + table(measurements))
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"ingest-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    facts = {"platform": platform.platform(), "cores": cores, "load_before": load}
    target.write_text(json.dumps({**facts, "measurements": [asdict(one) for one in measurements]}, indent=2) + "\n")
    print(f"\nall measurements: {target}")


if __name__ == "__main__":
    main()
