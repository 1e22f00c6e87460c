"""How long the emulator takes: to start, to pass on a prediction, and to run a pipeline. Other figures: killed.py.

    .venv/bin/python benchmarks/emulator/speed.py

A prediction is asked of the emulator and of the server behind it in turns, over connections that stay open, so that
both have the same machine; what the emulator adds is the difference of the medians.
"""

from __future__ import annotations

import argparse
import http.client
import json
import logging
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "serving")]

from headrace.emulator.running import RunningEmulator, running  # noqa: E402

Post = Callable[[], float]


def starts(folder: Path, times: int) -> list[float]:
    """Seconds from the process's start until it answers, with an empty state each time."""
    found = []
    for number in range(times):
        began = time.perf_counter()
        with running(folder / f"start-{number}"):
            found.append(time.perf_counter() - began)
    return found


def poster(address: str, path: str, body: bytes) -> Post:
    """Sends one request over a connection that stays open; seconds."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)

    def post() -> float:
        began = time.perf_counter()
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        took = time.perf_counter() - began
        if answer.status != 200 or b"predictions" not in content:
            raise RuntimeError(f"{path}: expected predictions. Received: {answer.status} {content[:200]!r}")
        return took

    return post


def predictions(emulator: RunningEmulator, bundle: Path, rows: int, times: int) -> tuple[list[float], list[float]]:
    """Seconds of predictions of the emulator, and of the server behind it."""
    from google.cloud import aiplatform

    shutil.copytree(bundle, emulator.folder / "gcs" / "bundles" / "tiny")
    emulator.connect()
    model = aiplatform.Model.upload(
        display_name="tiny",
        artifact_uri="gs://bundles/tiny",
        serving_container_image_uri="headrace/serving",
        serving_container_predict_route="/predict",
        serving_container_health_route="/health",
    )
    endpoint = model.deploy(machine_type="n1-standard-2")
    samples = json.loads((bundle / "samples.json").read_text())["instances"]
    body = json.dumps({"instances": [samples[i % len(samples)] for i in range(rows)]}).encode()
    [log] = (emulator.folder / "serving").glob("*/log.txt")
    found = re.search(r"(http://[\d.]+:\d+)", log.read_text())
    assert found, log.read_text()
    through = poster(emulator.address, f"/v1/{endpoint.resource_name}:predict", body)
    direct = poster(found[1], "/predict", body)
    for _ in range(200):
        through(), direct()
    pairs = [(through(), direct()) for _ in range(times)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def pipelines(folder: Path, times: int) -> list[float]:
    """Seconds from `PipelineJob.submit` to the end of a pipeline of six small tasks, without the cache."""
    from google.cloud import aiplatform
    from kfp import compiler

    from tests.integration.emulator.vertex_pipelines import adding

    compiler.Compiler().compile(adding, str(folder / "adding.yaml"))
    found = []
    for number in range(times):
        job: Any = aiplatform.PipelineJob(
            display_name="adding",
            job_id=f"adding-{number}",
            template_path=str(folder / "adding.yaml"),
            pipeline_root=str(folder / "root"),
            parameter_values={"a": float(number)},
            enable_caching=False,
        )
        began = time.perf_counter()
        job.submit()
        while not job.done():
            time.sleep(0.02)
        found.append(time.perf_counter() - began)
        if job.state.name != "PIPELINE_STATE_SUCCEEDED":
            raise RuntimeError(f"expected a run that succeeds. Received: {job.state} {job.error}")
    return found


def told(seconds: list[float], unit: float = 1.0) -> str:
    """Median, and the least and the most."""
    ordered = sorted(one * unit for one in seconds)
    high = ordered[int(len(ordered) * 0.99)]
    return f"{statistics.median(ordered):.2f} (least {ordered[0]:.2f}, 99 % below {high:.2f})"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--predictions", type=int, default=2000)
    parser.add_argument("--pipelines", type=int, default=3)
    given = parser.parse_args()
    logging.disable(logging.ERROR)
    from tiny_bundle import write_tiny_bundle

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        print(f"start, seconds: {told(starts(folder, given.starts))}", flush=True)
        bundle = write_tiny_bundle(folder / "bundle", "binary")
        for rows in (1, 100):
            with running(folder / f"rows-{rows}") as emulator:
                through, direct = predictions(emulator, bundle, rows, given.predictions)
            print(f"prediction of {rows} rows, milliseconds: {told(through, 1e3)}")
            print(f"  of the server itself: {told(direct, 1e3)}")
            print(f"  added: {(statistics.median(through) - statistics.median(direct)) * 1e3:.2f} ms", flush=True)
        with running(folder / "runs") as emulator:
            emulator.connect()
            print(f"pipeline of six tasks, submit to done, seconds: {told(pipelines(folder, given.pipelines))}")


if __name__ == "__main__":
    main()
