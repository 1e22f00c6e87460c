"""What every registry does, wherever it lives: the same tests for a folder, Vertex's Model Registry and MLflow's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.interface import (
    Blessing,
    ChampionChanged,
    Deployed,
    Endpoint,
    ModelSettings,
    ModelVersion,
    NotAllowed,
    Platform,
    WaitsForApproval,
)
from tests.integration.platforms import registries
from tests.unit.platforms.bundles import write_unscorable_bundle

PLACES = [
    "local",
    "vertex",
    "volume",
    pytest.param("bucket", marks=pytest.mark.slow),
    pytest.param("mlflow", marks=pytest.mark.slow),
]
_NUMBERS = itertools.count()


@pytest.fixture(scope="module", params=PLACES)
def connect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[registries.Connect]:
    place: AbstractContextManager[registries.Connect] = getattr(registries, request.param)(
        tmp_path_factory.mktemp(request.param)
    )
    with place as connect:
        yield connect


@pytest.fixture
def platform(connect: registries.Connect) -> Platform:
    return connect()


@pytest.fixture
def name() -> str:
    """A model that no test had before: starting a server for each test would take minutes."""
    return f"homes.{next(_NUMBERS)}"


class Homes:
    """Registers bundles of one model."""

    def __init__(self, platform: Platform, name: str, place: Path) -> None:
        self.platform, self.name, self.place = platform, name, place

    def __call__(
        self, seed: int, approvals: int = 0, blessed: bool = True, champion: str | None = None
    ) -> ModelVersion:
        folder = self.place / f"bundle-{seed}"
        bundle = folder if folder.exists() else write_unscorable_bundle(folder, seed)
        return self.platform.registry.register(
            bundle,
            self.name,
            metrics={"rmse": 1.5},
            run=f"run-{seed}",
            labels={"task": "regression"},
            blessing=Blessing(champion) if blessed else None,
            settings=ModelSettings(approvals, self.name),
            who="Ann",
        )


@pytest.fixture
def homes(platform: Platform, name: str, tmp_path: Path) -> Homes:
    return Homes(platform, name, tmp_path)


def test_a_version_holds_what_was_registered(homes: Homes, connect: registries.Connect) -> None:
    first, second = homes(1, champion="sha256:12"), homes(2)
    assert (first.version, first.run, first.metrics) == ("1", "run-1", {"rmse": 1.5})
    assert (first.labels, first.registered_by, first.state) == ({"task": "regression"}, "Ann", "blessed")
    assert first.digest == Bundle.open(homes.place / "bundle-1").digest and first.judged_against == "sha256:12"
    other = connect().registry
    assert [item.version for item in other.versions(homes.name)] == ["1", "2"]
    assert other.get(homes.name, "2") == second == other.get(homes.name, "challenger")
    assert other.get(homes.name, "1").aliases == ()  # the newest is the challenger
    assert homes.name in other.models() and other.champion(homes.name) is None
    assert other.settings(homes.name) == ModelSettings(0, homes.name)


def test_the_same_content_keeps_its_version(homes: Homes) -> None:
    candidate = homes(1, blessed=False)
    assert candidate.state == "candidate"
    again = homes(1)
    assert (again.version, again.state, again.created) == ("1", "blessed", candidate.created)
    assert len(homes.platform.registry.versions(homes.name)) == 1
    assert [event.detail["new"] for event in homes.platform.registry.history(homes.name)] == [True, False]


def test_a_bundle_comes_back_as_it_was(homes: Homes, tmp_path: Path) -> None:
    version = homes(1)
    (homes.place / "bundle-1" / "stray.txt").write_text("no part of the bundle")
    homes.platform.registry.download(homes.name, "1", tmp_path / "there")
    assert Bundle.open(tmp_path / "there").digest == version.digest
    with pytest.raises(ArtifactError, match="expected a place that is still free"):
        homes.platform.registry.download(homes.name, "1", tmp_path / "there")


def test_documents_lie_beside_a_version(homes: Homes, connect: registries.Connect) -> None:
    homes(1)
    registry = homes.platform.registry
    registry.attach(homes.name, "1", "card.html", b"<p>one</p>", run="run-1")
    kept = registry.attach(homes.name, "1", "card.html", b"<p>two</p>")
    assert registry.attach(homes.name, "1", "card.html", b"<p>two</p>") == kept
    registry.attach(homes.name, "1", "card.json", b"{}")
    other = connect().registry
    assert [item.file for item in other.documents(homes.name, "1")] == ["card.html", "card.json"]
    assert other.document(homes.name, "1", "card.html") == b"<p>two</p>"
    with pytest.raises(HeadraceError, match=r"expected a document \(card.html, card.json\). Received: 'card.md'"):
        other.document(homes.name, "1", "card.md")
    with pytest.raises(HeadraceError, match="document: expected"):
        registry.attach(homes.name, "1", "../card", b"")


def test_four_eyes(homes: Homes) -> None:
    homes(1, approvals=2)
    registry, endpoints = homes.platform.registry, homes.platform.endpoints
    for who, waiting in (("Ben", "expected approval by 2 people. Received: 0"), ("Cleo", "Received: 1")):
        with pytest.raises(WaitsForApproval, match=waiting):
            endpoints.deploy(homes.name, homes.name, "1")
        with pytest.raises(NotAllowed, match="expected approval by another person than Ann, who registered it"):
            registry.approve(homes.name, "1", who="ann@example.org", reason="mine")
        found = registry.approve(homes.name, "1", who=who, reason="looked at the card")
        with pytest.raises(NotAllowed, match="who approved it before"):
            registry.approve(homes.name, "1", who=who.lower(), reason="again")
    assert found.state == "approved" and [item.who for item in found.approvals] == ["Ben", "Cleo"]
    endpoints.deploy(homes.name, homes.name, "1")
    homes(2, approvals=0)  # a spec that asks for fewer changes nothing
    assert registry.settings(homes.name).approvals == 2
    registry.require_approvals(homes.name, 0, who="Dora", reason="a prototype")
    assert endpoints.deploy(homes.name, homes.name, "2").main.version == "2"


def test_states_and_what_may_not_be(homes: Homes) -> None:
    registry, endpoints = homes.platform.registry, homes.platform.endpoints
    homes(1), homes(2, blessed=False)
    with pytest.raises(NotAllowed, match="expected a version that passed its gates. Received: a candidate"):
        endpoints.deploy(homes.name, homes.name, "2")
    assert registry.transition(homes.name, "1", "rejected", who="Ben", reason="odd").state == "rejected"
    with pytest.raises(NotAllowed, match="Received: one that is rejected"):
        endpoints.deploy(homes.name, homes.name, "1")
    assert registry.transition(homes.name, "1", "archived", who="Ben", reason="old").state == "archived"
    assert registry.transition(homes.name, "1", "blessed", who="Ben", reason="no").state == "blessed"
    endpoints.deploy(homes.name, homes.name, "1")
    assert registry.get(homes.name, "champion").state == "live"
    with pytest.raises(NotAllowed, match=f"Received: one that is live behind {homes.name}"):
        registry.transition(homes.name, "1", "archived", who="Ben", reason="old")
    for who, reason, wanted in (("", "r", "who: expected"), ("Ben", " ", "reason: expected why")):
        with pytest.raises(HeadraceError, match=wanted):
            registry.approve(homes.name, "1", who=who, reason=reason)
    with pytest.raises(HeadraceError, match=r"expected a registered version \(1 to 2, champion\). Received: '7'"):
        registry.get(homes.name, "7")
    with pytest.raises(HeadraceError, match="expected another than champion"):
        registry.set_alias(homes.name, "champion", "2")
    registry.set_alias(homes.name, "shadow", "2")
    assert registry.get(homes.name, "shadow").version == "2"


def test_one_command_goes_back(homes: Homes, connect: registries.Connect) -> None:
    endpoints = homes.platform.endpoints
    versions = [homes(seed) for seed in (1, 2, 3)]
    assert endpoints.get(homes.name) is None
    for item in versions:
        endpoints.deploy(homes.name, homes.name, item.version, reason="better")
    with pytest.raises(ChampionChanged, match="expected version 2 of .* to serve. Received: version 3"):
        endpoints.rollback(homes.name, who="Ben", reason="slow", expected_version="2")
    done = endpoints.rollback(homes.name, who="Ben", reason="slow")
    assert (done.before, done.version, done.endpoint.main.version) == ("3", "2", "2")
    other = connect()
    assert [item.state for item in other.registry.versions(homes.name)] == ["blessed", "live", "rejected"]
    assert other.registry.get(homes.name, "champion").version == "2"
    assert other.endpoints.rollback(homes.name, who="Ben", reason="slow too").version == "1"
    with pytest.raises(NotAllowed, match="that served before version 1, to go back to"):
        endpoints.rollback(homes.name, who="Ben", reason="slow too")
    found = endpoints.get(homes.name)
    assert found is not None and found.main.version == "1" and found in endpoints.list()


def test_a_version_says_how_many_approvals_it_needs(homes: Homes, connect: registries.Connect) -> None:
    assert homes(1, approvals=2).approvals_needed == 2
    registry = connect().registry
    assert [item.approvals_needed for item in registry.versions(homes.name)] == [2]
    registry.require_approvals(homes.name, 1, who="Dora", reason="a small team")
    assert registry.get(homes.name, "1").approvals_needed == 1


def champion(connect: registries.Connect, name: str) -> str | None:
    """The champion's number in the registry, as opened anew, whose audit holds."""
    registry = connect().registry
    assert registry.verify().problems == ()
    found = registry.champion(name)
    return found.version if found else None


