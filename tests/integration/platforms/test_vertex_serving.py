"""Vertex AI's endpoints following what a registry says, by Google's own client."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.cli import cli
from headrace.platforms.interface import Blessing, Deployed, Endpoint, Split
from headrace.platforms.open import open_platform
from headrace.platforms.vertex.monitoring import monitor, monitored_by, unmonitor
from headrace.platforms.vertex.serving import ServingError, VertexServing
from headrace.platforms.vertex.settings import Monitoring, Serving
from headrace.platforms.vertex.store import VertexPlace
from tests.cloud.gcs_server import storage_service
from tests.cloud.vertex_server import PARENT, vertex_service
from tests.unit.platforms.bundles import write_unscorable_bundle

MODEL = f"{PARENT}/models/churn"


def registered(version: int) -> dict:
    return {
        "name": MODEL,
        "versionId": str(version),
        "versionAliases": ["default"] if version == 3 else [],
        "artifactUri": f"gs://models/churn/{version}",
        "supportedDeploymentResourcesTypes": ["DEDICATED_RESOURCES"],
        "containerSpec": {
            "imageUri": "example.com/serving@sha256:1",
            "predictRoute": "/predict",
            "healthRoute": "/health",
            "ports": [{"containerPort": 8080}],
        },
    }


@pytest.fixture
def service():
    with vertex_service() as running:
        running.models[MODEL] = {number: registered(number) for number in (3, 4, 5)}
        yield running


@pytest.fixture
def place(service):
    return VertexPlace("demo", "us-central1", endpoint=service.url)


def wanted(shares: dict[str, int], *shadows: str, key: str = "") -> Endpoint:
    deployed = [Deployed("churn", version, share) for version, share in shares.items()]
    slots = tuple(version for version, share in shares.items() for _ in range(share))
    split = Split("3", key, "churn-4", slots) if len(shares) > 1 else None
    return Endpoint("churn", (*deployed, *(Deployed("churn", one, 0, True) for one in shadows)), "", split)


def calls(service, start: int = 0) -> list[str]:
    """What was asked for to be changed, in order."""
    return [
        path.partition("?")[0].rpartition("/")[2].rpartition(":")[2] if method == "POST" else method
        for method, path, _ in service.requests[start:]
        if method != "GET" and not path.endswith(":predict")
    ]


def test_the_first_version_has_an_endpoint_made_and_all_of_its_traffic(service, place):
    status = VertexServing(place).apply(wanted({"3": 100}))
    [one] = status.answering
    assert (one.version, one.traffic, one.machine, one.replicas, one.spot) == ("3", 100, "e2-standard-2", (1, 2), False)
    [endpoint] = service.kept["endpoints"].values()
    assert endpoint["displayName"] == "churn" and endpoint["labels"] == {"headrace-endpoint": "churn"}
    [deployed] = endpoint["deployedModels"]
    assert deployed["model"] == f"{MODEL}@3"
    [metric] = deployed["dedicatedResources"]["autoscalingMetricSpecs"]
    assert metric["target"] == 60 and metric["metricName"].endswith("cpu/utilization")
    assert "serviceAccount" not in deployed and "predictRequestResponseLoggingConfig" not in endpoint


def test_a_split_a_promotion_and_a_rollback_without_a_moment_of_nothing(service, place):
    serving = VertexServing(place)
    serving.apply(wanted({"3": 100}))
    [endpoint] = service.kept["endpoints"].values()
    begun = len(service.requests)
    status = serving.apply(wanted({"3": 90, "4": 10}))
    assert [(one.version, one.traffic) for one in status.answering] == [("3", 90), ("4", 10)]
    assert calls(service, begun) == ["deployModel", "PATCH"]  # the new one gets nothing before it stands
    [deploy] = [body for _, path, body in service.requests[begun:] if ":deployModel" in path]
    assert deploy["trafficSplit"]["0"] == 0
    begun = len(service.requests)
    serving.apply(wanted({"3": 50, "4": 50}))
    assert calls(service, begun) == ["PATCH"]
    begun = len(service.requests)
    status = serving.apply(wanted({"4": 100}))
    assert calls(service, begun) == ["PATCH", "undeployModel"]  # only what has no traffic any more
    assert [(one.version, one.traffic) for one in status.answering] == [("4", 100)]
    begun = len(service.requests)
    assert serving.apply(wanted({"4": 100})) == status and calls(service, begun) == []  # as often as one likes
    assert len(endpoint["deployedModels"]) == 1


def test_what_was_interrupted_is_done_by_the_next(service, place):
    serving = VertexServing(place)
    serving.apply(wanted({"3": 100}))
    service.refuse["PATCH /v1/"] = (503, "away")
    with pytest.raises(ServingError, match="away"):
        serving.apply(wanted({"3": 90, "4": 10}))
    service.refuse.clear()
    begun = len(service.requests)
    status = serving.apply(wanted({"3": 90, "4": 10}))
    assert calls(service, begun) == ["PATCH"]  # version 4 stands there already
    assert [(one.version, one.traffic) for one in status.answering] == [("3", 90), ("4", 10)]


def test_predictions(service, place):
    serving = VertexServing(place)
    serving.apply(wanted({"3": 100}))
    found = serving.predict("churn", [{"plan": "pro", "tenure": 3}], {"key": "user-17"})
    assert found.predictions == [{"score": 0.25, "row": {"plan": "pro", "tenure": 3.0}}] and found.version == "3"
    [sent] = [body for _, path, body in service.requests if path.partition("?")[0].endswith(":predict")]
    assert sent["parameters"] == {"key": "user-17"}
    service.refuse[":predict"] = (400, "instances[0]: plan: expected a text. Received: 3")
    with pytest.raises(ServingError, match="plan: expected a text"):
        serving.predict("churn", [{"plan": 3}])
    with pytest.raises(ServingError, match="expected one that is in Vertex AI. Received: 'homes'"):
        serving.predict("homes", [{}])
    assert serving.status("homes") is None


def test_shadows_are_in_the_containers_of_those_that_answer(service, place):
    serving = VertexServing(place)
    serving.apply(wanted({"3": 100}))
    status = serving.apply(wanted({"3": 100}, "5"), lambda model, version: f"gs://models/{model}/{version}")
    assert [(one.version, one.traffic) for one in status.answering] == [("3", 100)]
    uploaded = service.models[f"{PARENT}/models/churn-shadowed"][1]
    assert uploaded["containerSpec"]["args"] == ["--shadow", "gs://models/churn/5"]
    assert uploaded["containerSpec"]["imageUri"] == "example.com/serving@sha256:1"
    assert uploaded["artifactUri"] == "gs://models/churn/3" and sorted(service.models[MODEL]) == [3, 4, 5]
    with pytest.raises(ServingError, match="expected where shadows' bundles lie"):
        serving.apply(wanted({"3": 100}, "5"))
    assert len(serving.apply(wanted({"3": 100})).answering) == 1  # and without it again


def test_cheap_and_large(service, place):
    small = Serving(min_replicas=0, max_replicas=3, idle_minutes=30, log_sample=0.1, log_table="bq://demo.logs.churn")
    VertexServing(place, small).apply(wanted({"3": 100}))
    [endpoint] = service.kept["endpoints"].values()
    resources = endpoint["deployedModels"][0]["dedicatedResources"]
    assert resources.get("minReplicaCount", 0) == 0 and resources["maxReplicaCount"] == 3
    assert resources["scaleToZeroSpec"] == {"idleScaledownPeriod": "1800s"}
    assert any("/v1beta1/" in path for _, path, _ in service.requests)
    logged = endpoint["predictRequestResponseLoggingConfig"]
    assert logged["enabled"] and logged["samplingRate"] == 0.1
    assert logged["bigqueryDestination"] == {"outputUri": "bq://demo.logs.churn"}
    large = Serving("n1-standard-4", 2, 8, "nvidia-tesla-t4", 1, spot=True, service_account="server@demo")
    VertexServing(place, large).apply(wanted({"3": 50, "4": 50}))
    deployed = endpoint["deployedModels"][1]
    assert deployed["dedicatedResources"]["spot"] is True and deployed["serviceAccount"] == "server@demo"
    assert deployed["dedicatedResources"]["machineSpec"]["acceleratorType"] in (5, "NVIDIA_TESLA_T4")


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (wanted({"9": 100}), "expected a version of Vertex AI's Model Registry. Received: 9"),
        (wanted({"3": 90, "4": 10}, key="x-user"), "by chance. Received: x-user"),
    ],
)
def test_what_cannot_be_served(place, endpoint, told):
    with pytest.raises(HeadraceError, match=told):
        VertexServing(place).apply(endpoint)


def test_an_endpoint_is_taken_away_whole(service, place):
    serving = VertexServing(place)
    serving.apply(wanted({"3": 90, "4": 10}))
    serving.remove("churn")
    assert service.kept["endpoints"] == {} and calls(service)[-1] == "DELETE"


def test_monitoring_is_made_changed_and_ended(service, place):
    VertexServing(place).apply(wanted({"3": 100}))
    [endpoint] = service.kept["endpoints"].values()
    features = ("plan", "tenure")
    settings = Monitoring(
        emails=("ml@example.com",),
        channels=("projects/demo/notificationChannels/1",),
        thresholds={"plan": 0.1},
        data="gs://data/train.csv",
    )
    name = monitor(place, "churn", settings, features=features, target="churned")
    [job] = service.kept["modelDeploymentMonitoringJobs"].values()
    assert job["name"] == name and job["endpoint"] == endpoint["name"]
    [objective] = job["modelDeploymentMonitoringObjectiveConfigs"]
    assert objective["deployedModelId"] == endpoint["deployedModels"][0]["id"]
    config = objective["objectiveConfig"]
    assert config["predictionDriftDetectionConfig"]["driftThresholds"] == {
        "plan": {"value": 0.1}, "tenure": {"value": 0.3},
    }  # fmt: skip
    assert config["trainingDataset"]["targetField"] == "churned" and config["trainingDataset"]["dataFormat"] == "csv"
    assert config["trainingPredictionSkewDetectionConfig"]["skewThresholds"]["tenure"] == {"value": 0.3}
    assert job["loggingSamplingStrategy"]["randomSampleConfig"] == {"sampleRate": 0.2}
    assert job["modelDeploymentMonitoringScheduleConfig"] == {"monitorInterval": "86400s"}
    alert = job["modelMonitoringAlertConfig"]
    assert alert["emailAlertConfig"] == {"userEmails": ["ml@example.com"]} and alert["enableLogging"] is True
    assert alert["notificationChannels"] == ["projects/demo/notificationChannels/1"]
    again = monitor(place, "churn", Monitoring(sample=0.5), features=features, target="churned")
    assert again == name and job["loggingSamplingStrategy"]["randomSampleConfig"] == {"sampleRate": 0.5}
    assert unmonitor(place, "churn") and not unmonitor(place, "churn")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (Monitoring(thresholds={"plam": 0.1}), "expected thresholds of the model's inputs"),
        (Monitoring(data="gs://data/train.parquet"), "expected data as CSV or JSON lines"),
    ],
)
def test_monitoring_that_cannot_be(service, place, settings, told):
    VertexServing(place).apply(wanted({"3": 100}))
    with pytest.raises(ServingError, match=told):
        monitor(place, "churn", settings, features=("plan",), target="churned")
    with pytest.raises(ServingError, match="expected an endpoint with a model"):
        monitor(place, "homes", Monitoring(), features=("plan",), target="churned")


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """The registry and the endpoints as a pipeline's steps have them; Cloud Storage by gcsfs on this machine."""
    import gcsfs

    with vertex_service() as service, storage_service("models") as storage:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        gcsfs.GCSFileSystem.clear_instance_cache()
        place = VertexPlace(
            "demo", "us-central1", "gs://models/headrace", "example.com/serving:1", service.url, "e2-standard-2", "1-3"
        )
        yield service, storage, open_platform(place.uri)
        gcsfs.GCSFileSystem.clear_instance_cache()


