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
        environment = {**os.environ, "DOCKER_HOST": "unix:///nowhere/docker.sock"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
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
    with pytest.raises(MethodNotImplemented, match="needs a container engine"):
        endpoint.deploy(sdk.Model(other))
    broken = upload(client, write_unscorable_bundle(tmp_path / "broken"), "broken").model
    with pytest.raises(GoogleAPICallError, match="Model server exited unexpectedly"):
        endpoint.deploy(sdk.Model(broken))
    assert endpoint.list_models() == []
    endpoint.delete()


@pytest.mark.slow
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
    for split in ({one: 40, two: 50}, {one: 120, two: -20}):
        with pytest.raises(BadRequest, match="add up to 100"):
            endpoint.update(traffic_split=split)
    with pytest.raises(NotFound, match="is not deployed"):
        endpoint.undeploy("123")
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
    running: Running,
    sdk: Any,
    client: Any,
    bundle: Path,
    instances: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.url)
    bucket = running.state / "gcs" / "rows"
    bucket.mkdir(parents=True)
    model = upload(client, bundle, "batched").model
    lines = [json.dumps(one) for one in [*instances[:3], {"nope": 1}]]
    (bucket / "rows.jsonl").write_text("\n".join(lines))
    jobs = sdk.initializer.global_config.create_client(sdk.utils.JobClientWithOverride)
    asked = asked_of(model, "jsonl", "gs://rows/*.jsonl")
    job = ended(jobs, jobs.create_batch_prediction_job(parent=LOCATION, batch_prediction_job=asked).name)
    assert job.state.name == "JOB_STATE_SUCCEEDED", job.error
    assert (job.completion_stats.successful_count, job.completion_stats.failed_count) == (3, 1)
    output = {
        blob.name.rpartition("/")[2]: [json.loads(line) for line in blob.download_as_text().splitlines()]
        for blob in sdk.BatchPredictionJob(job.name).iter_outputs()
    }
    assert output.keys() == {"prediction.results-00000-of-00001", "prediction.errors_stats-00000-of-00001"}
    results, [error] = output["prediction.results-00000-of-00001"], output["prediction.errors_stats-00000-of-00001"]
    assert [one["instance"] for one in results] == instances[:3] and results[0]["prediction"]["label"] in ("0", "1")
    assert error["instance"] == {"nope": 1} and "nope" in error["error"]["message"]
    sdk.BatchPredictionJob(job.name).delete()
    assert sdk.BatchPredictionJob.list() == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input_config": {"instances_format": "tf-record"}}, "501.*tf-record"),
        ({"output_config": {"predictions_format": "csv"}}, r"Supported values are: \[jsonl\]"),
        ({"instance_config": {"instance_type": "object"}}, "do not apply to csv"),
        ({"instance_config": {"included_fields": ["a"]}}, "do not apply to csv"),
    ],
)
def test_batch_jobs_that_are_refused(
    running: Running, sdk: Any, client: Any, bundle: Path, fields: dict[str, Any], message: str
) -> None:
    file = running.state / "gcs" / "rows" / "some.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('"a"\n1\n')
    known = [one.resource_name for one in sdk.Model.list(filter='display_name="refused"')]
    model = known[0] if known else upload(client, bundle, "refused").model
    asked = asked_of(model, "csv", "gs://rows/some.csv")
    asked |= {name: {**asked.get(name, {}), **given} for name, given in fields.items()}
    jobs = sdk.initializer.global_config.create_client(sdk.utils.JobClientWithOverride)
    with pytest.raises(GoogleAPICallError, match=message):
        jobs.create_batch_prediction_job(parent=LOCATION, batch_prediction_job=asked)


def test_a_batch_job_is_cancelled_and_leaves_no_output(
    running: Running, sdk: Any, client: Any, bundle: Path, instances: list[dict[str, Any]]
) -> None:
    bucket = running.state / "gcs" / "many"
    bucket.mkdir(parents=True)
    (bucket / "rows.jsonl").write_text("\n".join([json.dumps(instances[0])] * 2_000_000))
    model = upload(client, bundle, "cancelled").model
    jobs = sdk.initializer.global_config.create_client(sdk.utils.JobClientWithOverride)
    asked = asked_of(model, "jsonl", "gs://many/rows.jsonl")
    name = jobs.create_batch_prediction_job(parent=LOCATION, batch_prediction_job=asked).name
    with pytest.raises(BadRequest, match="cancel it first"):
        jobs.delete_batch_prediction_job(name=name)
    jobs.cancel_batch_prediction_job(name=name)
    assert ended(jobs, name).state.name == "JOB_STATE_CANCELLED"
    jobs.cancel_batch_prediction_job(name=name)
    assert [one.name for one in bucket.iterdir()] == ["rows.jsonl"]


def asked_of(model: str, instances_format: str, uri: str) -> dict[str, Any]:
    return {
        "display_name": "b",
        "model": model,
        "input_config": {"instances_format": instances_format, "gcs_source": {"uris": [uri]}},
        "output_config": {
            "predictions_format": "jsonl",
            "gcs_destination": {"output_uri_prefix": f"{uri.rpartition('/')[0]}/out"},
        },
    }


def ended(jobs: Any, name: str) -> Any:
    give_up = time.monotonic() + 60
    while (job := jobs.get_batch_prediction_job(name=name)).end_time is None and time.monotonic() < give_up:
        time.sleep(0.1)
    return job


