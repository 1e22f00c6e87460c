from __future__ import annotations

from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Blessing, Deployed
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    platform = LocalPlatform(tmp_path / "home")
    for seed in range(2):
        bundle = write_bundle(tmp_path / str(seed), seed)
        platform.registry.register(bundle, "homes", metrics={}, run="run", blessing=Blessing(None))
    return platform


def test_deploying_sets_endpoint_and_champion_together(platform: LocalPlatform) -> None:
    assert platform.endpoints.get("prices") is None
    endpoint = platform.endpoints.deploy("prices", "homes", "1", run="run-1")
    assert endpoint.deployed == (Deployed("homes", "1", 100),)
    assert endpoint.main == Deployed("homes", "1", 100)
    assert platform.endpoints.get("prices") == endpoint
    champion = platform.registry.champion("homes")
    assert champion is not None and champion.version == "1"


def test_deploying_again_replaces(platform: LocalPlatform) -> None:
    platform.endpoints.deploy("prices", "homes", "1", run="run-1")
    platform.endpoints.deploy("prices", "homes", "2", run="run-2")
    assert platform.endpoints.get("prices").deployed == (Deployed("homes", "2", 100),)  # type: ignore[union-attr]
    assert platform.registry.get("homes", "champion").version == "2"
    first, second = platform.registry.history("prices")
    assert (first.action, first.run, first.detail["before"], first.detail["champion"]) == (
        "deploy",
        "run-1",
        [],
        None,
    )
    assert (second.run, second.detail["before"], second.detail["champion"]) == ("run-2", ["homes/1"], 1)


def test_an_alias_can_be_deployed(platform: LocalPlatform) -> None:
    platform.registry.set_alias("homes", "challenger", "2")
    assert platform.endpoints.deploy("prices", "homes", "challenger").main.version == "2"


def test_endpoints_are_listed_by_name(platform: LocalPlatform) -> None:
    assert platform.endpoints.list() == []
    platform.endpoints.deploy("b", "homes", "1")
    platform.endpoints.deploy("a", "homes", "2")
    assert [(item.name, item.main.version) for item in platform.endpoints.list()] == [("a", "2"), ("b", "1")]


@pytest.mark.parametrize(("name", "version"), [("homes", "3"), ("flats", "1"), ("homes", "champion")])
def test_what_is_not_registered_is_not_deployed(platform: LocalPlatform, name: str, version: str) -> None:
    with pytest.raises(HeadraceError, match="expected a registered"):
        platform.endpoints.deploy("prices", name, version)
    assert platform.endpoints.list() == []
    assert platform.registry.champion("homes") is None
    assert [event.action for event in platform.registry.history()] == ["register", "register"]


@pytest.mark.parametrize("traffic", [0, 10, 99, 101, -1])
def test_a_share_of_the_traffic_is_refused(platform: LocalPlatform, traffic: int) -> None:
    with pytest.raises(HeadraceError, match=f"expected 100 percent of the traffic. Received: {traffic}"):
        platform.endpoints.deploy("prices", "homes", "1", traffic=traffic)
    assert platform.endpoints.list() == []


def test_a_name_that_is_no_address_is_refused(platform: LocalPlatform) -> None:
    with pytest.raises(HeadraceError, match="endpoint name: expected"):
        platform.endpoints.deploy("a/b", "homes", "1")
