"""The emulator's models, endpoints and batch predictions, by Google's own client."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Conflict, GoogleAPICallError, MethodNotImplemented, NotFound
from google.auth.credentials import AnonymousCredentials

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "serving"))
from tiny_bundle import write_tiny_bundle

from tests.unit.platforms.bundles import write_unscorable_bundle

LOCATION = "projects/demo/locations/us-central1"


class Running:
    """An emulator in a process of its own, which can be killed and started again on the same port."""

    def __init__(self, state: Path) -> None:
        self.state, self.port = state, 0
        self.start()

    def start(self) -> None:
        command = [str(Path(sys.executable).with_name("headrace")), "emulator"]
        command += ["--port", str(self.port), "--state", str(self.state)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://[\d.]+:(\d+)", self.process.stdout.readline())
        assert found is not None
        self.url, self.port = found[0], int(found[1])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("emulator") / "state")
    try:
        yield running
    finally:
        running.process.terminate()
        running.process.wait()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "churn", "binary")


@pytest.fixture(scope="module")
def instances(bundle: Path) -> list[dict[str, Any]]:
    return json.loads((bundle / "samples.json").read_text())["instances"]


@pytest.fixture(scope="module")
def sdk(running: Running) -> Any:
    from google.cloud import aiplatform

    aiplatform.init(
        project="demo",
        location="us-central1",
        api_endpoint=running.url,
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    return aiplatform


@pytest.fixture(scope="module")
def client(sdk: Any) -> Any:
    return sdk.initializer.global_config.create_client(sdk.utils.ModelClientWithOverride)


def upload(client: Any, bundle: Path, id: str, **more: Any) -> Any:
    """As `Model.upload`, which takes folders by way of a bucket alone."""
    model = {
        "display_name": id,
        "artifact_uri": str(bundle),
        "container_spec": {
            "image_uri": "example.com/serving:1",
            "predict_route": "/predict",
            "health_route": "/health",
        },
        **more.pop("model", {}),
    }
    return client.upload_model({"parent": LOCATION, "model": model, **(more or {"model_id": id})}).result()


def test_versions_aliases_labels_and_deletion(sdk: Any, client: Any, bundle: Path) -> None:
    upload(client, bundle, "churn")
    with pytest.raises(Conflict):
        upload(client, bundle, "churn")
    second = upload(
        client, bundle, "churn", parent_model=f"{LOCATION}/models/churn", model={"version_aliases": ["new"]}
    )
    assert second.model_version_id == "2"
    registry = sdk.models.ModelRegistry("churn")
    registry.add_version_aliases(["champion"], "1")
    registry.add_version_aliases(["champion", "default"], "2")
    registry.remove_version_aliases(["new"], "2")
    assert {one.version_id: sorted(one.version_aliases) for one in registry.list_versions()} == {
        "1": [],
        "2": ["champion", "default"],
    }
    with pytest.raises(BadRequest, match="default"):
        registry.remove_version_aliases(["default"], "2")
    registry.update_version("1", version_description="first", labels={"team": "risk"})
    assert registry.get_version_info("1").version_description == "first"
    assert registry.get_version_info("2").version_description == ""
    assert registry.get_model("1").labels == {"team": "risk"} and registry.get_model("2").labels == {}
    stale = registry.get_model("1")
    registry.update_version("1", labels={"team": "fraud"})
    with pytest.raises(Conflict):
        stale.update(labels={"team": "risk"})
    registry.get_model().update(display_name="Churn")
    [found] = sdk.Model.list(filter='display_name="Churn" AND NOT labels.team:*')
    assert found.version_id == "2"
    with pytest.raises(BadRequest, match="default"):
        registry.delete_version("2")
    copied = sdk.Model("churn@1").copy("europe-west4", destination_model_id="copied")
    assert copied.resource_name == "projects/demo/locations/europe-west4/models/copied"
    registry.delete_version("1")
    with pytest.raises(BadRequest, match="only version"):
        registry.delete_version("2")
    sdk.Model("churn").delete()
    with pytest.raises(NotFound):
        sdk.Model("churn")


def test_what_cannot_be_deployed_is_not(sdk: Any, client: Any, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="at least one file"):
        upload(client, tmp_path / "nothing", "nothing")
    with pytest.raises(MethodNotImplemented, match="dedicatedEndpointEnabled"):
        sdk.Endpoint.create(display_name="own", dedicated_endpoint_enabled=True)
    model = sdk.Model.upload(display_name="placeholder")
    endpoint = sdk.Endpoint.create(display_name="empty")
    with pytest.raises(BadRequest, match="placeholder"):
        endpoint.deploy(model)
    with pytest.raises(BadRequest, match="nothing is deployed"):
        endpoint.predict(instances=[{}])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.txt").write_text("of another library")
    other = upload(client, tmp_path / "other", "other").model
    with pytest.raises(MethodNotImplemented, match="no containers"):
        endpoint.deploy(sdk.Model(other))
    broken = upload(client, write_unscorable_bundle(tmp_path / "broken"), "broken").model
    with pytest.raises(GoogleAPICallError, match="Model server exited unexpectedly"):
        endpoint.deploy(sdk.Model(broken))
    assert endpoint.list_models() == []
    endpoint.delete()


def test_a_split_through_kills_of_servers_and_emulator(
    running: Running, sdk: Any, client: Any, bundle: Path, instances: list[dict[str, Any]]
) -> None:
    upload(client, bundle, "served")
    upload(client, bundle, "served", parent_model=f"{LOCATION}/models/served")
    endpoint = sdk.Endpoint.create(display_name="e", labels={"team": "risk"})
    endpoint.deploy(sdk.Model("served@1"), machine_type="n1-standard-2")
    endpoint.deploy(sdk.Model("served@2"), machine_type="n1-standard-2", traffic_percentage=50)
    one, two = (deployed.id for deployed in endpoint.list_models())
    assert endpoint.traffic_split == {one: 50, two: 50}
    answers = [endpoint.predict(instances=instances[:2]) for _ in range(40)]
    assert {answer.model_version_id for answer in answers} == {"1", "2"}
    assert answers[0].predictions[0]["label"] in ("0", "1") and len(answers[0].predictions) == 2
    with pytest.raises(BadRequest, match="nope"):
        endpoint.predict(instances=[{"nope": 1}])
    with pytest.raises(BadRequest, match="ids of deployed models"):
        endpoint.update(traffic_split={"7": 100})
    with pytest.raises(BadRequest, match="is deployed"):
        sdk.Model("served").delete()
    with pytest.raises(BadRequest, match="has deployed"):
        endpoint.delete()
    with pytest.raises(MethodNotImplemented, match=r"Endpoint\.explain"):
        endpoint.explain(instances=instances[:1])
    servers = processes(running.state)
    assert len(servers) == 2
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    assert endpoint.predict(instances=instances[:1]).predictions == answers[0].predictions[:1]
    running.kill()
    give_up = time.monotonic() + 5
    while processes(running.state) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert processes(running.state) == []  # they ended with it
    running.start()
    assert endpoint.predict(instances=instances[:1]).predictions == answers[0].predictions[:1]
    assert {one.id for one in endpoint.list_models()} == {one, two}
    endpoint.delete(force=True)
    assert sdk.Endpoint.list(filter='labels.team="risk"') == []
    sdk.Model("served").delete()


def test_batch_predictions(
    sdk: Any, client: Any, bundle: Path, instances: list[dict[str, Any]], tmp_path: Path
) -> None:
    model = upload(client, bundle, "batched").model
    lines = [json.dumps(one) for one in [*instances[:3], {"nope": 1}]]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    jobs = sdk.initializer.global_config.create_client(sdk.utils.JobClientWithOverride)
    asked = {
        "display_name": "b",
        "model": model,
        "input_config": {"instances_format": "jsonl", "gcs_source": {"uris": [str(tmp_path / "*.jsonl")]}},
        "output_config": {
            "predictions_format": "jsonl",
            "gcs_destination": {"output_uri_prefix": str(tmp_path / "out")},
        },
    }
    made = jobs.create_batch_prediction_job(parent=LOCATION, batch_prediction_job=asked)
    give_up = time.monotonic() + 60
    while (job := jobs.get_batch_prediction_job(name=made.name)).end_time is None and time.monotonic() < give_up:
        time.sleep(0.1)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (3, 1)
    folder = Path(job.output_info.gcs_output_directory)
    results = [json.loads(line) for line in (folder / "prediction.results-00000-of-00001").read_text().splitlines()]
    assert [one["instance"] for one in results] == instances[:3] and results[0]["prediction"]["label"] in ("0", "1")
    [error] = [json.loads(one) for one in (folder / "prediction.errors_stats-00000-of-00001").read_text().splitlines()]
    assert error["instance"] == {"nope": 1} and "nope" in error["error"]["message"]
    asked["input_config"]["instances_format"] = "tf-record"
    with pytest.raises(MethodNotImplemented, match="tf-record"):
        jobs.create_batch_prediction_job(parent=LOCATION, batch_prediction_job=asked)
    sdk.BatchPredictionJob(made.name).delete()
    assert sdk.BatchPredictionJob.list() == []


def test_evaluations(sdk: Any, client: Any, bundle: Path) -> None:
    model = upload(client, bundle, "evaluated").model
    asked = {"display_name": "test", "metrics": {"auPrc": 0.9}, "metrics_schema_uri": "gs://schemas/classification"}
    made = client.import_model_evaluation(parent=f"{model}@1", model_evaluation=asked)
    [found] = sdk.Model(model).list_model_evaluations()
    assert found.resource_name == made.name and found.metrics == {"auPrc": 0.9}
    assert sdk.Model(model).get_model_evaluation(made.name.rpartition("/")[2]).metrics == {"auPrc": 0.9}


def processes(state: Path) -> list[int]:
    """The servers' process ids."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"headrace.serving" in words and any(word.startswith(bytes(state)) for word in words):
            found.append(int(folder.name))
    return found
