"""`headrace models promote` and `rollback`: what serves, by a person's decision."""

from __future__ import annotations

import click

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.models.options import named_version, platform_option, reason_options, version_argument
from headrace.platforms.interface import Platform
from headrace.platforms.lifecycle import label


@click.command("promote")
@version_argument
@click.option("--endpoint", default="", help="Where. [default: the one that serves the model, or that its spec names]")
@click.option("--anyway", is_flag=True, help="Also where it was never held against the champion of now.")
@reason_options
@platform_option
def promote(version: str, endpoint: str, anyway: bool, reason: str, who: str, platform: Platform) -> None:
    """Put a version into service: it gets all the traffic, and is the champion. Running servers follow by themselves.

    The version has to have passed its gates, against the champion of now, and to have the approvals that its model
    asks for.
    """
    from headrace.platforms.promotion import promote as put

    found = named_version(platform.registry, version)
    done = put(platform, found.name, found.version, who=who, reason=reason, endpoint=endpoint, anyway=anyway)
    if not done.changed:
        click.echo(f"endpoint {done.endpoint} serves {label(done.version)} already: nothing to do")
        return
    before = f"before: version {done.before}" if done.before else "nothing before"
    click.echo(f"endpoint {done.endpoint} serves {label(done.version)} now ({before})")


@click.command("rollback")
@click.argument("model")
@click.option("--endpoint", default="", help="Which, where several serve the model.")
@reason_options
@platform_option
def rollback(model: str, endpoint: str, reason: str, who: str, platform: Platform) -> None:
    """Serve the version again that served before, and reject the one that serves MODEL now.

    While its traffic is split, the version that was deployed gets everything again, and the others are rejected.

    Running servers follow by themselves. A second rollback goes back one further.
    """
    where, serving = _serving(platform, model, endpoint)
    done = platform.endpoints.rollback(where, who=who, reason=reason, expected_version=serving, expected_model=model)
    rejected = platform.registry.get(done.model, done.before).state
    click.echo(
        f"endpoint {where} serves {done.model}:{done.version} again; {done.model}:{done.before} is {rejected}, by {who}"
    )


def _serving(platform: Platform, model: str, endpoint: str) -> tuple[str, str]:
    """The endpoint that serves a model, and the version that is to be taken out there."""
    from headrace.pipelines.commands.models.split import candidate

    if not platform.registry.versions(model):
        platform.registry.get(model, "1")  # raises, and says which models there are
    found = {one.name: candidate(one) for one in platform.endpoints.list() if one.base.model == model}
    if endpoint and endpoint in found:
        return endpoint, found[endpoint]
    if not endpoint and len(found) == 1:
        return next(iter(found.items()))
    expected = f"one of {', '.join(sorted(found))}" if found else "one that serves the model"
    raise HeadraceError(f"{model}: endpoint: expected {expected}. Received: {endpoint or 'none named'}")
