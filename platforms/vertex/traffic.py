"""What is behind an endpoint, in Vertex AI's terms: its traffic split, and what its containers are told.

Vertex deals each request by chance: it knows no keys. And it knows no shadows: so the container of each version that
answers has them inside (`python -m headrace.serving ... --shadow URI`), and together they see all requests.
"""

from __future__ import annotations

from collections.abc import Mapping

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Endpoint


def traffic_split(endpoint: Endpoint, deployed: Mapping[str, str]) -> dict[str, int]:
    """The field `trafficSplit` of Vertex's Endpoint: percent by the id of a deployed model, 100 in all.

    A deployed model that is not in it gets nothing, which is how Vertex has it.

    Args:
        endpoint: what is wanted.
        deployed: by version the id of Vertex's DeployedModel; "0" stands for the one that the same call deploys.

    Raises:
        HeadraceError: a version that is to answer is not deployed, or the split is by a key of the user's.
    """
    if endpoint.split and endpoint.split.key:
        raise HeadraceError(
            f"endpoint {endpoint.name}: expected a split without a key, as Vertex AI deals each request by chance. "
            f"Received: {endpoint.split.key}"
        )
    answering = {one.version: one.traffic for one in endpoint.deployed if not one.shadow}
    if missing := [version for version in answering if version not in deployed]:
        known = ", ".join(deployed) or "none"
        raise HeadraceError(
            f"endpoint {endpoint.name}: expected deployed models of the versions {', '.join(answering)}. "
            f"Received: {known}; {', '.join(missing)} has to be deployed first"
        )
    ids = [deployed[version] for version in answering]
    if len(set(ids)) != len(ids):
        raise HeadraceError(
            f"endpoint {endpoint.name}: expected a deployed model for each version. Received: one twice"
        )
    return {deployed[version]: share for version, share in answering.items()}


def container_arguments(endpoint: Endpoint, uris: Mapping[str, str]) -> list[str]:
    """What the serving container of each version is started with besides its model, which `AIP_STORAGE_URI` names.

    Args:
        endpoint: what is wanted.
        uris: by version where its bundle lies (gs://...).

    Raises:
        HeadraceError: a shadow's bundle is nowhere.
    """
    found: list[str] = []
    for one in endpoint.shadows:
        if one.version not in uris:
            raise HeadraceError(
                f"endpoint {endpoint.name}: expected the place of the shadow's bundle, version {one.version}. "
                f"Received: those of {', '.join(uris) or 'none'}"
            )
        found += ["--shadow", uris[one.version]]
    return found
