"""The `validate` section of the spec."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from headrace.components.section import Section

_AGE = re.compile(r"^(\d+(?:\.\d+)?)\s*([hdw])$")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
_FUNCTION = re.compile(r"^[^:\s][^:]*\.py:[A-Za-z_]\w*$")


def _spelt(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


Level = Annotated[Literal["error", "warn", "off"], BeforeValidator(_spelt)]


class Check(Section):
    """What all checks have; `duplicates: off` is short for `duplicates: {level: off}`."""

    level: Level = "warn"
    """`error` stops the run before training; `warn` is reported; `off` is not looked for."""

    @model_validator(mode="before")
    @classmethod
    def _level_alone(cls, value: Any) -> Any:
        return {"level": value} if isinstance(value, str) or value is False else value


class Duplicates(Check):
    """Rows that are equal in all columns but the id."""

    at_most: float = Field(default=0.01, ge=0, le=1)
    """Share of the rows that may repeat another."""


class SplitOverlap(Check):
    """Rows of eval or test that stand in train too, the label aside: there the model is judged on what it was shown."""

    at_most: float = Field(default=0.01, ge=0, le=1)
    """Share of the rows of eval, and of test, that may."""


class LabelConflicts(Check):
    """Rows with equal features and different labels: at least one of the labels is wrong, or a feature is missing."""

    at_most: float = Field(default=0.01, ge=0, le=1)
    """Share of the rows that may."""


class Freshness(Check):
    """The age of the newest row."""

    level: Level = "error"
    """`error` stops the run before training; `warn` is reported; `off` is not looked for."""
    column: str = Field(min_length=1)
    """The column with a date or a time. Without a time zone it is taken for UTC."""
    max_age: str
    """How old the newest row may be: `36h`, `7d`, `2w`."""
    ahead: str = "1d"
    """How far in the future a row may lie: clocks and time zones differ."""

    @field_validator("max_age", "ahead")
    @classmethod
    def _is_an_age(cls, value: str) -> str:
        age(value)
        return value


class Volume(Check):
    """The number of rows, against the champion's training data."""

    fell_by: float = Field(default=0.3, gt=0, le=1)
    """Share by which it may fall."""
    rose_by: float = Field(default=1.0, gt=0)
    """Share by which it may rise; 1 is twice as many."""


class LabelChange(Check):
    """The label, against the champion's training data."""

    at_most: float = Field(default=0.1, gt=0)
    """By how much a class's share may change; for a number, its mean, in standard deviations."""


class Leakage(Check):
    """Features that alone predict the label too well, on rows that were held out: what is only known afterwards."""

    level: Level = "error"
    """`error` stops the run before training; `warn` is reported; `off` is not looked for."""
    at_least: float = Field(default=0.995, gt=0.5, le=1)
    """Area under the ROC curve of one feature alone; for a number, R2 of the label's ranks."""
    besides: list[str] = Field(default=[], alias="except")
    """Features that may."""


class Constant(Check):
    """Columns with the same value in every row."""


class NearUnique(Check):
    """Columns that name their row: texts that hardly repeat, and row numbers. A model learns them by heart."""


class MissingTellsLabel(Check):
    """Columns whose missing values tell the label: often they were filled in only after the outcome was known."""

    at_least: float = Field(default=0.3, gt=0, le=1)
    """Difference in a class's share between rows with and without the value; for a number, in mean rank."""


class RareClasses(Check):
    """Classes with too few rows to learn, or to be judged on."""

    at_least: int = Field(default=20, ge=1)
    """Rows that each class should have in train. None at all in a split is found, too."""


class Drift(Check):
    """Distributions against the champion's training data, where the schema has no drift_comparator of its own."""

    categories: float = Field(default=0.1, gt=0, le=1)
    """How far the share of a value may be from what it was (L-infinity)."""
    numbers: float = Field(default=0.2, gt=0, le=1)
    """Jensen-Shannon divergence of the distributions."""


class Skew(Check):
    """Distributions in training against those of logged requests, where the schema has no skew_comparator."""

    categories: float = Field(default=0.1, gt=0, le=1)
    """How far the share of a value may be from that in the logs (L-infinity)."""
    numbers: float = Field(default=0.2, gt=0, le=1)
    """Jensen-Shannon divergence of the distributions."""