@pytest.mark.parametrize("state", ["rejected", "archived"])
def test_a_version_that_is_put_away_is_no_champion(homes: Homes, connect: registries.Connect, state: str) -> None:
    registry, endpoints = homes.platform.registry, homes.platform.endpoints
    first, other = homes(1), Homes(homes.platform, f"{homes.name}.other", homes.place)
    other(2)
    endpoints.deploy(homes.name, homes.name, "1")
    endpoints.deploy(homes.name, other.name, "1")
    assert champion(connect, homes.name) == "1"  # it was replaced by another model's, and is none the less good
    assert registry.transition(homes.name, "1", state, who="Ben", reason="odd").aliases == ()
    assert champion(connect, homes.name) is None
    assert "champion_after" in registry.history(homes.name)[-1].detail
    registry.transition(homes.name, "1", "blessed", who="Ben", reason="it was not")
    assert champion(connect, homes.name) is None
    endpoints.deploy(f"{homes.name}.2", homes.name, first.version, expected_champion=None)
    assert champion(connect, homes.name) == "1"


def test_the_champion_that_is_put_away_is_followed_by_what_serves(homes: Homes, connect: registries.Connect) -> None:
    endpoints, other = homes.platform.endpoints, Homes(homes.platform, f"{homes.name}.other", homes.place)
    for seed in (1, 2, 3):
        homes(seed)
    other(4)
    for place, version in (("a", "3"), ("b", "1"), ("c", "2")):
        endpoints.deploy(f"{homes.name}.{place}", homes.name, version)
    endpoints.deploy(f"{homes.name}.c", other.name, "1")
    homes.platform.registry.transition(homes.name, "2", "rejected", who="Ben", reason="odd")
    assert champion(connect, homes.name) == "1"  # of those that serve the one that was deployed last


