"""The real `terraform` validates and plans infra/, against a provider with Google's schemas and no cloud behind it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.pipelines.events.settings import Settings
from headrace.platforms.running import Where
from headrace.platforms.vertex.store import VertexPlace, label

from .stub_provider import serving
from .terraform_files import INFRA, grants

pytestmark = pytest.mark.skipif(
    shutil.which("terraform") is None, reason="no terraform here; the files are read by test_infra_files"
)

DIGEST = f"@sha256:{'0' * 64}"
MINIMAL = {"project": "my-project", "environment": "staging"}
FULL: dict[str, Any] = {
    **MINIMAL,
    "build_repository": "projects/my-project/locations/us-central1/connections/github/repositories/headrace",
    "events_image": f"us-central1-docker.pkg.dev/my-project/headrace/components{DIGEST}",
    "serving_image": f"us-central1-docker.pkg.dev/my-project/headrace/serving{DIGEST}",
    "schedules": {"churn-weekly": {"cron": "0 5 * * 1"}},
    "endpoints": {
        "churn": {"id": "1001", "sample": 0.1},
        "Taxi.Fares": {"id": "1002"},
        "by-the.hour": {"id": "1003", "sample": 1},
    },
    "submitters": ["group:ml@example.com"],
    "alert_emails": ["on-call@example.com"],
}

Planned = dict[str, list[dict[str, Any]]]


class Terraform:
    """infra/ in a folder of its own, with its state beside it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self._environment = folder, environment
        self._planned: dict[str, Planned] = {}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["terraform", words[0], *([] if words[0] in ("show", "fmt") else ["-no-color"]), *words[1:]]
        return subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=120
        )

    def plan(self, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        (self.folder / "given.tfvars.json").write_text(json.dumps(variables))
        return self.run("plan", "-input=false", "-var-file=given.tfvars.json", "-out=plan")

    def planned(self, variables: dict[str, Any]) -> Planned:
        """What would be made, by type."""
        key = json.dumps(variables, sort_keys=True)
        if key not in self._planned:
            self._planned[key] = self._planned_now(variables)
        return self._planned[key]

    def _planned_now(self, variables: dict[str, Any]) -> Planned:
        done = self.plan(variables)
        assert done.returncode == 0, done.stderr
        shown = json.loads(self.run("show", "-json", "plan").stdout)
        found: Planned = {}
        for resource in shown["planned_values"]["root_module"]["resources"]:
            found.setdefault(resource["type"], []).append(resource["values"])
        return found


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    folder = tmp_path_factory.mktemp("infra")
    for file in INFRA.glob("*.tf"):
        shutil.copy(file, folder)
    (folder / "backend_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    with serving() as environment:
        found = Terraform(folder, environment)
        done = found.run("init", "-input=false")
        assert done.returncode == 0, done.stderr
        yield found


def test_it_is_valid_and_formatted(terraform: Terraform) -> None:
    done = terraform.run("validate")
    assert done.returncode == 0, done.stderr
    done = terraform.run("fmt", "-check", "-diff")
    assert done.returncode == 0, done.stdout


def test_an_argument_that_the_provider_does_not_have_is_refused(terraform: Terraform) -> None:
    file = terraform.folder / "events.tf"
    text = file.read_text()
    try:
        file.write_text(text.replace("payload_format", "payload_form"))
        done = terraform.run("validate")
    finally:
        file.write_text(text)
    assert done.returncode == 1 and 'An argument named "payload_form" is not expected here' in done.stderr


def test_two_variables_are_enough(terraform: Terraform) -> None:
    found = terraform.planned(MINIMAL)
    for type in (
        "google_cloudbuild_trigger",
        "google_cloud_run_v2_service",
        "google_cloud_scheduler_job",
        "google_vertex_ai_endpoint",
    ):
        assert type not in found
    assert {one["account_id"] for one in found["google_service_account"]} == {
        "headrace-pipelines",
        "headrace-dataflow",
        "headrace-serving",
    }
    assert {one["name"] for one in found["google_storage_bucket"]} == {
        f"my-project-headrace-staging{end}" for end in ("", "-data", "-events")
    }


def test_everything(terraform: Terraform) -> None:
    found = terraform.planned(FULL)
    [service] = found["google_cloud_run_v2_service"]
    [container] = service["template"][0]["containers"]
    given = {one["name"]: one["value"] for one in container["env"]}
    settings = Settings.of(given)
    assert Where.of(settings.on) == Where("vertex", project="my-project", location="us-central1")
    place = VertexPlace.of(settings.registry)
    assert (place.project, place.bucket, place.image) == (
        "my-project",
        "gs://my-project-headrace-staging/models",
        FULL["serving_image"],
    )
    assert settings.known_callers() and settings.callers == (
        "headrace-events-invoker@my-project.iam.gserviceaccount.com",
    )
    assert settings.root == "gs://my-project-headrace-staging/runs"
    buckets = {one["name"] for one in found["google_storage_bucket"]}
    assert {
        address.split("/")[2] for address in (settings.rules, settings.ledger, settings.root, place.bucket)
    } <= buckets
    assert "my-project-headrace-releases" in buckets

    [push] = [one for one in found["google_pubsub_subscription"] if one["push_config"]]
    [target] = push["push_config"]
    [tick] = found["google_cloud_scheduler_job"]
    assert target["push_endpoint"] == f"{target['oidc_token'][0]['audience']}/pubsub"
    assert tick["http_target"][0]["uri"] == f"{target['oidc_token'][0]['audience']}/schedule/churn-weekly"
    endpoints = {one["display_name"]: one for one in found["google_vertex_ai_endpoint"]}
    assert {name: one["labels"]["headrace-endpoint"] for name, one in endpoints.items()} == {
        name: label(name) for name in endpoints
    }
    logging = {name: one["predict_request_response_logging_config"] for name, one in endpoints.items()}
    assert (len(logging["churn"]), logging["Taxi.Fares"]) == (1, [])
    assert (
        logging["by-the.hour"][0]["bigquery_destination"][0]["output_uri"]
        == "bq://my-project.headrace_requests.by_the_hour"
    )
    assert all(one["notification_channels"] for one in found["google_monitoring_alert_policy"])


def test_who_gets_what_is_what_is_listed_and_no_more(terraform: Terraform) -> None:
    """Whatever loops and conditions make of the table in access.tf: each account's roles, and nobody else's."""
    found = terraform.planned(FULL)
    given = sorted(
        (one["member"].removeprefix("serviceAccount:").partition("@")[0], one["role"].rpartition("/")[2])
        for type, many in found.items()
        if type.endswith("_iam_member")
        for one in many
        if "headrace-" in one["member"]
    )
    submits = [
        ("headrace-ci-main", role) for role in ("aiplatform.user", "iam.serviceAccountUser", "storage.objectUser")
    ]
    assert given == sorted([*((one.account, one.role.rpartition("/")[2]) for one in grants()), *submits])
    agents = {
        one["member"].partition("@")[2] for type, many in found.items() if type.endswith("_iam_member") for one in many
    }
    assert agents == {
        "example.com",  # the submitters
        "my-project.iam.gserviceaccount.com",
        "gs-project-accounts.iam.gserviceaccount.com",
        "gcp-sa-pubsub.iam.gserviceaccount.com",
        "gcp-sa-aiplatform.iam.gserviceaccount.com",
    }


def test_staging_elsewhere(terraform: Terraform) -> None:
    found = terraform.planned(
        {**FULL, "project": "my-build", "environment": "build", "staging": {"project": "my-staging"}}
    )
    [main] = [one for one in found["google_cloudbuild_trigger"] if one["name"] == "headrace-main"]
    assert main["substitutions"] == {
        "_REGION": "us-central1",
        "_IMAGES": "us-central1-docker.pkg.dev/my-build/headrace",
        "_RELEASES": "gs://my-build-headrace-releases",
        "_SPEC": "examples/churn/spec.yaml",
        "_STAGING_PROJECT": "my-staging",
        "_STAGING_BUCKET": "gs://my-staging-headrace-staging",
        "_STAGING_SERVICE_ACCOUNT": "headrace-pipelines@my-staging.iam.gserviceaccount.com",
    }
    assert not [
        one
        for one in found["google_project_iam_member"]
        if "ci-main" in one["member"] and one["role"] == "roles/aiplatform.user"
    ]


WRONG: dict[str, tuple[Any, str]] = {
    "project": ("My_Project", "Expected a project's id"),
    "environment": ("releases", "and not `releases`"),
    "region": ("Europe", "Expected a region such as"),
    "events_image": ("headrace/components:latest", "Expected an image by digest, as tags move"),
    "serving_image": ("headrace/serving:latest", "Expected an image by digest, as tags move"),
    "submitters": (["allUsers"], "allAuthenticatedUsers are nobody"),
    "image_readers": (["user:a@example.com"], "Expected members such as serviceAccount:"),
    "endpoints": ({"churn": {"id": "007"}}, "Expected an id of up to ten digits"),
    "alert_emails": (["nobody"], "Expected addresses of e-mail"),
    "build_repository": ("github.com/a/b", "Expected projects/P/locations/R"),
    "schedules": ({"Weekly!": {"cron": "0 5 * * 1"}}, "Expected names of small letters"),
    "runs_kept_days": (0, "Expected a day or more"),
}


def test_wrong_variables_are_refused_in_words_all_at_once(terraform: Terraform) -> None:
    done = terraform.plan({name: value for name, (value, _) in WRONG.items()})
    assert done.returncode == 1
    told = " ".join(done.stderr.replace("│", " ").split())
    for name, (_, said) in WRONG.items():
        assert f"var.{name} is " in told and said in told, name


def test_events_without_a_serving_image_are_refused(terraform: Terraform) -> None:
    done = terraform.plan({**FULL, "serving_image": ""})
    assert done.returncode == 1
    assert "expected the serving image by digest beside events_image" in " ".join(done.stderr.replace("│", " ").split())
