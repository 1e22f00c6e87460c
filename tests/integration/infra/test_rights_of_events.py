"""What the events service asks of Google's services, recorded, is what infra/ lets its account ask, and all of that is used."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
import yaml

from headrace.pipelines.events import app as service
from headrace.pipelines.events.reading import read_request
from headrace.pipelines.events.settings import Settings
from tests.cloud.gcs_server import storage_service
from tests.cloud.vertex_server import vertex_service
from tests.integration.platforms.test_vertex_runs import IR
from tests.unit.infra.terraform_files import grants, infra
from tests.unit.pipelines.events.test_event_reading import notification

BUCKET = "my-project-headrace-staging-events"
RULES = """
rules:
  - name: new-month
    object: {match: "gs://raw/in/*.csv"}
    pipeline: pipeline.yaml
    parameters: {source: "{uri}", n: "7"}
"""
# https://cloud.google.com/storage/docs/access-control/iam-roles: of roles/storage.objectUser, what concerns whole objects.
OBJECT_USER = {"create", "delete", "get", "list", "update"}


def vertex_permission(method: str, path: str) -> str:
    """https://cloud.google.com/vertex-ai/docs/general/iam-permissions: the collection, and what is done to it."""
    name, _, action = urlsplit(path).path.partition(":")
    pieces = re.sub(r"^/v1(beta1)?/projects/[^/]+/locations/[^/]+/", "", name).split("/")
    whole = len(pieces) % 2 == 1  # the collection, and none of its members
    verbs = {"POST": "create", "GET": "list" if whole else "get", "PATCH": "update", "DELETE": "delete"}
    return f"aiplatform.{pieces[-1 if whole else -2]}.{action or verbs[method]}"


def storage_access(method: str, path: str) -> tuple[str, str]:
    """The bucket, and what is done to its objects: https://cloud.google.com/storage/docs/access-control/iam-json."""
    parts = re.fullmatch(r"/(?:upload/|download/)?storage/v1/b/([^/?]+)(/o(?:/.+)?)?", urlsplit(path).path)
    assert parts, f"another kind of request: {method} {path}"
    bucket, object = parts[1], parts[2]
    assert object, f"roles/storage.objectUser does not allow to ask about the bucket itself: {method} {path}"
    if object == "/o":
        return bucket, {"GET": "list", "POST": "create"}[method]
    return bucket, {"GET": "get", "DELETE": "delete", "PATCH": "update", "PUT": "create", "POST": "create"}[method]


def test_the_events_account_has_what_it_asks_for_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with storage_service(BUCKET) as storage, vertex_service() as vertex:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
        quiet = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"
        monkeypatch.setenv(quiet, infra().locals["events_environment"][quiet])
        storage.put(f"gs://{BUCKET}/rules.yaml", RULES.encode())
        storage.put(f"gs://{BUCKET}/pipeline.yaml", yaml.safe_dump(IR).encode())
        settings = Settings.of(
            {
                "HEADRACE_EVENTS_RULES": f"gs://{BUCKET}/rules.yaml",
                "HEADRACE_EVENTS_LEDGER": f"gs://{BUCKET}/ledger",
                "HEADRACE_EVENTS_ON": f"vertex:demo/us-central1?endpoint={vertex.url}",
                "HEADRACE_EVENTS_ROOT": "gs://my-project-headrace-staging/runs",
                "HEADRACE_EVENTS_SERVICE_ACCOUNT": "headrace-pipelines@demo.iam.gserviceaccount.com",
                "HEADRACE_EVENTS_AUTH": "none",
            }
        )
        handler = service.open_handler(settings, None)
        event = read_request(*notification())
        assert [outcome.state for outcome in handler.handle(event)] == ["started"]
        assert [outcome.state for outcome in handler.handle(event)] == ["done"]
        # Killed between the start and the ledger: the job is looked up.
        for name in [name for name in storage.buckets[BUCKET] if "/starts/" in name]:
            del storage.buckets[BUCKET][name]
        assert [outcome.state for outcome in handler.handle(event)] == ["started"]
        asked = [
            (method, path) for method, path, _ in vertex.requests if path != "/healthz"
        ]  # whether it is an emulator
        asked_vertex = {vertex_permission(method, path) for method, path in asked}
        asked_storage = {storage_access(method, path) for method, path in storage.requests}

    role = infra().resources["google_project_iam_custom_role", "run_starter"]
    assert asked_vertex == set(role["permissions"])
    assert {bucket for bucket, _ in asked_storage} == {BUCKET}
    assert {"create", "get"} <= {action for _, action in asked_storage} <= OBJECT_USER
    has = {(grant.role, grant.on) for grant in grants() if grant.account == "headrace-events"}
    assert has == {
        ("headraceRunStarter", "the project"),
        ("roles/storage.objectUser", "bucket `events`"),
        ("roles/iam.serviceAccountUser", "account `headrace-pipelines`"),
    }


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("POST", "/v1/projects/p/locations/l/pipelineJobs?pipelineJobId=x", "aiplatform.pipelineJobs.create"),
        ("GET", "/v1/projects/p/locations/l/pipelineJobs/x", "aiplatform.pipelineJobs.get"),
        ("GET", "/v1/projects/p/locations/l/pipelineJobs", "aiplatform.pipelineJobs.list"),
        ("POST", "/v1/projects/p/locations/l/pipelineJobs/x:cancel", "aiplatform.pipelineJobs.cancel"),
        ("GET", "/v1/projects/p/locations/l/metadataStores/default/contexts/c", "aiplatform.contexts.get"),
    ],
)
def test_the_permission_of_a_request(method: str, path: str, permission: str) -> None:
    assert vertex_permission(method, path) == permission