def test_a_rollback_leaves_a_champion_that_serves_elsewhere(homes: Homes, connect: registries.Connect) -> None:
    endpoints, (a, b) = homes.platform.endpoints, (f"{homes.name}.a", f"{homes.name}.b")
    for seed in (1, 2, 3, 4):
        homes(seed)
    for place, version in ((a, "1"), (b, "1"), (b, "3"), (a, "2")):
        endpoints.deploy(place, homes.name, version)
    assert endpoints.rollback(b, who="Ben", reason="slow").version == "1"
    assert champion(connect, homes.name) == "2"
    assert connect().registry.get(homes.name, "3").state == "rejected"
    endpoints.deploy(b, homes.name, "4")
    assert endpoints.rollback(b, who="Ben", reason="slow").version == "1"
    assert champion(connect, homes.name) == "2"  # it serves, and was deployed after 1


def test_a_champion_that_still_serves_elsewhere_stays_when_one_endpoint_goes_back(
    homes: Homes, connect: registries.Connect
) -> None:
    endpoints, (a, b) = homes.platform.endpoints, (f"{homes.name}.a", f"{homes.name}.b")
    homes(1), homes(2)
    for place, version in ((a, "1"), (a, "2"), (b, "2")):
        endpoints.deploy(place, homes.name, version)
    assert endpoints.rollback(a, who="Ben", reason="slow here").version == "1"
    assert champion(connect, homes.name) == "2"
    assert connect().registry.get(homes.name, "2").state == "live"


