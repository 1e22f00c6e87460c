#!/usr/bin/env python3
"""Hours in minutes: load, swaps, killed workers and hostile clients at once, and every valid request accounted for.

    .venv/bin/python benchmarks/serving/soak.py --minutes 30
    .venv/bin/python benchmarks/serving/soak.py --minutes 2 --swap 5 --kill 20 --clients 10

A real `headrace serve` of an endpoint, with its registry. Every `--swap` seconds another of three versions is deployed;
every `--kill` seconds one worker is ended with SIGKILL; of ten clients one is hostile (soak_hostile.py). The others ask
one row after the other over connections that they keep, and hold each answer against what that version says of that
row. Only a kill may cut a connection: a request that was on its way to that worker is asked once more, as every client
library and every proxy does, and counted. Anything else is a lost request: another status, a wrong answer, a connection
cut without a kill, no answer within ten seconds.

Exits with 1 if a valid request was lost, the server answered 500, a swap did not reach it, or its memory grew: the
median (PSS, all processes) of the last third over that of the first by more than a tenth and 8 MiB.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import model
import soak_hostile
from contenders import HERE, PEERS, ROOT

sys.path.insert(0, str(HERE.parent))
from memory import descendants, memory

from headrace.artifacts.bundle import Bundle
from headrace.platforms.interface import Blessing
from headrace.platforms.open import open_platform
from headrace.serving.scorer import Scorer

NAME, SEEDS = "soak", (8, 9, 10)
ANSWER_SECONDS = 10.0
KILL_SECONDS = 5.0  # after a kill: for so long a cut connection may be its doing
REACH_SECONDS = 5.0  # in which a swap has to be there


class Run:
    """What all threads share."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.counts: Counter[str] = Counter()
        self.lost: list[str] = []
        self.seconds: list[float] = []  # of each valid request that was answered at once
        self.killed = float("-inf")  # when a worker was ended last, by the monotonic clock
        self.memory: list[float] = []
        self._lock = threading.Lock()

    def count(self, what: str, lost: str = "") -> None:
        """Counts one outcome; a lost request with its story."""
        with self._lock:
            self.counts[what] += 1
            if lost and len(self.lost) < 20:
                self.lost.append(f"{time.strftime('%H:%M:%S')} {lost}")


class Client(threading.Thread):
    """Asks row after row, and is not content with any answer but the right one."""

    def __init__(self, run: Run, port: int, bodies: list[bytes], right: dict[str, list[float]], pause: float) -> None:
        super().__init__(daemon=True)
        self._run, self._port, self._bodies, self._right, self._pause = run, port, bodies, right, pause
        self._connection = self._connect()

    def run(self) -> None:
        place = random.randrange(len(self._bodies))
        while not self._run.over.is_set():
            place = (place + 1) % len(self._bodies)
            self._ask(place)
            time.sleep(self._pause)
        self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)

    def _ask(self, place: int) -> None:
        for attempt in range(3):
            begun = time.monotonic()
            try:
                self._connection.request("POST", "/predict", self._bodies[place], {"content-type": "application/json"})
                response = self._connection.getresponse()
                status, content = response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                self._connection = self._connect()
                if (
                    isinstance(error, TimeoutError)
                    or time.monotonic() - self._run.killed > KILL_SECONDS
                    or attempt == 2
                ):
                    self._run.count("lost", f"{type(error).__name__}: {error}")
                    return
                self._run.count("asked again after a kill")
                continue
            self._judge(place, status, content)
            if attempt == 0:
                self._run.seconds.append(time.monotonic() - begun)
            return

    def _judge(self, place: int, status: int, content: bytes) -> None:
        if status != 200:
            self._run.count("lost", f"{status} {content[:200]!r}")
            return
        answer = json.loads(content)
        version = answer["modelVersionId"]
        if answer["predictions"][0]["probabilities"]["1"] != self._right[version][place]:
            self._run.count("lost", f"another answer than version {version} gives: {content[:200]!r}")
            return
        self._run.count(f"answered by version {version}")


def registered(home: Path) -> dict[str, Bundle]:
    """Three versions in a registry of its own, by their number."""
    platform, found = open_platform("local", home), {}
    for seed in SEEDS:
        folder = PEERS / "serving-model" if seed == SEEDS[0] else PEERS / f"serving-model-{seed}"
        model.make(folder, seed)
        entry = platform.registry.register(
            folder / "bundle", NAME, metrics={}, run="soak", blessing=Blessing(champion=None)
        )
        found[entry.version] = Bundle.open(folder / "bundle")
    return found


def deploy(home: Path, version: str) -> None:
    open_platform("local", home).endpoints.deploy(NAME, NAME, version, run="soak", reason="the soak test's next swap")


def started(home: Path, workers: int, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The server and its port."""
    command = [str(Path(sys.executable).with_name("headrace")), "serve", NAME, "--port", "0", "--workers", str(workers)]
    environment = {**os.environ, "HEADRACE_HOME": str(home), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=log.open("wb"), stderr=subprocess.STDOUT, env=environment)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(rb" at http://127.0.0.1:(\d+)", log.read_bytes()):
            return process, int(found[1])
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the server did not start: {log.read_text()[-2000:]}")


def serving(port: int) -> str:
    """The version that a new connection is answered by; empty where it cannot be had."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/")
        return str(json.loads(connection.getresponse().read())["version"])
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return ""
    finally:
        connection.close()


