"""Least privilege: no wide roles, nothing public, and no grant without a call in our code (or in a service) that needs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .terraform_files import ROOT, grants, infra, texts

MODULE = infra()
GRANTS = grants()
GUIDE = (ROOT / "docs/infrastructure.md").read_text()

# Where a call stands that needs a grant: account, role (without roles/), what it is on -> files and what is called there.
# `service:` is a call that the cloud itself makes with the account's rights, and the page that says so.
CALLS: dict[tuple[str, str, str], dict[str, str]] = {
    ("headrace-pipelines", "aiplatform.user", "the project"): {
        "platforms/vertex/jobs.py": "aiplatform.CustomJob(",
        "platforms/vertex/store.py": "aiplatform.Model.upload(",
        "platforms/vertex/serving.py": "endpoint.deploy(",
        "platforms/vertex/experiments.py": "aiplatform.Experiment.get_or_create(",
        "platforms/vertex/monitoring.py": "aiplatform.ModelDeploymentMonitoringJob.create(",
    },
    ("headrace-pipelines", "bigquery.jobUser", "the project"): {
        "components/ingest/sources/bigquery_tables.py": "client.query(",
        "components/ingest/sources/bigquery.py": "client.extract_table(",
    },
    ("headrace-pipelines", "dataflow.developer", "the project"): {"components/beam.py": "DataflowRunner"},
    ("headrace-pipelines", "logging.logWriter", "the project"): {
        "service:Vertex AI": "https://cloud.google.com/vertex-ai/docs/general/custom-service-account"
    },
    ("headrace-dataflow", "dataflow.worker", "the project"): {
        "service:Dataflow": "https://cloud.google.com/dataflow/docs/concepts/security-and-permissions"
    },
    ("headrace-serving", "logging.logWriter", "the project"): {
        "service:Vertex AI": "https://cloud.google.com/vertex-ai/docs/general/custom-service-account"
    },
    ("headrace-events", "headraceRunStarter", "the project"): {"pipelines/events/starting.py": "self._runs.submit("},
    **{
        (f"headrace-ci-{build}", "logging.logWriter", "the project"): {
            "service:Cloud Build": "https://cloud.google.com/build/docs/securing-builds/configure-user-specified-service-accounts"
        }
        for build in ("check", "main", "release")
    },
    ("headrace-pipelines", "storage.objectUser", "bucket `main`"): {"platforms/vertex/store.py": ".put_file("},
    ("headrace-pipelines", "storage.legacyBucketReader", "bucket `main`"): {"components/beam.py": "pipeline_options"},
    ("headrace-dataflow", "storage.objectUser", "bucket `main`"): {
        "components/statistics/beam.py": "FileSystems.open("
    },
    ("headrace-pipelines", "storage.objectViewer", "bucket `data`"): {"components/fingerprint/remote.py": "url_to_fs("},
    ("headrace-dataflow", "storage.objectViewer", "bucket `data`"): {
        "components/batch_predict/beam.py": "FileSystems.open("
    },
    ("headrace-events", "storage.objectUser", "bucket `events`"): {
        "pipelines/events/store.py": "if_generation_match=",
        "pipelines/events/rules.py": "download_as_bytes(",
    },
    ("headrace-ci-main", "storage.objectUser", "bucket `releases`"): {
        "tools/delivery/releases.py": "upload_from_string("
    },
    ("headrace-ci-release", "storage.objectUser", "bucket `releases`"): {
        "tools/delivery/releases.py": "releases.keep("
    },
    ("headrace-pipelines", "bigquery.dataViewer", "data set `headrace_data`"): {
        "components/ingest/sources/bigquery.py": "client.list_rows("
    },
    ("headrace-dataflow", "artifactregistry.reader", "repository `images`"): {
        "service:Dataflow": "https://cloud.google.com/dataflow/docs/guides/using-custom-containers"
    },
    ("headrace-ci-check", "artifactregistry.reader", "repository `images`"): {"cloudbuild.yaml": "CACHE_FROM=$_IMAGES"},
    ("headrace-ci-main", "artifactregistry.writer", "repository `images`"): {"cloudbuild/main.yaml": "push-images"},
    ("headrace-ci-release", "artifactregistry.writer", "repository `images`"): {
        "tools/delivery/releases.py": "oci.tag(image, tag)"
    },
    ("headrace-ci-release", "artifactregistry.writer", "repository `packages`"): {
        "tools/delivery/dist.py": "def upload("
    },
    ("headrace-pipelines", "iam.serviceAccountUser", "account `headrace-pipelines`"): {
        "platforms/vertex/jobs.py": "service_account=job.service_account"
    },
    ("headrace-events", "iam.serviceAccountUser", "account `headrace-pipelines`"): {
        "pipelines/events/starting.py": "service_account=self._account"
    },
    ("headrace-pipelines", "iam.serviceAccountUser", "account `headrace-dataflow`"): {
        "platforms/vertex/settings.py": '"service_account_email"'
    },
    ("headrace-pipelines", "iam.serviceAccountUser", "account `headrace-serving`"): {
        "platforms/vertex/serving.py": '"service_account"'
    },
    ("headrace-serving", "storage.objectViewer", "folder `models/` of bucket `main`"): {
        "serving/__main__.py": "AIP_STORAGE_URI"
    },
    ("headrace-events-invoker", "run.invoker", "service `headrace-events`"): {"pipelines/events/app.py": "/pubsub"},
}


def test_every_grant_is_used_by_a_call_and_every_call_has_its_grant() -> None:
    given = [(grant.account, grant.role.removeprefix("roles/"), grant.on) for grant in GRANTS]
    assert len(given) == len(set(given))
    assert set(given) == set(CALLS)


@pytest.mark.parametrize("grant", CALLS, ids=" ".join)
def test_the_call_is_there(grant: tuple[str, str, str]) -> None:
    for place, call in CALLS[grant].items():
        if place.startswith("service:"):
            assert re.match(r"https://cloud\.google\.com/.+", call)
        else:
            assert call in (ROOT / place).read_text(), (
                f"{place} does not call {call}: does {grant[0]} still need {grant[1]}?"
            )


def test_the_guide_has_every_grant_and_its_reason_and_no_other() -> None:
    assert [line for line in GUIDE.splitlines() if line.startswith("| `headrace-") and line.count("|") == 5] == [
        one.row for one in GRANTS
    ]


def test_no_role_is_wide_and_nothing_is_public() -> None:
    wide = re.compile(
        r"roles/(owner|editor|viewer|[a-zA-Z.]*[aA]dmin|iam\.serviceAccountTokenCreator|iam\.serviceAccountKey\w*)$"
    )
    everything = list(texts([MODULE.locals, *MODULE.resources.values()]))
    roles = {text for text in everything if text.startswith("roles/")}
    assert len(roles) > 12
    # Vertex AI's agent on one account, which Google asks for; see access.tf.
    assert {role for role in roles if wide.match(role)} == {"roles/iam.serviceAccountAdmin"}
    [(key, block)] = [
        (key, one) for key, one in MODULE.resources.items() if one.get("role") == "roles/iam.serviceAccountAdmin"
    ]
    assert key == ("google_service_account_iam_member", "vertex_agent")
    assert 'account["headrace-serving"]' in block["service_account_id"] and "@gcp-sa-aiplatform." in block["member"]
    assert {text for text in everything if text in ("allUsers", "allAuthenticatedUsers")} == set()
    assert all(
        wide.match(f"roles/{role}")
        for role in ("owner", "editor", "storage.admin", "storage.objectAdmin", "iam.serviceAccountTokenCreator")
    )


def test_iam_is_only_added_to() -> None:
    """A binding or a policy would take away what others have given, also what Google's own agents need."""
    for type, name in MODULE.resources:
        assert not re.search(r"_iam_(binding|policy)$", type), f"{type}.{name}"
    assert not [type for type, _ in MODULE.resources if "service_account_key" in type], (
        "keys leak; accounts are used by who runs as them"
    )