def test_a_rollback_of_another_model_than_the_expected_one_is_refused(
    homes: Homes, connect: registries.Connect
) -> None:
    endpoints, other = homes.platform.endpoints, Homes(homes.platform, f"{homes.name}.other", homes.place)
    homes(1), other(2), other(3)
    endpoints.deploy(homes.name, other.name, "2")
    endpoints.deploy(homes.name, other.name, "1")
    with pytest.raises(ChampionChanged, match=f"expected version 1 of {homes.name} to serve. Received: version 1 of"):
        endpoints.rollback(homes.name, who="Ben", reason="s", expected_version="1", expected_model=homes.name)
    with pytest.raises(ChampionChanged, match="nothing was changed"):
        endpoints.rollback(homes.name, who="Ben", reason="s", expected_model=homes.name)
    done = endpoints.rollback(homes.name, who="Ben", reason="s", expected_version="1", expected_model=other.name)
    assert (done.model, done.version) == (other.name, "2") and champion(connect, other.name) == "2"


def test_what_becomes_of_a_download_does_not_touch_the_version(homes: Homes, tmp_path: Path) -> None:
    version, registry = homes(1), homes.platform.registry
    registry.download(homes.name, "1", tmp_path / "mine")
    for file in [path for path in (tmp_path / "mine").rglob("*") if path.is_file()]:
        file.chmod(0o644)  # root may write without
        with file.open("ab") as stream:
            stream.write(b"x")
    registry.download(homes.name, "1", tmp_path / "again")
    assert Bundle.open(tmp_path / "again").digest == version.digest


def test_the_champion_that_a_run_was_judged_against(homes: Homes) -> None:
    first, second, third = homes(1), homes(2), homes(3)
    endpoints = homes.platform.endpoints
    with pytest.raises(ChampionChanged, match="Received: none"):
        endpoints.deploy(homes.name, homes.name, "1", expected_champion=second.digest)
    endpoints.deploy(homes.name, homes.name, "1", expected_champion=None)
    endpoints.deploy(homes.name, homes.name, "2", expected_champion=first.digest)
    with pytest.raises(ChampionChanged, match="expected: sha256:.*Received: version 2"):
        endpoints.deploy(homes.name, homes.name, third.version, expected_champion=first.digest)


def test_of_many_promotions_at_once_one_wins(homes: Homes, connect: registries.Connect) -> None:
    first = homes(0)
    homes.platform.endpoints.deploy(homes.name, homes.name, first.version)
    versions = [homes(seed).version for seed in range(1, 5)]

    def promote(version: str) -> str:
        try:
            connect().endpoints.deploy(homes.name, homes.name, version, expected_champion=first.digest)
        except ChampionChanged:
            return ""
        return version

    with ThreadPoolExecutor(4) as pool:
        won = [version for version in pool.map(promote, versions) if version]
    assert len(won) == 1
    other = connect()
    champion = other.registry.champion(homes.name)
    assert champion is not None and champion.version == won[0]
    assert [item.state for item in other.registry.versions(homes.name)].count("live") == 1
    audit = other.registry.verify()
    assert audit.problems == () and audit.intact


