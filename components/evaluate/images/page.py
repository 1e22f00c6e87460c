"""The sections of the evaluation's report that only a model of images has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from headrace.artifacts import report as r
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.image_evaluation import (
    REVIEW_FILE,
    UNCERTAIN,
    WRONG,
    Labels,
    OperatingPoint,
    Operation,
    Review,
    Robustness,
    Share,
)
from headrace.artifacts.report import Html
from headrace.components.evaluate.images.robustness import NONE
from headrace.components.evaluate.images.tiles import MOST_KINDS, MOST_LISTED, Looked, Mistake, Seen

_MOST_CLASSES = 10  # in the matrix of pictures
_FEW_CLASSES = 6  # beyond, its pictures are smaller
_AXES = {"brightness": "Brightness, factor", "blur": "Blur, pixels", "rotation": "Rotation, degrees"}


def in_matrix(found: Evaluation) -> bool:
    """Whether there are so few classes that the confusion matrix is shown with pictures in it."""
    return 0 < len(found.classes) <= _MOST_CLASSES


def first(found: Evaluation, seen: Seen) -> list[Html]:
    """What stands before the curves: is the class found that must be, and what is taken for what."""
    parts = [_operating(seen.found.operating), _classes(seen), _mistakes(found, seen)]
    return [part for part in parts if part is not None]


def second(seen: Seen) -> list[Html]:
    """What stands behind the curves: why, under what light, and which labels to look at again."""
    parts = [_looked(seen), _robustness(seen), _review(seen)]
    return [part for part in parts if part is not None]


def _operating(point: OperatingPoint | None) -> Html | None:
    if point is None:
        return None
    title = f"Finding {point.name}"
    if point.threshold is None or point.reached is None or point.chosen is None:
        words = f"No threshold could be chosen: the split to choose on has no image of {point.name}."
        return r.section(title, r.callout(words, "bad"))
    now, usual = point.reached, point.usual
    at = r.number(point.threshold)
    intro = (
        f"Required: {point.at_least * 100:g} % of the images of {point.name} are found. An image is called "
        f"{point.name} where its probability is at least {at}, and else the most probable of the other classes. "
        f"The threshold was chosen on {point.chosen.split} and is measured on {now.split}."
    )
    rows = [
        _operation(f"threshold {at}", now),
        _operation("most probable class", usual),
        _operation(f"threshold, on {point.chosen.split}", point.chosen),
    ]
    headers = ["Decision", "Recall", "Missed", "Precision", "False alarms", "Called so", "Accuracy of all"]
    blocks = [_verdict(point, now, usual), r.table(headers, rows, "llrlrrl")]
    if point.curve:
        blocks.append(r.grid(_price(point, now, usual), _thresholds(point)))
    return r.section(title, *blocks, intro=intro)


def _verdict(point: OperatingPoint, now: Operation, usual: Operation) -> Html:
    if now.recall is None:
        return r.callout(f"No image of {now.split} is {point.name}: the recall is not known.", "warn")
    reached = now.recall.value >= point.at_least
    text = (
        f"{r.percent(now.recall.value)} of {now.recall.of:,} are found ({_interval(now.recall)}), "
        f"{_alarms(now):,} of the others are called {point.name} too"
    )
    if usual.recall is not None:
        more = _alarms(now) - _alarms(usual)
        fewer = _missed(usual) - _missed(now)
        text += f". Against the most probable class: {_more(fewer)} found, {_more(more)} false alarms"
    if not reached and now.recall.high >= point.at_least:
        return r.callout(
            f"{text}. The interval reaches beyond what is required.", "warn", "Just missed, within chance."
        )
    if not reached:
        return r.callout(f"{text}.", "bad", "Not reached.")
    if now.recall.low < point.at_least:
        return r.callout(f"{text}. The interval reaches below what is required.", "warn", "Reached, not beyond doubt.")
    return r.callout(f"{text}.", "good", "Reached.")


def _more(count: int) -> str:
    return f"{count:+,}".replace("-", "\N{MINUS SIGN}") if count else "no more"


def _operation(name: str, item: Operation) -> list[r.Cell]:
    missed = None if item.recall is None else _missed(item)
    return [
        name,
        _share(item.recall),
        missed,
        _share(item.precision),
        _alarms(item),
        r.percent(item.flagged.value),
        _share(item.accuracy),
    ]


def _missed(item: Operation) -> int:
    return item.recall.of - item.recall.count if item.recall else 0


def _alarms(item: Operation) -> int:
    return item.precision.of - item.precision.count if item.precision else 0


def _price(point: OperatingPoint, now: Operation, usual: Operation) -> Html:
    lines = [
        r.Line(point.name, [(recall, precision) for _, recall, precision in point.curve]),
        r.Line("required", [(point.at_least, 0), (point.at_least, 1)], dashed=True),
    ]
    for name, item in (("threshold", now), ("most probable class", usual)):
        if item.recall and item.precision:
            lines.append(r.Line(name, [(item.recall.value, item.precision.value)], marks=True))
    return r.line_chart(lines, "What recall costs in precision", "Recall", "Precision", (0, 1), (0, 1))


def _thresholds(point: OperatingPoint) -> Html:
    threshold = float(point.threshold or 0)
    lines = [
        r.Line("recall", [(at, recall) for at, recall, _ in point.curve]),
        r.Line("precision", [(at, precision) for at, _, precision in point.curve]),
        r.Line(f"threshold {r.number(threshold)}", [(threshold, 0), (threshold, 1)], dashed=True),
    ]
    return r.line_chart(lines, "By threshold", f"Probability of {point.name}", "", (0, 1), (0, 1))


def _classes(seen: Seen) -> Html:
    labels = seen.found.labels
    rows = []
    for item in seen.found.classes:
        own = [_share(labels.recall[item.name])] if labels else []
        rows.append([item.name, item.rows, _share(item.recall), *own, _share(item.precision), _called(seen, item.name)])
    headers = [
        "Class",
        "Images",
        "Recall",
        *(["Recall of the labels"] if labels else []),
        "Precision",
        "Mostly taken for",
    ]
    blocks = [r.table(headers, rows, "lr" + "l" * (len(headers) - 2))]
    if labels:
        blocks.append(_labels(labels))
    intro = "Recall: of a class's images, those called so. Precision: of those called so, the right ones."
    return r.section("Classes", *blocks, intro=intro)


def _called(seen: Seen, name: str) -> str:
    code = seen.scores.classes.index(name)
    wrong = [(item.count, seen.scores.classes[item.predicted]) for item in seen.mistakes if item.actual == code]
    return ", ".join(f"{other} ({count:,})" for count, other in wrong[:2])


def _labels(labels: Labels) -> Html:
    words = f"The labels themselves are right in {r.percent(labels.accuracy.value)} of {labels.accuracy.of:,} images"
    words += f" ({_interval(labels.accuracy)})."
    if labels.review:
        listed, wrong = labels.review.of, labels.review.count
        labelled, are = f"label{'s' * (listed != 1)}", "is" if wrong == 1 else "are"
        words += f" Of the {listed:,} {labelled} that the review list doubts most, {wrong:,} {are} wrong."
    return r.paragraph(words)


def _share(share: Share | None) -> r.Cell:
    """A share with its interval below it."""
    if share is None:
        return "–"
    return Html(f"{r.meter(share.value)}<br><small class='muted'>{_interval(share)}</small>")


def _interval(share: Share) -> str:
    high = "100" if share.high == 1 else f"{share.high * 100:.1f}"
    return f"{share.low * 100:.1f} – {high} %"


def _mistakes(found: Evaluation, seen: Seen) -> Html:
    total = sum(item.count for item in seen.mistakes)
    if not total:
        return r.section("Mistakes", r.callout("Every image was called what it is.", "good"))
    blocks = [_matrix(found, seen)] if in_matrix(found) else []
    several = [item for item in seen.mistakes[:MOST_KINDS] if item.count > 1 or not in_matrix(found)]
    for item in several:
        actual, said = (seen.scores.classes[code] for code in (item.actual, item.predicted))
        shown = f", the surest {len(item.places)} of them" if item.count > len(item.places) else ""
        title = f"{actual} taken for {said}: {item.count:,} {'image' if item.count == 1 else 'images'}{shown}"
        blocks.append(r.details(title, _pictures(_example(seen, item, place) for place in item.places)))
    intro = f"In each cell stands the image for which the model was surest. {_zoom()}" if in_matrix(found) else _zoom()
    return r.section("Mistakes", *blocks, intro=intro)


def _zoom() -> str:
    return "Point at a picture to enlarge it."


def _example(seen: Seen, item: Mistake, place: int) -> Html:
    said = seen.scores.outputs[place, item.predicted]
    caption = _lines([f"{seen.scores.classes[item.predicted]} ({r.percent(float(said))})", seen.paths[place]])
    return r.image(seen.tiles[int(seen.rows[place])], seen.paths[place], caption)


def _matrix(found: Evaluation, seen: Seen) -> Html:
    """The confusion matrix, with the surest mistake of each kind."""
    first_of = {(item.actual, item.predicted): item.places[0] for item in seen.mistakes}
    head = "".join(f'<th scope="col" class="c">{r.markup(name)}</th>' for name in found.classes)
    lines = []
    for actual, row in enumerate(found.confusion):
        total = sum(row)
        cells = ""
        for predicted, count in enumerate(row):
            place = first_of.get((actual, predicted))
            picture = "" if place is None else r.image(seen.tiles[int(seen.rows[place])], seen.paths[place])
            part = count / total if total else 0.0
            deep = " deep" if part > 0.75 else ""
            share = f"<small>{r.percent(part)}</small>" if count else ""
            cells += (
                f'<td class="c{deep}" style="--share:{part:.3f}"><span>{r.markup(count)}</span>{share}{picture}</td>'
            )
        lines.append(f'<tr><th scope="row">{r.markup(found.classes[actual])}</th>{cells}</tr>')
    at = "" if found.threshold is None else f" at threshold {found.threshold:g}"
    corner = f'<th scope="colgroup" class="c" colspan="{len(found.classes)}">Predicted</th>'
    many = " many" if len(found.classes) > _FEW_CLASSES else ""
    return Html(
        f'<figure class="wide"><figcaption>Confusion matrix{at}</figcaption><div class="scroll" tabindex="0">'
        f'<table class="heat shown{many}"><thead><tr><td></td>{corner}</tr>'
        f'<tr><th scope="col">Actual</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></figure>"
    )


def _pictures(pictures: Iterable[Html]) -> Html:
    return Html(f'<div class="pictures large">{"".join(pictures)}</div>')


def _looked(seen: Seen) -> Html | None:
    if not seen.looked:
        return None
    right = [item for item in seen.looked if _is_right(seen, item)]
    wrong = [item for item in seen.looked if not _is_right(seen, item)]
    blocks: list[Html] = []
    for title, items in (("Right, and surest of its class", right), ("Wrong, and surest of its kind", wrong)):
        if items:
            blocks.append(Html(f"<p><strong>{title}</strong></p>"))
            blocks.append(Html(f'<div class="looked">{"".join(_look(seen, item) for item in items)}</div>'))
    intro = (
        "Parts of each picture were blurred away in turn. Orange is where that takes most from the class; the figures "
        "are its probability for the whole picture, and without the part that matters most. Where no part matters "
        "alone, the answer rests on what is absent, or on the picture as a whole."
    )
    return r.section("What the model looked at", *blocks, intro=intro)


def _is_right(seen: Seen, item: Looked) -> bool:
    return bool(seen.scores.predicted[item.place] == seen.scores.truth[item.place])


def _look(seen: Seen, item: Looked) -> Html:
    scores = seen.scores
    actual, said = (scores.classes[code[item.place]] for code in (scores.truth, scores.predicted))
    probability = r.percent(float(scores.outputs[item.place, scores.predicted[item.place]]))
    about = f"{actual}, {probability}" if actual == said else f"{actual}, taken for {said}, {probability}"
    parts = [r.image(item.uri, seen.paths[item.place], _unbroken(about))]
    for name, whole, least, uri in item.maps:
        if uri:
            fall = f"for {name}: {r.percent(whole)} → {r.percent(least)}"
            parts.append(r.image(uri, f"evidence for {name}", _unbroken(fall)))
        else:
            parts.append(r.image(item.uri, f"no part speaks for {name}", f"for {name}: no part alone"))
    return Html(f'<div class="pictures large">{"".join(parts)}</div>')


def _unbroken(text: str) -> str:
    """With spaces before per cent signs that do not break."""
    return text.replace(" %", "\N{NO-BREAK SPACE}%")


def _robustness(seen: Seen) -> Html | None:
    found = seen.found.robustness
    if not found:
        return None
    base = found[0]
    watched = seen.found.operating.name if seen.found.operating and base.recall else None
    charts = []
    for change, group in groupby(found[1:], key=lambda item: item.change):
        points = sorted([*group, _unchanged(base, change)], key=lambda item: item.amount)
        charts.append(_chart(change, points, watched))
    rows = [
        [_words(item), _share(item.accuracy), _share(item.changed) if item.change != NONE else "–"]
        + ([_share(item.recall)] if watched else [])
        for item in found
    ]
    headers = ["Change", "Accuracy", "Other answers than unchanged", *([f"Recall of {watched}"] if watched else [])]
    table = r.details("In figures", r.table(headers, rows, "l" * len(headers)))
    intro = f"{base.accuracy.of:,} images, drawn at random and changed before the model sees them."
    intro += f" The recall of {watched} is by its threshold." if watched else ""
    return r.section("Robustness", Html(f'<div class="grid three">{"".join(charts)}</div>'), table, intro=intro)


def _unchanged(base: Robustness, change: str) -> Robustness:
    amount = 1.0 if change == "brightness" else 0.0
    return Robustness(change, amount, base.accuracy, base.changed, base.recall)


def _chart(change: str, points: Sequence[Robustness], watched: str | None) -> Html:
    band = [(item.accuracy.low, item.accuracy.high) for item in points]
    lines = [r.Line("accuracy", [(item.amount, item.accuracy.value) for item in points], marks=True, band=band)]
    if watched:
        known = [(item.amount, item.recall.value) for item in points if item.recall]
        lines.append(r.Line(f"recall of {watched}", known, marks=True))
    return r.line_chart(lines, change.capitalize(), _AXES[change], "", y_range=(0, 1))


def _words(item: Robustness) -> str:
    if item.change == NONE:
        return "unchanged"
    if item.change == "brightness":
        return f"{abs(item.amount - 1):.0%} {'brighter' if item.amount > 1 else 'darker'}".replace("%", " %")
    if item.change == "blur":
        return f"blurred by {item.amount:g} {'pixel' if item.amount == 1 else 'pixels'}"
    return f"turned by {item.amount:g}°"


def _review(seen: Seen) -> Html | None:
    listed = seen.found.review
    if not listed:
        return None
    blocks: list[Html] = []
    intros = {
        WRONG: "The model is sure of another class than the label: the label may be wrong.",
        UNCERTAIN: "Two classes are nearly as probable: labels of such images teach the model most.",
    }
    for reason, text in intros.items():
        items = [item for item in listed if item.reason == reason]
        if items:
            more = f" {MOST_LISTED} of {len(items):,} are shown." if len(items) > MOST_LISTED else ""
            blocks.append(Html(f"<p><strong>{reason.capitalize()}.</strong> {r.markup(text + more)}</p>"))
            blocks.append(_pictures(_listed(seen, item) for item in items[:MOST_LISTED]))
    intro = f"All {len(listed):,} stand in the evaluation's {REVIEW_FILE}, with an empty column for who looks at them."
    return r.section("Labels to review", *blocks, intro=intro)


def _listed(seen: Seen, item: Review) -> Html:
    lines = [f"label {item.label} ({r.percent(item.label_probability)})"] if item.label != item.predicted else []
    lines.append(f"model {item.predicted} ({r.percent(item.probability)})")
    if item.label == item.predicted:
        lines.append("as its label")
    if item.truth is not None:
        lines.append(f"truly {item.truth}")
    if item.copies:
        lines.append(f"and {item.copies:,} more alike")
    return r.image(seen.tiles[item.row], item.path, _lines([*lines, item.path]))


def _lines(lines: Iterable[str]) -> Html:
    return Html("<br>".join(r.markup(_unbroken(line)) for line in lines))
