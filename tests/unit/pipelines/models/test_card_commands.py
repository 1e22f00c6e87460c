"""`headrace models card` and `headrace models report`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.artifacts.card import parse_card
from headrace.components.card.registered import attach_card
from headrace.pipelines.cli import main
from headrace.platforms.interface import Blessing
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.components.card.run import finished_run
from tests.unit.platforms.bundles import write_unscorable_bundle

Typed = Callable[..., str]


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a command over a home with a model that has a card, and one that has none."""
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    platform = LocalPlatform(tmp_path / "home")
    run = finished_run(tmp_path / "run")
    run.card({"card": {"purpose": "Finds leavers."}})
    version = platform.registry.register(run.model, "churn", metrics={"auc": 0.8}, run="r", blessing=Blessing(None))
    attach_card(platform.registry, version, run.folder / "card")
    platform.registry.approve("churn", "1", who="bea", reason="read it")
    platform.registry.register(write_unscorable_bundle(tmp_path / "bundle"), "homes", metrics={}, run="r")

    def type_it(*arguments: str, code: int = 0) -> str:
        if code:
            with pytest.raises(SystemExit) as caught:
                main(["models", *arguments])
            assert caught.value.code == code
            return capsys.readouterr().err
        main(["models", *arguments])
        return capsys.readouterr().out

    return type_it


def test_a_card_in_the_terminal(typed: Typed) -> None:
    text = typed("card", "churn")
    assert text.startswith("# Model card: churn\n") and "Finds leavers." in text
    assert "| bea | approved | read it |" in text and "- **State**: approved" in text


def test_a_card_in_a_file_of_each_kind(typed: Typed, tmp_path: Path) -> None:
    for name in ("card.html", "card.md", "card.json"):
        assert typed("card", "churn:1", "--output", name) == f"the card of churn:1 is in {name}\n"
    assert "<!doctype html>" in (tmp_path / "card.html").read_text()
    assert (tmp_path / "card.md").read_text() == typed("card", "churn")
    assert parse_card((tmp_path / "card.json").read_text(), "here").approvals[0].who == "bea"
    typed("card", "churn:1", "-o", "any.txt", "--format", "toolkit")
    assert json.loads((tmp_path / "any.txt").read_text())["model_details"]["overview"] == "Finds leavers."


def test_what_cannot_be_done_is_said(typed: Typed) -> None:
    assert "expected a name that ends with .html, .md, .json, or --format. Received: card.txt" in typed(
        "card", "churn", "-o", "card.txt", code=1
    )
    assert "homes version 1: expected a model card. Received: none." in typed("card", "homes", code=1)
    assert "expected a file that can be written" in typed("card", "churn", "-o", "no/such/folder.html", code=1)
    assert "Received: 'nothing'" in typed("card", "nothing", code=1)
    assert "expected the name of a registered model (churn, homes). Received: zz*" in typed("report", "zz*", code=1)


def test_the_report_over_all_models(typed: Typed, tmp_path: Path) -> None:
    assert typed("report") == "2 models: models-report/index.html\n"
    page = (tmp_path / "models-report" / "index.html").read_text()
    assert "Finds leavers." in page and "registered without a model card" in page
    assert 'href="cards/churn-1.html"' in page
    assert "read it" in (tmp_path / "models-report" / "cards" / "churn-1.html").read_text()
    assert typed("report", "ch*", "-o", "other") == "1 model: other/index.html\n"
    assert "homes" not in (tmp_path / "other" / "index.html").read_text()