def test_on_the_project_stands_only_what_stands_nowhere_else() -> None:
    """Storage, BigQuery's data, images, messages and the use of accounts are granted on the thing itself."""
    on_project = {grant.role for grant in GRANTS if grant.on == "the project"}
    assert on_project == {
        "roles/aiplatform.user",
        "roles/bigquery.jobUser",
        "roles/dataflow.developer",
        "roles/dataflow.worker",
        "roles/logging.logWriter",
        "headraceRunStarter",
    }
    elsewhere = re.compile(r"roles/(storage|pubsub|run|artifactregistry|iam|bigquery\.data)")
    assert not [role for role in on_project if elsewhere.match(role)]


def test_every_account_has_grants_and_every_grant_an_account() -> None:
    accounts = set()
    for name in ("accounts", "event_accounts", "build_accounts"):
        accounts |= set(re.findall(r"headrace-[a-z-]+", str(MODULE.locals[name])))
    assert accounts == {grant.account for grant in GRANTS}
    assert all(6 <= len(account) <= 30 for account in accounts)


def test_strangers_code_reaches_nothing_it_could_change() -> None:
    """What a pull request proposes runs as headrace-ci-check."""
    has = {(grant.role, grant.on) for grant in GRANTS if grant.account == "headrace-ci-check"}
    assert has == {("roles/logging.logWriter", "the project"), ("roles/artifactregistry.reader", "repository `images`")}
    [(_, trigger)] = [
        (key, block) for key, block in MODULE.resources.items() if key == ("google_cloudbuild_trigger", "pull_request")
    ]
    assert "headrace-ci-check" in trigger["service_account"]
    [event] = trigger["repository_event_config"]
    assert event["pull_request"][0]["comment_control"] == "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY"


def test_who_faces_requests_reads_models_and_no_data() -> None:
    has = {(grant.role, grant.on) for grant in GRANTS if grant.account == "headrace-serving"}
    assert has == {
        ("roles/logging.logWriter", "the project"),
        ("roles/storage.objectViewer", "folder `models/` of bucket `main`"),
    }


def test_the_two_grants_that_stand_in_blocks_of_their_own_are_as_listed() -> None:
    folder = MODULE.resources["google_storage_managed_folder_iam_member", "serving"]
    assert (folder["role"], "headrace-serving" in folder["member"]) == ("roles/storage.objectViewer", True)
    invoker = MODULE.resources["google_cloud_run_v2_service_iam_member", "invoker"]
    assert (invoker["role"], "headrace-events-invoker" in invoker["member"]) == ("roles/run.invoker", True)
    # Beside them: Google's agents, submitters, other environments. Each has its reason in a comment behind the role.
    listed = {"account", "acts_as"}
    own = [key for key in MODULE.of("_iam_member") if key[1] not in listed]
    assert len(own) == 11
    for file in Path(ROOT / "infra").glob("*.tf"):
        for line in file.read_text().splitlines():
            if re.match(r'\s+role\s+= "roles/', line) and "acts_as" not in line and "image_readers" not in line:
                assert "#" in line or file.name == "access.tf", f"{file.name}: no reason for {line.strip()}"
