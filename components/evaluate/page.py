"""The evaluation's HTML report, put together from its sections."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation
from headrace.components.evaluate.attributions_page import examples, importance
from headrace.components.evaluate.curves_page import curves, thresholds
from headrace.components.evaluate.errors_page import errors
from headrace.components.evaluate.fairness_page import fairness_blocks
from headrace.components.evaluate.images import page as images_page
from headrace.components.evaluate.images.tiles import Seen
from headrace.components.evaluate.quality_page import quality
from headrace.components.evaluate.slices_page import slices, worst
from headrace.components.evaluate.value_page import value_blocks


def evaluation_page(found: Evaluation, seen: Seen | None = None) -> str:
    """The report on an evaluation as one HTML document; `seen` is what only a model of images has."""
    facts = [("Model", found.model_digest or "none"), ("Dataset", found.dataset_digest)]
    title, about = "Evaluation", f"{found.label} · {r.count(found.rows)} rows of the {found.split} split"
    if not found.present:
        words = "Nothing was measured. Gates against the champion decide by their `without_champion`."
        missing = r.section("No model", r.callout(words, "info", "There was no model to evaluate."))
        return r.page(title, about, [missing], facts=facts)
    if found.unfit:
        words = f"Nothing was measured: {found.unfit}. Gates against the champion decide by their `unfit_champion`."
        unfit = r.section("Unfit model", r.callout(words, "bad", "The model does not fit this data."))
        return r.page(title, about, [unfit], facts=facts)
    before, after = (images_page.first(found, seen), images_page.second(seen)) if seen else ([], [])
    sections: list[r.Html | None] = [quality(found, seen.found.truth if seen else None), *value_blocks(found), *before]
    sections += [curves(found, not (seen and images_page.in_matrix(found))), thresholds(found), *after]
    sections += [slices(found), worst(found), errors(found), *fairness_blocks(found)]
    sections += [importance(found), examples(found)]
    return r.page(title, about, [part for part in sections if part is not None], facts=facts)
