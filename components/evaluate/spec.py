"""The `evaluate` section of the spec."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from headrace.artifacts.by import By, as_by
from headrace.artifacts.fairness_found import SMALLEST_GROUP
from headrace.artifacts.metrics import FAIRNESS, METRICS, most_read
from headrace.components.evaluate.fairness_spec import FairnessSpec
from headrace.components.evaluate.look_spec import ErrorsSpec, ExplainSpec
from headrace.components.evaluate.value_spec import ValueSpec
from headrace.components.gate.spec import Columns, Gate, default_gates
from headrace.components.section import Section
from headrace.components.statistics.spec import BeamSpec, runner_of


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


class BatchesSpec(Section):
    """How a split of more rows than fit in memory is measured: in batches, by one process or by Apache Beam."""

    most_rows: int = Field(default=2_000_000, ge=1_000)
    """A split of at most so many rows is scored at once, and everything is measured on all of its rows. Of a larger one
    the metrics, their curves and the confusion matrix are of all rows; intervals, slices, groups, importance and all
    else that divides rows are of so many of them at most, drawn with the seed."""
    beam: BeamSpec | None = None
    """Score and count by Apache Beam, whatever the number of rows. By default one process does, batch by batch."""


class EvaluateSpec(Section):
    """How a model is measured on the test split, and what it must reach to be registered and served."""

    slices: list[Columns] = Field(default_factory=list)
    """Columns by whose values the metrics are shown, and pairs of them such as `[plan, region]`; a number's values are
    put into quartiles."""
    errors: ErrorsSpec = ErrorsSpec()
    """How errors are looked at: the worst parts of the rows, and the worst rows."""
    explain: ExplainSpec = ExplainSpec()
    """What features contributed to answers."""
    fairness: FairnessSpec | None = None
    """Groups of rows, of people mostly, whose treatment is compared; those that gates name are compared as well."""
    value: ValueSpec | None = None
    """What the model's decisions bring: a gain or cost for each outcome. Two classes only."""
    gates: list[Gate] | None = None
    """What must hold. By default: better than a constant, no worse than the champion. `[]` never passes."""
    weight: str | None = Field(default=None, min_length=1)
    """A column of numbers, 0 or more: how much a row counts in every metric. By default all rows count the same."""
    batches: BatchesSpec = BatchesSpec()
    """How many rows are held in memory, and by whom they are scored where there are more."""
    tfma: bool = False
    """Also write the evaluation as TensorFlow Model Analysis reads it, into the folder `tfma` of the evaluation."""
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
    def gated_by(self) -> list[By]:
        """What gates divide rows by, slices and groups: kept with the scores of each row."""
        return list(dict.fromkeys(gate.divides for gate in self.gates or [] if gate.divides is not None))

    @property
    def slice_columns(self) -> list[By]:
        """The columns to slice by: those that are asked for, and those that gates look at."""
        return list(dict.fromkeys([*self.slices, *(g.slice for g in self.gates or [] if g.slice)]))

    @property
    def fairness_columns(self) -> list[By]:
        """What groups are compared by: as is asked for, and as gates look at it."""
        gated = [as_by(gate.by) for gate in self.gates or [] if gate.by]
        return list(dict.fromkeys([*(self.fairness.columns if self.fairness else []), *gated]))

    @property
    def least_rows_of_groups(self) -> int:
        """Rows that a group must have to be compared."""
        return self.fairness.least_rows if self.fairness else SMALLEST_GROUP

    def misfits(self, task: str) -> dict[int, str]:
        """What of the gates does not go with a task, by the gate's index: `rmse` in a classification, say."""
        found = {}
        for index, gate in enumerate(self.gates or []):
            if gate.metric and not METRICS[gate.metric].fits(task):
                near = [name for name in difflib.get_close_matches(gate.metric, METRICS, 9) if METRICS[name].fits(task)]
                known = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(most_read(task))}, and more"
                found[index] = f"expected a metric of {task}. Received: {gate.metric}; {known}"
            if gate.fairness and not FAIRNESS[gate.fairness].fits(task):
                known = ", ".join(name for name, info in FAIRNESS.items() if info.fits(task))
                found[index] = f"expected a fairness metric of {task}: {known}. Received: {gate.fairness}"
            if gate.value and task != "classification":
                found[index] = f"expected gates on value only in a classification. Received: {task}"
            elif gate.value and self.value is None:
                found[index] = "expected `evaluate.value`, what decisions are worth, for a gate on it. Received: none"
        return found

    def without_classes(self, task: str) -> dict[str, str]:
        """The fields that are given although there are no decisions to value, with what to say of each."""
        if self.value is None or task == "classification":
            return {}
        return {"value": f"expected gains of decisions only in a classification. Received: them in a {task}"}

    def without_images(self, of_images: bool) -> dict[str, str]:
        """The fields that are given although the rows are no pictures, or are, with what to say of each."""
        if of_images and self.explain != ExplainSpec():
            return {"explain": "expected this only of a table; of images see `look`. Received: it with images"}
        given = [] if of_images else [name for name in ("truth", "recall", "look") if getattr(self, name) is not None]
        return dict.fromkeys(given, "expected this only of images. Received: it with a table")


def with_runner(settings: EvaluateSpec, runner: str, options: Mapping[str, Any] | None = None) -> EvaluateSpec:
    """The settings with another Beam runner; blank changes nothing, and `none` is in process.

    `options` are Beam's that the place of the run adds; the section's own go before them.

    Raises:
        HeadraceError: Beam has no such runner.
    """
    beam = runner_of(settings.batches.beam, runner, options)
    return settings.model_copy(update={"batches": settings.batches.model_copy(update={"beam": beam})})
