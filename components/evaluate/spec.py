"""The `evaluate` section of the spec."""

from __future__ import annotations

from pydantic import Field

from headrace.artifacts.metrics import METRICS
from headrace.components.gate.spec import Gate, default_gates
from headrace.components.section import Section


class RecallSpec(Section):
    """A share of one class that must be found, whatever else that costs."""

    name: str = Field(alias="class")
    """The class, such as `crack`."""
    at_least: float = Field(gt=0, le=1, allow_inf_nan=False)
    """The share of its images that must be called so; the threshold for it is chosen on eval."""


class LookSpec(Section):
    """How many images are looked at more closely than the metrics do."""

    review: int = Field(default=50, ge=0, le=10_000)
    """Images of the label review list, for each of its two reasons."""
    attention: int = Field(default=8, ge=0, le=100)
    """Images of which is shown what the model looked at: some 150 answers each."""
    robustness: int = Field(default=200, ge=0, le=100_000)
    """Images that are tried brighter, darker, blurred and turned: ten answers each."""


class EvaluateSpec(Section):
    """How a model is measured on the test split, and what it must reach to be registered and served."""

    slices: list[str] = Field(default_factory=list)
    """Columns by whose values the metrics are shown; a number's values are put into quartiles."""
    gates: list[Gate] | None = None
    """What must hold. By default: better than a constant, no worse than the champion. `[]` never passes."""
    seed: int = Field(default=0, ge=0)
    """Of the resampling that gives the intervals, and of the images that are sampled."""
    truth: str | None = None
    """Images: a column with what is true where the label may be wrong, as of a test set that was looked at twice.
    Everything is then measured against it; images without a truth are left out."""
    recall: RecallSpec | None = None
    """Images: the operating point for one class, `{class: crack, at_least: 0.95}`."""
    look: LookSpec | None = None
    """Images: how many are looked at more closely."""

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

    def without_images(self, of_images: bool) -> dict[str, str]:
        """The fields that are given although the rows are no pictures, with what to say of each."""
        given = [] if of_images else [name for name in ("truth", "recall", "look") if getattr(self, name) is not None]
        return dict.fromkeys(given, "expected this only of images. Received: it with a table")
