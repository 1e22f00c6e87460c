"""The tables of a model card's quantitative analyses: fairness, value, images, and what was found in the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.artifacts.attributions import Attributions
from headrace.artifacts.card import Table
from headrace.artifacts.errors_found import ErrorsFound
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.fairness_found import Fairness
from headrace.artifacts.findings import Findings
from headrace.artifacts.image_evaluation import ImageEvaluation, Share
from headrace.artifacts.metrics import FAIRNESS, title_of
from headrace.artifacts.report import number, percent
from headrace.artifacts.value_found import Amount, Value
from headrace.artifacts.worst_slices import WorstSlices

_MOST_FINDINGS = 20
_MOST_GROUPS = 40
_MOST_WORST = 12
_MOST_FEATURES = 12
_RIVALS = {"model": "As it is served", "best": "At the threshold of most value", "all": "Acting on every row",
           "none": "Acting on none", "perfect": "Knowing the truth"}  # fmt: skip


def analyses(found: Evaluation, images: ImageEvaluation | None, findings: Findings | None) -> tuple[Table, ...]:
    """What there is to say beyond metrics and slices."""
    tables = [
        *([class_table(found)] if found.per_class and images is None else []),
        *([worst_table(found.worst)] if found.worst is not None else []),
        *([rules_table(found.errors)] if found.errors is not None and found.errors.rules else []),
        *([attributions_table(found.attributions)] if found.attributions is not None else []),
        *(table for item in found.fairness for table in fairness_tables(found, item)),
        *([value_table(found.value)] if found.value is not None else []),
        *(image_tables(images) if images is not None else []),
        *([findings_table(findings)] if findings is not None and findings.found else []),
    ]
    return tuple(tables)


def class_table(found: Evaluation) -> Table:
    """How well each class is told from all others."""
    metrics = list(dict.fromkeys(name for item in found.per_class for name in item.metrics))
    rows = [(item.name, item.rows, item.predicted, *(item.metrics.get(name) for name in metrics))
            for item in found.per_class]  # fmt: skip
    titles = [title_of(name) for name in metrics]
    return Table("Classes, each against all others", ("Class", "Rows", "Predicted", *titles), tuple(rows))


def worst_table(worst: WorstSlices) -> Table:
    """The parts of the rows with the most error, found by trying all columns, and pairs of them."""
    loss, paired = worst.loss.replace("_", " "), len(worst.paired)
    pairs = "all pairs of them" if paired == len(worst.columns) else f"pairs of {paired:,} of them"
    about = (
        f"{worst.tried:,} parts of at least {worst.least_rows:,} rows were tried, over {len(worst.columns):,} columns "
        f"and {pairs}; listed are those with more {loss} than the other rows by more than chance."
    )
    if not worst.found:
        return Table("Worst parts found", (), (), f"{about} None has.")
    rows = [(f"{item.by} = {item.value}", item.rows, item.error, item.others, percent(item.excess), item.p_value)
            for item in worst.found[:_MOST_WORST]]  # fmt: skip
    headers = ("Part", "Rows", "Mean error", "Of all others", "Share of all error", "p-value, corrected")
    return Table("Worst parts found", headers, tuple(rows), about)


def rules_table(errors: ErrorsFound) -> Table:
    """What the rows share that the model is most wrong about. No single row: a card is for everybody to read."""
    rows = [(" and ".join(rule.conditions), rule.rows, rule.error, rule.others, percent(rule.excess))
            for rule in errors.rules]  # fmt: skip
    headers = ("Rows where", "Rows", f"Mean {errors.loss.replace('_', ' ')}", "Of all others", "Share of all error")
    about = f"The worst tenth of the rows has {percent(errors.tenth)} of all error."
    return Table("What rows with large errors share", headers, tuple(rows), about)


def attributions_table(found: Attributions) -> Table:
    """How much each feature moves the answers."""
    of = f"the probability of {found.of}" if found.of is not None else "the answer"
    rows = [(item.feature, item.size) for item in found.means[:_MOST_FEATURES]]
    about = f"Mean size of Shapley values for {of}, over {found.rows:,} rows, against {found.background:,} others."
    return Table("What moves the answers", ("Feature", "Moves it by"), tuple(rows), about)


def fairness_tables(found: Evaluation, item: Fairness) -> Iterable[Table]:
    """How the groups of a column are treated, and how unequal that is."""
    title = f"Fairness by {item.by}"
    if not item.groups:
        yield Table(title, (), (), f"Not compared: {next(iter(item.undefined.values()), 'there is no group')}.")
        return
    about = f"Positive: {found.label} is {found.positive}." if found.positive is not None else ""
    rows = [
        (group.value, group.rows, _share(group.selection_rate), _share(group.tpr), _share(group.fpr))
        for group in item.groups[:_MOST_GROUPS]
    ]
    if more := len(item.groups) - _MOST_GROUPS:
        about += f" {more} smaller groups are in the evaluation's report." if more > 0 else ""
    headers = ("Group", "Rows", "Predicted positive", "True positive rate", "False positive rate")
    yield Table(title, headers, tuple(rows), about.strip())
    values = [
        (FAIRNESS[name].title if name in FAIRNESS else name, value, _between(item.intervals.get(name)), _fair(name))
        for name, value in item.metrics.items()
    ]
    yield Table(f"{title}: how unequal", ("Measure", "Value", "95 % interval", "Fair at"), tuple(values))


def value_table(value: Value) -> Table:
    """What the decisions are worth, beside those of acting on all and on none."""
    unit = value.currency or "the unit of the spec's gains"
    if value.undefined:
        return Table("Value of the decisions", (), (), f"Not measured: {value.undefined}.")
    gains = ", ".join(f"{name.replace('_', ' ')} {words}" for name, words in value.gains.items())
    at = "" if value.threshold is None else f" The model acts at threshold {number(value.threshold)}."
    rows = [(_RIVALS.get(name, name), *_amount(item)) for name, item in value.amounts.items()]
    rows += [(f"The model, more than {_RIVALS.get(name, name).lower()}", *_amount(item)) for name, item in
             value.over.items()]  # fmt: skip
    about = f"In {unit}, over {value.rows:,} rows, where a row of each outcome brings: {gains}.{at}"
    return Table("Value of the decisions", ("Decisions", "Total", "95 % interval", "Per row"), tuple(rows), about)


def _amount(item: Amount) -> tuple[float, str, float]:
    return item.total, _between((item.low, item.high)), item.per_row


def image_tables(images: ImageEvaluation) -> Iterable[Table]:
    """How well each class of images is found, at which operating point, and what changes of the light do."""
    rows = [(item.name, item.rows, _counted(item.recall), _counted(item.precision)) for item in images.classes]
    truth = f" Measured against the column {images.truth}." if images.truth else ""
    yield Table("Classes", ("Class", "Images", "Recall", "Precision"), tuple(rows),
                f"Shares with their 95 % intervals (Wilson).{truth}")  # fmt: skip
    point = images.operating
    if point is not None and point.reached is not None and point.threshold is not None:
        lines = [("threshold " + number(point.threshold), point.reached), ("most probable class", point.usual)]
        made = [(name, _counted(item.recall), _counted(item.precision), _counted(item.flagged)) for name, item in lines]
        yield Table(f"Finding {point.name}", ("Decision", "Recall", "Precision", "Called so"), tuple(made),
                    f"At least {percent(point.at_least)} of its images are to be found.")  # fmt: skip
    if images.robustness:
        tried = [(f"{item.change} {item.amount:g}".replace("none 0", "unchanged"), _counted(item.accuracy),
                  _counted(item.changed)) for item in images.robustness]  # fmt: skip
        yield Table("Changed images", ("Change", "Accuracy", "Other answers than before"), tuple(tried))


def findings_table(findings: Findings) -> Table:
    """What was found wrong with the data, errors first."""
    rows = [(finding.level, finding.where, f"expected {finding.expected}. Received: {finding.received}")
            for finding in findings.found[:_MOST_FINDINGS]]  # fmt: skip
    more = len(findings.found) - len(rows)
    about = f"{more} more are in the data report." if more else ""
    return Table("Findings about the data", ("Level", "Where", "What"), tuple(rows), about)


def _share(value: float | None) -> str:
    return percent(value)


def _counted(share: Share | None) -> str:
    if share is None:
        return "–"
    return f"{percent(share.value)} ({share.count:,} of {share.of:,}; {percent(share.low)} – {percent(share.high)})"


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"{number(interval[0], 3)} – {number(interval[1], 3)}"


def _fair(name: str) -> Any:
    return 1 if name in FAIRNESS and FAIRNESS[name].higher_is_better else 0
