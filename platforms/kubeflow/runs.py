"""Runs of Kubeflow Pipelines, by its own client (`kfp.Client`, API v2beta1)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.platforms.emulated import is_emulator
from headrace.platforms.kubeflow.cron import kfp_cron, plain_cron
from headrace.platforms.kubeflow.task_states import seconds, state_of, task_states
from headrace.platforms.running import (
    ENDED,
    PAUSED,
    RUNNING,
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

TOKEN = "KFP_TOKEN"
EXPERIMENT = "Default"  # which every installation has
_MARK = "headrace-submission: "  # in a run's description: the API keeps no labels
_PAGE = 100
_TIMEOUT_S = 60.0


class KubeflowRuns:
    """Implements `platforms.running.Runs`."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self._made: Any = None

    def submit(self, submission: Submission) -> Submitted:
        """Sends a pipeline; see `Runs.submit`."""
        _require_possible(submission)
        with self._asked("create a run") as client:
            experiment = self._experiment(client, submission.experiment)
            if there := self._submitted_before(client, experiment, submission.name, submission.id):
                return there
            body = {
                "experiment_id": experiment,
                "display_name": submission.name,
                "description": _description(submission),
                "pipeline_spec": _sent(submission),
                "runtime_config": _runtime(submission),
                "service_account": submission.service_account or None,
            }
            import kfp_server_api as api

            made = client._run_api.run_service_create_run(run=api.V2beta1Run(**body), _request_timeout=_TIMEOUT_S)
            return self._submitted(made)

    def get(self, run: str) -> Submitted:
        """A run, by its id."""
        return self._submitted(self._run(run))

    def tasks(self, run: str) -> list[TaskState]:
        """The tasks that the platform tells of by now; see `Runs.tasks`."""
        found = self._run(run)
        details = (found.run_details.task_details if found.run_details else None) or []
        return task_states(details, _pipeline(found))

    def wait(self, run: str, on_change: OnChange, *, every_s: float = 5.0) -> Submitted:
        """Waits until a run has ended; see `Runs.wait`."""
        return wait_for(self, run, on_change, every_s=every_s)

    def cancel(self, run: str) -> Submitted:
        """Asks for the end of a run; see `Runs.cancel`."""
        found = self.get(run)
        if found.state not in ENDED:
            with self._asked("terminate a run") as client:
                client.terminate_run(run)
        return self.get(run)

    def recent(self, *, name: str = "", limit: int = 20) -> list[Submitted]:
        """The latest runs, the latest first; see `Runs.recent`."""
        filter = _equals("display_name", name) if name else None
        with self._asked("list runs") as client:
            pages = _pages(
                lambda token: client.list_runs(
                    page_token=token,
                    page_size=min(limit, _PAGE),
                    sort_by="created_at desc",
                    namespace=self.where.namespace or None,
                    filter=filter,
                ),
                "runs",
            )
            return [self._submitted(one) for one, _ in zip(pages, range(limit), strict=False)]

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
        """Has a pipeline run again and again; see `Runs.schedule`. The one of the same name goes once this one is."""
        _require_possible(submission)
        if not 1 <= at_once <= 10:
            raise RunsError(f"kubeflow: expected 1 to 10 runs of a schedule at the same time. Received: {at_once}")
        written = kfp_cron(cron, timezone)
        with self._asked("create a recurring run") as client:
            import kfp_server_api as api

            before = [one for one in self._recurring(client) if one.display_name == submission.name]
            made = client._recurring_run_api.recurring_run_service_create_recurring_run(
                recurring_run=api.V2beta1RecurringRun(
                    experiment_id=self._experiment(client, submission.experiment),
                    display_name=submission.name,
                    description=_description(replace(submission, id="")),
                    mode=api.RecurringRunMode.DISABLE if paused else api.RecurringRunMode.ENABLE,
                    pipeline_spec=_sent(submission),
                    runtime_config=_runtime(submission),
                    trigger=api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=written)),
                    max_concurrency=str(at_once),
                    no_catchup=not catch_up,
                    service_account=submission.service_account or None,
                ),
                _request_timeout=_TIMEOUT_S,
            )
            for old in before:  # last, so that there is never none
                client.delete_recurring_run(old.recurring_run_id)
            return self._scheduled(made)

    def schedules(self) -> list[Scheduled]:
        """The schedules of the place, by name."""
        with self._asked("list recurring runs") as client:
            found = [self._scheduled(one) for one in self._recurring(client)]
        return sorted((one for one in found if one.cron), key=lambda one: one.name)

    def unschedule(self, schedule: str) -> None:
        """Ends a schedule, by its id or its name."""
        with self._asked("delete a recurring run") as client:
            there = self._recurring(client)
            ids = [o.recurring_run_id for o in there if schedule in (o.recurring_run_id, o.display_name)]
            if not ids:
                known = ", ".join(sorted(str(one.display_name) for one in there)) or "none"
                raise RunsError(f"{self._place}: expected a schedule ({known}). Received: {schedule!r}")
            for id in ids:
                client.delete_recurring_run(id)

    def check(self) -> list[Finding]:
        """Looks whether a pipeline could be submitted; see `Runs.check`."""
        from headrace.platforms.kubeflow.checking import check_runs

        return check_runs(self)

    def healthz(self) -> Any:
        """What the API says of itself, as the client has it: `multi_user` among it.

        Raises:
            RunsError: it does not answer.
        """
        with self._asked("ask whether it is there") as client:
            return client.get_kfp_healthz()

    def experiments(self) -> int:
        """How many experiments these credentials see, which is the least that they have to be allowed.

        Raises:
            RunsError: they are not.
        """
        with self._asked("list experiments") as client:
            found = client.list_experiments(page_size=1, namespace=self.where.namespace or None)
            return int(found.total_size or len(found.experiments or []))

    @property
    def _place(self) -> str:
        namespace = f", namespace {self.where.namespace}" if self.where.namespace else ""
        return f"kubeflow {self.where.endpoint}{namespace}"

    def _run(self, run: str) -> Any:
        with self._asked(f"get the run {run}") as client:
            return client._run_api.run_service_get_run(run_id=run, _request_timeout=_TIMEOUT_S)

    def _experiment(self, client: Any, name: str) -> str:
        return str(client.create_experiment(name or EXPERIMENT, namespace=self.where.namespace or None).experiment_id)

    def _submitted_before(self, client: Any, experiment: str, name: str, id: str) -> Submitted | None:
        """The run of a submission that was sent before, whose answer may have been lost."""
        if not id:
            return None
        pages = _pages(
            lambda token: client.list_runs(
                page_token=token,
                page_size=_PAGE,
                sort_by="created_at desc",
                experiment_id=experiment,
                filter=_equals("display_name", name),
            ),
            "runs",
        )
        for one, _ in zip(pages, range(2 * _PAGE), strict=False):  # it was a moment ago
            if f"{_MARK}{id}" in (one.description or "").splitlines():
                return self._submitted(one)
        return None

    def _recurring(self, client: Any) -> list[Any]:
        return list(
            _pages(
                lambda token: client.list_recurring_runs(
                    page_token=token, page_size=_PAGE, namespace=self.where.namespace or None
                ),
                "recurring_runs",
            )
        )

    def _submitted(self, run: Any) -> Submitted:
        config = run.runtime_config
        return Submitted(
            id=str(run.run_id),
            url=self._page(f"runs/details/{run.run_id}"),
            state=state_of(run.state),
            name=str(run.display_name or ""),
            created=seconds(run.created_at) or 0.0,
            ended=seconds(run.finished_at),
            error=str(run.error.message or "") if run.error else "",
            root=str(config.pipeline_root or "") if config else "",
        )

    def _scheduled(self, one: Any) -> Scheduled:
        written = (one.trigger.cron_schedule.cron or "") if one.trigger and one.trigger.cron_schedule else ""
        cron, timezone = plain_cron(written)
        return Scheduled(
            id=str(one.recurring_run_id),
            name=str(one.display_name or ""),
            cron=cron,
            state=PAUSED if one.status == "DISABLED" or one.mode == "DISABLE" else RUNNING,
            timezone=timezone,
            url=self._page(f"recurringrun/details/{one.recurring_run_id}"),
        )

    def _page(self, rest: str) -> str:
        where = self.where
        if not where.public_url and is_emulator(where.endpoint):
            return ""  # it has none
        return f"{(where.public_url or where.endpoint).rstrip('/')}/#/{rest}"

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[Any]:
        """The client; what it raises becomes an error for the user, and what it prints nobody sees."""
        from kfp_server_api.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield self._client()
        except ApiException as error:
            if error.status == 401:
                self._made = None  # tokens end, and their file has another one by then: it is read with the next call
            raise RunsError(
                f"{self._place}: expected to {what}. Received: {_told(error)}{_remedy(error.status)}"
            ) from None
        except (HTTPError, OSError, ValueError) as error:
            told = str(error).partition("(Caused by ")[2].removesuffix(")") or str(error) or type(error).__name__
            hint = "; is it the API's address, as of `kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80`?"
            raise RunsError(f"{self._place}: expected to {what}. Received: {told[:300]}{hint}") from None

    def _client(self) -> Any:
        if self._made is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it does not work with the API of version 1
                self._made = _client_class()(
                    host=self.where.endpoint,
                    namespace=self.where.namespace or "kubeflow",
                    existing_token=_token(self.where) or None,
                    ssl_ca_cert=self.where.ca_file or None,
                )
        return self._made


