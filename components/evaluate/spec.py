"""The `evaluate` section of the spec."""

from __future__ import annotations

from pydantic import Field

from headrace.artifacts.metrics import METRICS
from headrace.components.gate.spec import Gate, default_gates
from headrace.components.section import Section


class EvaluateSpec(Section):
    """How a model is measured on the test split, and what it must reach to be registered and served."""

    slices: list[str] = Field(default_factory=list)
    """Columns by whose values the metrics are shown; a number's values are put into quartiles."""
    gates: list[Gate] | None = None
    """What must hold. By default: better than a constant, no worse than the champion. `[]` never passes."""
    seed: int = Field(default=0, ge=0)
    """Of the resampling that gives the intervals."""

    def gates_for(self, task: str) -> list[Gate]:
        """The gates of the spec, or the default ones of the task."""
        return default_gates(task) if self.gates is None else self.gates

    @property
    def slice_columns(self) -> list[str]:
        """The columns to slice by: those that are asked for, and those that gates look at."""
        return list(dict.fromkeys([*self.slices, *(g.slice for g in self.gates or [] if g.slice)]))

    @property
    def fairness_columns(self) -> list[str]:
        """The columns whose groups are compared."""
        return list(dict.fromkeys(g.by for g in self.gates or [] if g.by))

    def misfits(self, task: str) -> dict[int, str]:
        """What of the gates does not go with a task, by the gate's index: `rmse` in a classification, say."""
        found = {}
        for index, gate in enumerate(self.gates or []):
            if gate.metric and not METRICS[gate.metric].fits(task):
                known = ", ".join(name for name, info in METRICS.items() if info.fits(task))
                found[index] = f"expected a metric of {task}: {known}. Received: {gate.metric}"
            if gate.fairness and task != "classification":
                found[index] = f"expected fairness gates only in a classification. Received: {task}"
        return found
