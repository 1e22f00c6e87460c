"""The `track` section of the spec."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from headrace.components.section import Section
from headrace.platforms.local.tracking.opening import check_uri
from headrace.platforms.tracking import TrackingError
from headrace.platforms.vertex.experiments import Place

NONE = "none"


class VertexExperiments(Section):
    """Where in Vertex AI Experiments runs are tracked."""

    project: str = Field(min_length=1)
    """The Google Cloud project."""
    location: str = Field(default="us-central1", pattern="^[a-z0-9-]+$")
    """Its region."""
    tensorboard: str | None = None
    """The id or resource name of a Vertex TensorBoard, which keeps the metrics of each round. Without one only the
    metrics at the end are kept."""
    endpoint: str | None = Field(default=None, pattern="^https?://")
    """Another address of the API: an emulator's, or a private one."""

    @property
    def uri(self) -> str:
        """As a tracker is opened by it."""
        return Place(self.project, self.location, self.tensorboard, self.endpoint).uri


class TrackSpec(Section):
    """Where each run goes on record: parameters, metrics, curves, reports, and where data, code and model come from."""

    mlflow: str = "local"
    """`local`: the file `mlflow.db` in the home folder; an MLflow server's URL; `sqlite:///FILE`; or `none`."""
    vertex: VertexExperiments | None = None
    """Vertex AI Experiments, beside MLflow or instead of it."""
    experiment: str | None = Field(default=None, min_length=1, max_length=120)
    """The experiment that runs belong to; by default the spec's name, with `vertex` `NAME-runs`: an experiment there
    cannot be called as a pipeline is."""
    tags: dict[str, str] = Field(default={})
    """Tags of your own, on every run."""
    required: bool = False
    """Whether a run fails where a tracker cannot be reached. By default it goes on, and its outcome says so."""

    @field_validator("mlflow", mode="before")
    @classmethod
    def _off(cls, value: Any) -> Any:
        return NONE if value is False else value  # `mlflow: off` is false in YAML

    @field_validator("mlflow")
    @classmethod
    def _a_store(cls, value: str) -> str:
        if value != NONE:
            try:
                check_uri(value)
            except TrackingError as error:
                raise ValueError(str(error)) from None
        return value

    @property
    def trackers(self) -> list[str]:
        """The URIs of the trackers; none where nothing is tracked."""
        return [*([] if self.mlflow == NONE else [self.mlflow]), *([self.vertex.uri] if self.vertex else [])]
