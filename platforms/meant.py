"""Which version a name means: an endpoint's, or a model's with or without a version."""

from __future__ import annotations

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import ModelVersion, Platform


def meant(platform: Platform, name: str, where: str) -> ModelVersion:
    """The version that a name means: an endpoint's, a model's with a version or an alias, or a model's champion.

    Behind an endpoint several may answer: the one that was deployed is meant, which the others are split from.

    Raises:
        HeadraceError: nothing has that name `where` the registry is.
    """
    model, _, version = name.partition(":")
    endpoint = None if version else platform.endpoints.get(name)
    if endpoint is not None:
        model, version = endpoint.base.model, endpoint.base.version
    if not platform.registry.versions(model):
        known = sorted({*platform.registry.models(), *(e.name for e in platform.endpoints.list())})
        there = ", ".join(known) or "none yet; `headrace run SPEC` makes one"
        raise HeadraceError(
            f"expected an endpoint, a model or a bundle's folder. Received: {name}; {where} there is {there}"
        )
    return platform.registry.get(model, version or "champion")
