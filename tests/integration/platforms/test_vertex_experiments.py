"""Vertex AI Experiments through Google's own client, against as much of its API as experiments need."""

from __future__ import annotations

import socket
import time

import pytest

from headrace.platforms.open_tracker import open_tracker
from headrace.platforms.tracking import Attached, Curves, Series, TrackedRun, TrackingError
from headrace.platforms.vertex.experiments import Place, names
from tests.integration.platforms.vertex_metadata import metadata_service

RUN = TrackedRun(
    experiment="churn",
    run="20261121-101112-abcdef",
    started=1_795_000_000.5,
    ended=1_795_000_012.0,
    parameters={"model": "gbdt", "learning_rate": "0.05"},
    metrics={"test/auc": 0.85, "test/auc_low": 0.83, "training/eval_log_loss": float("nan")},
    series={"curve/eval_log_loss": Series((1, 2), (0.5, 0.4))},
    tags={"headrace.run": "20261121-101112-abcdef", "headrace.data": "sha256:12"},
)
CURVES = Curves(((0.0, 0.0, 1.0), (0.2, 0.7, 0.5), (1.0, 1.0, 0.0)), ("no", "yes"), ((5, 1), (2, 4)))


@pytest.fixture
def service():
    with metadata_service() as running:
        yield running


@pytest.fixture
def tracker(service):
    return open_tracker(Place("demo", "us-central1", endpoint=service.url).uri)


def test_a_run_comes_back_as_it_was_saved(service, tracker):
    place = tracker.save(RUN, Attached(uris={"evaluation": "gs://bucket/evaluation"}, curves=CURVES))
    [found] = tracker.runs("churn")
    assert place.endswith("/contexts/churn-20261121-101112-abcdef") and found.place == place
    assert (found.run, found.started, found.ended) == (RUN.run, RUN.started, RUN.ended)
    assert found.parameters == {"model": "gbdt", "learning_rate": "0.05"}
    assert found.metrics == {"test/auc": 0.85, "test/auc_low": 0.83}  # what is no number is left out
    assert found.tags == RUN.tags
    assert tracker.run("latest") == found == tracker.run("20261121-1011")


def test_the_console_is_given_what_it_draws(service, tracker):
    tracker.save(RUN, Attached(uris={"evaluation": "gs://bucket/evaluation"}, curves=CURVES))
    [run] = [c for c in service.of("contexts") if c["schemaTitle"] == "system.ExperimentRun"]
    assert run["metadata"]["_params"]["artifact.evaluation"] == "gs://bucket/evaluation"
    assert run["metadata"]["_state"] == "COMPLETE"
    [drawn] = service.of("artifacts")
    assert drawn["schemaTitle"] == "google.ClassificationMetrics"
    assert drawn["metadata"]["confusionMatrix"]["rows"] == [[5, 1], [2, 4]]
    assert [point["recall"] for point in drawn["metadata"]["confidenceMetrics"]] == [0.0, 0.7, 1.0]


def test_a_run_that_is_saved_again_replaces_what_it_said(service, tracker):
    tracker.save(RUN, Attached(curves=CURVES))
    again = TrackedRun(**{**vars(RUN), "metrics": {"test/auc": 0.9}, "ended": 1_795_000_020.0})
    tracker.save(again, Attached(curves=CURVES))
    [found] = tracker.runs()
    assert found.metrics["test/auc"] == 0.9 and found.ended == 1_795_000_020.0
    assert len(service.of("artifacts")) == 1


def test_no_tensorboard_is_made_unless_one_is_named(service, tracker):
    """The client makes, and Google charges, one for each region that an experiment is first logged in."""
    tracker.save(RUN, Attached())
    assert service.requests and not [path for _, path, _ in service.requests if "tensorboard" in path.lower()]


def test_a_tensorboard_that_is_named_has_the_rounds(service):
    board = "projects/demo/locations/us-central1/tensorboards/7"
    service.resources[board] = {"name": board, "displayName": "rounds"}
    place = Place("demo", "us-central1", tensorboard=board, endpoint=service.url)
    series = {"curve/eval_log_loss": Series(tuple(range(1, 121)), tuple(1 / i for i in range(1, 121)))}
    open_tracker(place.uri).save(TrackedRun(**{**vars(RUN), "series": series}), Attached())
    points = [point for write in service.written for data in write["timeSeriesData"] for point in data["values"]]
    steps = [int(point["step"]) for point in points]
    assert steps == [*range(1, 121, 3), 120]  # at most 50, evenly, and the last
    assert points[-1]["scalar"]["value"] == pytest.approx(1 / 120)
    assert [entry["displayName"] for entry in service.of("timeSeries")] == ["curve/eval_log_loss"]


def test_nobody_answers(monkeypatch):
    """A port that nobody listens on: told within seconds."""
    monkeypatch.setattr("headrace.platforms.vertex.experiments.getproxies", dict)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = Place("demo", "us-central1", endpoint=f"http://127.0.0.1:{free.getsockname()[1]}")
    begun = time.monotonic()
    with pytest.raises(TrackingError, match="expected Vertex AI to answer. Received: .*onnection"):
        open_tracker(place.uri).save(RUN, Attached())
    assert time.monotonic() - begun < 60


def test_a_refusal_is_told_with_the_services_reason(service, tracker):
    service.down = (403, "Permission 'aiplatform.contexts.create' denied")
    with pytest.raises(TrackingError, match="expected Vertex AI to answer. Received: .*aiplatform.contexts.create"):
        tracker.save(RUN, Attached())


def test_an_experiment_that_is_not_there(tracker):
    tracker.save(RUN, Attached())
    with pytest.raises(TrackingError, match=r"expected an experiment \(churn\). Received: 'chrun'"):
        tracker.runs("chrun")


def test_the_uri_says_all():
    place = Place("p", "europe-west4", "123", "http://127.0.0.1:1")
    assert Place.of(place.uri) == place
    assert Place("example.com:p", "europe-west4").uri == "vertex://example.com:p/europe-west4"
    assert Place.of("vertex://example.com:p/europe-west4").project == "example.com:p"


@pytest.mark.parametrize("uri", ["vertex://p", "vertex:///us-central1", "vertex://p/us-central1?tensorbord=1"])
def test_uris_that_are_none(uri):
    with pytest.raises(TrackingError, match="expected vertex://PROJECT/LOCATION"):
        open_tracker(uri)


def test_names_are_made_to_fit():
    assert names("Churn Model", "Run_1") == ("churn-model", "run-1")
    with pytest.raises(TrackingError, match="expected names of 128 letters"):
        names("e" * 100, "r" * 40)
