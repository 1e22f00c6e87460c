"""From all that a run made to the card of its model: as JSON, as Markdown, and as a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.artifacts.card import GateLine, ModelCard, Risk, write_card
from headrace.artifacts.report import write as write_report
from headrace.components.card import describe
from headrace.components.card.analyses import analyses
from headrace.components.card.known import Inputs, Known, read_known
from headrace.components.card.limits import found_limits, unsaid
from headrace.components.card.measured import performance
from headrace.components.card.spec import CardSpec


def make_card(inputs: Inputs, name: str, spec: Mapping[str, Any], output: Path, report: Path) -> ModelCard:
    """Writes the card to `output` and its page to `report`.

    Args:
        inputs: what the run made.
        name: the model's name.
        spec: the whole spec; its section `card` is what the owner says.
        output, report: where to write.

    Raises:
        HeadraceError: an artifact is damaged, or about another model or snapshot.
    """
    known = read_known(inputs)
    said = CardSpec(**spec.get("card", {}))
    base = replace(describe.bundle_card(known, name), name=name, model_digest=known.bundle.digest)
    card = with_measured(with_words(with_facts(base, known, said, spec), said, known), known)
    write_card(output, card)
    write_report(report, card.to_html())
    return card


def with_facts(base: ModelCard, known: Known, said: CardSpec, spec: Mapping[str, Any]) -> ModelCard:
    """The card with what is known of model, data and origin beyond what training wrote."""
    return replace(
        base,
        details={**base.details, **describe.decision(known), **describe.serving(known.infra)},
        selection={**describe.selection(known), **base.selection},
        evaluation_data=describe.evaluation_data(known),
        data={**base.data, **describe.training_data(known, said)},
        environment={**base.environment, **describe.environment(known)},
        lineage=describe.lineage(known, spec),
    )


def with_words(card: ModelCard, said: CardSpec, known: Known) -> ModelCard:
    """The card with what the owner says, and with a note of what only the owner could have said."""
    card = replace(
        card,
        purpose=said.purpose,
        users=tuple(said.users),
        use_cases=tuple(said.use_cases),
        out_of_scope=tuple(said.out_of_scope),
        owners=tuple(said.owners),
        license=said.license,
        references=tuple(said.references),
        citation=said.citation,
        tradeoffs=tuple(said.tradeoffs),
        caveats=tuple(said.caveats),
        factors=(*said.factors, *describe.factors(known.evaluation)),
        considerations=tuple(Risk(item.risk, item.mitigation) for item in said.considerations),
    )
    return replace(card, purpose=card.purpose or describe.plain_purpose(known), limits=(*card.limits, *unsaid(card)))


def with_measured(card: ModelCard, known: Known) -> ModelCard:
    """The card with what was measured, what the gates said of it, and the limits that follow."""
    found, inputs = known.evaluation, known.bundle.signature.inputs
    shifted = describe.shifted(known)
    limits = found_limits(found, known.verdict, known.findings, inputs, shifted, known.info.query, known.images)
    return replace(
        card,
        metrics={},
        performance=performance(found, known.champion),
        analyses=analyses(found, known.images, known.findings),
        importance=describe.importance(found),
        importance_metric=found.importance[0].metric if found.importance else "",
        gates=tuple(GateLine(item.gate, item.passed is True, item.reason) for item in known.verdict.decisions),
        limits=(*limits, *card.limits),
    )
