"""`headrace models split` and `endpoints`: several versions behind one endpoint."""

from __future__ import annotations

from collections.abc import Sequence

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import json_option, platform_option, reason_options
from headrace.platforms.interface import Deployed, Endpoint, Platform


@click.command("split")
@click.argument("model")
@click.argument("shares", nargs=-1, required=True, metavar="VERSION=PERCENT...")
@click.option("--endpoint", default="", help="Which, where several serve the model.")
@click.option(
    "--shadow", "shadows", multiple=True, metavar="VERSION", help="One that sees copies; several times for more."
)
@click.option("--no-shadow", is_flag=True, help="None from now on. [default: those that there are stay]")
@click.option("--key", metavar="HEADER", help="Whose value decides. [default: as it is, else x-routing-key]")
@click.option("--experiment", metavar="NAME", default="", help="Another one deals anew. [default: as it is, or made]")
@reason_options
@platform_option
def split(
    model: str,
    shares: tuple[str, ...],
    endpoint: str,
    shadows: tuple[str, ...],
    no_shadow: bool,
    key: str | None,
    experiment: str,
    reason: str,
    who: str,
    platform: Platform,
) -> None:
    """Share an endpoint's traffic: `headrace models split churn 3=90 4=10`. Running servers follow by themselves.

    The version that was deployed has to be among them; it stays the champion, and `headrace models rollback` gives it
    everything again. One version with 100 is deployed, and the split ends: `headrace models split churn 4=100`. A
    request's key is answered by the same version while that one's share does not shrink.
    """
    there = _endpoint(platform, model, endpoint)
    answering = [_share(model, word) for word in shares]
    versions = {platform.registry.get(model, one.version).version for one in answering}
    kept = () if no_shadow else shadows or tuple(s.version for s in there.shadows if s.version not in versions)
    behind = [*answering, *(Deployed(model, version, 0, shadow=True) for version in kept)]
    before = there.split.key if there.split else ""
    after = platform.endpoints.split(
        there.name,
        behind,
        key=before if key is None else key,
        expected=there,
        experiment=experiment,
        who=who,
        reason=reason,
    )
    click.echo(_told(after))


@click.command("endpoints")
@click.argument("endpoint", required=False)
@json_option
@platform_option
def endpoints(endpoint: str | None, as_json: bool, platform: Platform) -> None:
    """List the endpoints with the versions behind them, or show one."""
    from headrace.pipelines.local.views.json_view import dumps

    found = platform.endpoints.list()
    shown = [one for one in found if endpoint in (None, one.name)]
    if endpoint and not shown:
        known = ", ".join(one.name for one in found) or "none yet"
        raise HeadraceError(f"endpoint: expected one that serves ({known}). Received: {endpoint!r}")
    for one in shown:
        click.echo(dumps(endpoint_json(one)) if as_json else _told(one))
    if not shown and not as_json:
        click.echo("No endpoint serves anything yet: headrace run SPEC", err=True)


def endpoint_json(endpoint: Endpoint) -> dict[str, object]:
    """An endpoint for machines."""
    found: dict[str, object] = {
        "endpoint": endpoint.name,
        "model": endpoint.base.model,
        "base": endpoint.base.version,
        "traffic": {one.version: one.traffic for one in endpoint.deployed if not one.shadow},
        "shadows": [one.version for one in endpoint.shadows],
        "updated": endpoint.updated,
    }
    if endpoint.split:
        found |= {"experiment": endpoint.split.experiment, "key": endpoint.split.key}
    return found


def _told(endpoint: Endpoint) -> str:
    def words(one: Deployed) -> str:
        return f"{one.model}:{one.version} {'as a shadow' if one.shadow else f'{one.traffic}%'}"

    told = f"endpoint {endpoint.name} serves {', '.join(words(one) for one in endpoint.deployed)}"
    if not endpoint.split:
        return told
    key = f", by {endpoint.split.key}" if endpoint.split.key else ""
    return f"{told} (experiment {endpoint.split.experiment}{key})"


def _endpoint(platform: Platform, model: str, named: str) -> Endpoint:
    """The endpoint that serves a model."""
    found = {one.name: one for one in platform.endpoints.list() if one.base.model == model}
    if named in found:
        return found[named]
    if not named and len(found) == 1:
        return next(iter(found.values()))
    if not found and not platform.registry.versions(model):
        platform.registry.get(model, "1")  # raises, and says which models there are
    expected = f"one of {', '.join(sorted(found))}" if found else "one that serves the model"
    hint = "" if found else f"; `headrace models promote {model}:VERSION --reason ...` deploys a version"
    raise HeadraceError(f"{model}: endpoint: expected {expected}. Received: {named or 'none named'}{hint}")


def _share(model: str, word: str) -> Deployed:
    version, sign, share = word.removeprefix(f"{model}:").partition("=")
    if not (sign and version and share.isascii() and share.isdigit()):
        raise HeadraceError(f"share: expected VERSION=PERCENT, as in 4=10. Received: {word}")
    return Deployed(model, version, int(share))


def candidate(endpoint: Endpoint) -> str:
    """The version that a rollback takes out: of a split the one with the largest share beside what was deployed."""
    found: Sequence[Deployed] = endpoint.candidates or (endpoint.main,)
    return found[0].version
