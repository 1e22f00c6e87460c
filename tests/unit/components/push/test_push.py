from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from headrace.artifacts.decision import Decision
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import write_folder, write_json
from headrace.components.push.canary import Canary
from headrace.components.push.push import Evidence, Pushed, push
from headrace.components.register.blessing import NotBlessed
from headrace.platforms.interface import Blessing, ChampionChanged, Deployed, NotAllowed
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.components.evidence import write_decision, write_infra_report
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

OTHER = "sha256:" + "0" * 64


class Case:
    """Two registered versions, and evidence that each test spoils in its own way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.platform = LocalPlatform(folder / "home")
        bundles = [write_bundle(folder / str(seed), seed) for seed in (1, 2)]
        registered = [
            self.platform.registry.register(b, "homes", metrics={}, run="r", blessing=Blessing(None)) for b in bundles
        ]
        self.digests = {item.version: item.digest for item in registered}

    def evidence(self, version: str) -> Evidence:
        return Evidence(self.folder / f"decision-{version}", self.folder / f"infra-{version}")

    def bless(self, version: str, champion: str | None = None) -> None:
        against = None if champion is None else self.digests[champion]
        write_decision(self.evidence(version).decision, self.digests[version], champion=against)
        write_infra_report(self.evidence(version).infra, self.digests[version])

    def push(self, version: str, run: str = "run-1") -> Pushed:
        return push(self.platform, "homes", version, self.evidence(version), "prices", run=run)

    def refused(self, error: type[HeadraceError], message: str) -> None:
        with pytest.raises(error, match=message):
            self.push("1")
        assert self.platform.endpoints.list() == []
        assert self.platform.registry.champion("homes") is None


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def test_a_blessed_version_is_deployed(case: Case) -> None:
    case.bless("1")
    assert case.push("1") == Pushed("prices", "1", changed=True, before=None)
    assert case.platform.endpoints.get("prices").main.version == "1"  # type: ignore[union-attr]
    assert case.platform.registry.get("homes", "champion").version == "1"
    assert case.platform.registry.history("prices")[0].run == "run-1"


def test_the_next_version_replaces_it(case: Case) -> None:
    case.bless("1")
    case.bless("2", champion="1")
    case.push("1")
    assert case.push("2") == Pushed("prices", "2", changed=True, before="homes/1")
    assert case.platform.registry.get("homes", "champion").version == "2"


def test_pushing_what_is_there_changes_nothing_and_says_so(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.bless("1")
    case.push("1")
    before = case.platform.endpoints.get("prices"), case.platform.registry.history()
    assert case.push("1", run="run-2") == Pushed("prices", "1", changed=False, before="homes/1")
    assert (case.platform.endpoints.get("prices"), case.platform.registry.history()) == before
    assert "serves homes version 1 already: nothing to push" in capsys.readouterr().out


def test_a_version_that_lacks_approval_waits_and_that_is_no_error(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    case.bless("1")
    case.platform.registry.require_approvals("homes", 1, who="anna", reason="the auditors ask")
    before = case.platform.registry.history()
    assert case.push("1") == Pushed("prices", "1", changed=False, before=None, state="waits for approval")
    assert (case.platform.endpoints.list(), case.platform.registry.history()) == ([], before)
    assert capsys.readouterr().out == (
        "waits for approval: homes:1: expected approval by 1 person. Received: 0. "
        "`headrace models approve homes:1 --reason ...` gives one\n"
    )
    case.platform.registry.approve("homes", "1", who="anna", reason="good")
    assert case.push("1").state == "live"


def test_the_spec_may_ask_for_more_than_the_registry_does(case: Case) -> None:
    case.bless("1")
    done = push(case.platform, "homes", "1", case.evidence("1"), "prices", approvals=2)
    assert (done.state, done.changed) == ("waits for approval", False)
    assert case.platform.endpoints.list() == []


@pytest.mark.parametrize("state", ["rejected", "archived"])
def test_what_a_person_put_away_is_not_pushed(case: Case, state: str) -> None:
    case.bless("1")
    case.platform.registry.transition("homes", "1", state, who="anna", reason="no")
    case.refused(NotAllowed, f"homes:1: expected a version that may serve. Received: one that is {state}")


def test_a_run_judged_against_an_earlier_champion_is_not_pushed(case: Case) -> None:
    case.bless("1")
    case.bless("2")  # against no champion too, as both were judged at the same time
    case.push("1")
    before = case.platform.endpoints.get("prices"), case.platform.registry.history()
    with pytest.raises(ChampionChanged, match=r"changed while this run was judged; run again\. expected: none"):
        case.push("2")
    assert (case.platform.endpoints.get("prices"), case.platform.registry.history()) == before
    shutil.rmtree(case.evidence("2").decision)
    shutil.rmtree(case.evidence("2").infra)
    case.bless("2", champion="1")
    assert case.push("2").changed is True


def test_a_champion_that_was_moved_away_is_not_taken_back(case: Case) -> None:
    case.bless("1")
    case.push("1")
    case.platform.endpoints.deploy("prices", "homes", "2")
    with pytest.raises(ChampionChanged, match="expected: none. Received: version 2"):
        case.push("1")
    assert case.platform.registry.get("homes", "champion").version == "2"


def test_a_champion_that_vanished_is_a_change_too(case: Case) -> None:
    case.bless("2", champion="1")
    with pytest.raises(ChampionChanged, match="Received: none"):
        case.push("2")
    assert case.platform.endpoints.list() == []


def test_the_champion_goes_to_another_endpoint_whatever_it_was_judged_against(case: Case) -> None:
    case.bless("1")
    case.push("1")
    assert push(case.platform, "homes", "1", case.evidence("1"), "other").changed is True


def test_a_decision_that_does_not_say_against_whom_stops_it(case: Case) -> None:
    write_infra_report(case.evidence("1").infra, case.digests["1"])
    said = {"passed": True, "model_digest": case.digests["1"], "decisions": [asdict(Decision("g", True, "r"))]}
    with write_folder(case.evidence("1").decision, "headrace/decision", 1, {}) as folder:
        write_json(folder / "decision.json", said)
    case.refused(NotBlessed, "expected the champion that it was judged against")


def test_without_a_decision_nothing_is_pushed(case: Case) -> None:
    write_infra_report(case.evidence("1").infra, case.digests["1"])
    case.refused(ArtifactError, "expected a headrace/decision folder")


def test_without_a_report_of_the_server_nothing_is_pushed(case: Case) -> None:
    write_decision(case.evidence("1").decision, case.digests["1"])
    case.refused(ArtifactError, "expected a headrace/infra folder")


def test_a_decision_that_is_not_passed_stops_it(case: Case) -> None:
    write_decision(case.evidence("1").decision, case.digests["1"], passed=False)
    write_infra_report(case.evidence("1").infra, case.digests["1"])
    case.refused(NotBlessed, "decision: expected all gates passed")


def test_a_server_that_answers_wrongly_stops_it(case: Case) -> None:
    write_decision(case.evidence("1").decision, case.digests["1"])
    write_infra_report(case.evidence("1").infra, case.digests["1"], passed=False)
    case.refused(NotBlessed, r"infra: expected all checks passed.*answers \(sample 3 differs\)")


def test_a_decision_on_another_version_stops_it(case: Case) -> None:
    write_decision(case.evidence("1").decision, case.digests["2"])
    write_infra_report(case.evidence("1").infra, case.digests["1"])
    case.refused(NotBlessed, "decision: expected one on")


def test_a_report_on_another_version_stops_it(case: Case) -> None:
    write_decision(case.evidence("1").decision, case.digests["1"])
    write_infra_report(case.evidence("1").infra, OTHER)
    case.refused(NotBlessed, "infra: expected one on")


def test_evidence_in_each_others_place_stops_it(case: Case) -> None:
    write_infra_report(case.evidence("1").decision, case.digests["1"])
    write_decision(case.evidence("1").infra, case.digests["1"])
    case.refused(ArtifactError, r"expected a headrace/decision\. Received: a headrace/infra")


def test_a_version_that_is_not_registered_stops_it(case: Case) -> None:
    case.bless("1")
    with pytest.raises(HeadraceError, match="expected a registered version"):
        push(case.platform, "homes", "3", case.evidence("1"), "prices")
    assert case.platform.endpoints.list() == []


def canary(case: Case, version: str, champion: str | None = "1") -> Pushed:
    case.bless(version, champion=champion)
    return push(case.platform, "homes", version, case.evidence(version), "prices", run="run-2", canary=Canary())


def test_a_canary_gets_its_first_share_and_the_champion_stays(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    case.bless("1")
    case.push("1")
    assert canary(case, "2") == Pushed("prices", "2", changed=True, before="homes/1", state="canary")
    found = case.platform.endpoints.get("prices")
    assert found is not None and {one.version: one.traffic for one in found.deployed} == {"1": 99, "2": 1}
    assert case.platform.registry.get("homes", "champion").version == "1"
    told = case.platform.registry.history("prices")[-1]
    assert (told.run, told.detail["evidence"]["settings"]["steps"]) == ("run-2", [1, 5, 25, 50, 100])
    assert "`headrace rollout start prices` takes it from there" in capsys.readouterr().out
    again = push(case.platform, "homes", "2", case.evidence("2"), "prices", canary=Canary())
    assert (again.changed, again.state) == (False, "canary")


def test_the_first_version_needs_no_canary(case: Case) -> None:
    assert canary(case, "1", champion=None) == Pushed("prices", "1", changed=True, before=None)


def test_a_canary_judged_against_an_earlier_champion_is_not_begun(case: Case) -> None:
    case.bless("1")
    case.push("1")
    with pytest.raises(ChampionChanged, match="changed while this run was judged; run again. expected: none"):
        canary(case, "2", champion=None)
    assert case.platform.endpoints.get("prices").deployed == (Deployed("homes", "1", 100),)  # type: ignore[union-attr]


def test_a_third_version_waits_for_a_rollout(case: Case) -> None:
    case.bless("1")
    case.push("1")
    canary(case, "2")
    bundle = write_bundle(case.folder / "3", 3)
    third = case.platform.registry.register(bundle, "homes", metrics={}, run="r", blessing=Blessing(None))
    case.digests["3"] = third.digest
    done = canary(case, "3")
    assert (done.changed, done.state) == (False, "waits for another rollout")
