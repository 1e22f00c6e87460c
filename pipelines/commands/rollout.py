"""`headrace rollout`: a new version gets more of the traffic as evidence comes in, or none."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headrace.pipelines.commands.models.options import json_option, platform_option, reason_options

if TYPE_CHECKING:
    from headrace.pipelines.rollout.driving import Driver, Outcomes
    from headrace.pipelines.rollout.reading import Pages
    from headrace.pipelines.rollout.state import Rollout
    from headrace.platforms.interface import Platform


@click.group("rollout")
def command() -> None:
    """Give a new version more and more of the traffic, or take it back, by what the servers count.

    Every look is a valid one: the tests bound how often a good version is taken back, and how often a bad one is
    promoted, however often they are looked at. What is decided stands in `headrace models audit`, with its evidence.
    """


def _margin(text: str) -> float | str:
    """A share, or `off`."""
    try:
        return text if text == "off" else float(text)
    except ValueError:
        raise click.BadParameter(f"expected a share such as 0.005, or off. Received: {text!r}") from None


def _steps(text: str) -> list[int]:
    """Percentages."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.BadParameter(f"expected percentages such as 1,5,25,50,100. Received: {text!r}") from None


# option -> (type, help); named as in the spec's section `deploy.canary`
_SETTINGS: dict[str, tuple[Any, str]] = {
    "steps": (_steps, "Shares of the traffic; the last is 100. [default: 1,5,25,50,100]"),
    "step-minutes": (float, "That each step takes at least. [default: 10]"),
    "step-requests": (int, "That the new version answers in each step at least. [default: 500]"),
    "errors": (_margin, "How many more requests may fail, as a share. [default: 0.005]"),
    "latency": (_margin, "How many more requests may be slow. [default: 0.02]"),
    "slow-seconds": (float, "What slow is. [default: what 99 % of the requests of the version before stay below]"),
    "drift": (_margin, "How far the shares of the predictions may lie apart. [default: 0.1]"),
    "outcomes-margin": (_margin, "How much larger the mean loss may be, with --outcomes. [default: 0.02]"),
    "false-rollback": (float, "How often a good version may be taken back. [default: 0.01]"),
    "missed-regression": (float, "How often a bad version may be promoted. [default: 0.05]"),
    "prove": (click.Choice(["last", "each"]), "Before which steps every check has to be passed. [default: last]"),
    "most-hours": (float, "For which it may be in doubt. [default: 24]"),
    "undecided": (click.Choice(["pause", "rollback"]), "What happens then. [default: pause]"),
    "requests-per-key": (float, "Of one key, which are alike and count as one. [default: 1]"),
    "blind-minutes": (float, "Without figures of the new version, until it is taken back. [default: 5]"),
}


def _settings_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, (kind, text) in reversed(_SETTINGS.items()):
        shown = {"steps": "PERCENT,...", **dict.fromkeys(("errors", "latency", "drift", "outcomes-margin"), "SHARE")}
        function = click.option(f"--{name}", type=kind, metavar=shown.get(name), help=text)(function)
    return function


def _asked(given: dict[str, Any], outcomes: bool) -> dict[str, Any]:
    """The settings that the command line names, as `Canary` has them."""
    found = {name.replace("-", "_"): given.pop(name.replace("-", "_")) for name in _SETTINGS}
    asked = {name: None if value == "off" else value for name, value in found.items() if value is not None}
    margin = asked.pop("outcomes_margin", 0.02)
    if outcomes and margin is None:
        raise click.UsageError("--outcomes-margin: expected a share, with --outcomes. Received: off")
    if not outcomes:
        return {**asked, "outcomes": None}  # what nobody brings can never be passed
    return {**asked, **({"outcomes": margin} if found.get("outcomes_margin") else {})}


@command.command("start", short_help="Roll a version out, or go on with what was begun.")
@click.argument("name", metavar="VERSION|ENDPOINT")
@click.option("--endpoint", default="", help="Where. [default: the one that serves the model]")
@_settings_options
@click.option("--metrics", "urls", multiple=True, metavar="URL", help="A server's address; once for each. [default: "
              "that of `headrace serve ENDPOINT` on this machine]")  # fmt: skip
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="For its page.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="PEM of the authorities of "
              "its certificate, over https. [default: the system's]")  # fmt: skip
