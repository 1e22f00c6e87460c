"""The `features` section of the spec."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from headrace.components.ingest.aggregate_spec import Aggregate
from headrace.components.section import Section
from headrace.trainer.features.plan import Wanted
from headrace.trainer.features.steps import parse_steps, reads_text


class Words(Section):
    """How a text becomes a bag of words."""

    ngrams: tuple[int, int] = (1, 1)
    """The fewest and the most words (or characters) in a row that make a feature."""
    most: int | None = Field(default=None, ge=1)
    """Most features: those that are in most texts. By default 1,000 for trees, 2,000 for `mlp`, 20,000 for `linear`."""
    weight: Literal["tfidf", "count", "binary"] = "tfidf"
    """`tfidf`: counts times how rare the word is, each text's vector of length 1; `count`; `binary`: 1 if it occurs."""
    at_least: int = Field(default=2, ge=1)
    """In how many texts of the train split a feature must occur."""
    analyzer: Literal["word", "char"] = "word"
    """Words of two letters or digits at least, or single characters; both in lower case."""

    @field_validator("ngrams")
    @classmethod
    def _in_order(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 8:
            raise ValueError(f"expected the fewest and the most, from 1 to 8, such as [1, 2]. Received: {list(value)}")
        return value


class SelectSpec(Section):
    """Which features stay; measured on the train split, one after the other in this order."""

    variance: float | None = Field(default=None, ge=0)
    """Features that do not vary more than this go; 0: those that do not vary at all."""
    correlation: float | None = Field(default=None, gt=0, le=1)
    """Of two features with a stronger correlation, the one that says less about the label goes."""
    mutual_information: int | None = Field(default=None, ge=1)
    """So many with the most mutual information with the label stay."""
    chi_squared: int | None = Field(default=None, ge=1)
    """So many with the strongest chi-squared test against the label stay."""
    importance: int | None = Field(default=None, ge=1)
    """So many that gain most in a few trees stay."""
    recursive: int | None = Field(default=None, ge=1)
    """So many stay after trees were fitted again and again without the least important fifth."""


class ReduceSpec(Section):
    """Fewer columns that say nearly the same."""

    pca: int | None = Field(default=None, ge=1, le=2_000)
    """The numbers (not categories, words and indicators) are replaced by so many principal components of them."""


def _steps(value: Any) -> Any:
    parse_steps(value)
    return value


Steps = Annotated[str | dict[str, Any] | list[Any], AfterValidator(_steps)]


class FeaturesSpec(Section):
    """Which columns a model sees, and what is computed from them. By default all but the id and the label."""

    constructed: dict[str, str] = Field(default={}, alias="construct")
    """New features by row-wise expressions, e.g. `spend_per_month: total_spend / tenure_months`."""
    aggregate: dict[str, Aggregate] = Field(default={})
    """Columns made of the past rows of child tables, by the name that their names begin with."""
    drop: list[str] = Field(default=[])
    """Columns that are no features."""
    keep: list[str] = Field(default=[])
    """Columns that are features although a rule leaves them out: the label's expression reads them, say."""
    text: dict[str, Words | None] = Field(default={})
    """Columns of texts, whose words are features: a list of them, or each with its options."""
    encode: dict[str, Steps] = Field(default={})
    """How columns are encoded, where the kind of model's own way is not wanted: a step, or a list of steps, each with
    its argument where it takes one: `plan: one_hot`, `price: [log, standardize]`, `agent: {hash: 1024}`.
    docs/features.md lists them."""
    missing_indicators: bool | list[str] | None = None
    """Columns of 0 and 1 that say what is missing: for all columns that have gaps in training, for none, or for those
    named. By default for numbers and dates of `linear` and `mlp`: trees see what is missing."""
    select: SelectSpec = SelectSpec()
    """Which of the features stay."""
    reduce: ReduceSpec = ReduceSpec()
    """Fewer columns that say nearly the same."""
    auto: bool = False
    """Chooses more by what the train split shows: columns of texts, parts of dates, logarithms. What and why stands in
    the transform's notes and in its report. `features: auto` is the same as `features: {auto: true}`."""

    @model_validator(mode="before")
    @classmethod
    def _auto_alone(cls, value: Any) -> Any:
        return {"auto": True} if value == "auto" else value

    @field_validator("text", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        if isinstance(value, list) and all(isinstance(n, str) for n in value):
            value = dict.fromkeys(value)
        # No options at all, and not null, which a compiled pipeline has not.
        return {n: {} if one is None else one for n, one in value.items()} if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _one_way_each(self) -> FeaturesSpec:
        if twice := sorted(self.text.keys() & self.encode.keys()):
            raise ValueError(
                f"expected a column under `text` or under `encode`. Received: `{twice[0]}` under both; "
                "write its words as a step: `{words: {ngrams: [1, 2]}}`"
            )
        return self

    @property
    def text_columns(self) -> set[str]:
        """The columns whose strings are read themselves, and not only their codes."""
        return {*self.text, *(name for name, steps in self.encode.items() if reads_text(parse_steps(steps)))}

    @property
    def wanted(self) -> Wanted:
        """The section as the fitting takes it."""
        indicators = self.missing_indicators
        return Wanted(
            encode={name: parse_steps(steps) for name, steps in self.encode.items()},
            texts={name: options.model_dump() if options else {} for name, options in self.text.items()},
            missing_indicators=tuple(indicators) if isinstance(indicators, list) else indicators,
            auto=self.auto,
            select=self.select.model_dump(exclude_none=True),
            pca=self.reduce.pca,
        )
