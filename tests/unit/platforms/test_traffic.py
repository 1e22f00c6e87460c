from __future__ import annotations

from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Deployed, Endpoint, Split
from headrace.platforms.kubeflow import canary
from headrace.platforms.vertex.traffic import container_arguments, traffic_split

URIS = {version: f"gs://models/{version}" for version in ("3", "4", "5")}


def endpoint(shares: dict[str, int], *shadows: str, key: str = "") -> Endpoint:
    deployed = [Deployed("churn", version, share) for version, share in shares.items()]
    slots = tuple(version for version, share in shares.items() for _ in range(share))
    split = Split("3", key, "churn-4-1f", slots) if len(shares) > 1 else None
    return Endpoint("churn", (*deployed, *(Deployed("churn", version, 0, True) for version in shadows)), "", split)


def test_vertex_splits_by_the_ids_of_deployed_models() -> None:
    ids = {"3": "111", "4": "0", "2": "99"}
    assert traffic_split(endpoint({"3": 90, "4": 10}, "5"), ids) == {"111": 90, "0": 10}
    assert traffic_split(endpoint({"3": 100}), ids) == {"111": 100}
    assert container_arguments(endpoint({"3": 100}, "5", "4"), URIS) == [
        "--shadow", "gs://models/5", "--shadow", "gs://models/4",
    ]  # fmt: skip
    assert container_arguments(endpoint({"3": 90, "4": 10}), URIS) == []


@pytest.mark.parametrize(
    ("wanted", "ids", "told"),
    [
        (endpoint({"3": 90, "4": 10}), {"3": "1"}, "Received: 3; 4 has to be deployed first"),
        (endpoint({"3": 90, "4": 10}), {"3": "1", "4": "1"}, "Received: one twice"),
        (endpoint({"3": 90, "4": 10}, key="x-user"), {"3": "1", "4": "2"}, "by chance. Received: x-user"),
    ],
)
def test_what_vertex_cannot_split(wanted: Endpoint, ids: dict[str, str], told: str) -> None:
    with pytest.raises(HeadraceError, match=told):
        traffic_split(wanted, ids)


def test_a_shadow_whose_bundle_is_nowhere() -> None:
    with pytest.raises(HeadraceError, match="the shadow's bundle, version 9. Received: those of 3, 4, 5"):
        container_arguments(endpoint({"3": 100}, "9"), URIS)


@pytest.mark.parametrize(
    ("wanted", "fields"),
    [
        (endpoint({"3": 100}), {"model": {"storageUri": "gs://models/3"}}),
        (endpoint({"3": 90, "4": 10}), {"canaryTrafficPercent": 10, "model": {"storageUri": "gs://models/4"}}),
        (endpoint({"4": 75, "3": 25}), {"canaryTrafficPercent": 75, "model": {"storageUri": "gs://models/4"}}),
        (
            endpoint({"3": 100}, "5"),
            {"model": {"storageUri": "gs://models/3", "args": ["--shadow", "gs://models/5"]}},
        ),
    ],
)
def test_kserve_has_a_canary(wanted: Endpoint, fields: dict[str, Any]) -> None:
    assert canary.predictor(wanted, URIS, before="3") == fields
    assert canary.rollback() == {"canaryTrafficPercent": 0}


@pytest.mark.parametrize(
    ("wanted", "before", "told"),
    [
        (
            endpoint({"3": 80, "4": 10, "5": 10}),
            "3",
            "expected two versions, as KServe has revisions. Received: 3, 4, 5",
        ),
        (endpoint({"3": 90, "4": 10}, key="x-user"), "3", "by chance. Received: x-user"),
        (endpoint({"3": 90, "4": 10}), "2", "expected version 3 to be rolled out, .* Received: 2"),
        (endpoint({"3": 90, "7": 10}), "3", "the bundles of the versions 7. Received: those of 3, 4, 5"),
    ],
)
def test_what_kserve_cannot_do(wanted: Endpoint, before: str, told: str) -> None:
    with pytest.raises(HeadraceError, match=told):
        canary.predictor(wanted, URIS, before)
