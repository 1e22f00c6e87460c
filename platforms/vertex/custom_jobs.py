"""Steps that need a machine of their own kind become custom jobs, when a pipeline is sent to Vertex AI.

A plain task of Vertex AI Pipelines is given cores, memory and accelerators. Spot machines, a machine's exact type, its
disk, checkpoints that outlive it and a limit on how long it may wait are a custom job's. So a step for which the
platform spec asks for these gets another command: `python -m headrace.platforms.vertex.launch`, in the same image. It
starts a custom job of the step's own command and image, and waits. The compiled file stays as it is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from headrace.platforms.running import RunsError, Submission, Where
from headrace.platforms.vertex.settings import TaskMachine

PLATFORM = "vertex"
_LAUNCHER = {"cpuLimit": 1.0, "memoryLimit": 2.0}  # it waits
_TASK = "{{$.pipeline_task_uuid}}"
_RUN = "{{$.pipeline_job_name}}"


def machines(platform_spec: Mapping[str, Any] | None) -> dict[str, TaskMachine]:
    """What the platform spec asks Vertex AI for, by executor.

    Raises:
        HeadraceError: a key is unknown, or a value does not fit.
    """
    platforms = (platform_spec or {}).get("platforms", {})
    executors = platforms.get(PLATFORM, {}).get("deploymentSpec", {}).get("executors", {})
    return {name: TaskMachine.of(values) for name, values in executors.items()}


def with_custom_jobs(submission: Submission, where: Where) -> dict[str, Any]:
    """The pipeline spec as it is sent: the same, but for the steps that become custom jobs.

    Raises:
        HeadraceError: the platform spec asks for a step that the pipeline does not have, or for what there is not.
    """
    ir: dict[str, Any] = copy.deepcopy(dict(submission.ir))
    executors = ir.get("deploymentSpec", {}).get("executors", {})
    for name, machine in machines(submission.platform_spec).items():
        container = executors.get(name, {}).get("container")
        if container is None:
            known = ", ".join(sorted(executors))
            raise RunsError(
                f"platform spec, vertex: expected an executor of the pipeline ({known}). Received: {name!r}"
            )
        options = {
            "--name": f"{_RUN}-{name.removeprefix('exec-')}",
            "--task": _TASK,
            "--project": where.project,
            "--location": where.location,
            "--endpoint": where.endpoint,
            "--image": container["image"],
            "--root": submission.root,
            "--service-account": submission.service_account,
            "--network": submission.network,
            "--encryption-key": submission.encryption_key,
            "--labels": json.dumps(dict(submission.labels), sort_keys=True) if submission.labels else "",
            "--machine": json.dumps(asdict(machine), sort_keys=True),
        }
        command = ["python3", "-m", "headrace.platforms.vertex.launch"]
        command += [word for option, value in options.items() if value for word in (option, value)]
        container["command"] = [*command, "--", *container.get("command", [])]
        container["resources"] = dict(_LAUNCHER)
    return ir