def _client_class() -> Any:
    from kfp.client import Client

    class Plain(Client):  # type: ignore[misc]
        """KFP's client, without the settings that other programs left in the user's home, and without its patience."""

        def _load_context_setting_or_default(self) -> None:
            self._context_setting = {"namespace": ""}

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            """Asks once; KFP's own asks five times in 25 seconds."""
            return self._healthz_api.healthz_service_get_healthz(_request_timeout=10.0)

    return Plain


def _require_possible(submission: Submission) -> None:
    for name in ("network", "encryption_key"):
        if value := getattr(submission, name):
            raise RunsError(f"kubeflow: {name}: expected none, which Kubeflow does not know. Received: {value}")
    if submission.failure_policy != "slow":
        raise RunsError(
            "kubeflow: failure_policy: expected slow: KFP goes on with what does not depend on what failed. "
            f"Received: {submission.failure_policy}"
        )


def _sent(submission: Submission) -> dict[str, Any]:
    """The compiled file as `kfp.Client` sends it, read by its own parser."""
    from kfp.client import client as kfp_client

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        file.write_text(submission.text, encoding="utf-8")
        document = kfp_client._extract_pipeline_yaml(str(file))
    for name in sorted(document.platform_spec.platforms):
        if name != "kubernetes":  # the backend refuses what is only for others
            del document.platform_spec.platforms[name]
    if submission.caching is not None:
        kfp_client._override_caching_options(document.pipeline_spec, submission.caching)
    sent: dict[str, Any] = document.to_dict()
    return sent