def test_the_registrys_changes_move_the_traffic(platform, tmp_path):
    service, storage, opened = platform
    for number in (1, 2):
        bundle = write_unscorable_bundle(tmp_path / f"b{number}", seed=number)
        opened.registry.register(bundle, "churn", metrics={}, run="r", blessing=Blessing(None))
    opened.endpoints.deploy("churn", "churn", "1", run="r")
    [endpoint] = service.kept["endpoints"].values()
    assert list(endpoint["trafficSplit"].values()) == [100]
    assert endpoint["deployedModels"][0]["dedicatedResources"]["maxReplicaCount"] == 3
    assert any(name.startswith("headrace/churn/") for name in storage.buckets["models"])
    two = [Deployed("churn", "1", 90), Deployed("churn", "2", 10)]
    opened.endpoints.split("churn", two, who="ann", reason="looks better")
    assert sorted(endpoint["trafficSplit"].values()) == [10, 90]
    opened.endpoints.rollback("churn", who="ann", reason="worse")
    assert list(endpoint["trafficSplit"].values()) == [100] and len(endpoint["deployedModels"]) == 1
    assert opened.registry.champion("churn").version == "1" and opened.registry.verify().intact


def test_what_is_watched_follows_what_answers(platform, tmp_path):
    service, _, opened = platform
    place = monitored_by(VertexPlace.of(opened.uri), Monitoring(emails=("ml@example.com",), thresholds={"rooms": 0.1}))
    opened = open_platform(place.uri)
    for number in (1, 2):
        bundle = write_unscorable_bundle(tmp_path / f"b{number}", seed=number)
        opened.registry.register(bundle, "churn", metrics={}, run="r", blessing=Blessing(None))
    opened.endpoints.deploy("churn", "churn", "1", run="r")
    [endpoint], [job] = service.kept["endpoints"].values(), service.kept["modelDeploymentMonitoringJobs"].values()

    def watched_ids():
        return sorted(one["deployedModelId"] for one in job["modelDeploymentMonitoringObjectiveConfigs"])

    assert watched_ids() == sorted(endpoint["trafficSplit"])
    assert job["modelMonitoringAlertConfig"]["emailAlertConfig"] == {"userEmails": ["ml@example.com"]}
    opened.endpoints.split("churn", [Deployed("churn", "1", 90), Deployed("churn", "2", 10)], who="ann", reason="try")
    assert len(watched_ids()) == 2 and watched_ids() == sorted(endpoint["trafficSplit"])
    begun = len(service.requests)
    opened.endpoints.deploy("churn", "churn", "2", run="r")
    asked = [f"{method} {path.partition('?')[0]}" for method, path, _ in service.requests[begun:]]
    changed = next(i for i, one in enumerate(asked) if one.startswith("PATCH") and "MonitoringJobs" in one)
    assert changed < next(i for i, one in enumerate(asked) if one.endswith(":undeployModel")), "before the old one goes"
    assert watched_ids() == sorted(endpoint["trafficSplit"]) and len(watched_ids()) == 1
    wrong = open_platform(monitored_by(place, Monitoring(thresholds={"roms": 0.1})).uri)
    begun = len(service.requests)
    with pytest.raises(ServingError, match="expected thresholds of the model's inputs .rooms.. Received: roms"):
        wrong.endpoints.deploy("churn", "churn", "1", run="r")
    assert "deployModel" not in calls(service, begun) and opened.registry.champion("churn").version == "2"