def test_of_many_registrations_of_one_content_there_is_one_version(homes: Homes, connect: registries.Connect) -> None:
    homes(1)
    bundle = write_unscorable_bundle(homes.place / "same", 9)

    def register(_: int) -> str:
        found = connect().registry.register(bundle, homes.name, metrics={}, run="r", blessing=Blessing(None))
        return found.version

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(register, range(4)))) == 1
    assert len(connect().registry.versions(homes.name)) == 2
    assert connect().registry.verify().problems == ()


def test_the_audit_log_tells_all_and_holds(homes: Homes, connect: registries.Connect) -> None:
    homes(1, approvals=1)
    registry = homes.platform.registry
    registry.approve(homes.name, "1", who="Ben", reason="grün — 好")
    homes.platform.endpoints.deploy(homes.name, homes.name, "1", run="run-9", who="Cleo", reason="first")
    told = connect().registry.history(homes.name)
    assert [event.action for event in told] == ["register", "approve", "deploy"]
    assert told[1].detail["reason"] == "grün — 好" and told[2].detail["who"] == "Cleo" and told[2].run == "run-9"
    audit = connect().registry.verify()
    assert audit.intact and audit.head == connect().registry.history()[-1].hash
    assert connect().registry.verify(head=told[0].hash[:16]).intact
    assert not connect().registry.verify(head="0123456789abcdef").intact


def shares(endpoint: Endpoint | None) -> dict[str, int]:
    """Percent by version; a shadow has 0."""
    return {one.version: one.traffic for one in endpoint.deployed} if endpoint else {}


def test_a_split_begins_grows_and_ends(homes: Homes, connect: registries.Connect) -> None:
    endpoints, name = homes.platform.endpoints, homes.name
    for seed in (1, 2, 3):
        homes(seed)
    endpoints.deploy(name, name, "1")
    one, two = Deployed(name, "1", 90), Deployed(name, "2", 10)
    first = endpoints.split(
        name, [two, one, Deployed(name, "3", 0, shadow=True)], key="X-User", who="Ben", reason="try"
    )
    other = connect()
    assert other.endpoints.get(name) == first and first in other.endpoints.list()
    assert shares(first) == {"1": 90, "2": 10, "3": 0} and [shadow.version for shadow in first.shadows] == ["3"]
    assert first.split is not None and (first.split.base, first.split.key) == ("1", "x-user")
    assert first.base.version == "1" and [item.version for item in first.candidates] == ["2"]
    assert [item.state for item in other.registry.versions(name)] == ["live", "live", "blessed"]
    assert champion(connect, name) == "1"
    evidence = {"requests": {"1": 900, "2": 100}, "bound": float("inf")}
    grown = endpoints.split(name, [Deployed(name, "1", 40), Deployed(name, "2", 60)], expected=first, evidence=evidence)
    assert grown.split is not None and grown.split.experiment == first.split.experiment and grown.main.version == "2"
    kept = [slot for slot in range(100) if first.split.slots[slot] == "2"]
    assert len(kept) == 10 and all(grown.split.slots[slot] == "2" for slot in kept)
    assert champion(connect, name) == "1"
    with pytest.raises(ChampionChanged, match="expected 1 with 90 percent, 2 with 10 percent, 3 as a shadow behind it"):
        endpoints.split(name, [one, two], expected=first)
    ended = endpoints.split(name, [Deployed(name, "2", 100)], expected=grown, evidence={"step": 3})
    assert (shares(ended), ended.split, champion(connect, name)) == ({"2": 100}, None, "2")
    told = other.registry.history(name)[-3:]
    assert [event.action for event in told] == ["split", "split", "deploy"]
    assert told[1].detail["evidence"] == {"requests": {"1": 900, "2": 100}, "bound": "inf"}
    assert told[2].detail["before"] == [f"{name}/2 60%", f"{name}/1 40%"] and told[2].detail["evidence"] == {"step": 3}
    assert endpoints.rollback(name, who="Ben", reason="worse").version == "1"


