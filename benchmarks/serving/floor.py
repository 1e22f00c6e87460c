"""What a request costs at least, and where the rest goes: processor time in one process, without sockets.

    python benchmarks/serving/floor.py BUNDLE [--rows 1 32]

From the model's call alone, over scoring (JSON to JSON), the surface (routes, metrics, ids) and the front (HTTP),
each with what came before. A socket's system calls come on top: compare with a static answer under wrk on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App
from headrace.serving.exchange import Request, Response
from headrace.serving.http.connection import Connection
from headrace.serving.http.front import Front
from headrace.serving.router import Router
from headrace.serving.served import Served
from headrace.serving.settings import Settings

ROUNDS, SECONDS = 15, 0.2


class Nowhere:
    """A transport that drops what is written."""

    def write(self, data: bytes) -> None:
        self.last = data

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1)


def microseconds(call: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Of one call, in the quietest of several rounds; the items vary, since one repeated row flatters trees."""
    best = float("inf")
    for _ in range(ROUNDS):
        count, began = 0, time.process_time()
        end = time.perf_counter() + SECONDS / ROUNDS
        while time.perf_counter() < end:
            for item in items[:20]:
                call(item)
            items = [*items[20:], *items[:20]]
            count += 20
        best = min(best, (time.process_time() - began) / count)
    return 1e6 * best


def requests(bundle: Bundle, rows: int) -> list[bytes]:
    """Bodies of so many rows each, made of the bundle's samples."""
    instances, _ = bundle.samples()
    return [
        json.dumps({"instances": [instances[(start + step) % len(instances)] for step in range(rows)]}).encode()
        for start in range(max(20, len(instances)))
    ]


async def measure(bundle: Bundle, rows: int) -> None:
    """Prints one column of the table."""
    settings = Settings()
    app = App(Router(Served(bundle, settings)), settings)
    scorer: Any = app.router.main.scorer
    bodies = requests(bundle, rows)
    inputs = [scorer.decode(body)[0] for body in bodies]
    asked = [Request("POST", "/predict", body) for body in bodies]
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n"
    wire = [head % len(body) + body for body in bodies]
    fixed = Response(200, b"{}")

    def alone(call: Callable[[Any], object]) -> Callable[[Any], object]:
        """Each request in a turn of its own: nothing else comes with it."""

        def one(item: Any) -> None:
            call(item)
            app.flush()

        return one

    rounds = [
        ("the model's call alone", microseconds(scorer.run, inputs)),
        ("JSON to JSON", microseconds(scorer.score, bodies)),
        ("with routes, metrics, request id", microseconds(alone(app.answer), asked)),
    ]
    for name, answer in (("HTTP before a fixed answer", lambda _: fixed), ("all but the sockets", app.answer)):
        connection = Connection(Front(answer, settings, lambda _: None))
        connection.connection_made(Nowhere())
        turns = connection._front.turns
        turns._turning, turns._began = True, float("inf")  # nothing here has to make way for others
        rounds.append((name, microseconds(alone(connection.data_received), wire)))
    print(f"{rows} row(s) a request, microseconds of processor time")
    for name, value in rounds:
        print(f"  {name:34} {value:8.1f}")


def main() -> None:
    """Measures, and prints a table for each number of rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32])
    given = parser.parse_args()
    import uvloop

    for rows in given.rows:
        uvloop.run(measure(Bundle.open(given.bundle), rows))


if __name__ == "__main__":
    main()