def conduct(run: Run, home: Path, pid: int, port: int, versions: list[str], given: Any) -> None:
    """Swaps, kills and looks at the memory until the time is over."""
    begun = time.monotonic()
    swap, kill, look = begun + given.swap, begun + given.kill, begun
    wanted, check = versions[0], float("inf")
    while (now := time.monotonic()) < begun + 60 * given.minutes and _alive(pid):
        if now >= check:
            check = float("inf")
            run.count("swaps that were there in time" if serving(port) == wanted else "swaps that were not")
        if now >= swap:
            swap += given.swap
            wanted = versions[(versions.index(wanted) + 1) % len(versions)]
            deploy(home, wanted)
            check = time.monotonic() + min(REACH_SECONDS, 0.8 * given.swap)
        if now >= kill:
            kill += given.kill
            workers = [child for child in descendants(pid) if _is_worker(child, pid)]
            run.killed = time.monotonic()
            os.kill(random.choice(workers), signal.SIGKILL)
            run.count("workers ended with SIGKILL")
        if now >= look:
            look += max(1.0, given.minutes)
            run.memory.append(memory(pid))
        time.sleep(0.05)
    if not _alive(pid):
        run.count("lost", "the server has ended")


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes() != b"" if Path(f"/proc/{pid}").exists() else False


def _is_worker(child: int, parent: int) -> bool:
    """A direct child that holds connections: not the process that tries a model, nor one that writes a log."""
    try:
        fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
        sockets = [
            str(file.readlink()) for file in Path(f"/proc/{child}/fd").iterdir() if file.exists() or file.is_symlink()
        ]
    except OSError:
        return False
    listens = _listening()
    return int(fields[1]) == parent and any(link[8:-1] in listens for link in sockets if link.startswith("socket:["))


def _listening() -> set[str]:
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {row[9] for row in rows if row[3] == "0A"}


def verdict(run: Run) -> list[str]:
    """Why the run failed; empty where it did not."""
    reasons = [f"{run.counts['lost']} valid requests were lost"] if run.counts["lost"] else []
    reasons += [f"{run.counts['hostile: 500']} answers 500"] if run.counts["hostile: 500"] else []
    missed = run.counts["swaps that were not"]
    reasons += [f"{missed} swaps were not there in time"] if missed else []
    third = len(run.memory) // 3
    if third:
        before, after = statistics.median(run.memory[:third]), statistics.median(run.memory[-third:])
        print(f"memory, median of the first and of the last third: {before:.1f}, {after:.1f} MiB")
        grew = after > 1.1 * before and after > before + 8
        reasons += [f"memory grew from {before:.1f} to {after:.1f} MiB"] if grew else []
    return reasons


def told(run: Run, minutes: float) -> None:
    for what, count in sorted(run.counts.items()):
        print(f"  {count:>10,}  {what}")
    ordered = sorted(run.seconds)
    if ordered:
        quantiles = ", ".join(
            f"{1000 * ordered[min(len(ordered) - 1, int(q * len(ordered)))]:.2f}" for q in (0.5, 0.99, 0.999)
        )
        print(f"valid requests a second: {len(ordered) / 60 / minutes:,.0f}; p50, p99, p99.9: {quantiles} ms")
    for line in run.lost:
        print(f"  lost: {line}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--swap", type=float, default=10.0, metavar="SECONDS", help="between two swaps (default 10)")
    parser.add_argument("--kill", type=float, default=60.0, metavar="SECONDS", help="between two kills (default 60)")
    parser.add_argument("--clients", type=int, default=20, help="of which one in ten is hostile (default 20)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--pause", type=float, default=0.002, metavar="SECONDS", help="of a client between two requests"
    )
    parser.add_argument("--seed", type=int, default=8)
    given = parser.parse_args()
    random.seed(given.seed)
    run = Run()
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        home, log = Path(place) / "home", Path(place) / "server.log"
        bundles = registered(home)
        rows = json.loads((PEERS / "serving-model" / "rows.json").read_text())["rows"]
        bodies = [json.dumps({"instances": [row]}).encode() for row in rows]
        right = {version: _right(bundle, bodies) for version, bundle in bundles.items()}
        deploy(home, next(iter(bundles)))
        process, port = started(home, given.workers, log)
        hostile = max(1, given.clients // 10)
        threads: list[threading.Thread] = [
            *(Client(run, port, bodies, right, given.pause) for _ in range(given.clients - hostile)),
            *(soak_hostile.Hostile(run, port, bodies, given.seed + place) for place in range(hostile)),
        ]
        try:
            for thread in threads:
                thread.start()
            conduct(run, home, process.pid, port, list(bundles), given)
        finally:
            run.over.set()
            for thread in threads:
                thread.join(ANSWER_SECONDS + 5)
            process.terminate()
            try:
                status = process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                status = process.wait()
        if status != 0:
            run.count("lost", f"the server ended with status {status}")
        told(run, given.minutes)
        reasons = verdict(run)
        if reasons:
            kept = ROOT / "benchmarks" / ".peers" / "soak-server.log"
            kept.write_bytes(log.read_bytes())
            print(f"FAILED: {'; '.join(reasons)}. The server's log: {kept}")
    return 1 if reasons else 0


def _right(bundle: Bundle, bodies: list[bytes]) -> list[float]:
    """What a version says of each row, by the scorer in this process."""
    scorer = Scorer(bundle)
    return [json.loads(scorer.score(body).body)["predictions"][0]["probabilities"]["1"] for body in bodies]


if __name__ == "__main__":
    sys.exit(main())
