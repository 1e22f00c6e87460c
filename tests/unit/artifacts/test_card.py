"""The model card says what is known, escapes it, and leaves out the rest."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from headrace.artifacts.card import (
    Approval,
    GateLine,
    Measured,
    ModelCard,
    Risk,
    Table,
    card_json,
    parse_card,
    read_card,
    write_card,
)
from headrace.artifacts.errors import ArtifactError

CARD = ModelCard(
    name="churn",
    task="classification",
    label="churned",
    details={
        "learner": "gbdt",
        "parameters": {"trees": 200, "leaves": None, "rate": 0.1},
        "left out": {},
        "classes": ["0", "1"],
    },
    purpose="Find subscribers <b>about</b> to leave.",
    data={"train rows": 35000},
    features=(("plan|tier", "category", "basic, premium"),),
    metrics={"auc": 0.87654},
    limits=("Not shown on *new* countries.",),
    lineage={"dataset": "sha256:abc"},
)


def test_markdown():
    text = CARD.to_markdown()
    assert text.startswith("# Model card: churn\n\nclassification of churned\n")
    assert "- **parameters**: trees: 200, rate: 0.1000" in text
    assert "- **ROC AUC**: 0.8765" in text
    assert r"| plan\|tier | category | basic, premium |" in text
    assert r"Find subscribers \<b\>about\</b\> to leave." in text
    assert r"Not shown on \*new\* countries." in text
    assert "Ethical" not in text and "left out" not in text


def test_html():
    text = CARD.to_html()
    assert "&lt;b&gt;about&lt;/b&gt;" in text
    assert "0.8765" in text and "35,000" in text and "sha256:abc" in text
    assert "Ethical" not in text


def test_an_empty_card_has_no_sections():
    card = ModelCard("m", "regression", "y")
    assert card.to_markdown() == "# Model card: m\n\nregression of y\n"
    assert "<section" not in card.to_html()


FULL = replace(
    CARD,
    details={"learner": "gbdt"},
    model_digest="sha256:abc",
    performance=(Measured("log_loss", 0.3), Measured("auc", 0.8, 0.7, 0.9, 0.5), Measured("auc", 0.6, slice="a = b")),
    analyses=(Table("Fairness", ("Group", "Rate"), (("f", 0.25), ("m", None)), "Both <groups>."),),
    considerations=(Risk("Age.", "Compared."),),
    gates=(GateLine("auc at least 0.7", True, "0.8"), GateLine("rmse at most 2", False, "3 | 4")),
    registered={"State": "approved"},
    approvals=(Approval("2026-11-21", "bea", "approved", "*fine*"),),
)


def test_json_and_back():
    assert parse_card(card_json(FULL), "here") == replace(FULL, data=dict(FULL.data))


def test_the_whole_card_in_both_renderings():
    text, page = FULL.to_markdown(), FULL.to_html()
    assert "| ROC AUC | 0.8000 | 0.700 – 0.900 | 0.5000 | higher |" in text
    assert "| a = b | – | 0.6000 |" in text
    assert "### Fairness\n\nBoth \\<groups\\>.\n\n| Group | Rate |\n| --- | --- |\n| f | 0.2500 |\n| m | – |" in text
    assert "| FAILED | rmse at most 2 | 3 \\| 4 |" in text and "| 2026-11-21 | bea | approved | \\*fine\\* |" in text
    assert text.index("FAILED") < text.index("| passed |")
    assert '<span class="badge bad">FAILED</span>' in page and "Both &lt;groups&gt;." in page
    assert '<span class="badge good">approved</span>' in page
    assert text.index("ROC AUC") < text.index("Log loss")  # whatever was measured first


def test_many_metrics_are_folded_on_the_page_and_all_in_the_text():
    names = ("auc", "gini", "ks", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "specificity", "npv",
             "fpr", "fnr", "f1", "mcc")  # fmt: skip
    card = replace(FULL, performance=tuple(Measured(name, 0.5) for name in names))
    assert "All 15 metrics" in card.to_html()
    assert card.to_markdown().count("| MCC |") == 1 and card.to_markdown().count("| ROC AUC |") == 1


def test_a_sealed_card_is_read_again(tmp_path):
    write_card(tmp_path / "card", FULL)
    assert read_card(tmp_path / "card") == replace(FULL, data=dict(FULL.data))
    assert (tmp_path / "card" / "card.html").read_text() == FULL.to_html()
    (tmp_path / "card" / "card.json").write_text(card_json(CARD))
    with pytest.raises(ArtifactError, match="expected content with sha256"):
        read_card(tmp_path / "card")


def test_a_number_that_is_none_is_refused(tmp_path):
    card = replace(FULL, performance=(Measured("auc", float("nan")),))
    with pytest.raises(ArtifactError, match="expected finite numbers in a model card"):
        write_card(tmp_path / "card", card)
    assert not (tmp_path / "card").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("[]", "here: expected a model card in JSON. Received: damage"),
        ({"format": "headrace/bundle"}, "here: expected a headrace/card. Received: a headrace/bundle"),
        ({"format_version": 9}, "of version 1 or older. Received: version 9. Upgrade headrace"),
        ({"card": {"name": "m", "task": "t", "label": "y", "mood": 1}}, "expected only known fields. Received: mood"),
        ({"card": {"name": "m", "task": "t", "label": "y", "limits": "one"}}, "limits='one' is no list"),
        ({"card": {"name": "m", "task": "t", "label": "y", "gates": [{"gate": "g"}]}}, "expected the fields of a card"),
        ({"card": {"name": "m"}}, "expected the fields of a card"),
        ({"card": 3}, "expected a JSON object. Received: int"),
    ],
)
def test_damage_is_told(change, message):
    text = change if isinstance(change, str) else json.dumps({**json.loads(card_json(CARD)), **change})
    with pytest.raises(ArtifactError) as error:
        parse_card(text, "here")
    assert message in str(error.value)
