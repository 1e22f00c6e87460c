"""The spec: the one file a user writes. Each section's model lives beside the component that consumes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from headrace.artifacts.errors import HeadraceError
from headrace.components.card.spec import CardSpec
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.ingest.spec import DataSpec
from headrace.components.push.spec import DeploySpec
from headrace.components.section import Section
from headrace.components.segments.spec import ForEachSpec
from headrace.components.statistics.spec import StatisticsSpec
from headrace.components.track.spec import TrackSpec
from headrace.components.train.spec import TrainSpec
from headrace.components.transform.spec import FeaturesSpec
from headrace.components.validate.spec import ValidateSpec
from headrace.pipelines.image_task import IMAGES, image_misfits, with_image_defaults
from headrace.pipelines.resources_spec import ResourcesSpec, check_steps
from headrace.pipelines.spec_mistakes import messages
from headrace.pipelines.submit_spec import SubmitSpec
from headrace.pipelines.yaml_lines import read_yaml

_NAME = re.compile(r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")


class SpecError(HeadraceError):
    """The spec is not what it should be; the message names file, line and field."""


class Spec(Section):
    """A model's whole life: its data, features, training, judgement and deployment."""

    name: str
    """Names the model and its runs: lower-case letters, digits and hyphens, as clouds want it."""
    task: Literal["classification", "regression", "image_classification"]
    """What is predicted: a class, of two or many, or a number, each of a row of a table; or a picture's class."""
    data: DataSpec
    """Where the rows come from, what is predicted, and how the rows are split."""
    statistics: StatisticsSpec = StatisticsSpec()
    """How the data is described: weights, slices, and whether by Apache Beam."""
    validation: ValidateSpec = Field(default=ValidateSpec(), alias="validate")
    """What happens when the data is not as its schema says."""
    features: FeaturesSpec = FeaturesSpec()
    """Which columns a model sees, and what is computed from them."""
    train: TrainSpec = TrainSpec()
    """Which model is trained, and how."""
    for_each: ForEachSpec | None = None
    """A model for each segment of the data, in place of one for all of it."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """How the model is judged, and what it must reach to be pushed."""
    track: TrackSpec = TrackSpec()
    """Where each run goes on record."""
    deploy: DeploySpec = DeploySpec()
    """Where a model that passed its gates is served."""
    card: CardSpec = CardSpec()
    """What the model card says in the owner's words."""
    resources: Annotated[dict[str, ResourcesSpec], BeforeValidator(check_steps)] = {}  # noqa: RUF012 (the model is frozen)
    """What each step is given where it runs, by the step's name; under `all` what every step is given."""
    submit: SubmitSpec = SubmitSpec()
    """Where the pipeline runs with `headrace submit`, and how."""

    @field_validator("name")
    @classmethod
    def _cloud_name(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(
                f"expected lower-case letters, digits and hyphens, beginning with a letter. Received: {value!r}"
            )
        return value

    @model_validator(mode="before")
    @classmethod
    def _what_goes_without_saying(cls, value: Any) -> Any:
        return with_image_defaults(value) if isinstance(value, dict) and value.get("task") == IMAGES else value

    @model_validator(mode="after")
    def _all_fits_the_task(self) -> Spec:
        asked = self.predicted
        found: list[tuple[tuple[str | int, ...], str]] = [
            *((("evaluate", "gates", index), message) for index, message in self.evaluate.misfits(asked).items()),
            *((("evaluate", name), text) for name, text in self.evaluate.without_images(self.of_images).items()),
            *((("evaluate", name), text) for name, text in self.evaluate.without_classes(asked).items()),
            *((("train", name), message) for name, message in self.train.misfits(asked).items()),
            *((("for_each",), text) for text in self._no_segments_of_images()),
            *image_misfits(self.task, self.data, self.features, self.train),
            *self._threshold_without_value(),
        ]
        errors = [
            InitErrorDetails(
                type=PydanticCustomError("value_error", "{error}", {"error": message}),
                loc=place,  # where the mistake stands, which a plain ValueError cannot say
                input=None,
            )
            for place, message in found
        ]
        if errors:
            raise ValidationError.from_exception_data("Spec", errors)
        return self

    def _threshold_without_value(self) -> list[tuple[tuple[str | int, ...], str]]:
        if self.train.threshold != "value" or self.evaluate.value is not None:
            return []
        words = "expected, with threshold: value, what decisions bring: a section evaluate.value. Received: none"
        return [(("train", "threshold"), words)]

    def _no_segments_of_images(self) -> list[str]:
        if self.for_each is None or not self.of_images:
            return []
        return [f"expected none with task: {IMAGES}, whose pictures have no columns. Received: a section"]

    @property
    def predicted(self) -> str:
        """What is predicted, `classification` or `regression`, whatever it is predicted from."""
        return "classification" if self.task == IMAGES else self.task

    @property
    def of_images(self) -> bool:
        """Whether pictures are classified, and not the rows of a table."""
        return self.task == IMAGES

    @property
    def endpoint(self) -> str:
        """The endpoint's name: the spec's own unless it says otherwise."""
        return self.deploy.endpoint or self.name


def load_spec(file: Path | str) -> Spec:
    """Reads and checks a spec.

    Raises:
        SpecError: every mistake in it, a line each: file, line, field, what was expected, what was received.
    """
    yaml = read_yaml(Path(file))
    if not isinstance(yaml.value, dict):
        raise SpecError(f"{file}: expected a mapping with name, task and data. Received: {type(yaml.value).__name__}")
    try:
        return Spec.model_validate(yaml.value)
    except ValidationError as error:
        raise SpecError("\n".join(messages(yaml, Spec, error.errors(include_url=False)))) from None
