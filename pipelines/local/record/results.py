"""What a run has to say for itself: frozen records, the same just after its end and years later."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# States of a run and of its tasks.
PENDING = "PENDING"
RUNNING = "RUNNING"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
SKIPPED = "SKIPPED"  # its condition is false, or what it waits for did not succeed
CANCELLED = "CANCELLED"
INTERRUPTED = "INTERRUPTED"  # the runner died


def local_path(uri: str) -> Path | None:
    """Where a URI points to on this machine; None for a remote one."""
    return None if "://" in uri and not uri.startswith("file://") else Path(uri.removeprefix("file://"))


@dataclass(frozen=True)
class ArtifactRecord:
    """One artifact, as a task produced it."""

    name: str
    type: str  # schema title, such as "system.Model"
    uri: str
    digest: str | None  # of the content; None where it lies elsewhere
    metadata: Mapping[str, Any] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0
    schema: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path | None:
        """Where it lies on this machine; None for a remote one."""
        return local_path(self.uri)


def artifacts_of(text: str) -> dict[str, tuple[ArtifactRecord, ...]]:
    """A task's artifacts by name, as the record keeps them in JSON."""
    return {name: tuple(ArtifactRecord(**fields) for fields in items) for name, items in json.loads(text).items()}


@dataclass(frozen=True)
class TaskError:
    """Why a task failed."""

    type: str
    message: str
    trace: str = ""  # the user's own frames
    user: bool = False  # the message alone tells a user what to do
    exit_code: int = 1


@dataclass(frozen=True)
class TaskResult:
    """One task of a run."""

    path: str  # unique in the run, such as "gate/condition-1/push" or "loop[3]/train"
    name: str
    component: str
    state: str
    leaf: bool = True  # False for a group, a loop, a nested pipeline
    seconds: float = 0.0
    cached: bool = False
    attempts: int = 0
    parameters: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[ArtifactRecord, ...]] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[ArtifactRecord, ...]] = field(default_factory=dict)
    log: Path | None = None
    reason: str = ""  # why it was skipped
    error: TaskError | None = None
    key: str = ""  # under which its outputs are cached
    started: float = 0.0  # seconds since the epoch
    max_rss_kib: int = 0
    made_of: Mapping[str, str] = field(default_factory=dict)  # environment, command, code: digests under its key

    @property
    def label(self) -> str:
        """What a person calls it: its path in display names, without the groups that KFP made up."""
        groups = self.path.split("/")[:-1]
        shown = [group for group in groups if not re.fullmatch(r"(condition(-branches)?|exit-handler)-\d+", group)]
        return "/".join([*shown, self.name])


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs."""

    id: str
    name: str
    pipeline: str
    state: str
    started: float  # seconds since the epoch
    seconds: float
    labels: Mapping[str, str]


@dataclass(frozen=True)
class RunResult:
    """A whole run."""

    id: str
    name: str
    pipeline: str
    state: str
    started: float
    seconds: float
    labels: Mapping[str, str]
    parameters: Mapping[str, Any]
    tasks: Mapping[str, TaskResult]
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    home: Path = Path()
    ir_digest: str = ""  # of the compiled pipeline that it executed

    @property
    def succeeded(self) -> bool:
        return self.state == SUCCEEDED

    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """The metadata of every metrics artifact, by the task that wrote it."""
        return {
            task.path: artifact.metadata
            for task, artifact in self._artifacts()
            if artifact.type in ("system.Metrics", "system.ClassificationMetrics") and artifact.metadata
        }

    def reports(self) -> dict[str, Path]:
        """Where the HTML and Markdown reports lie, by "task/output"."""
        return {
            f"{task.path}/{artifact.name}": artifact.path
            for task, artifact in self._artifacts()
            if artifact.type in ("system.HTML", "system.Markdown") and artifact.path and artifact.path.exists()
        }

    def failed(self) -> list[TaskResult]:
        """The tasks that failed of themselves, in the order in which they did."""
        failed = [t for t in self.tasks.values() if t.state == FAILED and t.error]
        return sorted(failed, key=lambda t: t.started + t.seconds)

    def _artifacts(self) -> list[tuple[TaskResult, ArtifactRecord]]:
        return [(t, a) for t in self.tasks.values() if t.leaf for items in t.artifacts.values() for a in items]
