"""What the reader of a gate that is not passed can do about it."""

from __future__ import annotations

from headrace.components.gate.spec import Gate

_MISSING = "Find out why the evidence is not there: look at the log and the report of the step that writes it"
_CLASS = (
    "Name a class that was measured in the gate's `class`; where the reason is another, look at the evaluation's log"
)
_ALWAYS = (
    "What the reason says holds for every model: too few rows need more data, or a larger `data.split.test`; a server "
    "that does not answer, a look at its step's log"
)
_BY_KIND = {
    "metric": "See the worst slices and errors in the evaluation's report; then more or better data, or other settings "
    "of `train`; of a table, `features` and `train.tune` too",
    "fairness": "See the groups in the evaluation's report: rows, labels and features that stand for the group",
    "value": "See the value by threshold in the evaluation's report; `train: {threshold: value}` chooses it",
    "infra": "A smaller model (fewer trees or layers, fewer features) is faster, smaller, and starts sooner",
    "anomalies": "See the data report: put the data right, or what the schema expects of it",
}
_VERSUS = "The champion stays in service; `headrace models compare` shows both"


def advice(gate: Gate | None, missing: bool = False) -> str:
    """What to do about a gate, or about what always must hold."""
    if gate is None:
        return _MISSING if missing else _ALWAYS
    if missing:
        return _MISSING if gate.class_ is None else _CLASS
    if gate.metric is not None and gate.versus == "champion":
        return _VERSUS
    return _BY_KIND[gate.kind]
