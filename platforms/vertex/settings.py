"""What only Vertex AI has: machines, spot, Dataflow, serving replicas, monitoring; with defaults that cost little."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.artifacts.errors import HeadraceError

_HOUR = 3600
_BEAM_STEPS = {"tfx": ("exec-statistics",), "main": ("exec-evaluate", "exec-batch-predict")}


def accelerator_type(name: str) -> str:
    """An accelerator as Vertex's API has it, from any usual spelling: `nvidia-tesla-t4` is `NVIDIA_TESLA_T4`.

    Raises:
        HeadraceError: it is no name of one.
    """
    found = name.upper().replace("-", "_").replace(" ", "_")
    if not found.startswith(("NVIDIA_", "TPU_")):
        raise HeadraceError(f"accelerator: expected a name such as nvidia-tesla-t4 or nvidia-l4. Received: {name!r}")
    return found


@dataclass(frozen=True)
class TaskMachine:
    """What one step runs on, as a custom job, where a plain task of Vertex AI Pipelines cannot have it.

    Attributes:
        machine: its type.
        accelerator: its accelerators' type, as in `accelerator_type`; empty for none.
        accelerators: how many.
        spot: on machines that may be taken away, for a third of the price or less. The job is then started again: a
            network goes on from its last checkpoint and a search from its last trial, anything else begins anew.
        disk_gb: of the boot disk; 0 for Vertex's own, 100.
        timeout_hours: after which it is ended.
        max_wait_hours: for which it may wait for a machine; after that it fails.
    """

    machine: str = "n1-standard-4"
    accelerator: str = ""
    accelerators: int = 0
    spot: bool = False
    disk_gb: int = 0
    timeout_hours: float = 24.0
    max_wait_hours: float = 24.0

    def __post_init__(self) -> None:
        _accelerators("resources", self.accelerator, self.accelerators)
        if self.timeout_hours <= 0 or self.max_wait_hours < 0 or self.disk_gb < 0:
            raise HeadraceError("resources: expected hours and disk above 0. Received: less")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> TaskMachine:
        """From the platform spec's entry of a step; numbers may come as texts or floats.

        Raises:
            HeadraceError: a key is unknown, or a value does not fit.
        """
        found: TaskMachine = _read(cls, "platform spec, vertex", given)
        return found

    def pool(self, image: str, command: list[str], args: list[str]) -> dict[str, Any]:
        """The worker pool of a custom job, as `aiplatform.CustomJob` takes it."""
        machine: dict[str, Any] = {"machine_type": self.machine}
        if self.accelerator:
            machine |= {
                "accelerator_type": accelerator_type(self.accelerator),
                "accelerator_count": self.accelerators or 1,
            }
        pool: dict[str, Any] = {
            "machine_spec": machine,
            "replica_count": 1,
            "container_spec": {"image_uri": image, "command": command, "args": args},
        }
        if self.disk_gb:
            pool["disk_spec"] = {"boot_disk_type": "pd-ssd", "boot_disk_size_gb": self.disk_gb}
        return pool

    def scheduling(self) -> dict[str, Any]:
        """The arguments of `aiplatform.CustomJob.submit` that say when it runs, and for how long."""
        from google.cloud.aiplatform_v1.types import Scheduling

        strategy = Scheduling.Strategy.SPOT if self.spot else Scheduling.Strategy.STANDARD
        return {
            "timeout": int(self.timeout_hours * _HOUR),
            "max_wait_duration": int(self.max_wait_hours * _HOUR),
            "scheduling_strategy": strategy,
            "restart_job_on_worker_restart": self.spot,  # its checkpoints are still there
        }


@dataclass(frozen=True)
class Serving:
    """What a version runs on behind an endpoint.

    Attributes:
        machine: its type; our server needs little.
        min_replicas: that always run, and are always paid for; 0 scales to none when nobody asks (in preview).
        max_replicas: at most.
        accelerator: as in `accelerator_type`; empty for none.
        accelerators: how many.
        spot: on machines that may be taken away.
        target_cpu: percent; above it a replica is added.
        idle_minutes: with `min_replicas: 0`: without requests for so long, the last replica goes; 5 to 480.
        service_account: that containers run as; empty for one without rights, which reads the bundle all the same.
        log_sample: share of requests and answers that are logged into BigQuery, 0 to 1. Monitoring brings its own.
        log_table: `bq://PROJECT.DATASET.TABLE` for them.
    """

    machine: str = "e2-standard-2"
    min_replicas: int = 1
    max_replicas: int = 2
    accelerator: str = ""
    accelerators: int = 0
    spot: bool = False
    target_cpu: int = 60
    idle_minutes: int = 60
    service_account: str = ""
    log_sample: float = 0.0
    log_table: str = ""

    def __post_init__(self) -> None:
        _accelerators("serving", self.accelerator, self.accelerators)
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            given = f"{self.min_replicas} to {self.max_replicas}"
            raise HeadraceError(
                f"serving: expected replicas from 0 up, the most not below the least. Received: {given}"
            )
        if not 0 <= self.log_sample <= 1:
            raise HeadraceError(f"serving: expected log_sample from 0 to 1. Received: {self.log_sample}")
        if self.to_zero and self.spot:
            raise HeadraceError("serving: expected spot, or min_replicas: 0, and not both. Received: both")
        if not 5 <= self.idle_minutes <= 480:
            raise HeadraceError(f"serving: expected idle_minutes from 5 to 480. Received: {self.idle_minutes}")

    @property
    def to_zero(self) -> bool:
        """Whether it scales to none."""
        return self.min_replicas == 0


@dataclass(frozen=True)
class Dataflow:
    """What Beam's steps run on, when `beam_runner` is DataflowRunner.

    Attributes:
        machine: of the workers; empty for Dataflow's own choice.
        max_workers: at most.
        flexrs: batch at a discount: the job may wait up to six hours for cheap machines. Not on by default, since a
            pipeline waits with it.
        service_account: of the workers; empty for the project's default.
        subnetwork: `regions/REGION/subnetworks/NAME`; empty for the default network.
        public_ips: whether workers have addresses on the internet. Without, the subnetwork needs Private Google Access.
        image: of all workers, with Beam's `boot` in it; empty for `headrace/dataflow` and `headrace/dataflow-tfx` where
            they are named as the steps' images are, and else each step's own.
        options: more of Beam's options, by their names; they go before all of these.
    """

    machine: str = ""
    max_workers: int = 10
    flexrs: bool = False
    service_account: str = ""
    subnetwork: str = ""
    public_ips: bool = True
    image: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Monitoring:
    """What Vertex AI watches of an endpoint's requests.

    Attributes:
        emails: that are told.
        channels: notification channels of Cloud Monitoring, `projects/P/notificationChannels/N`.
        every_hours: between two looks.
        sample: share of the requests that is kept and looked at, above 0 to 1; it is what the cost grows with.
        drift: distance between one look's distribution of a feature and the look's before, above which it is told
            (Jensen-Shannon for numbers, L-infinity for categories).
        skew: the same between requests and the training data, of `data`.
        thresholds: by feature others than those two.
        data: training data: `gs://.../*.csv`, or `bq://PROJECT.DATASET.TABLE`; empty: no skew is looked for.
        log: whether anomalies go to Cloud Logging, for alert policies.
    """

    emails: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    every_hours: int = 24
    sample: float = 0.2
    drift: float = 0.3
    skew: float = 0.3
    thresholds: Mapping[str, float] = field(default_factory=dict)
    data: str = ""
    log: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1 or self.every_hours < 1:
            raise HeadraceError(
                "monitoring: expected a sample above 0 and up to 1, and an hour or more between looks. "
                f"Received: {self.sample} and {self.every_hours}"
            )
        if self.data and not self.data.startswith(("gs://", "bq://")):
            raise HeadraceError(f"monitoring: expected data as gs:// or bq://. Received: {self.data!r}")


@dataclass(frozen=True)
class VertexSettings:
    """The section `submit.vertex` of a spec, as far as Vertex's own settings go."""

    serving: Serving = field(default_factory=Serving)
    dataflow: Dataflow | None = None
    monitoring: Monitoring | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> VertexSettings:
        """From plain values; what is none of these three is passed over, for it is every platform's.

        Raises:
            HeadraceError: a key of theirs is unknown, or a value does not fit.
        """
        parts: dict[str, Any] = {}
        for name, kind in {"serving": Serving, "dataflow": Dataflow, "monitoring": Monitoring}.items():
            if given.get(name) is not None:
                parts[name] = _read(kind, f"submit.vertex.{name}", given[name])
        return cls(**parts)


