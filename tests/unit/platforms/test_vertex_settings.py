from __future__ import annotations

from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.evaluate.spec import EvaluateSpec
from headrace.components.evaluate.spec import with_runner as evaluated_with
from headrace.components.statistics.spec import BeamSpec, StatisticsSpec, runner_of, with_runner
from headrace.platforms.vertex import access
from headrace.platforms.vertex.connecting import refusal, role_of
from headrace.platforms.vertex.settings import (
    Dataflow,
    Monitoring,
    Serving,
    TaskMachine,
    VertexSettings,
    accelerator_type,
    dataflow_options,
)

IR = {
    "deploymentSpec": {
        "executors": {
            "exec-statistics": {"container": {"image": "tfx@sha256:1"}},
            "exec-evaluate": {"container": {"image": "main@sha256:2"}},
        }
    }
}


def test_names_of_accelerators() -> None:
    assert accelerator_type("nvidia-tesla-t4") == accelerator_type("NVIDIA_TESLA_T4") == "NVIDIA_TESLA_T4"
    with pytest.raises(HeadraceError, match="Received: 't4'"):
        accelerator_type("t4")


def test_the_section_of_a_spec() -> None:
    given = {
        "serving": {"min_replicas": 0.0, "max_replicas": 4},
        "monitoring": {"emails": ["ml@example.com"], "thresholds": {"plan": 0.1}},
        "service_account": "every platform's",
    }
    settings = VertexSettings.of(given)
    assert settings.serving == Serving(min_replicas=0, max_replicas=4) and settings.serving.to_zero
    assert settings.monitoring == Monitoring(emails=("ml@example.com",), thresholds={"plan": 0.1})
    assert settings.dataflow is None and VertexSettings.of({}) == VertexSettings()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: VertexSettings.of({"serving": {"replicas": 2}}), "submit.vertex.serving: expected a known key"),
        (lambda: VertexSettings.of({"dataflow": {"max_worker": 2}}), "did you mean max_workers"),
        (lambda: Serving(min_replicas=3), "Received: 3 to 2"),
        (lambda: Serving(min_replicas=0, spot=True), "and not both"),
        (lambda: Serving(log_sample=2), "log_sample from 0 to 1. Received: 2"),
        (lambda: Serving(idle_minutes=1), "idle_minutes from 5 to 480"),
        (lambda: Monitoring(sample=0), "a sample above 0"),
        (lambda: Monitoring(data="train.csv"), "data as gs:// or bq://"),
        (lambda: TaskMachine(timeout_hours=0), "expected hours and disk above 0"),
    ],
)
def test_settings_that_cannot_be(make: Any, told: str) -> None:
    with pytest.raises(HeadraceError, match=told):
        make()


def test_what_dataflow_is_told() -> None:
    settings = Dataflow(flexrs=True, subnetwork="regions/r/subnetworks/s", public_ips=False, options={"region": "r2"})
    options = dataflow_options(settings, "demo", "us-central1", "gs://runs/", ir=IR, name="churn", encryption_key="k")
    assert options == {
        "project": "demo",
        "region": "r2",
        "temp_location": "gs://runs/beam/tmp",
        "staging_location": "gs://runs/beam/staging",
        "max_num_workers": 10,
        "autoscaling_algorithm": "THROUGHPUT_BASED",
        "subnetwork": "regions/r/subnetworks/s",
        "dataflow_kms_key": "k",
        "flexrs_goal": "COST_OPTIMIZED",
        "no_use_public_ips": True,
        "labels": ["headrace=churn"],
        "images": {"tfx": "tfx@sha256:1", "main": "main@sha256:2"},
    }


def test_workers_have_images_of_their_own_where_there_are_such() -> None:
    options = dataflow_options(Dataflow(), "demo", "r", "gs://runs", ir=IR, workers={"main": "worker@sha256:3"})
    assert options["images"] == {"tfx": "tfx@sha256:1", "main": "worker@sha256:3"}
    assert "images" not in dataflow_options(
        Dataflow(image="mine"), "demo", "r", "gs://runs", ir=IR, workers={"main": "w"}
    )


