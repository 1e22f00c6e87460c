"""The card beside a registered version, with what was decided since; and the report over all models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.card import FILE, HTML_FILE, read_card
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import read_json
from headrace.components.card.models import ModelLine, write_models_report
from headrace.components.card.models_page import models_page
from headrace.components.card.registered import attach_card, card_of, with_version
from headrace.platforms.interface import Blessing, Deployed, ModelSettings, ModelVersion
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.components.card.run import Run, finished_run
from tests.unit.platforms.bundles import write_unscorable_bundle


def registered(platform: LocalPlatform, run: Run, approvals: int = 0) -> ModelVersion:
    run.card({"card": {"purpose": "Finds leavers.", "owners": ["Growth"]}})
    blessing, settings = Blessing(None), ModelSettings(approvals=approvals)
    version = platform.registry.register(
        run.model, "churn", metrics=run.evaluation.metrics, run="run-1", blessing=blessing, settings=settings, who="ann"
    )
    attach_card(platform.registry, version, run.folder / "card", "run-1")
    return version


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    return LocalPlatform(tmp_path / "home")


def test_a_card_is_kept_beside_its_version(platform: LocalPlatform, tmp_path: Path) -> None:
    version = registered(platform, finished_run(tmp_path))
    kept = {document.file for document in platform.registry.documents("churn", version.version)}
    assert kept == {FILE, HTML_FILE}
    card = card_of(platform.registry, "churn", "1")
    assert replace(card, registered={}, approvals=()) == read_card(tmp_path / "card")
    assert (card.registered["Version"], card.registered["Registered by"]) == ("1", "ann")
    assert "Finds leavers." in platform.registry.document("churn", "1", HTML_FILE).decode()


def test_the_card_shows_who_approved_it_and_where_it_serves(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path), approvals=1)
    platform.registry.approve("churn", "1", who="bea", reason="read the <report>")
    platform.endpoints.deploy("calls", "churn", "1", who="cid", reason="go")
    card = card_of(platform.registry, "churn", "1")
    told = [(item.who, item.action, item.reason) for item in card.approvals]
    assert told == [("bea", "approved", "read the <report>"), ("cid", "deployed at calls", "go")]
    assert card.registered["State"] == "live" and card.registered["Serves at"] == ("calls",)
    page = card.to_html()
    assert "read the &lt;report&gt;" in page and '<span class="badge good">live</span>' in page
    assert "## Approvals" in card.to_markdown()


def test_what_was_decided_on_another_version_is_not_told(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path))
    platform.registry.register(write_unscorable_bundle(tmp_path / "other"), "churn", metrics={}, run="run-2")
    platform.registry.transition("churn", "2", "rejected", who="bea", reason="no")
    assert card_of(platform.registry, "churn", "1").approvals == ()


def test_a_rollback_is_told_of_both_versions(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path / "a"))
    registered(platform, finished_run(tmp_path / "b", told=False))
    for version in ("1", "2"):
        platform.endpoints.deploy("calls", "churn", version, who="cid")
    platform.endpoints.rollback("calls", who="dee", reason="too many calls")
    last = [card_of(platform.registry, "churn", version).approvals[-1].action for version in ("1", "2")]
    assert last == ["serves again at calls", "rolled back at calls"]


def test_an_endpoint_that_is_called_as_the_model_tells_of_another_s_versions_nothing(
    platform: LocalPlatform, tmp_path: Path
) -> None:
    registered(platform, finished_run(tmp_path))
    other = write_unscorable_bundle(tmp_path / "other")
    platform.registry.register(other, "homes", metrics={}, run="run-2", blessing=Blessing(None))
    platform.endpoints.deploy("churn", "homes", "1", who="cid", reason="go")
    assert card_of(platform.registry, "churn", "1").approvals == ()


def test_each_version_of_a_split_tells_how_it_was_tried_and_taken_out(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path))
    platform.endpoints.deploy("calls", "churn", "1", who="cid")
    for seed in (2, 3, 4):
        bundle = write_unscorable_bundle(tmp_path / str(seed), seed)
        platform.registry.register(bundle, "churn", metrics={}, run="run", blessing=Blessing(None))
    tried = [Deployed("churn", version, share) for version, share in (("1", 80), ("2", 10), ("3", 10))]
    platform.endpoints.split("calls", [*tried, Deployed("churn", "4", 0, shadow=True)], who="cid", reason="try")
    platform.endpoints.rollback("calls", who="dee", reason="too many calls")
    card, history = card_of(platform.registry, "churn", "1"), platform.registry.history()
    told = {
        one.version: [item.action for item in with_version(card, one, history).approvals]
        for one in platform.registry.versions("churn")
    }
    assert told == {
        "1": ["deployed at calls", "80% of calls", "serves again at calls"],
        "2": ["10% of calls", "rolled back at calls"],
        "3": ["10% of calls", "rolled back at calls"],
        "4": ["a shadow at calls"],
    }


def test_a_version_without_a_document_gets_its_bundle_s_card(platform: LocalPlatform, tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    platform.registry.register(run.model, "churn", metrics={}, run="run-1")
    card = card_of(platform.registry, "churn", "1")
    assert card.details == {"Learner": "trees"} and card.model_digest == run.digest and card.performance == ()


def test_a_version_with_no_card_at_all_says_what_to_do(platform: LocalPlatform, tmp_path: Path) -> None:
    platform.registry.register(write_unscorable_bundle(tmp_path / "old"), "homes", metrics={}, run="run-1")
    message = r"homes version 1: expected a model card\. Received: none\. .* run its pipeline again for a card"
    with pytest.raises(HeadraceError, match=message):
        card_of(platform.registry, "homes", "1")


def test_the_card_of_another_model_is_refused(platform: LocalPlatform, tmp_path: Path) -> None:
    finished_run(tmp_path).card()
    other = write_unscorable_bundle(tmp_path / "other")
    version = platform.registry.register(other, "churn", metrics={}, run="run-1")
    with pytest.raises(HeadraceError, match="model card: expected that of"):
        attach_card(platform.registry, version, tmp_path / "card")
    platform.registry.attach("churn", "1", FILE, (tmp_path / "card" / FILE).read_bytes())
    with pytest.raises(HeadraceError, match=r"churn version 1: card\.json: expected the card of"):
        card_of(platform.registry, "churn", "1")


def test_a_damaged_card_is_an_error_and_in_a_list_a_remark(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path))
    platform.registry.attach("churn", "1", FILE, b"{}")
    with pytest.raises(ArtifactError, match=r"churn version 1: card\.json: expected a model card in JSON"):
        card_of(platform.registry, "churn", "1")
    (line,) = write_models_report(platform.registry, (), tmp_path / "report", "in a test")
    assert line.main is None and "expected a model card in JSON" in line.why_not
    assert "expected a model card in JSON" in models_page([line])


def test_a_line_of_each_model(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path), approvals=1)
    platform.registry.register(write_unscorable_bundle(tmp_path / "h"), "homes", metrics={"rmse": 2.0}, run="run-2")
    churn, homes = write_models_report(platform.registry, (), tmp_path / "report", "in a test")
    assert (churn.name, churn.state, churn.owners, churn.purpose) == ("churn", "blessed", ("Growth",), "Finds leavers.")
    assert churn.main is not None and churn.main.metric == "auc" and len(churn.gates) == 1
    assert churn.waits == "0 of 1 approvals"
    assert (homes.state, homes.why_not) == ("candidate", "registered without a model card")
    assert [
        line.name for line in write_models_report(platform.registry, {"homes"}, tmp_path / "report", "in a test")
    ] == ["homes"]
    page = models_page([churn, homes], "in a test")
    assert "waits for approval (0 of 1 approvals): " in page and "headrace models approve churn:1" in page


def test_the_version_that_serves_is_shown_and_a_newer_one_told(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path / "a"))
    platform.endpoints.deploy("calls", "churn", "1", who="cid")
    registered(platform, finished_run(tmp_path / "b", told=False))
    (line,) = write_models_report(platform.registry, (), tmp_path / "report", "in a test")
    assert (line.version, line.state, line.newer, line.versions) == ("1", "live", "2, blessed", 2)


def test_the_page_orders_lines_in_each_way_that_it_offers() -> None:
    def line(name: str, state: str, day: int) -> ModelLine:
        return ModelLine(name, "1", state, f"2026-01-{day:02}T00:00:00+00:00")

    page = models_page([line("b", "live", 1), line("a", "rejected", 3), line("c", "blessed", 2)])
    styles = [part.split('"')[0] for part in page.split('style="--o0')[1:]]
    assert styles == [":2;--o1:3;--o2:2;--o3:3", ":1;--o1:1;--o2:1;--o3:1", ":3;--o1:2;--o2:3;--o3:2"]
    assert 'type="radio" name="models-order" class="by0" checked' in page


def test_no_model_at_all() -> None:
    assert "No model is registered yet." in models_page([])


def test_the_card_in_the_registry_is_the_run_s(platform: LocalPlatform, tmp_path: Path) -> None:
    registered(platform, finished_run(tmp_path))
    file = tmp_path / "again.json"
    file.write_bytes(platform.registry.document("churn", "1", FILE))
    assert read_json(file) == read_json(tmp_path / "card" / FILE)
