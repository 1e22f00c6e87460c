"""Vertex AI's own model monitoring of an endpoint: drift between requests of now and before, skew against training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from headrace.platforms.vertex.connecting import connected
from headrace.platforms.vertex.serving import LABEL, ServingError
from headrace.platforms.vertex.settings import Monitoring, VertexSettings
from headrace.platforms.vertex.store import VertexPlace, label


def monitor(
    place: VertexPlace,
    endpoint: str,
    settings: Monitoring,
    *,
    features: tuple[str, ...],
    target: str,
    deployed: Sequence[str] | None = None,
    encryption_key: str = "",
) -> str:
    """Has Vertex AI watch an endpoint; what watched it before is changed. Returns the job's resource name.

    Args:
        place: the project.
        endpoint: ours, that is deployed.
        settings: what is watched, and who is told.
        features: the model's inputs, by name; each has a threshold.
        target: the label's column in the training data, which is none of them.
        deployed: the deployed models that are watched, by their ids; None for all that are there.
        encryption_key: of Cloud KMS, for a new job.

    Raises:
        ServingError: there is no such endpoint, a threshold is for no feature, or Vertex AI refuses.
    """
    check_features(settings, features)
    with connected(place.project, place.location, place.endpoint, ServingError) as aiplatform:
        found = aiplatform.Endpoint.list(filter=f'display_name="{endpoint}"')
        there = next((one for one in found if one.display_name == endpoint), None)
        if there is None or not there.list_models():
            raise ServingError(f"monitoring: expected an endpoint with a model. Received: {endpoint!r}")
        common = {
            "objective_configs": _objective(settings, features, target),
            "logging_sampling_strategy": _kinds().RandomSampleConfig(sample_rate=settings.sample),
            "schedule_config": _kinds().ScheduleConfig(monitor_interval=settings.every_hours),
            "alert_config": _alerts(settings),
            "deployed_model_ids": None if deployed is None else list(deployed),
        }
        job = _job(aiplatform, there.resource_name)
        if job is None:
            job = aiplatform.ModelDeploymentMonitoringJob.create(
                display_name=f"headrace {endpoint}",
                endpoint=there,
                labels={LABEL: label(endpoint)},
                encryption_spec_key_name=encryption_key or None,
                **common,
            )
        else:
            job.update(**common)
        return str(job.resource_name)


def check_features(settings: Monitoring, features: Sequence[str]) -> None:
    """Refuses thresholds for what is no input of a model, and a model without inputs that can be compared."""
    if unknown := sorted(set(settings.thresholds) - set(features)):
        raise ServingError(
            f"monitoring: expected thresholds of the model's inputs ({', '.join(features)}). "
            f"Received: {', '.join(unknown)}"
        )
    if not features:
        raise ServingError("monitoring: expected a model of columns to watch. Received: one of images")


def monitored_by(place: VertexPlace, settings: Monitoring) -> VertexPlace:
    """The same place, one with a machine, whose endpoints Vertex AI watches; `watched` reads it."""
    usual, said = asdict(Monitoring()), asdict(settings)
    kept = {name: value for name, value in said.items() if value != usual[name]}
    return replace(place, monitor=json.dumps(kept, sort_keys=True, separators=(",", ":")))


def watched(place: VertexPlace) -> Monitoring | None:
    """What Vertex AI watches of a place's endpoints; None for nothing.

    Raises:
        HeadraceError: the option `monitor` is no JSON, has another key, or a value that does not fit.
    """
    if not place.monitor:
        return None
    try:
        said = json.loads(place.monitor)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ServingError(f"platform: expected monitor={{...}} in JSON. Received: {place.monitor[:80]!r}")
    return VertexSettings.of({"monitoring": said}).monitoring


def unmonitor(place: VertexPlace, endpoint: str) -> bool:
    """Ends the watching of an endpoint; whether there was any. Has to be done before the endpoint is removed."""
    with connected(place.project, place.location, place.endpoint, ServingError) as aiplatform:
        found = aiplatform.Endpoint.list(filter=f'display_name="{endpoint}"')
        jobs = [job for one in found if (job := _job(aiplatform, one.resource_name)) is not None]
        for job in jobs:
            job.delete()
        return bool(jobs)


def _job(aiplatform: Any, endpoint: str) -> Any:
    """The job that watches an endpoint: Vertex AI allows one."""
    jobs = aiplatform.ModelDeploymentMonitoringJob.list(filter=f'endpoint="{endpoint}"')
    return next(iter(jobs), None)


def _objective(settings: Monitoring, features: tuple[str, ...], target: str) -> Any:
    kinds = _kinds()
    thresholds = {name: settings.thresholds.get(name, settings.drift) for name in features}
    skew = None
    if settings.data:
        skew = kinds.SkewDetectionConfig(
            data_source=settings.data,
            target_field=target,
            skew_thresholds={name: settings.thresholds.get(name, settings.skew) for name in features},
            data_format=None if settings.data.startswith("bq://") else _format(settings.data),
        )
    return kinds.ObjectiveConfig(skew, kinds.DriftDetectionConfig(drift_thresholds=thresholds))


def _format(data: str) -> str:
    ending = data.rpartition(".")[2]
    if ending in ("csv", "jsonl"):
        return ending
    raise ServingError(f"monitoring: expected data as CSV or JSON lines (*.csv, *.jsonl), or bq://. Received: {data!r}")


def _alerts(settings: Monitoring) -> Any:
    return _kinds().AlertConfig(
        user_emails=list(settings.emails),
        enable_logging=settings.log,
        notification_channels=list(settings.channels),
    )


def _kinds() -> Any:
    from google.cloud.aiplatform import model_monitoring

    return model_monitoring
