#!/usr/bin/env python3
"""Our server beside those that a user would otherwise take: the same model, rows, cores and run.

    .venv/bin/python benchmarks/serving/run.py                         # all of them; some 20 minutes
    .venv/bin/python benchmarks/serving/run.py --only fastapi mlserver --kinds onnx --seconds 5
    .venv/bin/python benchmarks/serving/run.py --fresh                 # measures again what was measured before

Run it with the `main` environment's Python. Each peer is installed at first into an environment of its own in
benchmarks/.peers, from the versions in peers/; where one cannot be had, the others go on and the table says so. The
server has one core and wrk the other. Measured are, with 8 connections and rows that vary, of requests of 1 and of 32
rows: requests a second, p50, p99, CPU time a request; then p99 at a constant rate of half and four fifths of the
server's own best (open_loop.py); memory after that (PSS), and the time from start to first answer, the best of three.
What each answered first is compared with the model's own probability. Results of a run that was stopped are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import contenders
import model
from contenders import CONTENDERS, HERE, PEERS, ROOT, Contender
from open_loop import run as open_loop
from server import Server, running

RESULTS = ROOT / "benchmarks" / "results"
KEPT = PEERS / "serving-results.json"
FOLDER = PEERS / "serving-model"
CONNECTIONS, BODIES = 8, 256
SERVER_CORE, CLIENT_CORE = 0, 1
RATES = (0.5, 0.8)  # of a server's own requests a second
MOST_RATE = 25_000  # requests a second that the open loop's sender, a Python process, keeps up
TOLERANCE = 1e-5

Result = dict[str, Any]


def measure(contender: Contender, rows: Result, seconds: float, starts: int, scratch: Path) -> Result:
    """Everything of one contender.

    Raises:
        RuntimeError: it does not start, answers otherwise than the model, or fails requests.
    """
    files = {count: _bodies(contender, rows["rows"], count, scratch) for count in (1, 32)}
    first = contender.body(rows["rows"][:1])
    log = scratch / f"{contender.title.replace(' ', '')}.log"
    cold = []
    for _ in range(starts - 1):
        with running(contender, FOLDER, log, SERVER_CORE, first) as server:
            cold.append(server.cold_seconds)
    with running(contender, FOLDER, log, SERVER_CORE, first) as server:
        cold.append(server.cold_seconds)
        _check(server.first, rows["probabilities"][0])
        url = f"http://127.0.0.1:{server.port}{contender.path}"
        _closed(server, url, files[1], min(3.0, seconds))  # what is made at the first requests is not measured
        found: Result = {f"n{count}": _closed(server, url, file, seconds) for count, file in files.items()}
        best = found["n1"]["requests_per_second"]
        found["open"] = [_open(url, files[1], min(MOST_RATE, share * best), seconds) for share in RATES]
        found["mebibytes"] = server.mebibytes()
    return {**found, "cold_seconds": min(cold), "version": contenders.version(contender.name)}


def _bodies(contender: Contender, rows: list[dict[str, Any]], count: int, scratch: Path) -> Path:
    file = scratch / f"{contender.name}-{count}.txt"
    picked = [[rows[(7 * number + place) % len(rows)] for place in range(count)] for number in range(BODIES)]
    file.write_bytes(b"\n".join(contender.body(some) for some in picked) + b"\n")
    return file


def _check(answer: bytes, wanted: float) -> None:
    """The first answer holds the model's probability, in whatever form."""
    numbers = _numbers(json.loads(answer))
    if not any(abs(number - wanted) < TOLERANCE for number in numbers):
        raise RuntimeError(f"expected the probability {wanted}. Received: {answer[:200]!r}")


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [number for one in inner for number in _numbers(one)]
    return [float(value)] if isinstance(value, int | float) else []


def _closed(server: Server, url: str, bodies: Path, seconds: float) -> Result:
    before = server.cpu_seconds()
    command = ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds:g}s"]
    command += ["-s", str(HERE / "requests.lua"), url, "--", str(bodies)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"wrk: {done.stderr.strip() or done.stdout.strip()}")
    told = json.loads(done.stdout.strip().splitlines()[-1])
    if told["failed"] or not told["requests"]:
        raise RuntimeError(f"expected every request to be answered. Received: {told}")
    cpu = server.cpu_seconds() - before
    return {
        "requests_per_second": told["requests"] / told["seconds"],
        "p50_ms": told["p50_ms"],
        "p99_ms": told["p99_ms"],
        "cpu_us": 1e6 * cpu / told["requests"],
    }


