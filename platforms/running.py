"""Where pipelines run, if not on this machine: one interface over Kubeflow Pipelines and Vertex AI Pipelines."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from headrace.artifacts.errors import HeadraceError

PENDING, RUNNING, PAUSED = "PENDING", "RUNNING", "PAUSED"
SUCCEEDED, FAILED, CANCELLED, SKIPPED = "SUCCEEDED", "FAILED", "CANCELLED", "SKIPPED"
ENDED = frozenset({SUCCEEDED, FAILED, CANCELLED, SKIPPED})
_LONGEST_PAUSE_S = 60.0
_LOCATION = re.compile(r"[a-z0-9-]+")
STATES = frozenset({PENDING, RUNNING, PAUSED}) | ENDED  # of runs and of tasks, whatever a platform calls them


# What may be a secret in a text from elsewhere: a bearer token, one of Google's, a password or a parameter of a URL.
_SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 ***"),
    (re.compile(r"\bya29\.[\w.-]+|\beyJ[\w-]{8,}\.[\w-]+\.?[\w-]*"), "***"),
    (re.compile(r"(?<=://)[^/\s@?#'\"]*@"), "***@"),
    (
        re.compile(r"(?i)([?&][\w-]*(?:sign|token|key|secret|pass|credential|session)[\w-]*=)[^&\s'\"]+"),
        r"\1***",
    ),
    (re.compile(r"(?i)\b((?:set-)?cookie|authorization|x-auth-token)(['\"]?\s*[:=]\s*['\"]?)[^'\"\n]+"), r"\1\2***"),
)


def without_secrets(text: str) -> str:
    """A text from elsewhere, such as a server's answer, without what may be a token, a password or a signature.

    >>> without_secrets("401 for https://me:pw@host/a?token=abc&x=1, Authorization: Bearer abcdefgh")
    '401 for https://***@host/a?token=***&x=1, Authorization: ***'
    """
    for pattern, hidden in _SECRETS:
        text = pattern.sub(hidden, text)
    token = os.environ.get("KFP_TOKEN", "")
    return text.replace(token, "***") if len(token) > 5 else text


class RunsError(HeadraceError):
    """A platform refused, or did not answer; the message says which, what it said, and what to do, and no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(without_secrets(message))


@dataclass(frozen=True)
class Where:
    """The place that runs are sent to.

    Attributes:
        on: `kubeflow` or `vertex`.
        endpoint: the API's address. Kubeflow: of the Pipelines API, `https://HOST` or `https://HOST/pipeline`, needed.
            Vertex: empty for Google's own; by http on this machine, an emulator that asks for no credentials.
        project: Vertex: the Google Cloud project.
        location: Vertex: its region.
        namespace: Kubeflow: the user's; empty on a cluster for one user.
        token_file: Kubeflow: a file with a bearer token, read when a client is made; never logged. The token of the
            environment variable KFP_TOKEN goes first; neither means none, or what the cluster gives a pod.
        ca_file: Kubeflow: certificates of the authority that signed the API's.
        public_url: where people look at a run; empty for what follows from the rest.
    """

    on: str
    endpoint: str = ""
    project: str = ""
    location: str = ""
    namespace: str = ""
    token_file: str = ""
    ca_file: str = ""
    public_url: str = ""

    @classmethod
    def of(cls, uri: str) -> Where:
        """From `vertex:PROJECT/LOCATION?endpoint=...`, or `kubeflow:https://HOST/pipeline?namespace=...`.

        Raises:
            RunsError: the URI is another.
        """
        on, _, rest = uri.partition(":")
        address, _, query = rest.partition("?")
        options = dict(parse_qsl(query))
        known = ("endpoint", "public_url") if on == "vertex" else ("namespace", "token_file", "ca_file", "public_url")
        expected = "vertex:PROJECT/LOCATION?endpoint=URL or kubeflow:URL?namespace=NAME"
        if on not in ("vertex", "kubeflow") or not address or set(options) - set(known):
            raise RunsError(f"where runs are: expected {expected}. Received: {uri.partition('?')[0]!r}")
        if on == "kubeflow":
            return cls(on, endpoint=address, **options)
        project, _, location = address.strip("/").partition("/")
        if not project or not _LOCATION.fullmatch(location):
            raise RunsError(f"where runs are: expected {expected}. Received: {uri.partition('?')[0]!r}")
        return cls(on, project=project, location=location, **options)

    @property
    def shown(self) -> str:
        """As messages name it."""
        return f"vertex {self.project}/{self.location}" if self.on == "vertex" else f"kubeflow {self.endpoint}"


