"""Custom jobs and batch predictions of Vertex AI, by google.cloud.aiplatform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.vertex.connecting import connected
from headrace.platforms.vertex.settings import Serving, TaskMachine, accelerator_type
from headrace.platforms.vertex.store import VertexPlace, model_id

_ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED")
_WELL = ("SUCCEEDED",)
_TRAINER = ("python3", "-m", "headrace.trainer.task")


class JobError(HeadraceError):
    """Vertex AI refused a job, or the job failed."""


@dataclass(frozen=True)
class CustomJob:
    """A container that runs once.

    Attributes:
        name: what people call it.
        image: the container's.
        command: its command and arguments, in place of the image's entry point.
        machine: what it runs on.
        output: a folder `gs://...`, whose `checkpoints/`, `model/` and `logs/` Vertex AI names to the container
            (AIP_CHECKPOINT_DIR, AIP_MODEL_DIR, AIP_TENSORBOARD_LOG_DIR), the same after a restart.
        labels: kept with it.
        service_account: in whose name it works; empty for the project's default.
        network: VPC network that it is peered with.
        encryption_key: of Cloud KMS.
    """

    name: str
    image: str
    command: tuple[str, ...]
    machine: TaskMachine
    output: str
    labels: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    network: str = ""
    encryption_key: str = ""


def training_job(
    image: str, output: str, machine: TaskMachine, *, name: str, arguments: Mapping[str, Any], **more: Any
) -> CustomJob:
    """Our trainer as a custom job of its own, without a pipeline: `python -m headrace.trainer.task`.

    Args:
        image: the trainer's.
        output: a folder `gs://...`; the bundle is in `model/` of it.
        machine: with `spot: true`, a network goes on from its last checkpoint when its machine was taken away; other
            kinds begin anew.
        name: the model's.
        arguments: the trainer's, by their names, as `dataset="gs://..."`, `parameters={...}`, `saved_model=True`.
        more: of `CustomJob`.
    """
    words = [*_TRAINER, "--name", name]
    for key, value in arguments.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words += [option, value if isinstance(value, str) else json.dumps(value)]
    return CustomJob(f"train {name}", image, tuple(words), machine, output, **more)


def start(place: VertexPlace, job: CustomJob) -> str:
    """Starts a custom job; returns its resource name."""
    if not job.output.startswith("gs://"):
        raise JobError(f"custom job {job.name}: expected a folder gs://... for output. Received: {job.output!r}")
    if not job.command:
        raise JobError(f"custom job {job.name}: expected a command. Received: none")
    with _connected(place, job.service_account) as aiplatform:
        made = aiplatform.CustomJob(
            display_name=job.name,
            worker_pool_specs=[job.machine.pool(job.image, [job.command[0]], list(job.command[1:]))],
            base_output_dir=job.output,
            staging_bucket=job.output,  # asked for, and not used: nothing is packed
            labels=dict(job.labels) or None,
            encryption_spec_key_name=job.encryption_key or None,
        )
        made.submit(
            service_account=job.service_account or None, network=job.network or None, **job.machine.scheduling()
        )
        return str(made.resource_name)


def find(place: VertexPlace, labels: Mapping[str, str]) -> str:
    """The resource name of the latest custom job with these labels that has not failed; empty where there is none."""
    wanted = " AND ".join(f'labels.{key}="{value}"' for key, value in labels.items())
    with _connected(place) as aiplatform:
        found = aiplatform.CustomJob.list(filter=wanted, order_by="create_time desc")
        alive = [
            one for one in found if _state(one.gca_resource) not in ("FAILED", "CANCELLING", "CANCELLED", "EXPIRED")
        ]
        return str(alive[0].resource_name) if alive else ""


def wait(
    place: VertexPlace,
    job: str,
    *,
    every_s: float = 15.0,
    patience: int = 20,
    pause: Callable[[float], object] = time.sleep,
) -> str:
    """Waits for a job's end, a custom one or a batch prediction, by its resource name; returns where its output lies.

    Args:
        place: the project.
        job: its resource name.
        every_s: seconds between two looks.
        patience: how many looks in a row may fail.
        pause: waits so many seconds.

    Raises:
        JobError: it did not succeed, with what Vertex AI says of it; or Vertex AI does not answer.
    """
    failed = 0
    while True:
        try:
            resource = _look(place, job)
        except JobError:
            failed += 1
            if failed >= patience:
                raise
        else:
            failed = 0
            state = _state(resource)
            if state in _WELL:
                return _output(resource)
            if state in _ENDED:
                told = resource.error.message if resource.error else "nothing more"
                raise JobError(f"{job}: expected it to succeed. Received: {state}: {told}")
        pause(every_s)


def cancel(place: VertexPlace, job: str) -> None:
    """Asks for a job's end."""
    with _connected(place) as aiplatform:
        _kind(aiplatform, job).get(job).cancel() if "customJobs" in job else _kind(aiplatform, job)(job).cancel()


