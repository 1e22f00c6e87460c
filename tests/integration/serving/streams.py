"""Processes that answer streams, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.serving.servers import GOOD, wait_until

# As `headrace stream`, without what finds a model by its name. The last words: what a test has it do besides.
RUN = """
import os, signal, sys, time
from pathlib import Path
from headrace.serving.scorer import Scorer
from headrace.serving.streaming.route import Asked
from headrace.serving.streaming.run import run
from headrace.serving.target import Target

bundle, source, sink, idle, most, poison = sys.argv[1:]
if poison:
    answer = Scorer.run
    def deadly(self, inputs):
        if (inputs.matrix[:, 0] == float(poison)).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return answer(self, inputs)
    Scorer.run = deadly
group = source.rpartition("/")[2] if source.startswith("kafka") else "test"
asked = Asked(source=source, sink=sink, group=group, idle=float(idle), most_attempts=3)
run(asked, Target(Path(bundle)), most=int(most))
"""


def start(
    bundle: Path, source: str, sink: str, idle: float = 60, most: int = 50, poison: str = "", **environment: str
) -> subprocess.Popen[bytes]:
    words = [str(bundle), source, sink, str(idle), str(most), poison]
    command = [sys.executable, "-c", RUN, *words]
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)


@contextmanager
def streaming(*arguments: Any, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    started = start(*arguments, **more)
    try:
        yield started
    finally:
        started.kill()
        started.communicate()


def stopped(started: subprocess.Popen[bytes]) -> str:
    """Ends it as Kubernetes does; what it said."""
    started.terminate()
    _, said = started.communicate(timeout=30)
    assert started.returncode == 0, said.decode()
    return said.decode()


def instance(number: int) -> bytes:
    return json.dumps({**GOOD, "tenure": number}).encode()


def until(condition: Callable[[], Any], started: subprocess.Popen[bytes], seconds: float = 20.0) -> None:
    def there() -> bool:
        assert started.poll() is None, (started.communicate()[1] or b"").decode()
        return bool(condition())

    wait_until(there, seconds)


def killed_at_random(
    start_one: Callable[[], subprocess.Popen[bytes]], times: int, done: Callable[[], bool], seconds: float = 90
) -> None:
    """Two processes at a time, of which one is killed again and again; then two until all is done."""
    import random

    rng = random.Random(1)
    running = [start_one(), start_one()]
    try:
        for _ in range(times):
            time.sleep(rng.uniform(0.8, 2.0))
            place = rng.randrange(2)
            running[place].kill()
            running[place].communicate()
            running[place] = start_one()
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "not all was answered"
            time.sleep(0.2)
    finally:
        for one in running:
            one.kill()
            one.communicate()