class CustomCheck(Section):
    """A check of your own: an SQL assertion, or a function in a file beside the spec."""

    name: str = Field(min_length=1)
    """What to call it in findings."""
    level: Level = "error"
    """`error` stops the run before training; `warn` is reported; `off` is not run."""
    sql: str | None = Field(default=None, min_length=1)
    """One SELECT, in DuckDB's dialect, over the views `train`, `eval`, `test` and `data` (all three)."""
    expect: Literal["no_rows", "true"] = "no_rows"
    """`no_rows`: the rows that it selects are the wrong ones. `true`: it gives one value, which has to be true."""
    function: str | None = None
    """`checks.py:ages`: takes a pandas DataFrame and returns a `headrace.components.check.ValidationResult`."""
    split: Literal["data", "train", "eval", "test"] = "data"
    """The rows that the function gets."""
    batches: bool = False
    """Whether the function takes an iterator of DataFrames instead: for data that does not fit into memory."""
    source: str | None = None
    """The function's file as text. Compiling fills it in, so that the check runs wherever the pipeline does."""

    @field_validator("expect", mode="before")
    @classmethod
    def _true_is_true(cls, value: Any) -> Any:
        return "true" if value is True else value

    @model_validator(mode="after")
    def _one_of_two(self) -> CustomCheck:
        if (self.sql is None) == (self.function is None):
            received = "neither" if self.sql is None else "both"
            raise ValueError(f"{self.name}: expected either sql or function. Received: {received}")
        if self.function is not None and not _FUNCTION.match(self.function):
            raise ValueError(f"{self.name}: expected function as file.py:name. Received: {self.function!r}")
        return self


class ValidateSpec(Section):
    """What the data must be like, and what happens when it is not."""

    on_anomaly: Literal["fail", "warn"] = "fail"
    """`fail` stops the run before training, where something is found at level error; `warn` reports it and goes on."""
    schema_file: str = Field(default="schema.pbtxt", alias="schema", min_length=1)
    """The curated schema, beside the spec. Where there is no such file, a run infers a schema and says so."""
    duplicates: Duplicates = Duplicates()
    """Rows that are equal in all columns but the id."""
    split_overlap: SplitOverlap = SplitOverlap()
    """Rows of eval or test that stand in train too."""
    label_conflicts: LabelConflicts = LabelConflicts()
    """Rows with equal features and different labels."""
    freshness: Freshness | None = None
    """The age of the newest row. Not looked at unless a column is named."""
    volume: Volume = Volume()
    """The number of rows, against the champion's training data."""
    label_change: LabelChange = LabelChange()
    """The label's distribution, against the champion's training data."""
    leakage: Leakage = Leakage()
    """Features that alone predict the label too well."""
    constant: Constant = Constant()
    """Columns with the same value in every row."""
    near_unique: NearUnique = NearUnique()
    """Columns that name their row."""
    missing_tells_label: MissingTellsLabel = MissingTellsLabel()
    """Columns whose missing values tell the label."""
    rare_classes: RareClasses = RareClasses()
    """Classes with too few rows."""
    drift: Drift = Drift()
    """Distributions against the champion's training data."""
    skew: Skew = Skew()
    """Distributions against logged requests, where `requests` says where they are."""
    requests: str | None = Field(default=None, min_length=1)
    """Logged requests of the served model: a folder of `.jsonl` or `.parquet` files, a file, a glob, or a URL of them.
    A request a row: the features by name, or in a field `instance` beside whatever else is logged."""
    checks: list[CustomCheck] = Field(default=[])
    """Checks of your own."""

    @property
    def ages(self) -> bool:
        """Whether the findings depend on when they are made."""
        return self.freshness is not None and self.freshness.level != "off"

    @model_validator(mode="after")
    def _names_once(self) -> ValidateSpec:
        names = [check.name for check in self.checks]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"checks: expected each name once. Received: {', '.join(twice)} more than once")
        return self


def age(text: str) -> timedelta:
    """A length of time as the spec writes it.

    >>> age("36h"), age("2w")
    (datetime.timedelta(days=1, seconds=43200), datetime.timedelta(days=14))
    """
    found = _AGE.match(text)
    if found is None:
        raise ValueError(f"expected a number of hours, days or weeks, such as 36h, 7d or 2w. Received: {text!r}")
    return timedelta(**{_UNITS[found.group(2)]: float(found.group(1))})
