"""The card in the JSON of Google's Model Card Toolkit: only keys that its schema knows, in the forms that it asks for."""

from __future__ import annotations

import json

from headrace.artifacts.card import Approval, GateLine, Measured, ModelCard, Risk
from headrace.artifacts.card_toolkit import toolkit

CARD = ModelCard(
    "churn",
    "classification",
    "churned",
    details={"Learner": "trees", "Classes": ["0", "1"]},
    purpose="Finds leavers.",
    users=("Agents",),
    use_cases=("Calls",),
    out_of_scope=("Prices",),
    owners=("Growth <growth@example.com>", "Ann"),
    license="Apache-2.0",
    references=("https://example.com/churn",),
    citation="Ann 2026",
    data={"Rows": "100", "Sensitive": ["gender"]},
    evaluation_data={"Split": "test"},
    features=(("hours", "number", "0 to 9"),),
    performance=(Measured("auc", 0.8, 0.7, 0.9), Measured("auc", 0.6, slice="plan = basic", rows=20)),
    considerations=(Risk("Age.", "Compared."), Risk("Watched.")),
    tradeoffs=("Slow.",),
    limits=("Old data.",),
    caveats=("Ask first.",),
    gates=(GateLine("auc at least 0.7", True, "0.8"),),
    registered={"Version": "3", "Registered": "2026-11-21 20:07 UTC"},
    approvals=(Approval("2026-11-21 20:09 UTC", "bea", "approved", "fine"),),
)

# The properties of model_card.schema.json, version 0.0.2.
KEYS = {
    "": {"schema_version", "model_details", "model_parameters", "quantitative_analysis", "considerations"},
    "model_details": {"name", "overview", "documentation", "owners", "version", "licenses", "references", "citations"},
    "model_parameters": {"model_architecture", "data", "input_format", "output_format"},
    "quantitative_analysis": {"performance_metrics", "graphics"},
    "considerations": {"users", "use_cases", "limitations", "tradeoffs", "ethical_considerations"},
}


def test_a_full_card_fills_every_part() -> None:
    found = toolkit(CARD)
    assert set(found) == KEYS[""]
    assert {name: set(found[name]) <= keys for name, keys in KEYS.items() if name} == dict.fromkeys(
        list(KEYS)[1:], True
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    details = found["model_details"]
    assert details["owners"] == [{"name": "Growth", "contact": "growth@example.com"}, {"name": "Ann"}]
    assert details["version"] == {"name": "3", "date": "2026-11-21"}
    assert details["licenses"] == [{"identifier": "Apache-2.0"}]
    assert "Approvals: approved by bea: fine" in details["documentation"]
    assert found["quantitative_analysis"]["performance_metrics"] == [
        {"type": "auc", "value": 0.8},
        {"type": "auc", "value": 0.6, "slice": "plan = basic"},
    ]
    assert found["model_parameters"]["data"][0]["sensitive"] == {"sensitive_data": ["gender"]}
    assert found["considerations"]["use_cases"] == [{"description": "Calls"}, {"description": "Out of scope: Prices"}]
    assert found["considerations"]["ethical_considerations"] == [
        {"name": "Age.", "mitigation_strategy": "Compared."},
        {"name": "Watched."},
    ]


def test_what_is_not_known_has_no_key() -> None:
    found = toolkit(ModelCard("m", "regression", "y"))
    assert found == {
        "schema_version": "0.0.2",
        "model_details": {"name": "m", "overview": "regression of y"},
        "model_parameters": {"output_format": "regression of y"},
    }


def test_a_license_in_words_is_a_text() -> None:
    found = toolkit(ModelCard("m", "regression", "y", license="ask the legal team"))
    assert found["model_details"]["licenses"] == [{"custom_text": "ask the legal team"}]