@pytest.mark.parametrize("text", ["monitor={}", "machine=m&monitor=1", "machine=m&monitor={'sampel':1}"])
def test_an_address_that_says_wrongly_what_is_watched_is_refused(text):
    with pytest.raises(HeadraceError, match="expected"):
        open_platform(f"vertex:demo/r?{text}")


def test_headrace_predict_asks_vertex(platform, tmp_path):
    opened = platform[2]
    bundle = write_unscorable_bundle(tmp_path / "b", seed=1)
    opened.registry.register(bundle, "churn", metrics={}, run="r", blessing=Blessing(None))
    opened.endpoints.deploy("churn", "churn", "1", run="r")
    (tmp_path / "rows.csv").write_text("rooms,other\n3,x\n,y\n")
    where = ["--platform", opened.uri, "--home", str(tmp_path)]
    told = CliRunner().invoke(cli, ["predict", "churn", "--csv", str(tmp_path / "rows.csv"), *where])
    assert told.exit_code == 0, told.output
    assert [json.loads(line)["row"] for line in told.output.splitlines()] == [{"rooms": 3.0}, {"rooms": None}]
    told = CliRunner().invoke(cli, ["predict", "churn", "--json", '{"rooms": 4}', *where])
    assert json.loads(told.output) == {"score": 0.25, "row": {"rooms": 4.0}}
    told = CliRunner().invoke(cli, ["predict", "churn", "--json", "{}", "--protocol", "v2", *where])
    assert told.exit_code == 2 and "Received: --protocol" in told.output
    told = CliRunner().invoke(cli, ["predict", "homes", "--json", "{}", *where])
    assert "expected one that is in Vertex AI. Received: 'homes'" in str(told.exception)
    without = ["--platform", "vertex:demo/us-central1", "--home", str(tmp_path)]
    told = CliRunner().invoke(cli, ["predict", "churn", "--json", "{}", *without])
    assert "expected a running server" in str(told.exception) and "&machine=TYPE" in str(told.exception)
    told = CliRunner().invoke(cli, ["rollout", "start", "churn:1", "--platform", opened.uri])
    assert "Vertex AI's, which shows nobody its containers" in str(told.exception)


