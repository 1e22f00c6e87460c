"""The limits of a model that its run found: where it is worse, what was not looked at, what will not stay as it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from headrace.artifacts.card import ModelCard
from headrace.artifacts.decision import Verdict
from headrace.artifacts.evaluation import Evaluation, Unjudged
from headrace.artifacts.findings import Findings
from headrace.artifacts.image_evaluation import ImageEvaluation
from headrace.artifacts.metrics import METRICS, title_of
from headrace.artifacts.report import number, percent
from headrace.artifacts.signature import Input
from headrace.artifacts.worst_slices import WorstSlice
from headrace.components.card.drift import Moved
from headrace.components.card.measured import gap, main_metric, slice_name, surely_worse, worst_first
from headrace.trainer.known import day

_MOST = 5  # of one kind of limit that are spelt out
_MOST_NAMES = 8


def found_limits(
    found: Evaluation,
    verdict: Verdict,
    findings: Findings | None,
    inputs: Iterable[Input],
    shifted: list[Moved] | None,
    query: Mapping[str, Any],
    images: ImageEvaluation | None = None,
) -> tuple[str, ...]:
    """All that was found, what matters most first; `shifted` is None where rows were not split by time."""
    return (
        *_gates(verdict),
        *_worst_slices(found),
        *_not_robust(images),
        *_unmeasured(found),
        *_unjudged(found),
        *_uncompared(found),
        *_drifting(findings, list(inputs), shifted, query),
    )


def unsaid(card: ModelCard) -> tuple[str, ...]:
    """What only the owner can say, and did not."""
    wanted = {"purpose": card.purpose, "owners": card.owners, "out_of_scope": card.out_of_scope,
              "considerations": card.considerations}  # fmt: skip
    missing = [name for name, said in wanted.items() if not said]  # plain: a card has no code in its sentences
    if not missing:
        return ()
    return (f"The owner has not said: {', '.join(missing)}. Say it in the spec's section card.",)


def _gates(verdict: Verdict) -> Iterator[str]:
    for item in verdict.decisions:
        if item.passed is not True:
            yield f"It did not pass a gate: {item.gate}: {item.reason}."


def _worst_slices(found: Evaluation) -> Iterator[str]:
    """Where it is worse: what the search found first, then the other slices that the spec asks for."""
    searched = found.worst.found if found.worst is not None else ()
    for item in searched[:_MOST]:
        yield _found_slice(item, str(found.worst and found.worst.loss))
    told = {(item.by, item.value) for item in searched[:_MOST]}
    main = main_metric(found)
    worse = [part for part in worst_first(found) if surely_worse(found, part) and (part.by, part.value) not in told]
    for part in worse[:_MOST]:
        named, value = METRICS[str(main)].title, number(part.metrics[str(main)])
        worse_by = number(-gap(found, part), 2)
        yield (f"On {slice_name(part)} ({part.rows:,} rows) its {named} is {value}, {worse_by} worse than on all rows, "
               "which is more than chance explains.")  # fmt: skip
    if len(worse) > _MOST:
        yield f"It is worse than on all rows on {len(worse) - _MOST} more slices; all are in the table."
    for part in worst_first(found):
        if main is not None and main not in part.metrics:
            why = part.undefined.get(main, "no reason was given")
            yield f"On {slice_name(part)} ({part.rows:,} rows) it could not be judged: {why}."
    if not found.slices and not found.unjudged and found.worst is None:
        yield "It was not measured on parts of the rows: evaluate.slices in the spec names none."


def _found_slice(item: WorstSlice, loss: str) -> str:
    error = f"mean {loss.replace('_', ' ')} {number(item.error)} against {number(item.others)} on all other rows"
    if item.misjudged and item.predicted is not None and item.observed is not None:
        why = f": it says {number(item.predicted)} where {number(item.observed)} is true"
    elif item.misjudged is False:
        why = ": these rows are harder to tell, and not misjudged on the whole"
    else:
        why = ""
    return f"Worst part: {item.by} = {item.value} ({item.rows:,} rows), {error}{why}."


def _not_robust(images: ImageEvaluation | None) -> Iterator[str]:
    """The changes of the light and the camera that cost more accuracy than chance explains."""
    tried = images.robustness if images is not None else ()
    usual = next((item.accuracy for item in tried if item.change == "none"), None)
    for item in tried:
        if usual is not None and item.accuracy.high < usual.low:
            now, then = percent(item.accuracy.value), percent(usual.value)
            yield f"Images changed by {item.change} {item.amount:g}: accuracy {now}, against {then} unchanged."


def _unmeasured(found: Evaluation) -> Iterator[str]:
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.undefined.items():
        by_reason.setdefault(reason, []).append(title_of(name))
    for reason, names in by_reason.items():
        yield f"Not measured: {_listed(names)}: {reason}."


def _unjudged(found: Evaluation) -> Iterator[str]:
    for rest in found.unjudged:
        if rest.small:
            yield (f"{rest.by}: {_values(rest)} with fewer than {rest.least_rows} rows, {rest.small_rows:,} in all, "
                   "were not judged.")  # fmt: skip
        if rest.left_out:
            yield f"{rest.by}: {rest.left_out:,} values beyond those looked at were not judged."


def _values(rest: Unjudged) -> str:
    named = f" ({_listed(rest.values, rest.small)})" if rest.values else ""
    return f"{rest.small:,} value{'s' if rest.small > 1 else ''}{named}"


def _uncompared(found: Evaluation) -> Iterator[str]:
    for item in found.fairness:
        if item.small_groups:
            yield (f"{item.by}: too small to be compared for fairness (fewer than {item.least_rows} rows): "
                   f"{_listed(item.small_groups)}.")  # fmt: skip
        elif not item.groups:
            yield f"{item.by}: not compared for fairness: {next(iter(item.undefined.values()), 'there is no group')}."
    if not found.fairness and found.positive is not None:
        yield "No groups were compared for fairness: neither evaluate.fairness nor a gate in the spec names any."


def _drifting(
    findings: Findings | None, inputs: list[Input], shifted: list[Moved] | None, query: Mapping[str, Any]
) -> Iterator[str]:
    for kind, text in (("drift", "has drifted from the champion's data"), ("skew", "differs in logged requests")):
        names = [finding.where for finding in (findings.found if findings else []) if finding.check == kind]
        if names:
            plural = text if len(names) == 1 else text.replace("has", "have").replace("differs", "differ")
            yield f"Prone to drift: {_listed(names)} {plural}."
    for item in (shifted or [])[:_MOST]:
        yield (f"Prone to drift: {item.feature} is not distributed in test as in train, which is earlier "
               f"({item.measure} {number(item.distance, 2)}).")  # fmt: skip
    if shifted and len(shifted) > _MOST:
        yield f"Prone to drift, too: {_listed([item.feature for item in shifted[_MOST:]])}."
    dates = [item for item in inputs if item.type == "date" and item.max is not None]
    if dates:
        named = _listed([f"{item.name} (known until {day(item.max)})" for item in dates if item.max is not None])
        yield f"Prone to drift: dates leave what is known as time goes by: {named}."
    if shifted is None and any(item.type != "image" for item in inputs):
        by = query.get("split", {}).get("by", "hash")
        yield f"Rows were split by {by}, not by time: how it ages was not measured."


def _listed(names: Iterable[str], total: int = 0) -> str:
    every = list(names)
    more = max(total, len(every)) - len(every[:_MOST_NAMES])
    return ", ".join(every[:_MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")
