"""The `submit` section of the spec: where its pipeline runs that does not run on this machine, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from headrace.components.section import Section

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")
_NETWORK = re.compile(r"projects/[^/]+/global/networks/[^/]+")
_ACCOUNT = re.compile(r"[a-z0-9-]+@[a-z0-9.-]+")


def _one_of(pattern: re.Pattern[str], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise ValueError(f"expected {expected}. Received: {value!r}")
        return value

    return AfterValidator(check)


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an address, such as https://kubeflow.example.org/pipeline. Received: {value!r}")
    if parts.username or parts.password or parts.query:
        raise ValueError("expected an address without user, password and parameters; a token stands in a token_file")
    return value


def _cron(value: str) -> str:
    if len(value.split()) != 5:
        raise ValueError(f"expected five fields, such as `0 6 * * 1-5`. Received: {value!r}")
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        CronSim(value, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"expected five fields, such as `0 6 * * 1-5`. Received: {value!r}: {error}") from None
    return value


def _timezone(value: str) -> str:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"expected a name of the IANA database, such as Europe/Berlin. Received: {value!r}") from None
    return value


Address = Annotated[str, AfterValidator(_address)]
Cron = Annotated[str, AfterValidator(_cron)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Account = Annotated[str, _one_of(_ACCOUNT, "an account's address, such as runner@acme.iam.gserviceaccount.com")]
LabelName = Annotated[str, _one_of(_LABEL, "small letters, digits, _ and -, beginning with a letter")]
LabelValue = Annotated[str, _one_of(_LABEL_VALUE, "at most 63 small letters, digits, _ and -")]


class ScheduleSpec(Section):
    """When a pipeline runs by itself, with `headrace submit --schedule`."""

    cron: Cron
    """Five fields, as in crontab(5)."""
    timezone: Timezone = "UTC"
    """Of the times, such as `Europe/Berlin`."""
    at_once: int = Field(default=1, ge=1, le=10)
    """How many of its runs may go at the same time."""
    catch_up: bool = False
    """Whether runs that were missed while it was paused are made up for."""


class KubeflowSpec(Section):
    """Kubeflow Pipelines, on any cluster."""

    endpoint: Address | None = None
    """The address of the Pipelines API, such as `https://kubeflow.example.org/pipeline`, or that of
    `kubectl port-forward`. By default $KFP_ENDPOINT."""
    namespace: str = Field(default="", pattern="^(|[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)$")
    """The user's, where the cluster has several."""
    root: str | None = Field(default=None, pattern="^(s3|gs|minio)://[^/]+.*$")
    """The folder of what the runs put out, `s3://BUCKET/FOLDER`. By default the cluster's own."""
    sources: str | None = Field(default=None, pattern="^(s3|gs)://[^/]+.*$")
    """The folder that local sources are sent to; by default `sources` in `root`."""
    platform: str | None = None
    """Where the registry is, and what serves: `kubeflow:NAMESPACE?bucket=s3://...&image=...`, or `mlflow:URL`."""
    service_account: str = ""
    """Kubernetes' account that the tasks work as."""
    token_file: str = ""
    """A file with a bearer token. The variable KFP_TOKEN goes first."""
    ca_file: str = ""
    """Certificates of the authority that signed the API's."""


class ServingSpec(Section):
    """What a version runs on behind an endpoint of Vertex AI."""

    machine: str = "e2-standard-2"
    """The machine type; our server needs little."""
    min_replicas: int = Field(default=1, ge=0)
    """How many always run, and are always paid for; 0 scales to none when nobody asks."""
    max_replicas: int = Field(default=2, ge=1)
    """How many run at most."""
    accelerator: str = Field(default="", pattern="^(|nvidia-[a-z0-9-]+)$")
    """Such as `nvidia-tesla-t4`; by default none."""
    accelerators: int = Field(default=0, ge=0)
    """How many, with `accelerator`."""
    spot: bool = False
    """Whether replicas may be taken away at any time, for about a third of the price."""
    target_cpu: int = Field(default=60, ge=1, le=100)
    """The load in percent above which a replica is added."""
    idle_minutes: int = Field(default=60, ge=5, le=480)
    """With `min_replicas: 0`: after so long without requests the last replica goes."""
    service_account: str = ""
    """In whose name containers work; by default in that of one without rights, which reads the model all the same."""
    log_sample: float = Field(default=0.0, ge=0, le=1)
    """The share of requests and answers that is logged into BigQuery."""
    log_table: str = Field(default="", pattern="^(|bq://.+)$")
    """Where to: `bq://PROJECT.DATASET.TABLE`."""

    @model_validator(mode="after")
    def _fits(self) -> ServingSpec:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"expected min_replicas up to max_replicas. Received: {self.min_replicas}")
        if bool(self.accelerators) != bool(self.accelerator):
            raise ValueError("expected accelerator and accelerators together. Received: one of them")
        return self


