"""States, approvals, promotion and rollback in the local registry, and what the audit log says of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from headrace.artifacts.decision import UNRECORDED
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    CANDIDATE,
    LIVE,
    REJECTED,
    Blessing,
    ChampionChanged,
    ModelSettings,
    ModelVersion,
    NotAllowed,
    WaitsForApproval,
)
from headrace.platforms.local.database import FILE
from headrace.platforms.local.platform import LocalPlatform
from headrace.platforms.promotion import promote
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

SAID = {"who": "anna", "reason": "looked at it"}


class Case:
    """A platform, and versions that are registered as a test wants them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform = LocalPlatform(folder / "home")
        self.registry, self.endpoints = self.platform.registry, self.platform.endpoints

    def register(self, seed: int, blessed: bool = True, approvals: int = 0, against: str | None = None) -> ModelVersion:
        place = self.folder / "bundles" / str(seed)
        return self.registry.register(
            place if place.exists() else write_bundle(place, seed),
            "homes",
            metrics={"rmse": 1.0},
            run=f"run-{seed}",
            blessing=Blessing(against) if blessed else None,
            settings=ModelSettings(approvals, "prices"),
            who="trainer",
        )

    def states(self) -> list[str]:
        return [version.state for version in self.registry.versions("homes")]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_version_without_a_blessing_cannot_serve(case: Case) -> None:
    assert case.register(1, blessed=False).state == CANDIDATE
    assert case.registry.get("homes", "1").judged_against == UNRECORDED
    for deploy in (
        lambda: case.endpoints.deploy("prices", "homes", "1"),
        lambda: promote(case.platform, "homes", "1", **SAID),
        lambda: case.registry.approve("homes", "1", **SAID),
    ):
        with pytest.raises(
            NotAllowed, match=r"homes:1: expected a version that passed its gates\. Received: a candidate"
        ):
            deploy()
    assert case.endpoints.list() == []
    assert case.register(1).state == BLESSED  # registered again, with a decision that is passed
    assert case.endpoints.deploy("prices", "homes", "1").main.version == "1"


def test_challenger_and_champion_follow_what_happens(case: Case) -> None:
    assert case.register(1).aliases == ("challenger",)
    case.endpoints.deploy("prices", "homes", "1")
    assert case.registry.get("homes", "1").aliases == ("champion",)
    assert case.register(2).aliases == ("challenger",)
    assert case.register(1).aliases == ("champion",)  # again: it serves, so it challenges nobody
    case.registry.transition("homes", "2", REJECTED, **SAID)
    assert case.registry.get("homes", "2").aliases == ()
    assert case.states() == [LIVE, REJECTED]


def test_what_is_replaced_is_what_it_was(case: Case) -> None:
    case.register(1)
    case.register(2)
    case.registry.approve("homes", "1", **SAID)
    case.endpoints.deploy("prices", "homes", "1")
    case.endpoints.deploy("prices", "homes", "2")
    assert case.states() == [APPROVED, LIVE]
    assert case.registry.get("homes", "2").endpoints == ("prices",)


def test_two_people_have_to_say_yes(case: Case) -> None:
    assert case.register(1, approvals=2).approvals_needed == 2
    with pytest.raises(WaitsForApproval, match=r"expected approval by 2 people\. Received: 0\."):
        case.endpoints.deploy("prices", "homes", "1")
    assert case.registry.approve("homes", "1", who="anna", reason="a").state == BLESSED
    for who in ("Anna", "trainer"):
        with pytest.raises(NotAllowed, match="expected approval by another person"):
            case.registry.approve("homes", "1", who=who, reason="b")
    with pytest.raises(WaitsForApproval, match="so far: anna"):
        promote(case.platform, "homes", "1", **SAID)
    done = case.registry.approve("homes", "1", who="bo", reason="c")
    assert (done.state, [(item.who, item.reason) for item in done.approvals]) == (
        APPROVED,
        [("anna", "a"), ("bo", "c")],
    )
    assert promote(case.platform, "homes", "1", **SAID).endpoint == "prices"  # as its settings name it
    assert case.states() == [LIVE]
    assert case.registry.verify().problems == ()


def test_a_spec_raises_approvals_and_does_not_lower_them(case: Case) -> None:
    case.register(1, approvals=1)
    case.register(2, approvals=0)
    assert case.registry.settings("homes") == ModelSettings(1, "prices")
    case.registry.require_approvals("homes", 0, who="anna", reason="a test model")
    assert case.registry.settings("homes").approvals == 0
    case.endpoints.deploy("prices", "homes", "2")
    case.registry.require_approvals("homes", 2, **SAID)
    assert case.states() == [BLESSED, LIVE]  # what serves goes on serving
    with pytest.raises(HeadraceError, match="expected a registered one"):
        case.registry.require_approvals("homs", 1, **SAID)
    assert case.registry.verify().problems == ()


