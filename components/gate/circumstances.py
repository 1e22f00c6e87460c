"""Gates on what is around a model: what it needs in the real server, and what is wrong with its data."""

from __future__ import annotations

from headrace.artifacts.infra import FIGURES
from headrace.components.gate.evidence import Evidence, NoEvidence, number
from headrace.components.gate.outcome import Outcome, within
from headrace.components.gate.spec import Gate

_MOST_LISTED = 5  # findings in a reason


def infra(gate: Gate, evidence: Evidence) -> Outcome:
    """A figure of the real server."""
    found, name = evidence.infra, str(gate.infra)
    if found is None:
        raise NoEvidence("there is no report of the server")
    if found.model_digest != evidence.model_digest:
        raise NoEvidence(f"the server was given another model, {found.model_digest}")
    if name not in found.figures:
        raise NoEvidence(f"{name} was not measured: {FIGURES.get(name, 'it is not known')}")
    value = number(found.figures, name, {}, "the server")
    of = f" over {found.requests:,} requests of one row" if name.startswith("latency") else ""
    shown = {name: value, **({"requests": found.requests} if of else {})}
    return Outcome(within(gate, value), f"{name} is {value:.4g}{of}", shown)


def anomalies(gate: Gate, evidence: Evidence) -> Outcome:
    """The findings of the data report at a level or above."""
    found = evidence.findings
    if found is None:
        why = evidence.unread.get("findings", "")
        raise NoEvidence("there are no findings of the data report" + (f": {why}" if why else ""))
    own = evidence.own()
    # A segment is looked at with the whole. What says of no data which it is about is about none.
    if not found.dataset or found.dataset not in (own.dataset_digest, own.part_of):
        raise NoEvidence(f"the findings are about other data, {found.dataset}, not {own.dataset_digest}")
    levels = ("error",) if gate.anomalies == "error" else ("error", "warn")
    strange = sorted({item.level for item in found.found} - {"error", "warn"})
    if strange:
        raise NoEvidence(f"the findings have levels that are not known: {', '.join(strange)}")
    counted = [item for item in found.found if item.level in levels]
    what = "errors" if gate.anomalies == "error" else "errors and warnings"
    head = f"{len(counted):,} {what} in the data" if counted else f"no {what} in the data".replace(" and ", " or ")
    lines = [item.line() for item in counted[:_MOST_LISTED]]
    rest = len(counted) - len(lines)
    listed = " | ".join([*lines, *([f"{rest:,} more"] if rest else [])])
    todo = counted[0].todo if counted else ""
    return Outcome(within(gate, len(counted)), head + (f": {listed}" if listed else ""), {what: len(counted)}, todo)