def batch_predict(
    place: VertexPlace,
    model: str,
    version: str,
    source: str | Sequence[str],
    destination: str,
    *,
    serving: Serving | None = None,
    name: str = "",
    batch_size: int = 64,
    parameters: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    encryption_key: str = "",
) -> str:
    """Starts a batch prediction of a registered version by Vertex AI's own service; returns its resource name.

    Our `batch-predict` step costs less, since it needs no serving container, and proves its columns first; this one is
    for who has Vertex AI's pages and permissions around it.

    Args:
        place: the project.
        model: the model's name.
        version: its number or alias.
        source: `gs://` files of JSON lines, each an instance; or a table `bq://P.D.T`.
        destination: a folder `gs://...` or a data set `bq://P.D`.
        serving: what it runs on; replicas are its least and most, and one at least.
        name: what people call it.
        batch_size: rows in one request to the container.
        parameters: of each request.
        labels: kept with it.
        encryption_key: of Cloud KMS.
    """
    settings = serving or Serving()
    uris = [source] if isinstance(source, str) else list(source)
    table = uris[0].startswith("bq://")
    if (table and len(uris) > 1) or not all(one.startswith("bq://" if table else "gs://") for one in uris):
        raise JobError(f"source: expected gs:// files, or one table bq://P.D.T. Received: {', '.join(uris)}")
    if not destination.startswith(("gs://", "bq://")):
        raise JobError(f"destination: expected gs:// or bq://. Received: {destination!r}")
    machine: dict[str, Any] = {"machine_type": settings.machine}
    if settings.accelerator:
        count = settings.accelerators or 1
        machine |= {"accelerator_type": accelerator_type(settings.accelerator), "accelerator_count": count}
    to_table = destination.startswith("bq://")
    with _connected(place, settings.service_account) as aiplatform:
        made = aiplatform.BatchPredictionJob.submit(
            job_display_name=name or f"{model} {version}",
            model_name=f"projects/{place.project}/locations/{place.location}/models/{model_id(model)}@{version}",
            **({"bigquery_source": uris[0]} if table else {"gcs_source": uris}),
            **({"bigquery_destination_prefix": destination} if to_table else {"gcs_destination_prefix": destination}),
            predictions_format="bigquery" if to_table else "jsonl",
            starting_replica_count=max(1, settings.min_replicas),
            max_replica_count=settings.max_replicas,
            batch_size=batch_size,
            model_parameters=dict(parameters) if parameters else None,
            labels=dict(labels) if labels else None,
            encryption_spec_key_name=encryption_key or None,
            service_account=settings.service_account or None,
            **machine,
        )
        return str(made.resource_name)


def _look(place: VertexPlace, job: str) -> Any:
    with _connected(place) as aiplatform:
        kind = _kind(aiplatform, job)
        return (kind.get(job) if "customJobs" in job else kind(job)).gca_resource


def _kind(aiplatform: Any, job: str) -> Any:
    return aiplatform.CustomJob if "/customJobs/" in job else aiplatform.BatchPredictionJob


def _state(resource: Any) -> str:
    return str(resource.state.name).removeprefix("JOB_STATE_")


def _output(resource: Any) -> str:
    if "job_spec" in type(resource).pb(resource).DESCRIPTOR.fields_by_name:
        return str(resource.job_spec.base_output_directory.output_uri_prefix)
    info = resource.output_info
    return str(info.gcs_output_directory or f"{info.bigquery_output_dataset}.{info.bigquery_output_table}")


def _connected(place: VertexPlace, account: str = "") -> Any:
    return connected(place.project, place.location, place.endpoint, JobError, account=account)