def test_a_split_is_rolled_back_at_once(homes: Homes, connect: registries.Connect) -> None:
    endpoints, name = homes.platform.endpoints, homes.name
    for seed in (1, 2, 3, 4):
        homes(seed)
    endpoints.deploy(name, name, "1")
    endpoints.split(
        name, [Deployed(name, "1", 50), Deployed(name, "2", 20), Deployed(name, "3", 30), Deployed(name, "4", 0, True)]
    )
    with pytest.raises(ChampionChanged, match="expected to take out version 1 of .* which takes out 3, 2; nothing"):
        endpoints.rollback(name, who="Ben", reason="worse", expected_version="1")
    done = endpoints.rollback(name, who="Ben", reason="worse", expected_version="2")
    assert (done.version, done.before, shares(done.endpoint)) == ("1", "3", {"1": 100})
    assert [item.state for item in connect().registry.versions(name)] == ["live", "rejected", "rejected", "blessed"]
    assert champion(connect, name) == "1"


def test_what_makes_no_split(homes: Homes, connect: registries.Connect) -> None:
    endpoints, name = homes.platform.endpoints, homes.name
    homes(1), homes(2), homes(3, blessed=False), homes(4)
    half = [Deployed(name, "1", 50), Deployed(name, "2", 50)]
    with pytest.raises(NotAllowed, match=r"expected what was deployed there last \(nothing\) among the versions"):
        endpoints.split(name, half)
    endpoints.deploy(name, name, "1")
    for deployed, wanted in (
        ([], "expected versions of one model. Received: none"),
        ([Deployed(name, "1", 50), Deployed(name, "1", 50)], "expected each version once. Received: 1 more than once"),
        (
            [Deployed(name, "1", 50), Deployed(name, "2", 40)],
            "expected shares that add up to 100 percent. Received: 90",
        ),
        ([Deployed(name, "1", 100), Deployed(name, "2", 0)], "expected 1 to 100 percent .* Received: 0 for 2"),
        ([Deployed(name, "1", 100), Deployed(name, "2", 5, True)], "expected no share of the traffic for a shadow"),
        ([Deployed(name, "2", 60), Deployed(name, "4", 40)], rf"expected what was deployed there last \({name}:1\)"),
        ([Deployed(name, "1", 60), Deployed(name, "3", 40)], "Received: a candidate"),
        ([Deployed(name, "1", 100), Deployed(name, "3", 0, True)], "as a shadow. Received: one that is candidate"),
        ([Deployed(name, "1", 60), Deployed(name, "7", 40)], "expected a registered version"),
    ):
        with pytest.raises(HeadraceError, match=wanted):
            endpoints.split(name, deployed)
    with pytest.raises(HeadraceError, match="key: expected the name of a header"):
        endpoints.split(name, half, key="x user")
    with pytest.raises(HeadraceError, match="evidence: expected what JSON can hold"):
        endpoints.split(name, half, evidence={"what": object()})
    found = endpoints.get(name)
    assert shares(found) == {"1": 100} and connect().registry.verify().intact


def test_a_shadow_needs_no_approval_and_gives_none(homes: Homes, connect: registries.Connect) -> None:
    registry, endpoints, name = homes.platform.registry, homes.platform.endpoints, homes.name
    homes(1, approvals=1), homes(2)
    registry.approve(name, "1", who="Ben", reason="fine")
    endpoints.deploy(name, name, "1")
    endpoints.split(name, [Deployed(name, "champion", 100), Deployed(name, "2", 0, shadow=True)])
    with pytest.raises(WaitsForApproval):
        endpoints.split(name, [Deployed(name, "1", 99), Deployed(name, "2", 1)])
    assert registry.transition(name, "2", "rejected", who="Ben", reason="odd").state == "rejected"
    found = connect().endpoints.get(name)  # what was put away sees nothing any more
    assert shares(found) == {"1": 100} and champion(connect, name) == "1"