@dataclass(frozen=True)
class Submission:
    """A pipeline to run, and how.

    Attributes:
        text: the compiled file as it stands, to the byte; of two documents where it has a platform spec.
        ir: its pipeline spec, as plain data.
        platform_spec: its second document, as plain data; Kubeflow reads it, Vertex does not.
        name: what people call the run.
        id: a name for the run that is not taken twice, so that nothing runs twice where an answer was lost: small
            letters, digits and hyphens. Platforms that give runs names of their own keep it as a label or tag.
        parameters: the pipeline's, of the types that its IR says; what is left out has the IR's default.
        labels: kept with the run where the platform has labels.
        root: the folder of its outputs, `gs://`, `s3://` or `minio://`; empty for the platform's own.
        experiment: a group of runs; empty for the platform's default.
        caching: whether tasks are taken from the cache; None as the pipeline was compiled.
        service_account: in whose name tasks work; empty for the platform's default.
        network: Vertex: the VPC network that it is peered with, `projects/N/global/networks/NAME`.
        encryption_key: Vertex: a key of Cloud KMS, by its full resource name.
        failure_policy: `slow`: what does not depend on what failed goes on. `fast`: nothing new begins.
        description: what the run is for.
    """

    text: str
    ir: Mapping[str, Any]
    name: str
    id: str = ""
    platform_spec: Mapping[str, Any] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    experiment: str = ""
    caching: bool | None = None
    service_account: str = ""
    network: str = ""
    encryption_key: str = ""
    failure_policy: str = "slow"
    description: str = ""


@dataclass(frozen=True)
class Submitted:
    """A run that a platform has.

    Attributes:
        id: what `Runs.get` takes: short, and enough together with the place.
        url: where people look at it; empty where there is no page.
        state: one of `STATES`.
        name: what people call it.
        created: when it was submitted, seconds since 1970; 0 where that is not known.
        ended: when it ended; None while it has not.
        error: why it failed, in the platform's words; empty otherwise.
        root: the folder of its outputs; empty where that is not known.
    """

    id: str
    url: str
    state: str
    name: str = ""
    created: float = 0.0
    ended: float | None = None
    error: str = ""
    root: str = ""


@dataclass(frozen=True)
class TaskState:
    """A task of a run, as its platform tells of it.

    Attributes:
        name: the task's, as in the IR, below what contains it: `condition-1/register`, `for-loop-1[3]/train`.
        state: one of `STATES`.
        started: seconds since 1970; None before it began.
        ended: None while it has not.
        error: why it failed, in the platform's words; empty otherwise.
        cached: whether its outputs were taken from the cache.
        group: whether it is a condition, a loop or a nested pipeline, and no work of its own.
        log: where what it printed is found: an address, or a command; empty where neither is known.
    """

    name: str
    state: str
    started: float | None = None
    ended: float | None = None
    error: str = ""
    cached: bool = False
    group: bool = False
    log: str = ""


@dataclass(frozen=True)
class Scheduled:
    """A pipeline that a platform runs again and again.

    Attributes:
        id: what `Runs.unschedule` takes.
        name: what people call it. One place has one schedule of a name: scheduling again replaces it.
        cron: five fields, as in crontab(5).
        state: RUNNING or PAUSED; what is over is not listed.
        timezone: of the cron's times, as in the IANA database.
        url: where people look at it.
        next: when it runs next, seconds since 1970; None where the platform does not say.
    """

    id: str
    name: str
    cron: str
    state: str
    timezone: str = "UTC"
    url: str = ""
    next: float | None = None


@dataclass(frozen=True)
class Finding:
    """What `headrace doctor` found out about one thing.

    Attributes:
        what: what was looked at, in a few words: `credentials`, `role aiplatform.user of runner@...`.
        ok: whether it is as it should be; None where that could not be found out, or is only worth knowing.
        told: what was found, in a few words.
        remedy: what to do, best a command; empty where there is nothing to do.
    """

    what: str
    ok: bool | None
    told: str
    remedy: str = ""


OnChange = Callable[[Submitted, Sequence[TaskState]], None]