def _runtime(submission: Submission) -> Any:
    import kfp_server_api as api

    return api.V2beta1RuntimeConfig(
        pipeline_root=submission.root or None, parameters=dict(submission.parameters) or None
    )


def _description(submission: Submission) -> str | None:
    lines = [submission.description] if submission.description else []
    lines += [f"{name}: {value}" for name, value in sorted(submission.labels.items())]
    lines += [f"{_MARK}{submission.id}"] if submission.id else []
    return "\n".join(lines) or None


def _pipeline(run: Any) -> Mapping[str, Any]:
    spec = run.pipeline_spec or {}
    found: Mapping[str, Any] = spec.get("pipeline_spec", spec)
    return found


def _pages(ask: Callable[[str], Any], field: str) -> Iterator[Any]:
    token = ""
    while True:
        page = ask(token)
        yield from getattr(page, field) or []
        token = page.next_page_token or ""
        if not token:
            return


def _equals(key: str, value: str) -> str:
    return json.dumps({"predicates": [{"operation": 1, "key": key, "stringValue": value}]})


def _token(where: Where) -> str:
    if token := os.environ.get(TOKEN, "").strip():
        return token
    if not where.token_file:
        return ""
    try:
        return Path(where.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        told = getattr(error, "strerror", None) or "other characters"
        raise RunsError(f"{where.token_file}: expected a file with a token. Received: {told}") from None


def _told(error: Any) -> str:
    """What the API said: its message, or where a proxy answered, the status."""
    try:
        message = json.loads(error.body)
        message = message.get("message") or message.get("error_message") or message.get("error") or error.reason
    except (TypeError, ValueError, AttributeError):
        message = error.reason or "no reason"
    return f"{str(message)[:500]} (HTTP {error.status})"


def _remedy(status: int | None) -> str:
    if status == 401:
        return f"; give a token: {TOKEN}, or `token_file` (`kubectl create token ACCOUNT -n NAMESPACE`)"
    if status == 403:
        return "; the account needs the role kubeflow-edit in the namespace (see docs/kubeflow.md)"
    if status == 404:
        return "; is that its id, and the address that of the Pipelines API?"
    return ""