def test_raising_approvals_takes_back_what_had_too_few(case: Case) -> None:
    case.register(1, approvals=1)
    assert case.registry.approve("homes", "1", **SAID).state == APPROVED
    case.registry.require_approvals("homes", 2, **SAID)
    assert case.states() == [BLESSED]


@pytest.mark.parametrize("state", [REJECTED, ARCHIVED])
def test_what_was_put_away_is_not_pushed_by_a_later_run(case: Case, state: str) -> None:
    case.register(1, approvals=1)
    case.registry.approve("homes", "1", **SAID)
    case.registry.transition("homes", "1", state, **SAID)
    assert case.register(1, approvals=1).state == state
    with pytest.raises(NotAllowed, match=f"Received: one that is {state}; `headrace models show homes:1` tells why"):
        case.endpoints.deploy("prices", "homes", "1")
    back = case.registry.transition("homes", "1", BLESSED, **SAID)
    assert (back.state, back.approvals) == (BLESSED, ())  # approvals do not come back
    assert case.registry.approve("homes", "1", **SAID).state == APPROVED
    assert case.registry.verify().problems == ()


def test_a_candidate_is_restored_to_a_candidate(case: Case) -> None:
    case.register(1, blessed=False)
    case.registry.transition("homes", "1", ARCHIVED, **SAID)
    assert case.registry.transition("homes", "1", BLESSED, **SAID).state == CANDIDATE
    assert case.registry.verify().problems == ()


def test_rollback_goes_back_one_at_a_time(case: Case) -> None:
    for seed in (1, 2, 3):
        case.register(seed)
        case.endpoints.deploy("prices", "homes", str(seed))
    first = case.endpoints.rollback("prices", who="anna", reason="too slow", expected_version="3")
    assert (first.version, first.before, first.endpoint.main.version) == ("2", "3", "2")
    assert case.registry.get("homes", "champion").version == "2"
    assert case.states() == [BLESSED, LIVE, REJECTED]
    assert case.endpoints.rollback("prices", **SAID).version == "1"
    with pytest.raises(
        NotAllowed, match="that served before version 1, to go back to. Received: none, it was the first"
    ):
        case.endpoints.rollback("prices", **SAID)
    assert case.states() == [LIVE, REJECTED, REJECTED]
    case.register(4)
    case.endpoints.deploy("prices", "homes", "4")
    assert case.endpoints.rollback("prices", **SAID).version == "1"  # not to what was rolled back before
    assert case.registry.verify().problems == ()
    events = [event for event in case.registry.history("prices") if event.action == "rollback"]
    assert [(event.detail["before"], event.detail["version"]) for event in events] == [(3, 2), (2, 1), (4, 1)]
    assert events[0].detail["reason"] == "too slow"


def test_rollback_passes_over_what_was_put_away(case: Case) -> None:
    for seed in (1, 2, 3):
        case.register(seed)
        case.endpoints.deploy("prices", "homes", str(seed))
    case.registry.transition("homes", "2", ARCHIVED, **SAID)
    assert case.endpoints.rollback("prices", **SAID).version == "1"


def test_of_two_rollbacks_at_once_one_is_told(case: Case) -> None:
    for seed in (1, 2, 3):
        case.register(seed)
        case.endpoints.deploy("prices", "homes", str(seed))
    case.endpoints.rollback("prices", expected_version="3", **SAID)
    with pytest.raises(ChampionChanged, match=r"expected version 3 of homes to serve\. Received: version 2"):
        case.endpoints.rollback("prices", expected_version="3", **SAID)
    assert case.states() == [BLESSED, LIVE, REJECTED]


def test_rollback_is_of_the_model_that_was_seen(case: Case, tmp_path: Path) -> None:
    for seed in (1, 2):
        place = write_bundle(tmp_path / f"flat-{seed}", 70 + seed)
        case.registry.register(place, "flats", metrics={}, run="r", blessing=Blessing(None))
        case.register(seed)
        case.endpoints.deploy("prices", "homes", str(seed))
    for version in ("1", "2"):  # meanwhile
        case.endpoints.deploy("prices", "flats", version)
    with pytest.raises(ChampionChanged) as caught:
        case.endpoints.rollback("prices", expected_version="2", expected_model="homes", **SAID)
    assert str(caught.value) == (
        "endpoint prices: expected version 2 of homes to serve. Received: version 2 of flats; nothing was changed"
    )
    assert case.registry.get("flats", "2").state == LIVE
    assert case.endpoints.rollback("prices", expected_version="2", expected_model="flats", **SAID).version == "1"


