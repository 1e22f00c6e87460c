"""The analysis of errors on the evaluation's page: what the most wrong rows share, and which they are."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.errors_found import ErrorRule, ErrorsFound, WorstRow
from headrace.artifacts.evaluation import Evaluation

_LOSS = {"log_loss": "log loss", "squared_error": "squared error"}
_MOST_COLUMNS = 8  # of a listed row; the rest is in evaluation.json


def errors(found: Evaluation) -> r.Html | None:
    """The section; None where errors were not analysed."""
    looked = found.errors
    if looked is None:
        return None
    loss = _LOSS[looked.loss]
    blocks: list[r.Html] = []
    if looked.rules:
        headers = ["Rows where", "Rows", f"Mean {loss}", "Others", "Of all error"]
        headers += [] if looked.wrong is None else ["Wrong"]
        rows = [_rule(rule, looked) for rule in looked.rules]
        blocks.append(r.table(headers, rows, "wrrrl" + ("" if looked.wrong is None else "r")))
        text = "A decision tree over the errors of two thirds of the rows; the figures are of the other"
        text += f" {r.count(looked.measured)}, which it has not seen, at 5 % after correction for all its leaves."
        blocks.append(r.paragraph(text))
    elif looked.measured:
        blocks.append(r.callout("The errors share nothing that a shallow tree over the columns could tell.", "good"))
    else:
        blocks.append(r.paragraph("There are too few rows to look for what errors share."))
    if looked.worst:
        shown = list(looked.worst[0].values)[:_MOST_COLUMNS]
        blocks.append(r.details(f"The {len(looked.worst)} most wrong rows", _worst(found, looked, shown)))
    text = f"The mean {loss} is {r.number(looked.mean)}; the worst tenth of the rows has"
    text += f" {r.percent(looked.tenth)} of all of it."
    return r.section("Errors", *blocks, intro=text)


def _rule(rule: ErrorRule, looked: ErrorsFound) -> list[r.Cell]:
    words = r.Html(" <b>and</b> ".join(r.markup(condition) for condition in rule.conditions))
    row: list[r.Cell] = [words, rule.rows, rule.error, rule.others, r.meter(rule.excess, kind="bad")]
    return row if looked.wrong is None else [*row, r.percent(rule.wrong)]


def _worst(found: Evaluation, looked: ErrorsFound, shown: list[str]) -> r.Html:
    named = any(row.id is not None for row in looked.worst)
    classes = found.task == "classification"
    headers = [
        "Id" if named else "Row",
        "True",
        "Predicted",
        "Probability of the truth" if classes else "Error",
        *shown,
    ]
    rows: list[list[r.Cell]] = [
        [_name(row), row.truth, row.predicted, _error(row), *(row.values[name] for name in shown)]
        for row in looked.worst
    ]
    return r.table(headers, rows, "llrr" + "l" * len(shown))


def _name(row: WorstRow) -> str:
    return row.id if row.id is not None else f"{row.row:,}"


def _error(row: WorstRow) -> float:
    return row.error**0.5 if row.probability is None else row.probability
