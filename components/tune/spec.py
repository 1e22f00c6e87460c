"""The `train.tune` section of the spec."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from headrace.components.section import Section
from headrace.trainer.tuning.space import Choice, Dimension, Range, Space

TRIALS = 20


class DimensionSpec(Section):
    """What is tried of one parameter: a range, or a list of values."""

    low: float | None = None
    """The least value."""
    high: float | None = None
    """The greatest value."""
    log: bool = False
    """Tried evenly over the logarithm: for what matters by its order of magnitude."""
    step: float | None = Field(default=None, gt=0)
    """Only `low`, `low + step`, ...; a grid needs it."""
    whole: bool = False
    """Integers alone. By default where the parameter is one, or both ends are written as such."""
    values: list[Any] = Field(default=[])
    """The values, instead of a range; `num_leaves: [7, 15, 31]` says the same in short."""

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {"values": value}
        if isinstance(value, Mapping) and "whole" not in value:
            ends = (value.get("low"), value.get("high"))
            return {**value, "whole": all(isinstance(end, int) and not isinstance(end, bool) for end in ends)}
        return value

    @model_validator(mode="after")
    def _a_range_or_values(self) -> DimensionSpec:
        ends = (self.low is not None, self.high is not None)
        if any(ends) == bool(self.values) or (any(ends) and not all(ends)):
            given = [name for name in ("low", "high", "values") if getattr(self, name) not in (None, [])]
            raise ValueError(f"expected low and high, or values. Received: {' and '.join(given) or 'none of them'}")
        return self

    def dimension(self, whole: bool) -> Dimension:
        """The same for the search; `whole` where the parameter takes integers alone.

        Raises:
            ValueError: it is not one.
        """
        if self.values:
            return Choice(tuple(_hashable(value) for value in self.values))
        assert self.low is not None and self.high is not None
        return Range(self.low, self.high, self.log, whole, self.step)


class TuneSpec(Section):
    """The search for the best parameters of the model, on train and eval alone. Its first trial has the parameters as
    they stand, so that what it finds is never worse where it is judged."""

    trials: int | None = Field(default=None, ge=1, le=10_000)
    """How many sets of parameters are tried. By default 20, or what `minutes` allow. The same seed and number of trials
    find the same parameters, on any number of cores."""
    minutes: float | None = Field(default=None, gt=0)
    """How long is searched at most; how far that comes depends on the machine."""
    folds: int | None = Field(default=None, ge=0, le=20)
    """In how many folds of the train split each trial is judged, rows of one id or group together; 0: on the eval
    split. By default 5 where train has fewer than 2,000 rows and is not split by time, else 0."""
    parallel: int = Field(default=4, ge=1, le=64)
    """How many trials are suggested together, each knowing nothing of the others; as many of them as there are cores
    and memory for run at the same time."""
    prune: bool = True
    """Give up trials that, most of the way, do worse than three quarters of the others did at the same point."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How values are chosen: `tpe`, by what did well before; `random`; `grid`, every combination of lists of values."""
    space: dict[str, DimensionSpec] = Field(default={})
    """What is tried of a parameter, in place of the kind's own space: `num_leaves: [7, 15, 31]`, or a range,
    `learning_rate: {low: 0.01, high: 0.3, log: true}`. A parameter that the spec sets, and that is not named here,
    stays as it is."""
    shards: int = Field(default=1, ge=1, le=64)
    """Searches beside each other, as tasks of their own, on several machines where there are; they share the trials."""

    @field_validator("space", mode="before")
    @classmethod
    def _a_mapping(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def budget(self) -> int | None:
        """The most trials; None where minutes alone limit them."""
        return TRIALS if self.trials is None and self.minutes is None else self.trials


def own_space(tune: TuneSpec, section: Section | None) -> Space:
    """What the spec says of the space; `section` holds the model's parameters, None of a module of one's own.

    Raises:
        ValueError: see `misfits`.
    """
    found = misfits(tune, section)
    if found:
        raise ValueError("; ".join(f"train.tune.space{name and '.'}{name}: {text}" for name, text in found.items()))
    return {name: _dimension(name, entry, section) for name, entry in tune.space.items()}


def misfits(tune: TuneSpec, section: Section | None) -> dict[str, str]:
    """What is wrong with entries of the space, by name: no such parameter, or a value that it does not take."""
    found = {}
    if not tune.space and (section is None or tune.sampler == "grid"):
        whose = "a grid" if section is not None else "your module"
        found[""] = f"expected the parameters of {whose} with what is to be tried. Received: none"
    for name, entry in tune.space.items():
        if section is not None and name not in type(section).model_fields:
            known = ", ".join(type(section).model_fields)
            found[name] = f"expected a parameter of the model: {known}. Received: `{name}`"
            continue
        try:
            dimension = _dimension(name, entry, section)
            if tune.sampler == "grid" and isinstance(dimension, Range) and dimension.points() is None:
                found[name] = "expected a list of values, or a step, for a grid. Received: a range without"
        except ValidationError as error:
            first = error.errors()[0]
            found[name] = f"expected values that the parameter takes: {first['msg']}. Received: {first['input']!r}"
        except ValueError as error:
            found[name] = str(error)
    return found


def settled(section: Section | None) -> tuple[str, ...]:
    """The parameters that the spec sets to something else than the default."""
    if section is None:
        return ()
    return tuple(
        name
        for name, field in type(section).model_fields.items()
        if getattr(section, name) != field.get_default(call_default_factory=True)
    )


def _dimension(name: str, entry: DimensionSpec, section: Section | None) -> Dimension:
    if section is None:
        values = [int(value) if isinstance(value, float) and value.is_integer() else value for value in entry.values]
        return entry.model_copy(update={"values": values}).dimension(entry.whole)
    ends = [value for value in (entry.low, entry.high) if value is not None]
    taken = [getattr(type(section)(**{name: value}), name) for value in (entry.values or ends)]
    if entry.values:
        return entry.model_copy(update={"values": taken}).dimension(False)
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in taken):
        raise ValueError("expected a list of values: the parameter is no number. Received: a range")
    return entry.dimension(_is_whole(type(section).model_fields[name].annotation))


def _is_whole(annotation: Any) -> bool:
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return any(_is_whole(part) for part in typing.get_args(annotation))
    return annotation is int


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list) else value
