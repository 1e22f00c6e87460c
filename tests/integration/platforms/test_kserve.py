"""Endpoints on KServe: the real kubernetes client against a cluster on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.components.push.component import push
from headrace.pipelines.cli import cli
from headrace.platforms.interface import ANY_CHAMPION, Blessing, ChampionChanged, Deployed, WaitsForApproval
from headrace.platforms.kubeflow.checking import check_serving
from headrace.platforms.kubeflow.cluster import ClusterError
from headrace.platforms.kubeflow.manifests import runtime_name, service_name, trial_name
from headrace.platforms.kubeflow.place import KubeflowPlace
from headrace.platforms.kubeflow.platform import KubeflowPlatform
from tests.cloud.kserve_server import Cluster, cluster
from tests.unit.components.evidence import write_decision, write_infra_report
from tests.unit.platforms.bundles import write_unscorable_bundle

IMAGE = "registry.example.org/serving@sha256:1234"


@pytest.fixture
def kube(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with cluster(tmp_path) as found:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        yield found


class Homes:
    """A model `homes` on a cluster."""

    def __init__(self, folder: Path, **options: object) -> None:
        more = {"image": IMAGE, "wait": 60, **options}
        self.place = KubeflowPlace("models", "pvc://claim/headrace", mount=str(folder / "pvc"), **more)
        self.platform = KubeflowPlatform(self.place, every_s=0.005)
        self._folder = folder

    def __call__(self, seed: int, approvals: int = 0) -> str:
        bundle = self._folder / f"bundle-{seed}"
        if not bundle.exists():
            write_unscorable_bundle(bundle, seed)
        from headrace.platforms.interface import ModelSettings

        kept = self.platform.registry.register(
            bundle, "homes", metrics={}, run="r", blessing=Blessing(None), settings=ModelSettings(approvals)
        )
        return kept.version

    def uri(self, version: str) -> str:
        return self.platform.registry.get("homes", version).uri

    def deploy(self, version: str, expected: str | None = ANY_CHAMPION) -> None:
        self.platform.endpoints.deploy("homes", "homes", version, expected_champion=expected)

    def shares(self, kube: Cluster) -> dict[str, int]:
        """Percent by version."""
        uris = {self.uri(one.version): one.version for one in self.platform.registry.versions("homes")}
        return {uris[uri]: share for uri, share in kube.traffic("homes").items()}


@pytest.fixture
def homes(tmp_path: Path, kube: Cluster) -> Homes:
    return Homes(tmp_path)


def test_the_first_version_gets_a_service_and_a_runtime(homes: Homes, kube: Cluster) -> None:
    kube.slow = 3
    homes.deploy(homes(1))
    service = kube.service("homes")
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    predictor = service["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == homes.uri("1")
    assert homes.uri("1").startswith("pvc://claim/headrace/models/homes/bundles/")
    assert predictor["model"]["runtime"] == runtime_name(IMAGE) and "canaryTrafficPercent" not in predictor
    assert predictor["minReplicas"] == 1
    runtime = kube.objects["servingruntimes", "models", runtime_name(IMAGE)]
    assert runtime["spec"]["containers"][0]["image"] == IMAGE
    assert homes.platform.registry.champion("homes").version == "1"
    assert homes.shares(kube) == {"1": 100}


def test_another_version_is_tried_without_traffic_before_it_serves(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    kube.requests.clear()
    kube.slow = 2
    homes.deploy(homes(2))
    written = [body["spec"]["predictor"] for method, _, body in kube.requests if method == "PUT"]
    assert [one.get("canaryTrafficPercent") for one in written] == [0, None]
    assert {one["model"]["storageUri"] for one in written} == {homes.uri("2")}
    assert homes.shares(kube) == {"2": 100}
    assert len(kube.service("homes")["revisions"]) == 2  # the share makes no revision


def test_what_does_not_start_never_becomes_the_champion(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    kube.broken.add(homes.uri(homes(2)))
    with pytest.raises(ClusterError, match="expected version homes:2 to start. Received: ModelLoadFailed: cannot load"):
        homes.deploy("2")
    assert homes.platform.registry.champion("homes").version == "1"
    assert homes.platform.registry.get("homes", "2").state == "blessed"
    assert homes.shares(kube) == {"1": 100}
    homes.deploy(homes(3))  # and the next one is held against the one that serves
    assert homes.shares(kube) == {"3": 100}


def test_an_api_server_that_is_away_for_a_moment_ends_no_push(
    homes: Homes, kube: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube.slow, usual, looks = 5, kube.answer, []

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if method == "GET" and path.partition("?")[0].endswith("/inferenceservices/homes") and kube.objects:
            looks.append(path)
            if len(looks) in (4, 5, 6):
                return 503, {"message": "etcdserver: leader changed"}
        return usual(method, path, body)

    monkeypatch.setattr(kube, "answer", answer)
    homes.deploy(homes(1))
    assert homes.shares(kube) == {"1": 100} and len(looks) > 6


def test_a_first_version_that_does_not_start_leaves_nothing(homes: Homes, kube: Cluster) -> None:
    kube.broken.add(homes.uri(homes(1)))
    with pytest.raises(ClusterError, match="cannot load"):
        homes.deploy("1")
    assert ("inferenceservices", "models", "homes") not in kube.objects
    assert homes.platform.endpoints.get("homes") is None


def test_of_two_pushes_the_second_is_told_and_the_cluster_stays(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    first = homes.platform.registry.get("homes", "1").digest
    homes(2), homes(3)
    homes.deploy("2", expected=first)
    with pytest.raises(ChampionChanged):
        homes.deploy("3", expected=first)
    assert homes.shares(kube) == {"2": 100}


def test_the_champion_changes_while_a_version_is_tried(homes: Homes, kube: Cluster, tmp_path: Path) -> None:
    homes.deploy(homes(1))
    first = homes.platform.registry.get("homes", "1").digest
    homes(2), homes(3)
    other = Homes(tmp_path)
    tried = homes.platform.services.try_out

    def slowly(*args: object) -> None:
        tried(*args)
        other.deploy("3", expected=first)

    homes.platform.services.try_out = slowly
    with pytest.raises(ChampionChanged):
        homes.deploy("2", expected=first)
    kube.answer("GET", "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices/homes", None)
    assert homes.shares(kube) == {"3": 100}
    assert homes.platform.registry.champion("homes").version == "3"


def test_nothing_is_started_for_what_waits_for_approval(homes: Homes, kube: Cluster) -> None:
    homes(1, approvals=1)
    with pytest.raises(WaitsForApproval):
        homes.deploy("1")
    assert [method for method, _, _ in kube.requests if method != "GET"] == []


def test_a_canary_grows_and_is_taken_back_at_once(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    homes(2)
    ends = homes.platform.endpoints

    def split(share: int) -> None:
        ends.split("homes", [Deployed("homes", "1", 100 - share), Deployed("homes", "2", share)], reason="try it")

    split(10)
    assert homes.shares(kube) == {"1": 90, "2": 10}
    split(50)
    assert homes.shares(kube) == {"1": 50, "2": 50}
    revisions = len(kube.service("homes")["revisions"])
    done = ends.rollback("homes", who="eve", reason="worse")
    assert (done.version, done.before) == ("1", "2")
    assert homes.shares(kube) == {"1": 100}
    assert len(kube.service("homes")["revisions"]) == revisions == 2  # the older one never stopped
    homes(3)
    ends.split("homes", [Deployed("homes", "1", 75), Deployed("homes", "3", 25)], reason="another")
    assert homes.shares(kube) == {"1": 75, "3": 25}
    ends.split("homes", [Deployed("homes", "3", 100)], reason="proven")
    assert homes.shares(kube) == {"3": 100} and homes.platform.registry.champion("homes").version == "3"


def test_a_rollback_of_what_serves_alone_starts_the_older_one(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    homes.deploy(homes(2))
    homes.platform.endpoints.rollback("homes", who="eve", reason="worse")
    assert homes.shares(kube) == {"1": 100}
    homes.deploy(homes(3))
    homes.platform.endpoints.split(
        "homes", [Deployed("homes", "3", 60), Deployed("homes", "1", 40)], reason="was not so bad"
    )
    assert homes.shares(kube) == {"3": 60, "1": 40}


@pytest.mark.parametrize(
    ("shares", "key", "told"),
    [
        ({"1": 50, "2": 30, "3": 20}, "", "expected two versions, as KServe has. Received: 1=50, 2=30, 3=20"),
        ({"1": 50, "2": 50}, "x-user", "by chance. Received: x-user"),
    ],
)
def test_what_kserve_cannot_do_is_refused(
    homes: Homes, kube: Cluster, shares: dict[str, int], key: str, told: str
) -> None:
    homes.deploy(homes(1))
    kube.requests.clear()
    with pytest.raises(HeadraceError, match=told):
        homes.platform.endpoints.split("homes", [Deployed("homes", v, s) for v, s in shares.items()], key=key)
    assert kube.requests == []


def test_without_knative_a_version_is_tried_beside(tmp_path: Path, kube: Cluster) -> None:
    homes = Homes(tmp_path, mode="raw")
    homes.deploy(homes(1))
    kube.broken.add(homes.uri(homes(2)))
    with pytest.raises(ClusterError, match="cannot load"):
        homes.deploy("2")
    assert kube.service("homes")["spec"]["predictor"]["model"]["storageUri"] == homes.uri("1")
    homes.deploy(homes(3))
    assert kube.service("homes")["spec"]["predictor"]["model"]["storageUri"] == homes.uri("3")
    assert ("inferenceservices", "models", trial_name("homes")) not in kube.objects
    with pytest.raises(HeadraceError, match="without Knative knows no canaries. Received: 3=90, 1=10"):
        homes.platform.endpoints.split("homes", [Deployed("homes", "3", 90), Deployed("homes", "1", 10)])


def test_another_process_changes_the_service_meanwhile(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    kube.conflicts = 3
    homes.deploy(homes(2))
    assert homes.shares(kube) == {"2": 100} and kube.conflicts == 0


def test_what_others_set_on_the_service_stays(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    kube.service("homes")["spec"]["predictor"] |= {"maxReplicas": 7, "timeout": 30}
    kube.service("homes")["metadata"]["labels"]["team"] = "growth"
    homes.deploy(homes(2))
    assert kube.service("homes")["spec"]["predictor"]["maxReplicas"] == 7
    assert kube.service("homes")["metadata"]["labels"]["team"] == "growth"


def test_a_service_of_somebody_else_is_left_alone(homes: Homes, kube: Cluster) -> None:
    path = "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
    kube.answer("POST", path, {"metadata": {"name": "homes"}, "spec": {"predictor": {}}})
    with pytest.raises(ClusterError, match="expected one that headrace made. Received: another's"):
        homes.deploy(homes(1))
    assert kube.service("homes")["spec"] == {"predictor": {}}


def test_what_the_cluster_forbids_is_told(homes: Homes, kube: Cluster) -> None:
    kube.forbidden.add("inferenceservices")
    with pytest.raises(
        ClusterError, match=r"forbidden.*\(HTTP 403\); `kubectl auth can-i get inferenceservices -n models`"
    ):
        homes.deploy(homes(1))
    assert homes.platform.registry.champion("homes") is None


def test_a_cluster_that_is_not_there(homes: Homes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (tmp_path / "kubeconfig").read_text()
    (tmp_path / "kubeconfig").write_text(text.replace("127.0.0.1:", "127.0.0.1:1#"))
    with pytest.raises(ClusterError, match="expected a cluster that answers"):
        Homes(tmp_path).deploy(homes(1))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(ClusterError, match="expected the cluster in the kubeconfig"):
        Homes(tmp_path).deploy("1")


@pytest.mark.slow  # MLflow makes a database
def test_a_registry_in_mlflow_has_its_bundles_copied_for_kserve(tmp_path: Path, kube: Cluster) -> None:
    homes = Homes(tmp_path, registry=f"mlflow:sqlite:///{tmp_path}/mlflow.db")
    homes.deploy(homes(1))
    assert (tmp_path / "mlartifacts").is_dir()  # and nothing in the folder that this runs in
    uri = kube.service("homes")["spec"]["predictor"]["model"]["storageUri"]
    digest = homes.platform.registry.get("homes", "1").digest.partition(":")[2]
    assert uri == f"pvc://claim/headrace/served/homes/{digest}"
    assert (tmp_path / "pvc/headrace/served/homes" / digest / "manifest.json").is_file()


def test_by_the_command_line(homes: Homes, kube: Cluster, tmp_path: Path) -> None:
    homes.deploy(homes(1))
    homes(2)
    uri = KubeflowPlace.of(f"{homes.place.uri}&ingress={kube.url}").uri

    def run(*words: str) -> str:
        words = (*words, "--platform", uri, "--home", str(tmp_path / "home"))
        return CliRunner().invoke(cli, words, catch_exceptions=False).output

    run("models", "split", "homes", "1=80", "2=20", "--reason", "try")
    assert homes.shares(kube) == {"1": 80, "2": 20}
    told = run("models", "sync", "homes", "--check")
    assert (
        "the registry: homes:1 80%, homes:2 20%" in told and "homes-predictor-00002 20%" in told and ", ready, " in told
    )
    run("models", "rollback", "homes", "--reason", "worse")
    assert homes.shares(kube) == {"1": 100}
    kube.answers["homes.models.example.com"] = {"predictions": [{"value": 7.5}]}
    assert json.loads(run("predict", "homes", "--json", '{"rooms": 3}')) == {"value": 7.5}
    assert kube.requests[-1] == (
        "POST",
        "homes.models.example.com/predict",
        {"instances": [{"rooms": 3}]},
    )
    with pytest.raises(ClusterError, match=r"expected one that serves in the namespace models \(homes\)"):
        run("predict", "none", "--json", "{}")


def test_what_was_interrupted_is_made_good(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    del kube.objects["inferenceservices", "models", "homes"]  # somebody removed it
    assert homes.platform.endpoints.served("homes") is None
    homes.platform.endpoints.follow("homes")
    assert homes.shares(kube) == {"1": 100}


@pytest.mark.parametrize("mode", ["serverless", "raw"])
def test_a_service_that_is_not_as_the_log_says_is_told(tmp_path: Path, kube: Cluster, mode: str) -> None:
    homes = Homes(tmp_path, mode=mode)
    homes.deploy(homes(1))
    homes(2)

    def checked() -> str:
        words = ["models", "sync", "homes", "--check", "--platform", homes.place.uri, "--home", str(tmp_path / "home")]
        done = CliRunner().invoke(cli, words)
        assert (done.exit_code == 0) == (done.exception is None), done.output
        return str(done.exception or "")

    assert checked() == ""
    log = homes.platform.endpoints._log  # type: ignore[attr-defined]
    log.deploy("homes", "homes", "2")  # and whoever did it was killed before the cluster followed
    assert checked() == (
        "endpoint homes: expected the cluster to serve what the registry says. Received: the version homes:1, "
        "not homes:2"
    )
    homes.platform.endpoints.follow("homes")
    assert checked() == ""
    kube.service("homes")["spec"]["predictor"]["model"]["storageUri"] = homes.uri("1")  # somebody, by hand
    assert checked().endswith(f"Received: its bundle {homes.uri('1')}, not {homes.uri('2')}")
    kube.service("homes")["spec"]["predictor"]["model"]["storageUri"] = homes.uri("2")
    homes.platform.endpoints.split(
        "homes", [Deployed("homes", "2", 100), Deployed("homes", "1", 0, shadow=True)], reason="look on"
    )
    assert checked() == ""
    del kube.service("homes")["spec"]["predictor"]["model"]["args"]
    assert checked().endswith(f"Received: its shadows none, not --shadow {homes.uri('1')}")


def test_a_canary_with_another_share_than_the_log_says_is_told(homes: Homes, kube: Cluster) -> None:
    homes.deploy(homes(1))
    homes(2)
    ends = homes.platform.endpoints

    def differences() -> list[str]:
        there = ends.get("homes")
        assert there is not None
        return list(ends.differences(there))  # type: ignore[attr-defined]

    ends.split("homes", [Deployed("homes", "1", 90), Deployed("homes", "2", 10)], reason="try it")
    assert differences() == []
    kube.service("homes")["spec"]["predictor"]["canaryTrafficPercent"] = 60
    assert differences() == ["percent of it 60, not 10"]
    ends.follow("homes")  # type: ignore[attr-defined]
    assert homes.shares(kube) == {"1": 90, "2": 10} and differences() == []
    ends.rollback("homes", who="eve", reason="worse")  # the newest revision has nothing, and the older one all
    assert differences() == []
    ends._log.deploy("homes", "homes", homes(3))  # type: ignore[attr-defined]
    assert differences() == ["the version homes:2, not homes:3", "percent of it 0, not 100"]


def test_the_doctor_names_what_is_lacking(homes: Homes, kube: Cluster) -> None:
    def told(place: KubeflowPlace) -> dict[str, bool | None]:
        return {one.what: one.ok for one in check_serving(place)}

    assert told(homes.place) == {"KServe": True, "permissions": True, "bucket": True}
    kube.forbidden.add("servingruntimes")
    (found,) = [one for one in check_serving(homes.place) if one.what == "permissions"]
    assert found.ok is False and "create servingruntimes.serving.kserve.io" in found.told
    kube.forbidden.add("inferenceservices")
    assert told(replace(homes.place, image="")) == {"KServe": False, "serving image": False, "bucket": True}


def test_the_pipelines_step_pushes(
    homes: Homes, kube: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.platforms.kubeflow.kserve._EVERY_S", 0.005)
    version = homes.platform.registry.get("homes", homes(1))
    decision, infra = tmp_path / "decision", tmp_path / "infra"
    write_decision(decision, version.digest, champion=None)
    write_infra_report(infra, version.digest)
    given = {"model_name": "homes", "version": "1", "platform": homes.place.uri, "endpoint": "homes"}
    files = {"decision": SimpleNamespace(path=str(decision)), "infra": SimpleNamespace(path=str(infra))}
    (state,) = push.python_func(**given, **files, deploy={}, run="run-1")
    assert state == "live" and homes.shares(kube) == {"1": 100}
    assert [event.run for event in homes.platform.registry.history("homes") if event.action == "deploy"] == ["run-1"]


def test_names_that_kubernetes_does_not_take() -> None:
    assert service_name("churn") == "churn"
    assert service_name("Churn.plan_a") == "churn-plan-a-7d08e4"
    assert service_name("churn" * 20) != service_name("churn" * 21)
    assert len(service_name("churn" * 20)) <= 40 and len(trial_name("churn" * 20)) <= 40