def dataflow_options(
    settings: Dataflow,
    project: str,
    location: str,
    root: str,
    *,
    ir: Mapping[str, Any] | None = None,
    workers: Mapping[str, str] | None = None,
    encryption_key: str = "",
    name: str = "",
) -> dict[str, Any]:
    """Beam's pipeline options for Dataflow, by their names; the pipeline's parameter `beam_options`.

    Args:
        settings: what the workers are.
        project: the Google Cloud project.
        location: its region.
        root: a folder `gs://...`; temporary files lie in `beam/` below it.
        ir: the pipeline spec, whose steps' images workers have where nothing names others.
        workers: by the steps' environments (`main`, `tfx`) images for them, where the settings name none.
        encryption_key: of Cloud KMS, for the job's state.
        name: becomes a label of the job.
    """
    options: dict[str, Any] = {
        "project": project,
        "region": location,
        "temp_location": f"{root.rstrip('/')}/beam/tmp",
        "staging_location": f"{root.rstrip('/')}/beam/staging",
        "max_num_workers": settings.max_workers,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
    }
    wanted = {
        "machine_type": settings.machine,
        "service_account_email": settings.service_account,
        "subnetwork": settings.subnetwork,
        "sdk_container_image": settings.image,
        "dataflow_kms_key": encryption_key,
        "flexrs_goal": "COST_OPTIMIZED" if settings.flexrs else "",
        "no_use_public_ips": not settings.public_ips,
        "labels": [f"headrace={name}"] if name else [],
        "images": {} if settings.image else _images(ir or {}, workers or {}),
    }
    return {**options, **{key: value for key, value in wanted.items() if value}, **settings.options}


def _images(ir: Mapping[str, Any], workers: Mapping[str, str]) -> dict[str, str]:
    """The workers' images by the environment of the steps that run Beam: those given, else the steps' own."""
    executors = ir.get("deploymentSpec", {}).get("executors", {})
    found = {}
    for environment, steps in _BEAM_STEPS.items():
        step = next((step for step in steps if step in executors), None)
        if step is not None:
            found[environment] = workers.get(environment) or executors[step]["container"]["image"]
    return found


def _accelerators(where: str, kind: str, count: int) -> None:
    if kind:
        accelerator_type(kind)
    if count < 0 or (count and not kind):
        raise HeadraceError(f"{where}: expected accelerators with their kind. Received: {count} of {kind!r}")


def _read(kind: Any, where: str, given: Mapping[str, Any]) -> Any:
    """A dataclass from plain values: numbers may come as a protobuf's floats, lists become tuples."""
    known = {one.name: one for one in dataclasses.fields(kind)}
    values = {}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
            raise HeadraceError(f"{where}: expected a known key. Received: {name!r}{hint}")
        default = known[name].default
        if isinstance(default, int) and not isinstance(default, bool) and isinstance(value, float):
            value = int(value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)