def test_each_step_has_workers_with_its_own_libraries() -> None:
    from headrace.components.beam import pipeline_options

    options = dataflow_options(Dataflow(), "demo", "us-central1", "gs://runs", ir=IR)
    described = with_runner(StatisticsSpec(), "DataflowRunner", options).beam
    judged = evaluated_with(EvaluateSpec(), "DataflowRunner", options).batches.beam
    assert described is not None and described.options["sdk_container_image"] == "tfx@sha256:1"
    assert judged is not None and judged.options["sdk_container_image"] == "main@sha256:2"
    read = pipeline_options(described, "statistics").get_all_options()  # as Beam itself reads them
    assert read["region"] == "us-central1" and read["max_num_workers"] == 10
    assert read["sdk_container_image"] == "tfx@sha256:1" and read["temp_location"] == "gs://runs/beam/tmp"


def test_a_sections_own_options_go_first() -> None:
    beam = BeamSpec(options={"region": "europe-west4"})
    found = runner_of(beam, "", {"region": "us-central1", "project": "demo"})
    assert found == BeamSpec(options={"region": "europe-west4", "project": "demo"})
    assert runner_of(None, "", {"project": "demo"}) is None and runner_of(beam, "none", {}) is None


class Answer:
    def __init__(self, status_code: int, content: Any) -> None:
        self.status_code = status_code
        self._content = content

    def json(self) -> Any:
        return self._content


class Session:
    """Requests to Google's other services: by the end of the address."""

    def __init__(self, **answers: Answer) -> None:
        self._answers = answers

    def post(self, url: str, **_: Any) -> Answer:
        return self._answers[url.rpartition(":")[2]]

    def get(self, url: str, **_: Any) -> Answer:
        return self._answers["services"]


def test_the_missing_role_is_named() -> None:
    session: Any = Session(testIamPermissions=Answer(200, {"permissions": ["aiplatform.pipelineJobs.get"]}))
    [found] = access.permission_findings("demo", session)
    assert found.ok is False and found.what == "role roles/aiplatform.user"
    assert "aiplatform.pipelineJobs.create" in found.told and "pipelineJobs.get," not in found.told
    assert found.remedy.endswith("add-iam-policy-binding demo --member user:YOU --role roles/aiplatform.user")
    session = Session(testIamPermissions=Answer(200, {"permissions": list(access.PERMISSIONS)}))
    assert [one.ok for one in access.permission_findings("demo", session)] == [True]
    session = Session(testIamPermissions=Answer(403, {"error": {"message": "no"}}))
    [found] = access.permission_findings("demo", session)
    assert found.ok is None and "403 no" in found.told


def test_apis_that_are_needed_and_those_that_may_be() -> None:
    on = [{"name": f"projects/7/services/{api}", "state": "ENABLED"} for api in access.APIS if "iam" not in api]
    off = [{"name": "projects/7/services/iam.googleapis.com", "state": "DISABLED"}]
    session: Any = Session(services=Answer(200, {"services": on + off}))
    found = {one.what: one for one in access.api_findings("demo", session)}
    assert found["API aiplatform.googleapis.com"].ok is True
    assert found["API iam.googleapis.com"].ok is False
    assert found["API iam.googleapis.com"].remedy == "gcloud services enable iam.googleapis.com --project demo"
    assert found["API dataflow.googleapis.com"].ok is None


def test_roles_of_the_pipelines_account() -> None:
    member = ["serviceAccount:runner@demo"]
    bindings = [{"role": "roles/aiplatform.admin", "members": member}, {"role": "roles/viewer", "members": member}]
    session: Any = Session(getIamPolicy=Answer(200, {"bindings": bindings}))
    found = access.account_findings("demo", "runner@demo", session, optional=["roles/bigquery.jobUser"])
    assert [(one.what.split()[1], one.ok) for one in found] == [
        ("roles/aiplatform.user", True), ("roles/logging.logWriter", False), ("roles/bigquery.jobUser", False),
    ]  # fmt: skip
    assert "--member serviceAccount:runner@demo --role roles/logging.logWriter" in found[1].remedy
    session = Session(getIamPolicy=Answer(200, {"bindings": [{"role": "roles/editor", "members": member}]}))
    found = access.account_findings("demo", "runner@demo", session)
    assert [one.ok for one in found] == [True, True, None] and "more than it needs" in found[2].told


def test_refusals_say_what_to_do() -> None:
    from google.auth.exceptions import DefaultCredentialsError

    assert role_of("artifactregistry.repositories.downloadArtifacts") == "roles/artifactregistry.reader"
    assert role_of("compute.instances.get") == ""
    assert "`gcloud auth application-default login`" in refusal(
        "vertex demo/r", DefaultCredentialsError("none"), "demo"
    )
    plain = refusal("vertex demo/r", ValueError("a quota"), "demo")
    assert plain == "vertex demo/r: expected Vertex AI to do it. Received: a quota"