def test_rollback_serves_nothing_that_the_log_does_not_tell_of(case: Case) -> None:
    for seed in (1, 2, 3):
        case.register(seed, approvals=2 if seed == 2 else 0)
        if seed == 1:
            case.endpoints.deploy("prices", "homes", "1")
    for who in ("anna", "bo"):
        case.registry.approve("homes", "3", who=who, reason="good")
    case.endpoints.deploy("prices", "homes", "3")
    tampered = "UPDATE deployment SET version = 2 WHERE version = 1"  # blessed, and nobody approved it
    with closing(sqlite3.connect(case.folder / "home" / FILE)) as connection:
        connection.executescript(tampered)
    with pytest.raises(NotAllowed, match="endpoint prices: expected what it served before to be as the log says"):
        case.endpoints.rollback("prices", **SAID)
    assert case.states() == [BLESSED, BLESSED, LIVE]
    with closing(sqlite3.connect(case.folder / "home" / FILE)) as connection:
        connection.executescript("UPDATE deployment SET version = 1 WHERE version = 2")
    assert case.endpoints.rollback("prices", **SAID).version == "1"


def test_rollback_needs_something_to_go_back_to(case: Case, tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match=r"endpoint: expected one that serves \(none yet\)"):
        case.endpoints.rollback("prices", **SAID)
    other = write_bundle(tmp_path / "flat", 77)
    case.registry.register(other, "flats", metrics={}, run="r", blessing=Blessing(None))
    case.register(1)
    case.endpoints.deploy("prices", "flats", "1")
    case.endpoints.deploy("prices", "homes", "1")
    with pytest.raises(NotAllowed, match="Received: version 1 of the model flats"):
        case.endpoints.rollback("prices", **SAID)
    assert case.endpoints.get("prices").main.model == "homes"  # type: ignore[union-attr]


def test_a_version_that_another_endpoint_serves_is_not_rejected(case: Case) -> None:
    for seed in (1, 2):
        case.register(seed)
        case.endpoints.deploy("prices", "homes", str(seed))
    case.endpoints.deploy("other", "homes", "2")
    case.endpoints.rollback("prices", **SAID)
    assert case.states() == [LIVE, LIVE]
    assert case.registry.get("homes", "champion").version == "2"  # it was, and it serves still
    assert case.registry.verify().problems == ()


@pytest.mark.parametrize(
    ("deployed", "champion", "after"),
    [
        ("a1 a2 b1 b3", "3", "1"),
        ("a1 b1 a2 b3", "3", "2"),
        ("b1 b3 a1 a2", "2", "2"),  # another endpoint's: what happens at b is none of its business
        ("b1 a3 b3", "3", "3"),  # it serves still, at a
        ("b1 a1 c2 a1 b3", "3", "1"),  # it served at a already, and was deployed there once more
    ],
)
def test_the_champion_moves_only_if_it_was_taken_out(case: Case, deployed: str, champion: str, after: str) -> None:
    for seed in (1, 2, 3):
        case.register(seed)
    for endpoint, version in deployed.split():
        case.endpoints.deploy(endpoint, "homes", version)
    assert case.registry.get("homes", "champion").version == champion
    assert case.endpoints.rollback("b", **SAID).version == "1"
    assert case.registry.get("homes", "champion").version == after
    assert case.registry.get("homes", "champion").state == LIVE
    assert case.registry.verify().problems == ()


@pytest.mark.parametrize("state", [REJECTED, ARCHIVED])
def test_what_is_put_away_is_no_champion(case: Case, tmp_path: Path, state: str) -> None:
    other = write_bundle(tmp_path / "flat", 77)
    case.registry.register(other, "flats", metrics={}, run="r", blessing=Blessing(None))
    for seed in (1, 2):
        case.register(seed)
    case.endpoints.deploy("prices", "homes", "1")
    case.endpoints.deploy("prices", "flats", "1")
    champion = case.registry.champion("homes")
    assert champion is not None and champion.state == BLESSED  # nothing replaced it
    assert case.registry.transition("homes", "1", state, **SAID).aliases == ()
    assert case.registry.champion("homes") is None
    with pytest.raises(HeadraceError, match=r"expected a registered version \(1 to 2, challenger\)"):
        case.registry.get("homes", "champion")
    assert case.registry.history("homes")[-1].detail["champion_after"] is None
    assert case.registry.transition("homes", "1", BLESSED, **SAID).aliases == ()  # it is not what serves
    case.registry.transition("homes", "2", state, **SAID)
    assert "champion_after" not in case.registry.history("homes")[-1].detail
    assert case.registry.verify().problems == ()


