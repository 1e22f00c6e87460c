"""The `statistics` section of the spec."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.section import Section

Runner = Literal["DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner"]
RUNNERS = ("DirectRunner", "FlinkRunner", "SparkRunner", "DataflowRunner", "PortableRunner")


class BeamSpec(Section):
    """Apache Beam, for data beyond one machine. What comes out is the same as without."""

    runner: Runner = "DirectRunner"
    """Beam's name of the runner. `DirectRunner` is this machine, in the step's own process."""
    options: dict[str, str | int | float | bool | list[str]] = Field(default={})
    """Beam's pipeline options, as its documentation names them: `{project: acme, temp_location: "gs://acme/tmp"}`."""


def _runner_alone(value: Any) -> Any:
    return {"runner": value} if isinstance(value, str) else value


Beam = Annotated[BeamSpec | None, BeforeValidator(_runner_alone)]  # or the runner's name alone


class StatisticsSpec(Section):
    """How the data is described."""

    weight: str | None = Field(default=None, min_length=1)
    """Column with the weight of each row: statistics are then given twice, without and with weights."""
    slices: list[str] = Field(default=[])
    """Columns for each value of which the rows are described by themselves as well: text, whole numbers, booleans."""
    slice_values: int = Field(default=20, ge=1, le=1_000)
    """How many values of such a column: the most frequent ones of the train split."""
    beam: Beam = None
    """Describe by Apache Beam. By default in process, in bounded memory, which is faster on one machine."""

    @model_validator(mode="after")
    def _slices_once(self) -> StatisticsSpec:
        if twice := sorted({name for name in self.slices if self.slices.count(name) > 1}):
            raise ValueError(f"slices: expected each column once. Received: {', '.join(twice)} more than once")
        return self


def with_runner(settings: StatisticsSpec, runner: str, options: Mapping[str, Any] | None = None) -> StatisticsSpec:
    """The settings with another Beam runner and more options; see `runner_of`.

    Raises:
        HeadraceError: Beam has no such runner.
    """
    return settings.model_copy(update={"beam": runner_of(settings.beam, runner, options, environment="tfx")})


def runner_of(
    beam: BeamSpec | None, runner: str, options: Mapping[str, Any] | None = None, *, environment: str = "main"
) -> BeamSpec | None:
    """A section's Beam with another runner; blank changes nothing, and `none` is in process.

    Args:
        beam: the section's.
        runner: Beam's name of the runner, blank or `none`.
        options: what the place of the run adds to the section's options, which go before these. Their `images` are none
            of Beam's: of it `environment`'s becomes `sdk_container_image`, as workers need the step's libraries.
        environment: the step's.

    Raises:
        HeadraceError: Beam has no such runner.
    """
    if runner == "none" or (not runner and beam is None):
        return None
    if runner and runner not in RUNNERS:
        near = difflib.get_close_matches(runner, RUNNERS, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "`none` is in process"
        raise HeadraceError(f"expected one of Beam's runners {', '.join(RUNNERS)}. Received: {runner}; {hint}")
    found = beam or BeamSpec()
    added = dict(options or {})
    image = added.pop("images", {}).get(environment)
    return BeamSpec(
        runner=cast(Runner, runner or found.runner),
        options={**({"sdk_container_image": image} if image else {}), **added, **found.options},
    )
