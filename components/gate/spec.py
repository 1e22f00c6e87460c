"""The gates of the spec: what a model must show before it may be registered and served."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from headrace.artifacts.metrics import FAIRNESS, METRICS, unknown
from headrace.components.section import Section

Form = Literal["absolute", "slice", "versus", "fairness"]

_BOUNDS = ("at_least", "at_most")
_MARGINS = ("no_worse_than", "better_by")
_CHAMPION = ("without_champion", "unfit_champion")


class Gate(Section):
    """One demand, in one of three forms.

    - `{metric: auc, at_least: 0.75}`, with `slice: region` for each value of a column on its own
    - `{metric: auc, versus: champion, no_worse_than: 0.002}`
    - `{fairness: demographic_parity_difference, by: gender, at_most: 0.1}`
    """

    metric: str | None = None
    """The metric, e.g. `auc`, `log_loss`, `rmse`; its direction is known."""
    fairness: str | None = None
    """The fairness metric, e.g. `demographic_parity_difference`."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """The least value that passes."""
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """The greatest value that passes."""
    slice: str | None = None
    """A column: the metric must be met on the rows of each of its values."""
    by: str | None = None
    """The column whose groups a fairness metric compares."""
    versus: Literal["champion", "baseline"] | None = None
    """`champion`: the model now in service, on the same rows; `baseline`: a constant, learned from train."""
    no_worse_than: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """By how much the model may be worse, in the metric's unit."""
    better_by: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """By how much the model must be better, in the metric's unit."""
    without_champion: Literal["fail", "pass"] | None = None
    """What holds while there is no champion yet: `fail` (the default) or `pass`."""
    unfit_champion: Literal["fail", "pass"] | None = None
    """What holds while the champion cannot answer for this data, as a column it needs is gone or the label is
    another: `fail` (the default) or `pass`, which replaces the champion without a comparison."""
    small_groups: Literal["ignore", "fail"] | None = None
    """What slices and groups of fewer than 20 rows do, which are too small to judge: `ignore` (the default)
    names them in the reason, as almost any column has a rare value; `fail` lets no model pass beside them."""

    @property
    def form(self) -> Form:
        """Which of the forms this gate has."""
        if self.fairness is not None:
            return "fairness"
        if self.versus is not None:
            return "versus"
        return "absolute" if self.slice is None else "slice"

    @property
    def text(self) -> str:
        """The gate in words: `auc at least 0.75`."""
        if self.form == "versus":
            margin = f"no worse than {self.no_worse_than:g}" if self.no_worse_than is not None else ""
            margin = margin or f"better by {self.better_by:g}"
            return f"{self.metric} versus {self.versus}: {margin}"
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        if self.form == "fairness":
            return f"{self.fairness} by {self.by}: {bound}"
        return f"{self.metric} {bound}" + (f" for each {self.slice}" if self.slice else "")

    @model_validator(mode="after")
    def _one_form(self) -> Gate:
        if (self.metric is None) == (self.fairness is None):
            raise ValueError(f"expected either `metric` or `fairness` in a gate. Received: {self._given()}")
        if self.fairness is not None:
            self._check_fairness(self.fairness)
        else:
            self._check_metric(str(self.metric))
        return self

    def _check_fairness(self, name: str) -> None:
        if name not in FAIRNESS:
            raise ValueError(unknown(name, FAIRNESS, "fairness metric"))
        if self.by is None:
            raise ValueError(f"expected `by`, the column of the groups. Received: {self._given()}")
        self._refuse("a fairness gate", "slice", "versus", *_MARGINS, *_CHAMPION)
        self._exactly_one(_BOUNDS)
        needed = "at_least" if FAIRNESS[name].higher_is_better else "at_most"
        if getattr(self, needed) is None:
            fair = "1" if FAIRNESS[name].higher_is_better else "0"
            raise ValueError(f"expected `{needed}`, as {name} is {fair} when fair. Received: {self._given()}")

    def _check_metric(self, name: str) -> None:
        if name not in METRICS:
            raise ValueError(unknown(name, METRICS, "metric"))
        self._refuse("a gate on a metric", "by")
        if self.versus is None:
            self._refuse("a gate without `versus`", *_MARGINS, *_CHAMPION)
            if self.slice is None:
                self._refuse("a gate without `slice`", "small_groups")
            self._exactly_one(_BOUNDS)
            return
        self._refuse("a gate with `versus`", *_BOUNDS, "slice", "small_groups")
        self._exactly_one(_MARGINS)
        if self.versus == "baseline":
            self._refuse("a gate versus the baseline", *_CHAMPION)
        if METRICS[name].higher_is_better is None:
            about = METRICS[name].description
            raise ValueError(f"expected a metric with a direction. Received: {name}, {about}")

    def _exactly_one(self, names: tuple[str, ...]) -> None:
        if sum(getattr(self, name) is not None for name in names) != 1:
            choice = " or ".join(f"`{name}`" for name in names)
            raise ValueError(f"expected exactly one of {choice} in a gate. Received: {self._given()}")

    def _refuse(self, where: str, *names: str) -> None:
        found = [f"`{name}`" for name in names if getattr(self, name) is not None]
        if found:
            raise ValueError(f"expected no {' or '.join(found)} in {where}. Received: {self._given()}")

    def _given(self) -> str:
        return ", ".join(f"{key}: {value}" for key, value in self.model_dump(exclude_none=True).items()) or "{}"


def default_gates(task: str) -> list[Gate]:
    """The gates of a spec that names none: clearly better than a constant, and no worse than the champion."""
    metric = "r2" if task == "regression" else "auc"
    return [
        Gate(metric=metric, versus="baseline", better_by=0.05),
        Gate(metric=metric, versus="champion", no_worse_than=0.01, without_champion="pass"),
    ]