def test_a_version_that_does_not_start_never_becomes_the_champion(platform, tmp_path):
    service, _, opened = platform
    for number in (1, 2):
        bundle = write_unscorable_bundle(tmp_path / f"b{number}", seed=number)
        opened.registry.register(bundle, "churn", metrics={}, run="r", blessing=Blessing(None))
    opened.endpoints.deploy("churn", "churn", "1", run="r")
    service.refuse[":deployModel"] = (400, "Model server terminated: model.onnx is damaged")
    with pytest.raises(ServingError, match="Model server terminated"):
        opened.endpoints.deploy("churn", "churn", "2", run="r")
    assert opened.registry.champion("churn").version == "1"
    assert [one.version for one in opened.endpoints.served("churn").answering] == ["1"]


def test_an_endpoint_that_somebody_changed_by_hand_follows_again(platform, tmp_path):
    opened = platform[2]
    bundle = write_unscorable_bundle(tmp_path / "b", seed=1)
    opened.registry.register(bundle, "churn", metrics={}, run="r", blessing=Blessing(None))
    opened.endpoints.deploy("churn", "churn", "1", run="r")
    words = ["models", "sync", "churn", "--platform", opened.uri]
    assert CliRunner().invoke(cli, [*words, "--check"]).exit_code == 0
    VertexServing(VertexPlace.of(opened.uri)).empty("churn")
    failed = CliRunner().invoke(cli, [*words, "--check"])
    assert failed.exit_code != 0 and str(failed.exception).endswith(
        "expected Vertex AI to serve what the registry says: churn 1 100%. Received: nothing"
    )
    told = CliRunner().invoke(cli, words)
    assert told.exit_code == 0 and "the registry: churn:1 100%" in told.output and ": 1 100%" in told.output
    plain = VertexPlace.of(opened.uri).served_on(Serving("n1-standard-4", 0, 3, target_cpu=70, log_sample=0.5))
    assert VertexPlace.of(plain.uri).serving == Serving("n1-standard-4", 0, 3, target_cpu=70, log_sample=0.5)
    with pytest.raises(HeadraceError, match="expected replicas as 1-2"):
        open_platform("vertex:demo/r?machine=m&replicas=few")


