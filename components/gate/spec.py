"""The gates of the spec: what a model must show before it may be registered and served."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from headrace.artifacts.by import By, as_by, by_name
from headrace.artifacts.infra import FIGURES
from headrace.artifacts.metrics import FAIRNESS, METRICS, unknown
from headrace.components.section import Section

Form = Literal[
    "absolute", "class", "slice", "versus", "versus_slice", "fairness", "value", "versus_value", "infra", "anomalies"
]
Lenience = Literal["fail", "pass"]

KINDS = ("metric", "fairness", "value", "infra", "anomalies")  # of which a gate names exactly one

_BOUNDS = ("at_least", "at_most")
_MARGINS = ("no_worse_than", "better_by")
_CHAMPION = ("without_champion", "unfit_champion")
_ROWS = ("slice", "by", "small_groups", "class_")
NO_BOUND = ("ks", "max_error")  # they follow the most extreme rows alone: other rows say nothing of their error
OF_A_CLASS = ("precision", "recall", "f1", "auc")


def _one_or_several(value: object) -> object:
    if not isinstance(value, list | tuple):
        return value
    if not value or not all(isinstance(item, str) for item in value) or len(set(value)) < len(value):
        raise ValueError(f"expected a column, or several different ones. Received: {list(value)}")
    return as_by(value)


Columns = Annotated[By, BeforeValidator(_one_or_several)]


class Gate(Section):
    """One demand, in one of these forms.

    - `{metric: auc, at_least: 0.75}`, with `slice: region` for each value of a column on its own
    - `{metric: recall, class: crack, at_least: 0.9}`: one class against all others; also versus the champion
    - `{metric: auc, versus: champion, no_worse_than: 0.002}`, or `better_by`, with `slice` too
    - `{fairness: demographic_parity_difference, by: gender, at_most: 0.1}`
    - `{value: per_row, at_least: 1}`, or `versus: champion`, `all` or `none`
    - `{infra: latency_p99_ms, at_most: 5}`
    - `{anomalies: error, at_most: 0}`

    With `confidence: 0.95` it is not the figure that must hold but, with that confidence, what it stands for: rows are
    a sample, and another sample would give another figure.
    """

    metric: str | None = None
    """The metric, e.g. `auc`, `log_loss`, `rmse`; its direction is known."""
    fairness: str | None = None
    """The fairness metric, e.g. `demographic_parity_difference`."""
    value: Literal["total", "per_row"] | None = None
    """What the decisions are worth, by the spec's `evaluate.value`: of all rows together, or of a row on average."""
    infra: str | None = None
    """What the real server needs, measured: `latency_p50_ms`, `latency_p99_ms` (one row per request), `bundle_mib`,
    `server_mib` (memory that it adds to a machine, after answering), `cold_start_s` (to the first answer)."""
    anomalies: Literal["error", "warning"] | None = None
    """Findings of the data report: those at level error, or those and the warnings; `at_most` is their number."""
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    """The least value that passes."""
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    """The greatest value that passes."""
    class_: str | None = Field(default=None, alias="class")
    """A class, such as `crack`, whose metric is meant: `precision`, `recall`, `f1`, or `auc` against all others."""
    slice: Columns | None = None
    """A column, or a pair such as `[plan, region]`: the gate must hold on the rows of each of its values."""
    by: Columns | None = None
    """The column, or columns together, whose groups a fairness metric compares."""
    versus: Literal["champion", "baseline", "all", "none"] | None = None
    """`champion`: the model now in service, on the same rows; `baseline`: a constant, learned from train. Of a value
    also `all` and `none`: acting on every row, and on none."""
    no_worse_than: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """By how much the model may be worse, in the metric's unit."""
    better_by: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """By how much the model must be better, in the metric's unit."""
    confidence: float | None = Field(default=None, ge=0.5, lt=1, allow_inf_nan=False)
    """How sure it must be, e.g. 0.95: a one-sided bound must hold. Versus the champion, both are compared row by row,
    and a model that is no better than allowed passes in at most 1 of 20 cases."""
    without_champion: Lenience | None = None
    """What holds while there is no champion yet: `fail` (the default) or `pass`."""
    unfit_champion: Lenience | None = None
    """What holds while the champion cannot answer for this data, as a column it needs is gone or the label is
    another: `fail` (the default) or `pass`, which replaces the champion without a comparison."""
    small_groups: Literal["ignore", "fail"] | None = None
    """What slices and groups do that are too small to judge (fewer than 20 rows): `ignore` (the default)
    names them in the reason, as almost any column has a rare value; `fail` lets no model pass beside them."""

    @property
    def kind(self) -> str:
        """What is demanded of: metric, fairness, value, infra or anomalies."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @property
    def form(self) -> Form:
        """Which of the forms this gate has."""
        if self.infra is not None:
            return "infra"
        if self.anomalies is not None:
            return "anomalies"
        if self.fairness is not None:
            return "fairness"
        if self.value is not None:
            return "value" if self.versus is None else "versus_value"
        if self.class_ is not None:
            return "class"
        if self.versus is not None:
            return "versus" if self.slice is None else "versus_slice"
        return "absolute" if self.slice is None else "slice"

    @property
    def divides(self) -> By | None:
        """The column or columns that the gate divides rows by."""
        return self.slice if self.slice is not None else self.by

    @property
    def by_row(self) -> bool:
        """Whether the gate needs what a model says of each row, and not only what was measured of all of them."""
        alone = self.class_ is not None or (self.value is not None and self.versus != "champion")
        return self.confidence is not None and self.fairness is None and not alone

    @property
    def text(self) -> str:
        """The gate in words: `auc at least 0.75`."""
        sure = f", {self.confidence * 100:g} % sure" if self.confidence is not None else ""
        each = f" for each {by_name(self.slice)}" if self.slice is not None else ""
        if self.versus is not None:
            margin = f"no worse than {self.no_worse_than:g}" if self.no_worse_than is not None else ""
            margin = margin or f"better by {self.better_by:g}"
            rival = _AGAINST[self.versus] if self.versus in ("all", "none") else self.versus
            return f"{self._subject} versus {rival}: {margin}{each}{sure}"
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        if self.fairness is not None:
            return f"{self.fairness} by {by_name(self.by or '')}: {bound}{sure}"
        return f"{self._subject} {bound}{each}{sure}"

    @property
    def _subject(self) -> str:
        if self.value is not None:
            return "value in total" if self.value == "total" else "value per row"
        if self.anomalies is not None:
            return "errors in the data" if self.anomalies == "error" else "errors and warnings in the data"
        return str(self.metric or self.infra) + (f" of {self.class_}" if self.class_ is not None else "")

    @model_validator(mode="after")
    def _one_form(self) -> Gate:
        if sum(getattr(self, name) is not None for name in KINDS) != 1:
            known = ", ".join(f"`{name}`" for name in KINDS)
            raise ValueError(f"expected exactly one of {known} in a gate. Received: {self._given()}")
        getattr(self, f"_check_{self.kind}")()
        return self

    def _check_metric(self) -> None:
        name = str(self.metric)
        if name not in METRICS:
            raise ValueError(unknown(name, METRICS, "metric"))
        self._refuse("a gate on a metric", "by")
        if self.slice is None:
            self._refuse("a gate without `slice`", "small_groups")
        self._check_versus("a gate on a metric", ("champion", "baseline"))
        if self.versus == "baseline":
            self._refuse("a gate versus the baseline", "slice", "confidence")
        if self.class_ is not None:
            self._check_class(name)
        if name in NO_BOUND and self.confidence is not None:
            raise ValueError(
                f"expected no `confidence` of {name}, as it is the most extreme of all rows' figures, and no bound "
                f"of it holds; gate on auc or rmse with confidence, or on {name} without. Received: {self._given()}"
            )
        direction = METRICS[name].higher_is_better
        if direction is None and (self.versus is not None or self.confidence is not None):
            about = METRICS[name].description
            raise ValueError(f"expected a metric with a direction. Received: {name}, {about}")

    def _check_class(self, name: str) -> None:
        if name not in OF_A_CLASS:
            raise ValueError(f"expected {', '.join(OF_A_CLASS)} of a class. Received: {self._given()}")
        self._refuse("a gate on a class", "slice")
        if self.versus == "baseline":
            raise ValueError(f"expected `versus: champion` in a gate on a class. Received: {self._given()}")
        if self.confidence is not None and (self.versus is not None or name not in ("precision", "recall")):
            raise ValueError(
                f"expected `confidence` of a class only with a bound of precision or recall. Received: {self._given()}"
            )

    def _check_fairness(self) -> None:
        name = str(self.fairness)
        if name not in FAIRNESS:
            raise ValueError(unknown(name, FAIRNESS, "fairness metric"))
        if self.by is None:
            raise ValueError(f"expected `by`, the column of the groups. Received: {self._given()}")
        self._refuse("a fairness gate", "slice", "class_", "versus", *_MARGINS, *_CHAMPION)
        self._exactly_one(_BOUNDS)
        needed = "at_least" if FAIRNESS[name].higher_is_better else "at_most"
        if getattr(self, needed) is None:
            fair = "1" if FAIRNESS[name].higher_is_better else "0"
            raise ValueError(f"expected `{needed}`, as {name} is {fair} when fair. Received: {self._given()}")

    def _check_value(self) -> None:
        self._refuse("a gate on value", *_ROWS)
        self._check_versus("a gate on value", ("champion", "all", "none"))

    def _check_infra(self) -> None:
        if self.infra not in FIGURES:
            raise ValueError(unknown(str(self.infra), FIGURES, "figure of the server"))
        self._only_at_most("a gate on the server")

    def _check_anomalies(self) -> None:
        self._only_at_most("a gate on anomalies")

    def _check_versus(self, where: str, rivals: tuple[str, ...]) -> None:
        if self.versus is None:
            self._refuse("a gate without `versus`", *_MARGINS, *_CHAMPION)
            self._exactly_one(_BOUNDS)
            return
        if self.versus not in rivals:
            raise ValueError(f"expected `versus` {', '.join(rivals)} in {where}. Received: {self._given()}")
        self._refuse("a gate with `versus`", *_BOUNDS)
        self._exactly_one(_MARGINS)
        if self.versus != "champion":
            self._refuse(f"a gate versus {_AGAINST[self.versus]}", *_CHAMPION)

    def _only_at_most(self, where: str) -> None:
        self._refuse(where, "at_least", "versus", "confidence", *_MARGINS, *_CHAMPION, *_ROWS)
        if self.at_most is None or self.at_most < 0:
            raise ValueError(f"expected `at_most`, 0 or more, in {where}. Received: {self._given()}")

    def _exactly_one(self, names: tuple[str, ...]) -> None:
        if sum(getattr(self, name) is not None for name in names) != 1:
            choice = " or ".join(f"`{name}`" for name in names)
            raise ValueError(f"expected exactly one of {choice} in a gate. Received: {self._given()}")

    def _refuse(self, where: str, *names: str) -> None:
        found = [f"`{name.rstrip('_')}`" for name in names if getattr(self, name) is not None]
        if found:
            raise ValueError(f"expected no {' or '.join(found)} in {where}. Received: {self._given()}")

    def _given(self) -> str:
        given = self.model_dump(exclude_none=True, by_alias=True).items()
        return ", ".join(f"{key}: {_plain(value)}" for key, value in given) or "{}"


_AGAINST = {"baseline": "the baseline", "all": "acting on all", "none": "acting on none"}


def _plain(value: object) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)


def default_gates(task: str) -> list[Gate]:
    """The gates of a spec that names none: clearly better than a constant, and no worse than the champion."""
    metric = "r2" if task == "regression" else "auc"
    return [
        Gate(metric=metric, versus="baseline", better_by=0.05),
        Gate(metric=metric, versus="champion", no_worse_than=0.01, without_champion="pass"),
    ]
