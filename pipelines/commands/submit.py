"""`headrace submit`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.pipelines.commands.options import spec_argument

if TYPE_CHECKING:
    from headrace.pipelines.submission import Asked, Plan
    from headrace.pipelines.submit_spec import ScheduleSpec
    from headrace.platforms.running import Runs, Scheduled, Submission, Submitted

_OF_SPEC = "as the spec says"  # what `--schedule` without a value stands for
_INSTEAD = ("watch", "cancel", "recent", "schedules", "unschedule", "dry_run", "schedule")


@click.command("submit")
@spec_argument
@click.option(
    "--on", type=click.Choice(["kubeflow", "vertex"]), help="Where. [default: `submit.to`, or the one section]"
)
@click.option("-p", "--param", "parameters", multiple=True, metavar="NAME=VALUE", help="A parameter of the pipeline.")
@click.option(
    "--pipeline", type=click.Choice(["training", "prediction"]), default="training", show_default=True, help="Of SPEC."
)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Show the run until it has ended.")
@click.option("--no-cache", is_flag=True, help="Run every task. [default: `submit.caching`]")
@click.option("--endpoint", default="", metavar="URL", help="The API's address; an emulator's, by http.")
@click.option("--project", default="", help="Vertex AI: the project.")
@click.option("--location", default="", help="Vertex AI: the region.")
@click.option("--namespace", default="", help="Kubeflow: the user's namespace.")
@click.option("--root", default="", metavar="URL", help="Where runs put what they make: gs://... or s3://...")
@click.option("--experiment", default="", help="The group of runs; `none` for the place's default.")
@click.option("--service-account", default="", help="In whose name the tasks work.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Kept with the run.")
@click.option("--id", default="", help="A name for the run; a second submission of it does nothing.")
@click.option(
    "--schedule",
    is_flag=False,
    flag_value=_OF_SPEC,
    metavar="[CRON]",
    help="Run it again and again: five fields as in crontab, or as `submit.schedule` says.",
)
@click.option("--timezone", default="", help="Of the schedule's times. [default: `submit.schedule`, or UTC]")
@click.option("--schedules", is_flag=True, help="List the schedules of the place.")
@click.option("--unschedule", default="", metavar="NAME", help="End a schedule.")
@click.option("--watch", default="", metavar="RUN", help="Show a run that was submitted before.")
@click.option("--cancel", default="", metavar="RUN", help="End a run.")
@click.option("--recent", is_flag=True, help="List the latest runs of SPEC there.")
@click.option("--dry-run", is_flag=True, help="Say what would be submitted; nothing leaves this machine.")
@click.option("--every", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds between looks.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON, one object per line; text goes to stderr.")
def command(spec: Path, **given: Any) -> None:
    """Run the pipeline of SPEC (or a compiled pipeline.yaml) on Kubeflow or on Vertex AI.

    Local sources are sent there first, by their content. Exits with 1 when the run failed, and with 3 when it ran well
    but a gate did not pass. Ctrl-C leaves the run going; --watch shows it again, --cancel ends it.
    """
    from headrace.pipelines.submission import plan
    from headrace.platforms.running import open_runs

    wanted = [name for name in _INSTEAD if given[name]]
    if len(wanted) > 1:
        named = " and ".join(f"--{name.replace('_', '-')}" for name in wanted)
        raise click.UsageError(f"expected one thing to do. Received: {named}")
    planned = plan(spec, asked(given))
    runs = open_runs(planned.where)
    if given["recent"]:
        _list_runs(runs, planned, given["as_json"])
    elif given["schedules"]:
        _list_schedules(runs, given["as_json"])
    elif given["unschedule"]:
        runs.unschedule(given["unschedule"])
        click.echo(f"{given['unschedule']}: the schedule is ended; runs that it began go on")
    elif given["cancel"]:
        ended = runs.cancel(given["cancel"])
        click.echo(f"{ended.id}: {_state(ended)}")
    elif given["watch"]:
        sys.exit(_follow(runs, planned, runs.get(given["watch"]), given, None))
    else:
        _send(runs, planned, given)


def asked(given: dict[str, Any]) -> Asked:
    """The options as `submission.Asked`."""
    from headrace.pipelines.commands.run import parse
    from headrace.pipelines.submission import Asked

    plain = ("endpoint", "project", "location", "namespace", "root", "experiment", "service_account", "pipeline", "id")
    return Asked(
        on=given["on"] or "",
        **{name: given[name] for name in plain},
        caching=False if given["no_cache"] else None,
        parameters=parse(given["parameters"]),
        labels=_labels(given["labels"]),
    )


def _labels(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in pairs:
        name, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--label: expected NAME=VALUE. Received: {text}")
        found[name] = value
    return found


def _send(runs: Runs, planned: Plan, given: dict[str, Any]) -> None:
    """Submits, or schedules, and follows where that was asked for."""
    from headrace.pipelines.commands.run import commit
    from headrace.pipelines.submission import prepare
    from headrace.platforms import emulated
    from headrace.platforms.running import RunsError

    os.environ.setdefault("HEADRACE_COMMIT", commit(planned.file.resolve().parent))
    if given["dry_run"]:
        click.echo(json.dumps(_told(prepare(planned, dry=True)), indent=2))
        return
    when = _when(planned, given) if given["schedule"] else None  # what is no time is said before anything is sent
    if emulated.use_storage(planned.where.endpoint) and emulated.make_bucket(planned.root, planned.where.project):
        click.echo(f"{planned.root}: the bucket is made, in the emulator", err=True)
    submission = prepare(planned, lambda line: click.echo(line, err=True))
    if when is not None:
        made = runs.schedule(
            submission, when.cron, timezone=when.timezone, at_once=when.at_once, catch_up=when.catch_up, paused=False
        )
        click.echo(_scheduled_text(made))
        return
    try:
        submitted = runs.submit(submission)
    except (RunsError, KeyboardInterrupt) as error:
        if _may_be_there(error):
            line = f"headrace submit {planned.file} {_where(planned)} --id {submission.id}"
            click.echo(f"It may run all the same. The same again starts no second run: {line}", err=True)
        raise
    click.echo(_submitted_text(planned, submitted), err=given["as_json"])
    if given["wait"]:
        sys.exit(_follow(runs, planned, submitted, given, submission))
    if given["as_json"]:
        click.echo(json.dumps(asdict(submitted)))


def _may_be_there(error: BaseException) -> bool:
    """Whether a submission may have come through: not where the place has refused it, or where nobody was there."""
    if any(
        words in str(error) for words in ("NewConnectionError", "Connection refused", "Name or service", "redentials")
    ):
        return False
    cause = error.__cause__ or error.__context__
    status = getattr(cause, "code", None) or getattr(cause, "status", None)
    return isinstance(error, KeyboardInterrupt) or (isinstance(status, int) and status >= 500) or status is None


def _told(submission: Submission) -> dict[str, Any]:
    """A submission without the pipeline itself."""
    return {name: value for name, value in asdict(submission).items() if name not in ("text", "ir", "platform_spec")}


def _follow(
    runs: Runs, planned: Plan, submitted: Submitted, given: dict[str, Any], submission: Submission | None
) -> int:
    """Shows a run until it has ended; returns the exit code."""
    from headrace.pipelines.following import exit_code, follow
    from headrace.pipelines.local.views.view import failure_text, summary_text, viewing
    from headrace.platforms.running import RunsError

    try:
        with viewing(sys.stdout, given["as_json"]) as view:
            following = follow(runs, submitted, view, given["every"])
            result = following.finish()
            code = exit_code(result.state, result.tasks, submission.ir if submission else _ir(planned, submitted))
            view.ended(result, {"url": submitted.url, "root": following.now.root}, code)
    except (KeyboardInterrupt, RunsError):
        click.echo(f"\n{submitted.id} goes on, on {planned.where.shown}.\n{_again(planned, submitted)}", err=True)
        raise
    if not result.succeeded:
        click.echo(failure_text(result), err=True)
        for task in following.logs():
            click.echo(task, err=True)
    elif code:
        click.echo("A gate did not pass, and nothing was deployed: the step gate has the reasons.", view.text)
    click.echo(summary_text(result), view.text)
    if submitted.url:
        click.echo(f"Look at it: {submitted.url}", view.text)
    return code


def _ir(planned: Plan, submitted: Submitted) -> dict[str, Any] | None:
    """The pipeline of a run that was submitted before, as it would be compiled now."""
    from dataclasses import replace

    from headrace.pipelines.pipeline_file import parse_pipeline
    from headrace.pipelines.submission import PREDICTION, text_of

    if planned.spec is not None and submitted.name == f"{planned.spec.name}{PREDICTION}":
        planned = replace(planned, asked=replace(planned.asked, pipeline="prediction"))
    found = parse_pipeline(text_of(planned), planned.file)
    pipeline: dict[str, Any] = found.get("pipelineSpec", found)
    return pipeline


def _again(planned: Plan, submitted: Submitted) -> str:
    """How to look at a run again, and how to end it."""
    line = f"headrace submit {planned.file} {_where(planned)}"
    return f"Look again: {line} --watch {submitted.id}\nEnd it:     {line} --cancel {submitted.id}"


def _where(planned: Plan) -> str:
    """The options that name the place, as far as the command named it."""
    options = [f"--on {planned.where.on}"]
    for name in ("endpoint", "project", "location", "namespace"):
        if getattr(planned.asked, name):
            options.append(f"--{name} {getattr(planned.where, name)}")
    return " ".join(options)


def _submitted_text(planned: Plan, submitted: Submitted) -> str:
    page = f"\n{submitted.url}" if submitted.url else ""
    return f"{submitted.id} on {planned.where.shown}: {_state(submitted)}{page}\n{_again(planned, submitted)}"


def _state(run: Submitted) -> str:
    return run.state.lower() + (f": {run.error}" if run.error else "")


def _when(planned: Plan, given: dict[str, Any]) -> ScheduleSpec:
    """When it is to run again and again, as the command says, and else as the spec does."""
    from pydantic import ValidationError

    from headrace.pipelines.submit_spec import ScheduleSpec

    said = planned.submit.schedule
    if given["schedule"] == _OF_SPEC and said is None:
        raise click.UsageError(
            "--schedule: expected five fields, as in '0 6 * * 1-5', or `submit.schedule` in the spec. Received: neither"
        )
    values = said.model_dump() if said else {}
    if given["schedule"] != _OF_SPEC:
        values["cron"] = given["schedule"]
    if given["timezone"]:
        values["timezone"] = given["timezone"]
    try:
        return ScheduleSpec(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise click.UsageError(f"--{first['loc'][0]}: {first.get('ctx', {}).get('error', first['msg'])}") from None


def _scheduled_text(schedule: Scheduled) -> str:
    following = f", next {_time(schedule.next)}" if schedule.next else ""
    page = f"\n{schedule.url}" if schedule.url else ""
    return f"{schedule.name}: {schedule.cron} ({schedule.timezone}), {schedule.state.lower()}{following}{page}"


def _list_runs(runs: Runs, planned: Plan, as_json: bool) -> None:
    found = runs.recent(name=planned.pipeline)
    if as_json:
        for run in found:
            click.echo(json.dumps(asdict(run)))
        return
    width = max((len(run.id) for run in found), default=3)
    click.echo(f"{'RUN':{width}}  {'STATE':9}  STARTED" if found else f"no runs on {planned.where.shown}")
    for run in found:
        click.echo(f"{run.id:{width}}  {run.state:9}  {_time(run.created)}")


def _list_schedules(runs: Runs, as_json: bool) -> None:
    found = runs.schedules()
    for schedule in found:
        click.echo(json.dumps(asdict(schedule)) if as_json else _scheduled_text(schedule))
    if not found and not as_json:
        click.echo("no schedules")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if seconds else ""
