"""The inspection example from photographs to an answer: the whole pipeline, a server, and one widget looked at.

    python examples/inspection/demo.py [--count 6000]

Everything it makes lies in examples/inspection/data/ and .headrace/, both ignored by git.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DATA = HERE / "data"
SPEC = HERE / "spec.yaml"


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the inspection example from photographs to an answer.")
    parser.add_argument("--count", type=int, default=6_000, help="photographs to take (default 6000)")
    count = parser.parse_args().count
    started = time.monotonic()
    step("1. The photographs")
    if not (DATA / "truth.csv").exists() or len(truths()) != count:
        subprocess.run([sys.executable, str(HERE / "generate.py"), "--count", str(count)], cwd=ROOT, check=True)
    else:
        print(f"{shown(DATA)} is there already")
    step(f"2. The pipeline: headrace run {shown(SPEC)}")
    code = subprocess.run([executable(), "run", shown(SPEC)], cwd=ROOT).returncode
    if code != 0:
        return code
    step("3. The server, and a widget that it has to look at")
    ask_server()
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. {shown(HERE / 'README.md')} says why the example is as it is."
    )
    return 0


def ask_server() -> None:
    """Starts the endpoint's server on a free port, sends it one photograph of a cracked widget, and stops it."""
    cracked = next(row for row in truths() if row["truth"] == "crack" and not row["fault"])
    command = [executable(), "serve", "inspection", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()
            if not line:
                raise SystemExit("demo: the server did not start; its message is above")
            print(line)
            print(f"asked about  {cracked['path']}, cracked, severity {cracked['severity']}")
            url = line.rsplit(" ", 1)[-1]
            command = [executable(), "predict", url, "--image", str(DATA / cracked["path"])]
            answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            print(f"answered     {answer.stdout.strip()}")
        finally:
            server.terminate()


def truths() -> list[dict[str, str]]:
    with (DATA / "truth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def executable() -> str:
    return str(Path(sys.executable).with_name("headrace"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def step(title: str) -> None:
    print(f"\n=== {title}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
