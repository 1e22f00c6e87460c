"""What `make demo` does: StreamFlow's table, the whole pipeline, a server, and one answered prediction.

    python examples/churn/demo.py [--rows 50000]

Everything it makes lies in examples/churn/data/ and .headrace/, both ignored by git.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DATA = HERE / "data" / "subscribers.csv"


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the churn example from data to prediction.")
    parser.add_argument("--rows", type=int, default=50_000, help="subscribers to generate (default 50000)")
    rows = parser.parse_args().rows
    started = time.monotonic()
    step("1. The table: StreamFlow's subscribers")
    if not DATA.exists() or sum(1 for _ in DATA.open("rb")) != rows + 1:
        call(sys.executable, str(HERE / "generate.py"), "--rows", str(rows), "--describe")
    else:
        print(f"{shown(DATA)} is there already")
    step("2. The pipeline: headrace run examples/churn/spec.yaml")
    code = headrace("run", shown(HERE / "spec.yaml"))
    if code != 0:
        return code
    step("3. The server, and a prediction")
    ask_server()
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. What to try next:\n"
        "  .venv/bin/headrace serve churn               keep the server; then, from another terminal,\n"
        "  .venv/bin/headrace predict churn --csv examples/churn/data/subscribers.csv | head\n"
        "  .venv/bin/headrace init mine --from FILE.csv --label COLUMN && .venv/bin/headrace run mine\n"
        "  less examples/churn/README.md                why the example is as it is"
    )
    return 0


def ask_server() -> None:
    """Starts the endpoint's server on a free port, asks it about one subscriber, and stops it."""
    command = [executable(), "serve", "churn", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()
            if not line:
                raise SystemExit("demo: the server did not start; its message is above")
            print(line)
            url = line.rsplit(" ", 1)[-1]
            instance = subscriber(url)
            print(f"asked about  {json.dumps(instance)}")
            answer = subprocess.run(
                [executable(), "predict", url, "--json", json.dumps(instance)],
                cwd=ROOT,
                check=True,
                capture_output=True,
                text=True,
            )
            print(f"answered     {answer.stdout.strip()}")
        finally:
            server.terminate()


def subscriber(url: str) -> dict[str, object]:
    """The table's first row, with the features that the server's model asks for."""
    from headrace.serving.client import Client
    from headrace.serving.csv_rows import read_csv

    with Client(url) as client:
        inputs = client.describe()["inputs"]
    return next(iter(read_csv(DATA, inputs)))


def headrace(*arguments: str) -> int:
    return subprocess.run([executable(), *arguments], cwd=ROOT).returncode


def call(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


def executable() -> str:
    return str(Path(sys.executable).with_name("headrace"))


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def step(title: str) -> None:
    print(f"\n=== {title}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
