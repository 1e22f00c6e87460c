#!/usr/bin/env python3
"""Batch prediction beside a bare ONNX Runtime loop over the same Parquet file, which is the limit.

Run it with the `main` environment's Python. All contenders are whole processes (interpreter start and imports are in
the time), taking turns on the same file: the churn example's rows again and again, with noise. The loops read row
groups with Arrow, make tensors, run the graph on all cores, and drop what it answers: no check, no row's fault, no
output, no resuming. `raw loop` is what one would write first, `model.onnx` over a tensor for each column; `matrix loop`
has the columns encoded as a whole, and `matrix.onnx`. `parquet` and `csv` are `headrace batch-predict`; `kill` is the
same, of which the process is killed once half the rows are there. Prints rows per second, peak memory and the ratio to
the faster loop, and writes every measurement to benchmarks/results/.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
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
CHURN = HERE.parents[1] / "examples" / "churn"
HEADRACE = Path(sys.executable).with_name("headrace")
LOOPS = ("raw loop", "matrix loop")
BATCH_ROWS = 16_384
ROW_GROUP = 131_072


@dataclass(frozen=True)
class Measurement:
    """One whole process, or the two of a job that was killed."""

    contender: str
    rows: int
    seconds: float
    cpu_seconds: float
    peak_mib: float


# --- What the processes do ----------------------------------------------------------------------------------


def train(folder: Path) -> Path:
    """Runs the churn example in a folder of its own."""
    shutil.copytree(CHURN, folder, ignore=shutil.ignore_patterns("data", ".headrace"))
    subprocess.run([sys.executable, "generate.py"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([HEADRACE, "run", "spec.yaml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def make(snapshot: Path, file: Path, rows: int) -> None:
    """Writes that many rows of a snapshot's train split, with noise in two columns that the model looks at."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    base = pq.read_table(snapshot).drop_columns(["email", "subscriber_id"])
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(file, base.schema, compression="zstd") as writer:
        for start in range(0, rows, ROW_GROUP):
            count = min(ROW_GROUP, rows - start)
            table = base.take(pa.array((start + np.arange(count)) % base.num_rows))
            for name in ("hours_per_week", "total_spend"):
                noise = pa.array(generator.random(count).round(2))
                table = table.set_column(table.schema.get_field_index(name), name, pc.add(table[name], noise))
            writer.write_table(table, row_group_size=ROW_GROUP)


