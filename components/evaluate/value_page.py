"""Value on the evaluation's page: what the decisions bring, against simple rivals, and by threshold."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.value_found import Amount, Value
from headrace.components.evaluate.thresholds import shown

_WHO = {
    "model": "The model, as it is served",
    "best": "The model at the best threshold",
    "all": "Acting on every row",
    "none": "Acting on none",
    "perfect": "Knowing the truth",
}
_OUTCOMES = {
    "true_positive": "acted on, and positive",
    "false_positive": "acted on, and negative",
    "true_negative": "left alone, and negative",
    "false_negative": "left alone, and positive",
}


def value_blocks(found: Evaluation) -> list[r.Html]:
    """The section on value; nothing where the spec states no gains."""
    value = found.value
    if value is None:
        return []
    gains = [(f"{_OUTCOMES[name]}", f"{words}{_unit(value)}") for name, words in value.gains.items()]
    stated = r.details("What a row brings", r.key_values(gains), opened=bool(value.undefined))
    if value.undefined:
        return [r.section("Value", r.callout(r.prose(f"{value.undefined}."), "bad", "Nothing was valued."), stated)]
    same = value.best_threshold == value.threshold
    rows = [_row(value, name) for name in _WHO if name in value.amounts and not (name == "best" and same)]
    headers = ["Who decides", "Rows acted on", "Total", "95 % interval", "Per row", "The model brings more by"]
    unknown = r.callout(r.prose(f"{value.no_best}."), "warn", "The best threshold is not known.")
    note = [unknown] if value.no_best else []
    blocks = [_verdict(value), *note, r.table(headers, rows, "lrrrrr"), r.grid(*_charts(value)), stated]
    intro = f"What the decisions bring on {r.count(value.rows)} rows of the {found.split} split"
    intro += f", in {value.currency}." if value.currency else "."
    return [r.section("Value", *blocks, intro=intro)]


def _unit(value: Value) -> str:
    return f" {value.currency}" if value.currency else ""


def money(amount: float, currency: str | None = None) -> str:
    """An amount for people: whole where it is large, `-5.25 USD` where not."""
    digits = 0 if abs(amount) >= 1000 or amount == 0 else 2
    text = f"{amount:,.{digits}f}"
    text = text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")
    return f"{text} {currency}" if currency else text


def _verdict(value: Value) -> r.Html:
    """Whether the model is worth having at all: against the better of acting on all and on none."""
    name = max(("all", "none"), key=lambda rival: value.amounts[rival].total)
    gain = value.over[name]
    rival = "acting on every row" if name == "all" else "acting on none"
    text = f"{money(abs(gain.total), value.currency)} ({money(gain.low)} – {money(gain.high)})"
    if gain.low > 0:
        return r.callout(f"It brings {text} more.", "good", f"The model is worth more than {rival}.")
    if gain.high < 0:
        text = f"It brings {text} less. {_advice(value)}"
        return r.callout(r.prose(text), "bad", f"The model as it is served is worth less than {rival}.")
    text = f"The difference of {money(gain.total, value.currency)} ({money(gain.low)} – {money(gain.high)})"
    return r.callout(r.prose(f"{text} may be chance. {_advice(value)}"), "warn", f"No better than {rival}.")


def _advice(value: Value) -> str:
    best = value.amounts.get("best")
    if best is None or value.best_threshold is None or best.total <= value.amounts["model"].total:
        return ""
    text = f"At a threshold of {shown(value.best_threshold)} it would bring {money(best.total, value.currency)}:"
    return f"{text} `train: {{threshold: value}}` serves it so."


def _row(value: Value, name: str) -> list[r.Cell]:
    amount = value.amounts[name]
    who = _WHO[name]
    if name == "model" and value.threshold is not None:
        best = f", best on the {value.chosen_on} split" if value.best_threshold == value.threshold else ""
        who += f", from {shown(value.threshold)} on{best}"
    if name == "best" and value.best_threshold is not None:
        who = f"The model from {shown(value.best_threshold)} on, best on the {value.chosen_on} split"
    interval = "" if amount.low == amount.high else f"{money(amount.low)} – {money(amount.high)}"
    per_row = money(amount.per_row, value.currency)
    return [who, r.percent(amount.share), money(amount.total, value.currency), interval, per_row, _more(value, name)]


def _more(value: Value, name: str) -> r.Cell:
    gain: Amount | None = value.over.get(name)
    if gain is None:
        return ""
    text = f"{money(gain.total)} ({money(gain.low)} – {money(gain.high)})"
    if gain.low > 0 or gain.high < 0:
        return r.badge(text, "good" if gain.low > 0 else "bad")
    return text


def _charts(value: Value) -> list[r.Html]:
    points = value.curve
    unit = value.currency or "value"
    band = [(point.low, point.high) for point in points]
    last = points[-1].threshold
    lines = [r.Line("the model", [(point.threshold, point.total) for point in points], band=band)]
    lines += [
        r.Line(words, [(0.0, value.amounts[name].total), (last, value.amounts[name].total)], dashed=True)
        for name, words in (("all", "every row"), ("none", "none"))
    ]
    caption = f"Served from {shown(value.threshold)} on" if value.threshold is not None else ""
    if value.best_threshold not in (None, value.threshold):
        caption += f"; best on the {value.chosen_on} split from {shown(value.best_threshold)} on"
    chart = r.line_chart(lines, "Value by threshold", "Threshold", unit, caption=f"{caption}.")
    reversed_points = [(point.share, point.total) for point in reversed(points)]
    by_share = r.Line("the model, likeliest first", reversed_points, band=list(reversed(band)))
    ends = [(0.0, value.amounts["none"].total), (1.0, value.amounts["all"].total)]
    chance = r.Line("rows by chance", ends, dashed=True)
    return [
        chart,
        r.line_chart([by_share, chance], "Value by share acted on", "Share of rows acted on", unit, (0.0, 1.0)),
    ]