def test_the_champion_that_is_put_away_leaves_it_to_what_serves(case: Case, tmp_path: Path) -> None:
    other = write_bundle(tmp_path / "flat", 77)
    case.registry.register(other, "flats", metrics={}, run="r", blessing=Blessing(None))
    for seed in (1, 2):
        case.register(seed)
        case.endpoints.deploy(f"prices-{seed}", "homes", str(seed))
    case.endpoints.deploy("prices-2", "flats", "1")
    case.registry.transition("homes", "2", REJECTED, **SAID)
    assert case.registry.get("homes", "champion").version == "1"
    assert case.registry.history("homes")[-1].detail["champion_after"] == 1
    assert case.registry.verify().problems == ()


@pytest.mark.parametrize("said", [{"who": "", "reason": "x"}, {"who": "x", "reason": " "}])
def test_each_deed_needs_a_name_and_a_reason(case: Case, said: dict[str, str]) -> None:
    case.register(1)
    case.register(2)
    case.endpoints.deploy("prices", "homes", "1")
    case.endpoints.deploy("prices", "homes", "2")
    before = case.registry.history()
    for deed in (
        lambda: case.registry.approve("homes", "1", **said),
        lambda: case.registry.transition("homes", "1", REJECTED, **said),
        lambda: case.registry.require_approvals("homes", 1, **said),
        lambda: case.endpoints.rollback("prices", **said),
        lambda: promote(case.platform, "homes", "1", **said),
    ):
        with pytest.raises(HeadraceError, match="who: expected|reason: expected"):
            deed()
    assert case.registry.history() == before


def test_promotion_needs_a_comparison_with_the_champion_of_now(case: Case) -> None:
    first = case.register(1)
    case.endpoints.deploy("prices", "homes", "1")
    case.register(2, against=first.digest)
    case.register(3, against=first.digest)
    assert promote(case.platform, "homes", "2", **SAID).before == "1"
    with pytest.raises(ChampionChanged) as caught:
        promote(case.platform, "homes", "3", **SAID)
    assert str(caught.value) == (
        "homes:3: expected to have been judged against the champion, version 2. Received: version 1. "
        "Run its pipeline again, or promote it --anyway"
    )
    assert promote(case.platform, "homes", "1", **SAID).changed  # it served before
    assert promote(case.platform, "homes", "3", anyway=True, **SAID).before == "1"
    assert not promote(case.platform, "homes", "3", **SAID).changed


def test_promotion_asks_which_of_several_endpoints(case: Case) -> None:
    case.register(1)
    case.register(2)
    for endpoint in ("a", "b"):
        case.endpoints.deploy(endpoint, "homes", "1")
    with pytest.raises(HeadraceError, match="endpoint: expected one of a, b, which serve homes"):
        promote(case.platform, "homes", "2", anyway=True, **SAID)
    assert promote(case.platform, "homes", "2", anyway=True, endpoint="b", **SAID).endpoint == "b"
    assert [item.main.version for item in case.endpoints.list()] == ["1", "2"]


def test_documents_lie_beside_the_bundle(case: Case) -> None:
    version = case.register(1)
    case.registry.attach("homes", "1", "card.html", b"<p>first</p>", run="run-1")
    again = case.registry.attach("homes", "challenger", "card.html", b"<p>second</p>", run="run-2")
    assert case.registry.attach("homes", "1", "card.html", b"<p>second</p>") == again  # nothing changed
    case.registry.attach("homes", "1", "notes.txt", b"")
    assert [item.file for item in case.registry.documents("homes", "1")] == ["card.html", "notes.txt"]
    assert case.registry.document("homes", "1", "card.html") == b"<p>second</p>"
    assert case.registry.get("homes", "1").digest == version.digest
    attached = [event for event in case.registry.history("homes") if event.action == "attach"]
    assert [event.detail["before"] for event in attached] == [None, attached[0].detail["digest"], None]
    with pytest.raises(HeadraceError, match=r"expected a document \(card\.html, notes\.txt\)\. Received: 'card\.pdf'"):
        case.registry.document("homes", "1", "card.pdf")
    for name in ("", "../card", "a/b", ".hidden"):
        with pytest.raises(HeadraceError, match="document: expected"):
            case.registry.attach("homes", "1", name, b"")
    with pytest.raises(HeadraceError, match="expected a registered version"):
        case.registry.attach("homes", "2", "card.html", b"")
    assert case.registry.verify().problems == ()


def test_a_damaged_document_is_not_handed_out(case: Case) -> None:
    case.register(1)
    document = case.registry.attach("homes", "1", "card.html", b"card")
    place = case.folder / "home" / "models" / "homes" / "documents" / document.digest.partition(":")[2]
    place.chmod(0o644)
    place.write_bytes(b"another card")
    with pytest.raises(ArtifactError, match=r"expected the document card\.html\. Received: changed content"):
        case.registry.document("homes", "1", "card.html")
    place.unlink()
    with pytest.raises(ArtifactError, match="Received: no such file"):
        case.registry.document("homes", "1", "card.html")