def test_evaluations(sdk: Any, client: Any, bundle: Path) -> None:
    model = upload(client, bundle, "evaluated").model
    asked = {"display_name": "test", "metrics": {"auPrc": 0.9}, "metrics_schema_uri": "gs://schemas/classification"}
    made = client.import_model_evaluation(parent=f"{model}@1", model_evaluation=asked)
    [found] = sdk.Model(model).list_model_evaluations()
    assert found.resource_name == made.name and found.metrics == {"auPrc": 0.9}
    assert sdk.Model(model).get_model_evaluation(made.name.rpartition("/")[2]).metrics == {"auPrc": 0.9}
    slices = [{"slice_": {"dimension": "age", "value": one}, "metrics": {"auPrc": 0.8}} for one in ("young", "old")]
    client.batch_import_model_evaluation_slices(parent=made.name, model_evaluation_slices=slices)
    listed = list(client.list_model_evaluation_slices(parent=made.name))
    assert sorted(one.slice_.value for one in listed) == ["old", "young"]
    assert client.get_model_evaluation_slice(name=listed[0].name) == listed[0]
    sdk.Model(model).delete()
    with pytest.raises(NotFound):
        client.get_model_evaluation_slice(name=listed[0].name)


def test_other_ways_to_ask(
    running: Running, sdk: Any, client: Any, bundle: Path, instances: list[dict[str, Any]]
) -> None:
    """v1beta1, rawPredict, mutateDeployedModel, and requests that no SDK sends."""
    import gzip

    import requests

    endpoint = sdk.Endpoint.create(display_name="端点 🚀", labels={"équipe": "données"})
    endpoint.deploy(sdk.Model(upload(client, bundle, "other-ways", model={"display_name": "modèle 🚀"}).model))
    [found] = sdk.Endpoint.list(filter="labels.équipe=données")
    assert found.resource_name == endpoint.resource_name
    [deployed] = endpoint.list_models()
    assert deployed.display_name == "modèle 🚀"
    asked = json.dumps({"instances": instances[:1]}).encode()
    expected = endpoint.predict(instances=instances[:1]).predictions
    name = endpoint.resource_name

    def ask(verb: str, data: Any, version: str = "v1", **headers: str) -> requests.Response:
        return requests.post(f"{running.url}/{version}/{name}:{verb}", data=data, headers=headers, timeout=30)

    raw = ask("rawPredict", asked)
    assert raw.json()["predictions"] == expected and raw.headers["X-Vertex-AI-Deployed-Model-Id"] == deployed.id
    assert raw.headers["X-Vertex-AI-Endpoint-Id"] == endpoint.name
    assert ask("predict", asked, "v1beta1").json()["predictions"] == expected
    assert ask("predict", iter([asked[:5], asked[5:]])).json()["predictions"] == expected
    assert ask("predict", asked, Expect="100-continue").json()["predictions"] == expected
    packed = {"Content-Encoding": "gzip"}
    assert ask("predict", gzip.compress(asked), **packed).json()["predictions"] == expected
    for body in (b"", b"\0\xff", b'{"instances": [{"tenure": NaN}]}', b'{"instances": ' + b"[" * 100_000):
        answer = ask("predict", body)
        assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    large = ask("predict", b" " * 9_000_000 + asked)
    assert large.status_code == 400 and "8388608 bytes" in large.json()["error"]["message"]
    changed = endpoint.api_client.mutate_deployed_model(
        endpoint=name,
        deployed_model={"id": deployed.id, "dedicated_resources": {"min_replica_count": 2, "max_replica_count": 3}},
        update_mask="dedicatedResources.minReplicaCount,dedicatedResources.maxReplicaCount",
    ).result()
    assert changed.deployed_model.dedicated_resources.min_replica_count == 2
    assert changed.deployed_model.dedicated_resources.machine_spec.machine_type == "n1-standard-2"
    endpoint.delete(force=True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("models:upload", {"model": {"displayName": "x", "artifactUri": 5}}),
        ("models:upload", {"model": {"displayName": "x", "containerSpec": {"imageUri": "i", "args": "abc"}}}),
        ("models:upload", {"model": {"displayName": "x", "containerSpec": {"imageUri": "i", "env": [{}]}}}),
        ("models:upload", {"model": {"displayName": "x", "containerSpec": {"imageUri": "i", "ports": [7]}}}),
        (
            "models:upload",
            {"model": {"displayName": "x", "containerSpec": {"imageUri": "i", "deploymentTimeout": "z"}}},
        ),
        (
            "models:upload",
            {"model": {"displayName": "x", "containerSpec": {"imageUri": "i", "predictRoute": "/p HTTP/1.1\r\nX: y"}}},
        ),
        ("endpoints?endpointId=a/b", {"displayName": "x"}),
        ("endpoints?endpointId=0", {"displayName": "x"}),
        ("endpoints/1:deployModel", {"deployedModel": {"model": "MODEL", "dedicatedResources": "x"}}),
        (
            "endpoints/1:deployModel",
            {"deployedModel": {"model": "MODEL", "dedicatedResources": {"minReplicaCount": "x"}}},
        ),
        ("endpoints/1:undeployModel", {"deployedModelId": "1", "trafficSplit": []}),
        ("batchPredictionJobs", {"displayName": "x", "model": "MODEL", "instanceConfig": 5}),
        ("batchPredictionJobs", {"displayName": "x", "model": "MODEL", "inputConfig": {"instancesFormat": "jsonl"}}),
    ],
)
def test_nonsense_is_an_invalid_argument(
    running: Running, sdk: Any, client: Any, bundle: Path, path: str, body: dict[str, Any]
) -> None:
    import requests

    if not sdk.Endpoint.list(filter='display_name="nonsense"'):
        sdk.Endpoint.create(display_name="nonsense", endpoint_id="1")
        upload(client, bundle, "nonsense")
    told = json.loads(json.dumps(body).replace("MODEL", f"{LOCATION}/models/nonsense"))
    answer = requests.post(f"{running.url}/v1/{LOCATION}/{path}", json=told, timeout=30)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT"), answer.text


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
