"""What the model looks at, on the evaluation's page: importance, contributions, and single answers taken apart."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.attributions import Attributions, Explained, Part
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.metrics import METRICS

_MOST_FEATURES = 20
_MOST_PARTS = 8  # of one answer
_LABEL, _VALUE = 24, 12  # characters of a bar's label, and of the value in it


def importance(found: Evaluation) -> r.Html | None:
    """The section; None where neither was measured."""
    charts = [chart for chart in (_shuffled(found), _means(found)) if chart]
    if not charts:
        return None
    points = []
    if found.importance:
        text = f"Worse: each column was shuffled among {r.count(found.importance_rows)} of the rows. It says what the"
        text += " model needs to be right. Columns that say the same hide each other."
        if found.importance_skipped:
            text += f" Not shuffled: the {r.count(found.importance_skipped)} that mattered least in training."
        points.append(text)
    if found.attributions:
        points.append(_how(found.attributions))
    return r.section("Importance", r.grid(*charts), r.bullets(points))


def examples(found: Evaluation) -> r.Html | None:
    """Single answers, each taken apart; None where there are none."""
    looked = found.attributions
    if looked is None or not looked.examples:
        return None
    charts = [_example(one, looked) for one in looked.examples]
    text = "What each column's value added to the mean answer, or took from it; all bars together come to the answer."
    text += " The thin lines are twice the standard error: other background rows and orders would give other figures."
    return r.section("Single answers", r.grid(*charts), intro=text)


def _shuffled(found: Evaluation) -> r.Html | None:
    if not found.importance:
        return None
    metric = METRICS[found.importance[0].metric].title
    metric = metric if metric.isupper() else metric.lower()
    bars = [r.Bar(item.feature, item.worse_by) for item in found.importance[:_MOST_FEATURES]]
    return r.bar_chart(bars, f"How much worse the {metric} gets without it")


def _means(found: Evaluation) -> r.Html | None:
    looked = found.attributions
    if looked is None or not looked.means:
        return None
    bars = [r.Bar(mean.feature, mean.size) for mean in looked.means[:_MOST_FEATURES]]
    what = "value" if looked.unit == "value" else f"probability of {looked.of}" if looked.of else "probabilities"
    return r.bar_chart(bars, f"How much it moves the {what}, on average")


def _how(looked: Attributions) -> str:
    text = f"Moves: the mean size of its Shapley values over {r.count(looked.rows)} rows, by sampling (Strumbelj and"
    text += f" Kononenko 2014) with {looked.background} rows in place of what is not known. It says what the model"
    text += " looks at, right or wrong."
    if looked.together:
        text += f" Taken as one, as they mattered least in training: {len(looked.together)} columns."
    return text


def _example(one: Explained, looked: Attributions) -> r.Html:
    parts, rest = one.parts[:_MOST_PARTS], one.parts[_MOST_PARTS:]
    bars = [
        r.Bar(_label(part), part.contribution,
              part.contribution - 2 * part.error, part.contribution + 2 * part.error)
        for part in parts
    ]  # fmt: skip
    if rest:
        bars.append(r.Bar(f"{len(rest)} others", sum(part.contribution for part in rest), muted=True))
    name = one.id if one.id is not None else f"row {one.row:,}"
    of = f" of {one.of}" if one.of else ""
    caption = f"{looked.unit.capitalize()}{of}: {r.number(one.base, 3)} on average, {r.number(one.output, 3)} here."
    if one.truth is not None:
        caption += f" True: {one.truth}."
    return r.bar_chart(bars, f"{one.why.capitalize()}: {name}", caption=caption)


def _label(part: Part) -> str:
    """`column = value`, in the width that a chart has: of the two, the column's name is the one to guess."""
    if not part.value:
        return part.feature
    value = part.value if len(part.value) <= _VALUE else f"{part.value[: _VALUE - 1]}…"
    most = _LABEL - len(value) - 3
    name = part.feature if len(part.feature) <= most else f"{part.feature[: most - 1]}…"
    return f"{name} = {value}"
