"""`headrace models sync`: the cluster follows the registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import json_option, platform_option
from headrace.platforms.interface import Platform


@click.command("sync")
@click.argument("endpoint")
@click.option("--check", is_flag=True, help="Change nothing; exits with 1 where the cluster does not serve that.")
@json_option
@platform_option
def command(endpoint: str, check: bool, as_json: bool, platform: Platform) -> None:
    """Make the cluster serve what the registry says is behind ENDPOINT, and show what it serves.

    Pushing, promoting, splitting and rolling back do this by themselves. It is for what was interrupted on its way, and
    for services that somebody changed by hand.
    """
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.platforms.kubeflow.endpoints import KubeflowEndpoints

    endpoints = platform.endpoints
    if platform.uri.startswith("vertex:"):
        _of_vertex(endpoints, endpoint, check, as_json)
        return
    if not isinstance(endpoints, KubeflowEndpoints):
        raise HeadraceError(
            f"expected a platform whose endpoints are a cluster's: --platform kubeflow:... or vertex:... Received: "
            f"{platform.uri}; "
            "servers of `headrace serve` follow by themselves"
        )
    if not check:
        endpoints.follow(endpoint)
    there, served = endpoints.get(endpoint), endpoints.served(endpoint)
    if there is None or served is None:
        nowhere = "the registry" if there is None else "the cluster"
        raise HeadraceError(
            f"endpoint {endpoint}: expected one in the registry and in the cluster. Received: none in {nowhere}"
        )
    if as_json:
        click.echo(dumps({"wanted": there, "served": served}))
    else:
        shares = ", ".join(f"{one.model}:{one.version} {one.traffic}%" for one in there.deployed if one.traffic)
        click.echo(f"the registry: {shares}")
        now = ", ".join(f"{name} {share}%" for name, share in served.traffic.items()) or served.version
        click.echo(
            f"InferenceService {served.service}: {now}, {'ready' if served.ready else 'not ready'}, {served.url}"
        )
        for problem in served.problems:
            click.echo(f"  {problem}")
    if check and (other := endpoints.differences(there)):
        raise HeadraceError(
            f"endpoint {endpoint}: expected the cluster to serve what the registry says. Received: {'; '.join(other)}"
        )
    if check and not served.ready:
        raise HeadraceError(f"endpoint {endpoint}: expected a service that is ready. Received: one that is not")


def _of_vertex(endpoints: Any, endpoint: str, check: bool, as_json: bool) -> None:
    from headrace.pipelines.local.views.json_view import dumps
    from headrace.platforms.vertex.endpoints import VertexEndpoints

    if not isinstance(endpoints, VertexEndpoints):
        raise HeadraceError(
            "expected a platform with a machine to serve on: vertex:PROJECT/LOCATION?...&machine=e2-standard-2. "
            "Received: one without; servers of `headrace serve` follow by themselves"
        )
    if not check:
        endpoints.follow(endpoint)
    there, served = endpoints.get(endpoint), endpoints.served(endpoint)
    if there is None or served is None:
        nowhere = "the registry" if there is None else "Vertex AI"
        raise HeadraceError(
            f"endpoint {endpoint}: expected one in the registry and in Vertex AI. Received: none in {nowhere}"
        )
    wanted = {one.version: one.traffic for one in there.deployed if one.traffic}
    now = {one.version: one.traffic for one in served.answering if one.traffic}
    if as_json:
        click.echo(dumps({"wanted": there, "served": served}))
    else:
        click.echo("the registry: " + ", ".join(f"{there.base.model}:{v} {share}%" for v, share in wanted.items()))
        click.echo(f"{served.resource}: " + (", ".join(f"{v} {share}%" for v, share in now.items()) or "nothing"))
    if check and (asked := endpoints.wanted(there)) != served.shares:
        raise HeadraceError(
            f"endpoint {endpoint}: expected Vertex AI to serve what the registry says: {_shares(asked)}. "
            f"Received: {_shares(served.shares)}"
        )


def _shares(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {share}%" for name, share in shares.items()) or "nothing"
