"""The model card in the JSON of Google's Model Card Toolkit, schema 0.0.2, for tools that read that.

The toolkit's schema has no place for intervals, gates, approvals and lineage: intervals and baselines are left out, the
rest stands in the model's documentation as text.
"""

from __future__ import annotations

from typing import Any

from headrace.artifacts.card import ModelCard, Values
from headrace.artifacts.card_sections import known, text

SCHEMA_VERSION = "0.0.2"


def toolkit(card: ModelCard) -> dict[str, Any]:
    """The card as the toolkit's JSON object; what is not known has no key."""
    return _known(
        {
            "schema_version": SCHEMA_VERSION,
            "model_details": _details(card),
            "model_parameters": _parameters(card),
            "quantitative_analysis": _known(
                {
                    "performance_metrics": [
                        _known({"type": item.metric, "value": item.value, "slice": item.slice})
                        for item in card.performance
                    ]
                }
            ),
            "considerations": _considerations(card),
        }
    )


def _details(card: ModelCard) -> dict[str, Any]:
    owners = []
    for owner in card.owners:
        name, _, contact = owner.partition("<")
        owners.append(_known({"name": name.strip(), "contact": contact.rstrip("> ").strip()}))
    gates = "; ".join(f"{line.gate}: {'passed' if line.passed else 'not passed'}" for line in card.gates)
    approvals = "; ".join(f"{item.action} by {item.who}: {item.reason}".rstrip(": ") for item in card.approvals)
    told = {"Gates": gates, "Approvals": approvals, "Lineage": _pairs(card.lineage)}
    version = {"name": card.registered.get("Version", ""), "date": str(card.registered.get("Registered", ""))[:10]}
    licensed = "custom_text" if " " in card.license else "identifier"
    return _known(
        {
            "name": card.name,
            "overview": card.purpose or card.subtitle,
            "documentation": "\n".join(f"{name}: {words}" for name, words in told.items() if words),
            "owners": owners,
            "version": _known(version),
            "licenses": [{licensed: card.license}] if card.license else [],
            "references": [{"reference": reference} for reference in card.references],
            "citations": [{"citation": card.citation}] if card.citation else [],
        }
    )


def _parameters(card: ModelCard) -> dict[str, Any]:
    features = ", ".join(f"{name} ({kind})" for name, kind, _ in card.features)
    data = []
    for name, values in (("training data", card.data), ("evaluation data", card.evaluation_data)):
        if values:
            sensitive = values.get("Sensitive") or []
            found = {"name": name, "description": _pairs(values)}
            data.append(_known({**found, "sensitive": _known({"sensitive_data": list(sensitive)})}))
    return _known(
        {
            "model_architecture": _pairs(card.details),
            "data": data,
            "input_format": features,
            "output_format": f"{card.subtitle}; {text(card.details.get('Classes', ''))}".rstrip("; "),
        }
    )


def _considerations(card: ModelCard) -> dict[str, Any]:
    uses = [*card.use_cases, *(f"Out of scope: {use}" for use in card.out_of_scope)]
    return _known(
        {
            "users": _described(card.users),
            "use_cases": _described(uses),
            "limitations": _described((*card.caveats, *card.limits)),
            "tradeoffs": _described(card.tradeoffs),
            "ethical_considerations": [
                _known({"name": item.risk, "mitigation_strategy": item.mitigation}) for item in card.considerations
            ],
        }
    )


def _described(items: Any) -> list[dict[str, str]]:
    return [{"description": item} for item in items]


def _pairs(values: Values) -> str:
    return "\n".join(f"{name}: {text(value)}" for name, value in known(values).items())


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in ("", [], {})}