@click.option("--outcomes", multiple=True, metavar="FILE", help="Ground truth: request_id, and what came true. CSV, "
              "JSON lines or Parquet; read again with each look.")  # fmt: skip
@click.option("--predictions", metavar="DIR", help="The servers' logs, with --outcomes: their --log-dir.")
@click.option("--loss", type=click.Choice(["wrong", "brier", "absolute"]), help="Of a prediction. [default: wrong "
              "labels; of numbers the absolute error]")  # fmt: skip
@click.option("--loss-scale", type=float, help="An absolute error that counts as 1, with --loss absolute.")
@click.option("--every", type=click.FloatRange(min=0.1), default=5.0, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="Look once and end: for a scheduler.")
@click.option("--by", "who", default="", metavar="NAME", help="Who asks. [default: $HEADRACE_USER, or the account]")
@click.option("--reason", default="", metavar="TEXT", help="Why; it is kept for ever.")
@platform_option
def start(name: str, endpoint: str, platform: Platform, **given: Any) -> None:
    """Roll a version out, as churn:4, or go on with what a push or an earlier start began at an endpoint.

    It looks at the servers' counts every few seconds until the version has all of the traffic, or none. It may be
    killed at any time; the traffic then stays as it is, and the same command goes on. Ends with 0 when the version
    was promoted.
    """
    from headrace.pipelines.rollout import driving, starting

    asked = _asked(given, bool(given["outcomes"]))
    _require_figures(platform, given["urls"])
    where = starting.endpoint_of(platform, name, endpoint)
    driver = _driver(platform, _home(platform), where, given)
    who, reason = given["who"], given["reason"]
    with driver.rollouts.driving(where):
        rollout, how = starting.start(driver, name, where, asked, reason=reason, who=who)
        subject = rollout.subject
        what = f"{subject.model}:{subject.candidate} beside {subject.model}:{subject.baseline} at {where}"
        click.echo(f"{'rolling out' if how == starting.BEGUN else 'going on with'} {what}, {rollout.share} % now")
        if how == starting.BEGUN:
            click.echo(f"  {starting.described(rollout.settings)}")
        if given["once"]:
            rollout = driving.once(driver, where)
        else:
            try:
                rollout = driving.drive(driver, where, given["every"])
            except KeyboardInterrupt:
                click.echo(f"the traffic stays as it is; `headrace rollout start {where}` goes on", err=True)
                raise
    click.echo(_text(rollout, driven=True))
    if rollout.over and rollout.status != "promoted":
        sys.exit(1)


def _require_figures(platform: Platform, urls: tuple[str, ...]) -> None:
    """Refuses endpoints of a cluster whose servers' counts cannot be read: the version would be taken back, unseen."""
    from headrace.artifacts.errors import HeadraceError

    kind = platform.uri.partition(":")[0]
    if kind == "vertex" and hasattr(platform.endpoints, "served"):
        raise HeadraceError(
            f"{platform.uri}: expected endpoints whose servers' counts can be read. Received: Vertex AI's, which shows "
            "nobody its containers; `headrace models split` deals the traffic, Vertex AI's monitoring watches it"
        )
    if kind == "kubeflow" and not urls:
        raise HeadraceError(
            f"{platform.uri}: expected the servers' addresses, each by --metrics URL, as of `kubectl port-forward`. "
            "Received: none, and they cannot be asked through the service, which deals each request by chance"
        )


def _driver(platform: Platform, home: Path, endpoint: str, given: dict[str, Any]) -> Driver:
    from headrace.pipelines.rollout.driving import Driver
    from headrace.pipelines.rollout.reading import Pages, address, read
    from headrace.pipelines.rollout.store import Rollouts
    from headrace.serving.client import Access

    urls = [address(url) for url in given["urls"]]
    access = Access(given["token_file"], given["ca"])
    if access.token_file:
        access.token  # noqa: B018 (a file without one is told now, and not at each look)

    def look(rollout: Rollout) -> Pages:
        from headrace.artifacts.errors import HeadraceError
        from headrace.pipelines.locate import find_address

        try:
            found = urls or [address(find_address(endpoint, home))]
        except HeadraceError as error:
            return Pages(failed={endpoint: str(error)})
        return read(found, rollout.subject.digests, access)

    return Driver(platform, Rollouts(home), look, _outcomes(given), click.echo)


