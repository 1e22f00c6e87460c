"""Runs on Vertex AI Pipelines, by google.cloud.aiplatform."""

from __future__ import annotations

import itertools
import json
import logging
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.platforms.running import (
    CANCELLED,
    ENDED,
    FAILED,
    PAUSED,
    PENDING,
    RUNNING,
    SUCCEEDED,
    Finding,
    OnChange,
    RunsError,
    Scheduled,
    Submission,
    Submitted,
    TaskState,
    Where,
    wait_for,
)
from headrace.platforms.vertex import access, schedules
from headrace.platforms.vertex.connecting import CONSOLE, connected
from headrace.platforms.vertex.custom_jobs import with_custom_jobs
from headrace.platforms.vertex.store import label
from headrace.platforms.vertex.tasks import seconds, task_states

_STATES = {
    "QUEUED": PENDING,
    "PENDING": PENDING,
    "RUNNING": RUNNING,
    "CANCELLING": RUNNING,
    "SUCCEEDED": SUCCEEDED,
    "FAILED": FAILED,
    "CANCELLED": CANCELLED,
    "PAUSED": PAUSED,
}
_CONTEXT_S = 20  # for which an experiment waits for the run's entry in the metadata store
_log = logging.getLogger(__name__)


class VertexRuns:
    """Implements `platforms.running.Runs`."""

    def __init__(self, where: Where, *, pause: Callable[[float], object] = time.sleep) -> None:
        self.where = where
        self._pause = pause

    def submit(self, submission: Submission) -> Submitted:
        """Sends a pipeline; see `Runs.submit`.

        The pipeline is made and checked by `aiplatform.PipelineJob`, and created by the client that it has. Its own
        `submit` would also make the root's bucket where it is not there, grant roles on it, and ask Resource Manager
        for the project's number each time, which needs a role more and hides that the root is mistyped.
        """
        from google.api_core.exceptions import Conflict, GoogleAPIError

        with self._connected(submission.service_account, known=(Conflict,)) as aiplatform:
            job = self._job(aiplatform, submission)
            resource = aiplatform.gapic.PipelineJob(
                display_name=submission.name,
                pipeline_spec=job.pipeline_spec,
                runtime_config=job.runtime_config,
                labels=_labels(submission),
                service_account=submission.service_account,
                network=submission.network,
                **_encryption(submission.encryption_key),
            )
            try:
                made = job.api_client.create_pipeline_job(
                    parent=f"projects/{self.where.project}/locations/{self.where.location}",
                    pipeline_job=resource,
                    pipeline_job_id=job.job_id,
                )
            except Conflict:  # sent before, and the answer was lost
                return self.get(job.job_id)
            if submission.experiment:
                try:
                    self._into_experiment(aiplatform, submission.experiment, made)
                except (GoogleAPIError, ValueError, RuntimeError, OSError) as error:  # it runs all the same
                    _log.warning(
                        "%s runs, and is not in the experiment %s: %s", made.name, submission.experiment, error
                    )
            return self._submitted(made)

    def get(self, run: str) -> Submitted:
        """A run; see `Runs.get`."""
        with self._connected() as aiplatform:
            return self._submitted(_resource(aiplatform.PipelineJob.get(run)))

    def tasks(self, run: str) -> list[TaskState]:
        """Its tasks; see `Runs.tasks`."""
        with self._connected() as aiplatform:
            resource = _resource(aiplatform.PipelineJob.get(run))
            return task_states(resource, self.where.location, self.where.project)

    def wait(self, run: str, on_change: OnChange, *, every_s: float = 5.0) -> Submitted:
        """Waits for its end; see `Runs.wait`."""
        return wait_for(self, run, on_change, every_s=every_s, pause=self._pause)

    def cancel(self, run: str) -> Submitted:
        """Asks for its end; see `Runs.cancel`."""
        with self._connected() as aiplatform:
            job = aiplatform.PipelineJob.get(run)
            now = self._submitted(_resource(job))
            if now.state not in ENDED:
                job.cancel()
                now = self._submitted(_resource(aiplatform.PipelineJob.get(run)))
            return now

    def recent(self, *, name: str = "", limit: int = 20) -> list[Submitted]:
        """The latest runs; see `Runs.recent`. `PipelineJob.list` would read all there ever were."""
        with self._connected() as aiplatform:
            if not name:
                filter = ""
            elif re.fullmatch(r"[a-z0-9-]+", name):
                filter = f'pipeline_name="{name}"'
            else:
                raise RunsError(f"name: expected a pipeline's: small letters, digits, hyphens. Received: {name!r}")
            client = aiplatform.initializer.global_config.create_client(aiplatform.utils.PipelineClientWithOverride)
            parent = f"projects/{self.where.project}/locations/{self.where.location}"
            request = {"parent": parent, "filter": filter, "order_by": "create_time desc", "page_size": min(limit, 64)}
            return [self._submitted(one) for one in itertools.islice(client.list_pipeline_jobs(request), limit)]

    def schedule(
        self,
        submission: Submission,
        cron: str,
        *,
        timezone: str = "UTC",
        at_once: int = 1,
        catch_up: bool = False,
        paused: bool = False,
        start: str | None = None,
        end: str | None = None,
        max_runs: int | None = None,
    ) -> Scheduled:
        """Runs it again and again; see `Runs.schedule`.

        Args:
            submission: what runs.
            cron: when.
            timezone: of the times.
            at_once: how many runs may go at the same time.
            catch_up: must be false: on Vertex AI that is said when a schedule is resumed.
            paused: whether it begins paused.
            start: not before, ISO 8601; None for now.
            end: not after; None for never.
            max_runs: how many in all; None for no end.
        """
        if catch_up:
            raise RunsError(
                "schedule: expected catch_up: false, as Vertex AI is told so when a schedule is resumed. Received: true"
            )
        with self._connected(submission.service_account) as aiplatform:
            times = {"start_time": start, "end_time": end, "max_run_count": max_runs}
            job = self._job(aiplatform, submission)
            made = schedules.replace(
                aiplatform, job, submission, f"TZ={timezone} {cron}", at_once=at_once, paused=paused, times=times
            )
            return schedules.scheduled(made, self._page)

    def schedules(self) -> list[Scheduled]:
        """The schedules that are not over; see `Runs.schedules`."""
        with self._connected() as aiplatform:
            found = [schedules.scheduled(one, self._page) for one in schedules.active(aiplatform)]
        return sorted(found, key=lambda one: one.name)

    def unschedule(self, schedule: str) -> None:
        """Ends a schedule; see `Runs.unschedule`."""
        with self._connected() as aiplatform:
            there = schedules.active(aiplatform)
            found = [one for one in there if schedule in (schedules.id_of(one), schedules.name_of(one))]
            if not found:
                known = ", ".join(sorted(schedules.name_of(one) for one in there)) or "none yet"
                raise RunsError(f"schedule: expected one of {known}. Received: {schedule!r}")
            for one in found:
                one.delete()

    def check(self) -> list[Finding]:
        """Whether a pipeline could be submitted; see `Runs.check`."""
        return access.check(self.where)

    def _job(self, aiplatform: Any, submission: Submission) -> Any:
        local = self.where.endpoint.startswith("http://")
        if not submission.root.startswith("gs://") and not (local and submission.root):
            raise RunsError(f"root: expected a folder gs://BUCKET/FOLDER. Received: {submission.root!r}")
        ir = with_custom_jobs(submission, self.where)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.json"  # of one document, which is all that the client reads
            file.write_text(json.dumps(ir), encoding="utf-8")
            return aiplatform.PipelineJob(
                display_name=submission.name,
                template_path=str(file),
                job_id=submission.id or None,
                pipeline_root=submission.root,
                parameter_values=dict(submission.parameters),
                enable_caching=submission.caching,
                labels=_labels(submission) or None,
                encryption_spec_key_name=submission.encryption_key or None,
                failure_policy=submission.failure_policy,
            )

    def _into_experiment(self, aiplatform: Any, experiment: str, made: Any) -> None:
        """Puts the run's context below an experiment's, as `PipelineJob.submit(experiment=...)` does."""
        group = aiplatform.Experiment.get_or_create(experiment)
        for _ in range(_CONTEXT_S):
            context = made.job_detail.pipeline_run_context.name
            if context:
                aiplatform.Context.get(group.resource_name).add_context_children([aiplatform.Context.get(context)])
                return
            self._pause(1.0)
            made = _resource(aiplatform.PipelineJob.get(made.name))
        _log.warning("%s runs, and is not in the experiment %s: it has no metadata yet", made.name, experiment)

    def _submitted(self, resource: Any) -> Submitted:
        id = resource.name.rpartition("/")[2]
        return Submitted(
            id=id,
            url=self._page(f"pipelines/runs/{id}"),
            state=_STATES.get(resource.state.name.removeprefix("PIPELINE_STATE_"), PENDING),
            name=resource.display_name,
            created=seconds(resource.create_time) or 0.0,
            ended=seconds(resource.end_time),
            error=str(resource.error.message) if resource.error else "",
            root=resource.runtime_config.gcs_output_directory,
        )

    def _page(self, rest: str) -> str:
        where = self.where
        if where.endpoint.startswith("http://") and not where.public_url:
            return ""  # an emulator's runs are in nobody's console
        root = where.public_url.rstrip("/") or CONSOLE
        return f"{root}/vertex-ai/locations/{where.location}/{rest}?project={where.project}"

    @contextmanager
    def _connected(self, account: str = "", known: Sequence[type[BaseException]] = ()) -> Iterator[Any]:
        where = self.where
        with connected(
            where.project, where.location, where.endpoint or None, RunsError, account=account, known=known
        ) as aiplatform:
            yield aiplatform


def _resource(job: Any) -> Any:
    return job.gca_resource


def _labels(submission: Submission) -> dict[str, str]:
    return {label(name): label(value) for name, value in submission.labels.items()}


def _encryption(key: str) -> Mapping[str, Any]:
    return {"encryption_spec": {"kms_key_name": key}} if key else {}
