"""The end-to-end run on the staging project: `headrace submit` of the compiled file, as any user would do it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from tools.delivery.compile_all import read_digests, specs
from tools.delivery.errors import DeliveryError

ENDPOINT = "HEADRACE_VERTEX_ENDPOINT"  # an emulator's address instead of the service's


def submit(
    spec: Path, build: Path, *, project: str, region: str, bucket: str, service_account: str, commit: str
) -> dict[str, Any]:
    """Submits what `make compile-all` has compiled of a spec, waits for the run's end, and writes run.json.

    Args:
        spec: one of the examples'.
        build: the folder with images.json and pipelines/.
        project: the staging project.
        region: its region.
        bucket: `gs://BUCKET`, for what the run makes and for its models.
        service_account: in whose name the tasks work; empty for the platform's default.
        commit: what is tried.

    Returns:
        What run.json holds: the run's id and place, the commit, and the digests of the files that were run.

    Raises:
        DeliveryError: it could not be submitted, has failed, or its model did not pass its gates.
    """
    name = {file.resolve(): name for name, file in specs(spec.parents[2]).items()}.get(spec.resolve())
    pipeline = build / "pipelines" / f"{name}.training.yaml"
    if name is None or not pipeline.is_file():
        raise DeliveryError(f"SPEC: expected an example that `make compile-all` has compiled. Received: {spec}")
    images = read_digests(build / "images.json")
    (build / "run.json").unlink(missing_ok=True)
    platform = f"vertex:{project}/{region}?bucket={bucket}/models&image={images['serving']}"
    run = f"e2e-{commit[:12]}-{int(time.time())}"
    options = {
        "on": "vertex",
        "project": project,
        "location": region,
        "root": f"{bucket}/runs",
        "service-account": service_account,
        "endpoint": os.environ.get(ENDPOINT, ""),
        "id": run,
        "label": f"commit={commit}",
    }
    command = [str(Path(sys.executable).with_name("headrace")), "submit", str(pipeline), "--wait"]
    command += [f"--{option}={value}" for option, value in options.items() if value]
    command += [f"--param=platform={platform}", f"--param=source={_source(spec)}"]
    code = subprocess.run(command, env={**os.environ, "HEADRACE_COMMIT": commit}).returncode
    if code:
        why = {1: "it failed", 3: "its model did not pass its gates"}.get(code, f"exit code {code}")
        raise DeliveryError(f"run {run} in {project}/{region}: expected it to succeed. Received: {why}")
    record: dict[str, Any] = {
        "id": run,
        "commit": commit,
        "place": f"vertex:{project}/{region}",
        "sha256": {
            str(file.relative_to(build)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in (build / "images.json", pipeline)
        },
    }
    (build / "run.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return record


def _source(spec: Path) -> str:
    """The spec's source, which the example's generator makes where it is a file that is not there."""
    source: Any = yaml.safe_load(spec.read_text(encoding="utf-8"))["data"]["source"]
    if not isinstance(source, str) or "://" in source:
        return source if isinstance(source, str) else json.dumps(source)
    file, generator = spec.parent / source, spec.parent / "generate.py"
    if not file.exists() and generator.is_file():
        subprocess.run([sys.executable, str(generator)], check=True)
    return str(file.resolve())