def _outcomes(given: dict[str, Any]) -> Outcomes | None:
    if not given["outcomes"]:
        if given["predictions"] or given["loss"] or given["loss_scale"]:
            raise click.UsageError("--predictions, --loss, --loss-scale: expected with --outcomes. Received: without")
        return None
    if not given["predictions"]:
        raise click.UsageError("--outcomes: expected with --predictions, the servers' logs. Received: without it")
    from headrace.pipelines.rollout.outcomes import joined

    return joined(given["predictions"], list(given["outcomes"]), given["loss"], given["loss_scale"])


def _plain_driver(platform: Platform) -> Driver:
    from headrace.pipelines.rollout.driving import Driver
    from headrace.pipelines.rollout.reading import Pages
    from headrace.pipelines.rollout.store import Rollouts

    return Driver(platform, Rollouts(_home(platform)), lambda rollout: Pages(), None, click.echo)


@command.command("status", short_help="Show how far it is and what its checks have found.")
@click.argument("endpoint", required=False, metavar="[ENDPOINT]")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write a page about it to FILE.")
@json_option
@platform_option
def status(endpoint: str | None, output: Path | None, as_json: bool, platform: Platform) -> None:
    """Show how far a rollout is and what its checks have found; without ENDPOINT the latest of each."""
    import json

    from headrace.artifacts.errors import HeadraceError
    from headrace.pipelines.rollout.store import Rollouts
    from headrace.pipelines.rollout.text import status_json

    rollouts = Rollouts(_home(platform))
    latest: dict[str, Rollout] = {}
    for one in rollouts.all():
        latest.setdefault(one.subject.endpoint, one)
    found = [latest[endpoint]] if endpoint in latest else [] if endpoint else list(latest.values())
    if endpoint and not found:
        known = ", ".join(latest) or "none yet"
        raise HeadraceError(
            f"endpoint {endpoint}: expected one where a rollout has begun ({known}). Received: one without; "
            f"`headrace rollout start {endpoint}` begins with the version that a push gave its first share"
        )
    if output is not None:
        if len(found) != 1:
            raise click.UsageError("-o: expected with one ENDPOINT. Received: without")
        from headrace.pipelines.rollout.page import write_page

        write_page(output, found[0], platform.registry.history(found[0].subject.endpoint))
    for one in found:
        driven = rollouts.driven(one.subject.endpoint)
        click.echo(json.dumps({**status_json(one), "driven": driven}) if as_json else _text(one, driven))
    if not found and not as_json:
        click.echo("No rollout yet; `headrace rollout start MODEL:VERSION` begins one.")


@command.command("pause")
@click.argument("endpoint")
@reason_options
@platform_option
def pause(endpoint: str, reason: str, who: str, platform: Platform) -> None:
    """Keep a rollout at the share that it has. If harm is found, the version is taken back all the same."""
    from headrace.pipelines.rollout import starting

    rollout = starting.pause(_plain_driver(platform), endpoint, reason, who)
    click.echo(f"{endpoint}: paused at {rollout.share} %")


@command.command("resume")
@click.argument("endpoint")
@reason_options
@platform_option
def resume(endpoint: str, reason: str, who: str, platform: Platform) -> None:
    """Let a paused rollout go on."""
    from headrace.pipelines.rollout import starting

    driver = _plain_driver(platform)
    rollout = starting.resume(driver, endpoint, reason, who)
    click.echo(_text(rollout, driver.rollouts.driven(endpoint)))


@command.command("abort")
@click.argument("endpoint")
@click.option("--reject", is_flag=True, help="Also reject the version, so that no run pushes it again.")
@reason_options
@platform_option
def abort(endpoint: str, reject: bool, reason: str, who: str, platform: Platform) -> None:
    """Give all of the traffic back to the version before, at once."""
    from headrace.pipelines.rollout import starting

    rollout = starting.abort(_plain_driver(platform), endpoint, reason, who, reject=reject)
    click.echo(f"{endpoint}: {rollout.status}: {rollout.note}")


def _text(rollout: Rollout, driven: bool | None) -> str:
    import time

    from headrace.pipelines.rollout.text import status_text

    return status_text(rollout, time.time(), driven)


def _home(platform: Platform) -> Path:
    """Where rollouts are kept: the registry's home folder, or this machine's for a registry in a service."""
    import os

    found = getattr(platform, "home", None)
    return Path(found) if found else Path(os.environ.get("HEADRACE_HOME") or ".headrace").absolute()