def _open(url: str, bodies: Path, rate: float, seconds: float) -> Result:
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CORE})
    try:
        return dict(open_loop(url, bodies.read_bytes().splitlines(), rate, seconds, 64))
    finally:
        os.sched_setaffinity(0, mine)


def report(results: dict[str, Result], missing: dict[str, str]) -> str:
    """The table: ratios are our requests a second by theirs."""
    head = "| server | n=1: req/s | ours / it | p50, p99 ms | CPU µs | n=32: req/s | ours / it | p99 ms | "
    head += f"open loop at {RATES[0]:g}, {RATES[1]:g} of its best: p99 ms | MiB | cold s |"
    lines = [head, "|" + " --- |" * head.count(" |")]
    ours = results.get("headrace")
    for title, found in results.items():
        one, many = found["n1"], found["n32"]
        ratios = [_ratio(ours, found, name) for name in ("n1", "n32")]
        late = ", ".join(f"{each['p99_ms']:.2f}" for each in found["open"])
        lines.append(
            f"| {title} ({found['version']}) | {one['requests_per_second']:,.0f} | {ratios[0]} "
            f"| {one['p50_ms']:.2f}, {one['p99_ms']:.2f} | {one['cpu_us']:,.0f} | {many['requests_per_second']:,.0f} "
            f"| {ratios[1]} | {many['p99_ms']:.2f} | {late} | {found['mebibytes']:,.0f} | {found['cold_seconds']:.2f} |"
        )
    lines += [f"| {title} | {reason} |" for title, reason in missing.items()]
    return "\n".join(lines)


def _ratio(ours: Result | None, found: Result, name: str) -> str:
    if ours is None or ours is found:
        return ""
    return f"{ours[name]['requests_per_second'] / found[name]['requests_per_second']:.1f}x"


def main() -> None:
    names = list(dict.fromkeys(one.name for one in CONTENDERS))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="SERVER", help=f"of {', '.join(names)}"
    )
    parser.add_argument("--kinds", nargs="+", choices=["sklearn", "onnx"], default=["sklearn", "onnx"])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each load (default 10)")
    parser.add_argument("--starts", type=int, default=3, help="of which the fastest counts as cold start (default 3)")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    given = parser.parse_args()
    if len(os.sched_getaffinity(0)) <= max(SERVER_CORE, CLIENT_CORE):
        parser.error("expected two cores: one for the server, one for the load")
    model.make(FOLDER)
    rows = json.loads((FOLDER / "rows.json").read_text())
    kept: dict[str, Result] = {} if given.fresh or not KEPT.exists() else json.loads(KEPT.read_text())
    results: dict[str, Result] = {}
    missing: dict[str, str] = {}
    for contender in CONTENDERS:
        if contender.name not in given.only or (contender.name != "headrace" and contender.kind not in given.kinds):
            continue
        title, key = contender.title, f"{contender.title}, {given.seconds:g} s, {contenders.version(contender.name)}"
        print(f"{title} ...", file=sys.stderr, flush=True)
        if reason := contenders.install(contender.name):
            missing[title] = reason
            continue
        try:
            if key not in kept:
                with tempfile.TemporaryDirectory(prefix="serving-") as scratch:
                    kept[key] = measure(contender, rows, given.seconds, given.starts, Path(scratch))
                KEPT.write_text(json.dumps(kept, indent=1))
            results[title] = kept[key]
        except RuntimeError as error:
            missing[title] = str(error)
            print(f"{title}: {error}", file=sys.stderr)
    print(report(results, missing))
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"serving-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    facts = {"machine": platform.platform(), "load": os.getloadavg(), "seconds": given.seconds}
    file.write_text(json.dumps({**facts, "missing": missing, "results": results}, indent=1))
    print(f"\nWritten to {file.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