class DataflowSpec(Section):
    """What steps that describe data by Apache Beam run on: Dataflow."""

    machine: str = ""
    """The machine type of its workers; by default Dataflow's own choice."""
    max_workers: int = Field(default=10, ge=1)
    """How many run at most."""
    flexrs: bool = False
    """A discount for batch jobs, which may then wait up to six hours for cheap machines; the pipeline waits as well."""
    service_account: str = ""
    """In whose name workers work; by default the project's default."""
    subnetwork: str = ""
    """`regions/REGION/subnetworks/NAME`; by default the default network."""
    public_ips: bool = True
    """Whether workers have public addresses. Without, the subnetwork needs Private Google Access."""
    image: str = ""
    """Of all workers; by default the images `dataflow` and `dataflow-tfx` where `HEADRACE_IMAGES` names them, and else
    each step's own."""
    options: dict[str, str | int | float | bool | list[str]] = Field(default={})
    """More of Beam's options, by their names; they go before the others."""


class MonitoringSpec(Section):
    """What Vertex AI watches of an endpoint's requests."""

    emails: list[str] = Field(default=[])
    """Who is told."""
    channels: list[str] = Field(default=[])
    """Notification channels of Cloud Monitoring, `projects/P/notificationChannels/N`."""
    every_hours: int = Field(default=24, ge=1)
    """How often it looks."""
    sample: float = Field(default=0.2, gt=0, le=1)
    """The share of the requests that is kept and looked at; it is what the cost grows with."""
    drift: float = Field(default=0.3, gt=0)
    """The distance of a feature from the look before, above which somebody is told: Jensen-Shannon of numbers,
    L-infinity of categories."""
    skew: float = Field(default=0.3, gt=0)
    """The same between requests and the training data."""
    thresholds: dict[str, float] = Field(default={})
    """Other distances, by feature."""
    data: str = Field(default="", pattern="^(|(gs|bq)://.+)$")
    """Training data, `gs://.../*.csv` or `bq://PROJECT.DATASET.TABLE`; by default no skew is looked for."""
    log: bool = True
    """Whether anomalies go to Cloud Logging, for alert policies."""


class VertexSpec(Section):
    """Vertex AI Pipelines."""

    project: str | None = Field(default=None, pattern="^[a-z0-9.:-]+$")
    """The Google Cloud project. By default $GOOGLE_CLOUD_PROJECT."""
    location: str | None = Field(default=None, pattern="^[a-z0-9-]+$")
    """Its region, such as `europe-west4`. By default $GOOGLE_CLOUD_LOCATION."""
    root: str | None = Field(default=None, pattern="^gs://[^/]+.*$")
    """The folder of what the runs put out, `gs://BUCKET/FOLDER`. Models and sources lie beside it."""
    sources: str | None = Field(default=None, pattern="^gs://[^/]+.*$")
    """The folder that local sources are sent to; by default `sources` in `root`."""
    image: str | None = None
    """The image that serves models."""
    platform: str | None = None
    """Where the registry is. By default Vertex AI's Model Registry in this project, bundles in `models` in `root`."""
    service_account: Account | None = None
    """In whose name the tasks work. By default Compute Engine's account, which may do more than they need."""
    network: Annotated[str, _one_of(_NETWORK, "projects/NUMBER/global/networks/NAME")] | None = None
    """The VPC network that the tasks are peered with."""
    encryption_key: Annotated[str, _one_of(_KEY, "projects/P/locations/L/keyRings/R/cryptoKeys/K")] | None = None
    """A key of Cloud KMS for all that the runs put out."""
    serving: ServingSpec | None = None
    """What endpoints run on: with it Vertex AI serves what is pushed. Without, the registry alone says which version
    serves, and servers of one's own follow."""
    dataflow: DataflowSpec | None = None
    """Describe data on Dataflow."""
    monitoring: MonitoringSpec | None = None
    """Vertex AI's own monitoring of the endpoint, with `serving`. Each push, split and rollback has it follow what
    answers then."""

    @model_validator(mode="after")
    def _endpoints(self) -> VertexSpec:
        if self.monitoring is not None and self.serving is None:
            raise ValueError("monitoring: expected `serving` beside it, which makes the endpoint. Received: none")
        return self


class SubmitSpec(Section):
    """Where the pipeline runs with `headrace submit`, and how. None of it is compiled: the file stays the same."""

    to: Literal["kubeflow", "vertex"] | None = None
    """The place, where the command does not say it by `--on`."""
    kubeflow: KubeflowSpec | None = None
    """Kubeflow Pipelines."""
    vertex: VertexSpec | None = None
    """Vertex AI Pipelines."""
    experiment: str | None = None
    """The group of runs; by default the spec's name, on Vertex AI `NAME-runs`, and `none` for the place's default."""
    caching: bool | None = None
    """Whether tasks may be taken from the cache; by default each as the pipeline has it."""
    failure_policy: Literal["slow", "fast"] = "slow"
    """`slow`: what does not depend on what failed goes on. `fast`: nothing new begins."""
    labels: dict[LabelName, LabelValue] = Field(default={})
    """Kept with the runs: `{team: growth}`."""
    schedule: ScheduleSpec | None = None
    """When it runs by itself, with `headrace submit --schedule`."""
