"""The model card says what is known, escapes it, and leaves out the rest."""

from __future__ import annotations

from headrace.artifacts.card import ModelCard

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
