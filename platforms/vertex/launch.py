"""Runs a pipeline's step as a custom job of Vertex AI, and ends as it ends.

    python -m headrace.platforms.vertex.launch --project P --location L --image IMAGE --root gs://... -- COMMAND ...

The job is labelled with the step's id. A launcher that is started again, because its own machine went away, finds the
job by that and waits on; so nothing is trained twice. SIGTERM cancels the job.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.vertex.jobs import CustomJob, cancel, find, start, wait
from headrace.platforms.vertex.settings import TaskMachine
from headrace.platforms.vertex.store import VertexPlace, label

TASK_LABEL = "headrace-task"


def main(arguments: Sequence[str] | None = None, every_s: float = 15.0) -> int:
    """Runs one step; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    mark = words.index("--") if "--" in words else len(words)
    given, command = _parser().parse_args(words[:mark]), words[mark + 1 :]
    try:
        return _run(given, command, every_s)
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _run(given: argparse.Namespace, command: list[str], every_s: float) -> int:
    place = VertexPlace(given.project, given.location, endpoint=given.endpoint)
    task = label(given.task)
    job = ""

    def ended(*_: object) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, ended)  # before anything is started that would go on by itself
    try:
        job = _job(place, given, command, task)
        wait(place, job, every_s=every_s)
    except SystemExit:
        job = job or (find(place, {TASK_LABEL: task}) if task else "")
        if job:
            cancel(place, job)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"succeeded {job}", flush=True)
    return 0


def _job(place: VertexPlace, given: argparse.Namespace, command: list[str], task: str) -> str:
    """The step's job: the one that a launcher before this started, or a new one."""
    if task and (job := find(place, {TASK_LABEL: task})):
        print(f"goes on waiting for {job}", flush=True)
        return job
    job = start(
        place,
        CustomJob(
            name=given.name[:128],
            image=given.image,
            command=tuple(command),
            machine=TaskMachine.of(json.loads(given.machine)),
            output=f"{given.root.rstrip('/')}/custom-jobs/{task or label(given.name)}",
            labels={**json.loads(given.labels), **({TASK_LABEL: task} if task else {})},
            service_account=given.service_account,
            network=given.network,
            encryption_key=given.encryption_key,
        ),
    )
    print(f"started {job}", flush=True)
    return job


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace.platforms.vertex.launch", description="Run a step as a custom job of Vertex AI."
    )
    for name in ("project", "location", "image", "root"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--name", default="headrace")
    parser.add_argument("--task", default="", help="the step's id")
    parser.add_argument("--endpoint", help="another address of the API")
    parser.add_argument("--service-account", default="")
    parser.add_argument("--network", default="")
    parser.add_argument("--encryption-key", default="")
    parser.add_argument("--labels", default="{}", metavar="JSON")
    parser.add_argument("--machine", default="{}", metavar="JSON", help="as in the platform spec")
    return parser


if __name__ == "__main__":
    sys.exit(main())