class Runs(Protocol):
    """Runs of pipelines in one place. Each method raises `RunsError` where the place refuses or does not answer.

    Messages of these errors are shown and logged: no tokens, keys or signed addresses are in them.
    """

    where: Where

    def submit(self, submission: Submission) -> Submitted:
        """Sends a pipeline to be run, and returns as soon as the platform has it.

        A submission whose `id` the platform knows already is not run again: its run is returned.
        """

    def get(self, run: str) -> Submitted:
        """A run, by its id."""

    def tasks(self, run: str) -> list[TaskState]:
        """The tasks of a run that the platform tells of by now, in the order in which they began; groups included."""

    def wait(self, run: str, on_change: OnChange, *, every_s: float = 5.0) -> Submitted:
        """Waits until a run has ended; `wait_for` does it by the two methods above."""

    def cancel(self, run: str) -> Submitted:
        """Asks for the end of a run. One that has ended already is returned as it is."""

    def recent(self, *, name: str = "", limit: int = 20) -> list[Submitted]:
        """The latest runs, the latest first; of one pipeline, where a name is given."""

    def schedule(
        self,
        submission: Submission,
        cron: str,
        *,
        timezone: str = "UTC",
        at_once: int = 1,
        catch_up: bool = False,
        paused: bool = False,
    ) -> Scheduled:
        """Has a pipeline run again and again; a schedule of the submission's name is replaced.

        Args:
            submission: what runs each time. Its `id` is not used.
            cron: five fields, as in crontab(5).
            timezone: of the cron's times.
            at_once: how many of its runs may go at the same time; one that comes too early is left out.
            catch_up: whether runs that were missed, while it was paused, are made up for.
            paused: whether it begins paused.
        """

    def schedules(self) -> list[Scheduled]:
        """The schedules of the place, by name."""

    def unschedule(self, schedule: str) -> None:
        """Ends a schedule, by its id or its name. Runs that it began go on."""

    def check(self) -> list[Finding]:
        """Looks whether a pipeline could be submitted: address, credentials, permissions. Changes nothing.

        Raises nothing: what does not answer is a finding.
        """


def wait_for(
    runs: Runs,
    run: str,
    on_change: OnChange,
    *,
    every_s: float = 5.0,
    patience: int = 5,
    pause: Callable[[float], object] = time.sleep,
) -> Submitted:
    """Asks for a run until it has ended.

    Args:
        runs: where it is.
        run: its id.
        on_change: called with the run and its tasks, first at once, and then whenever either has changed.
        every_s: seconds between two looks.
        patience: how many looks in a row may fail before that is an error: a platform is away for a minute now and
            then, and the run does not end with it. The pauses between such looks double, up to a minute.
        pause: waits that many seconds.

    Raises:
        RunsError: the platform did not answer `patience` times in a row.
    """
    seen: tuple[Submitted, list[TaskState]] | None = None
    failed = 0
    while True:
        try:
            now = (runs.get(run), runs.tasks(run))  # in this order: of a run that has ended, no task is told too early
        except RunsError:
            failed += 1
            if failed >= patience:
                raise
        else:
            failed = 0
            if now != seen:
                seen = now
                on_change(*now)
            if now[0].state in ENDED:
                return now[0]
        pause(max(every_s, min(every_s * 2 ** max(0, failed - 1), _LONGEST_PAUSE_S)))


def open_runs(where: Where | str) -> Runs:
    """Opens a place, without asking it anything yet.

    Args:
        where: the place, or its URI as `Where.of` takes it.

    Raises:
        RunsError: there is no such place, or something that is needed to find it is not said.
    """
    where = Where.of(where) if isinstance(where, str) else where
    if where.on == "vertex":
        if not where.project or not where.location:
            missing = " and ".join(name for name in ("project", "location") if not getattr(where, name))
            raise RunsError(f"vertex: expected a project and a location. Received: no {missing}")
        from headrace.platforms.vertex.runs import VertexRuns

        return VertexRuns(where)
    if where.on == "kubeflow":
        if not where.endpoint:
            raise RunsError("kubeflow: expected the address of the Pipelines API, as https://HOST. Received: none")
        from headrace.platforms.kubeflow.runs import KubeflowRuns

        return KubeflowRuns(where)
    raise RunsError(f"expected kubeflow or vertex. Received: {where.on!r}")