def test_another_model_s_version_or_a_shadow_that_is_lacking_is_not_what_the_registry_says(platform, tmp_path):
    opened = platform[2]
    for model, seed in (("churn", 1), ("churn", 2), ("homes", 3)):
        bundle = write_unscorable_bundle(tmp_path / f"b{seed}", seed=seed)
        opened.registry.register(bundle, model, metrics={}, run="r", blessing=Blessing(None))
    opened.endpoints.deploy("churn", "churn", "1", run="r")
    serving = VertexServing(VertexPlace.of(opened.uri))

    def checked():
        return CliRunner().invoke(cli, ["models", "sync", "churn", "--check", "--platform", opened.uri])

    assert checked().exit_code == 0
    serving.apply(Endpoint("churn", (Deployed("homes", "1", 100),), ""))
    assert "says: churn 1 100%. Received: homes 1 100%" in str(checked().exception) and checked().exit_code == 1
    parts = [Deployed("churn", "1", 100), Deployed("churn", "2", 0, shadow=True)]
    opened.endpoints.split("churn", parts, who="ann", reason="look on")
    assert checked().exit_code == 0
    serving.apply(Endpoint("churn", (Deployed("churn", "1", 100),), ""))
    assert "Received: churn 1 100%" in str(checked().exception) and checked().exit_code == 1
    opened.endpoints.follow("churn")
    assert checked().exit_code == 0