def loop(contender: str, bundle: Path, file: Path) -> None:
    """The bare loop: read, make tensors, run, drop."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from headrace.artifacts.bundle import Bundle
    from headrace.artifacts.raw_inputs import open_graph, raw_inputs
    from headrace.components.batch_predict.values import carried
    from headrace.serving.batch.cells import ColumnEncoder

    opened = Bundle.open(bundle)
    inputs = opened.signature.inputs
    names = [item.name for item in inputs]
    raw = contender == "raw loop"
    session = open_graph(opened.model if raw else opened.matrix)
    encoder = ColumnEncoder(opened.signature)
    categories = [item.name for item in inputs if item.type == "category"]
    rows = 0
    with pq.ParquetFile(file, read_dictionary=None if raw else categories) as parquet:
        for batch in parquet.iter_batches(BATCH_ROWS, columns=names):
            if raw:
                tensors = raw_inputs(pa.Table.from_batches([batch]), inputs)
            else:
                columns = {item.name: carried(item, batch.column(item.name), ".").values for item in inputs}
                tensors = {"matrix": encoder.encode(columns, batch.num_rows).matrix}
            rows += len(session.run(None, tensors)[0])
    print(rows)


# --- Measuring ----------------------------------------------------------------------------------------------


def command(contender: str, bundle: Path, file: Path, work: Path) -> list[str]:
    if contender in LOOPS:
        return [sys.executable, __file__, "--contender", contender, str(bundle), str(file)]
    output = work / f"out.{'csv' if contender == 'csv' else 'parquet'}"
    return [str(HEADRACE), "batch-predict", str(bundle), str(file), "-o", str(output), "--overwrite", "--restart"]


def measure(contender: str, bundle: Path, file: Path, rows: int, work: Path, limit_gib: float) -> Measurement:
    """Runs one contender as a process, whose heap may not grow beyond the limit."""

    def limited() -> None:
        size = int(limit_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))

    words = command(contender, bundle, file, work)
    start = time.perf_counter()
    cpu = peak = 0.0
    if contender == "kill":
        words.remove("--restart")
        first = subprocess.Popen(words, preexec_fn=limited, stdout=subprocess.DEVNULL)
        records = work / ".out.parquet.partial"
        while first.poll() is None and len(list(records.glob("part-*.json"))) * 500_000 < rows // 2:
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        _, _, usage = os.wait4(first.pid, 0)
        first.returncode = -9
        cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    process = subprocess.Popen(words, preexec_fn=limited, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"expected {contender} to succeed on {rows:,} rows. Received: exit {process.returncode}")
    cpu, peak = cpu + usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss / 1024)
    check(contender, rows, work)
    return Measurement(contender, rows, seconds, cpu, peak)


def check(contender: str, rows: int, work: Path) -> None:
    """One row out for each row in, in order; and nothing is left for the next."""
    import numpy as np
    import pyarrow.parquet as pq

    output = work / "out.parquet"
    if contender in ("parquet", "kill"):
        first = 1
        with pq.ParquetFile(output) as opened:
            for batch in opened.iter_batches(columns=["row"]):
                found = batch.column(0).to_numpy()
                assert np.array_equal(found, np.arange(first, first + len(found))), f"{contender}: rows out of order"
                first += len(found)
        assert first - 1 == rows, f"{contender}: {first - 1:,} rows of {rows:,}"
    for file in work.glob("out.*"):
        file.unlink()


def table(measurements: list[Measurement]) -> str:
    """Medians, and the ratio to the faster of the loops over as many rows."""
    head = f"{'rows':>12}  {'contender':12}{'seconds':>9}{'rows/s':>11}{'CPU s':>8}{'peak MiB':>10}{'of the loop':>13}"
    lines = [head]
    for rows in dict.fromkeys(one.rows for one in measurements):
        mine = [one for one in measurements if one.rows == rows]
        names = list(dict.fromkeys(one.contender for one in mine))
        median = {name: statistics.median(one.seconds for one in mine if one.contender == name) for name in names}
        limit = min(median[name] for name in names if name in LOOPS)
        for name in names:
            some = [one for one in mine if one.contender == name]
            cpu = statistics.median(one.cpu_seconds for one in some)
            peak = max(one.peak_mib for one in some)
            lines.append(
                f"{rows:12,}  {name:12}{median[name]:9.2f}{rows / median[name]:11,.0f}{cpu:8.1f}{peak:10.0f}"
                f"{limit / median[name]:12.2f}x"
            )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000_000, 20_000_000])
    parser.add_argument("--only", nargs="+", choices=(*LOOPS, "parquet", "csv", "kill"))
    parser.add_argument("--repetitions", "-n", type=int, default=1)
    parser.add_argument("--limit-gib", type=float, default=4, help="of each process's heap")
    parser.add_argument("--project", type=Path, help="a churn project that was run before; by default it is made")
    parser.add_argument("--folder", type=Path, help="where the files are made; by default a temporary folder")
    parser.add_argument("--contender", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("paths", type=Path, nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.contender:
        loop(args.contender, *args.paths)
        return
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{cores} cores, load before {load:.2f}")
    work = Path(tempfile.mkdtemp(prefix="headrace-batch-", dir=args.folder))
    measurements: list[Measurement] = []
    try:
        project = args.project.resolve() if args.project else train(work / "churn")
        bundle = project / ".headrace" / "models" / "churn" / "1"
        (snapshot,) = {file.resolve() for file in bundle.parents[2].glob("store/**/train/data.parquet")}
        for rows in args.rows:
            file = work / f"rows-{rows}.parquet"
            make(snapshot, file, rows)
            for _ in range(args.repetitions):
                for contender in args.only or (*LOOPS, "parquet", "csv", "kill"):
                    one = measure(contender, bundle, file, rows, work, args.limit_gib)
                    measurements.append(one)
                    print(f"  {rows:12,}  {contender:12}{one.seconds:8.2f} s{one.peak_mib:8.0f} MiB", flush=True)
            file.unlink()
    finally:
        shutil.rmtree(work)
    if {one.contender for one in measurements} & set(LOOPS):
        print("\n" + table(measurements))
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"batch-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    facts = {"platform": platform.platform(), "cores": cores, "load_before": load}
    target.write_text(json.dumps({**facts, "measurements": [asdict(one) for one in measurements]}, indent=2) + "\n")
    print(f"\nall measurements: {target}")


if __name__ == "__main__":
    main()
