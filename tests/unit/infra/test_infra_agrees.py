"""What stands in infra/ and somewhere else too is the same in both places."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from headrace.platforms.vertex import access
from headrace.platforms.vertex.serving import LABEL

from .terraform_files import ROOT, grants, infra

MODULE = infra()
TRIGGERS = {
    block["name"]: block for (type, _), block in MODULE.resources.items() if type == "google_cloudbuild_trigger"
}


def substitutions(value: Any) -> set[str]:
    """The names that a trigger sets: of a map, or of `merge(local.image_substitutions, {...})`."""
    own = set(value) if isinstance(value, dict) else set(re.findall(r"(?<!\w)(_[A-Z_]+)\s*=", value))
    if "local.image_substitutions" in str(value):
        own |= set(MODULE.locals["image_substitutions"])
    return {name for name in own if not name.startswith("__")}


@pytest.mark.parametrize("name", ["headrace-pull-request", "headrace-main", "headrace-release"])
def test_triggers_set_what_their_file_asks_for(name: str) -> None:
    trigger = TRIGGERS[name]
    build = yaml.safe_load((ROOT / trigger["filename"]).read_text())
    assert substitutions(trigger["substitutions"]) == set(build["substitutions"])
    # An account of one's own, and no bucket for logs: Cloud Build refuses the build otherwise.
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"
    assert "google_service_account.account" in trigger["service_account"]


def test_there_is_a_trigger_for_each_build() -> None:
    files = {str(file.relative_to(ROOT)) for file in [ROOT / "cloudbuild.yaml", *(ROOT / "cloudbuild").glob("*.yaml")]}
    assert {trigger["filename"] for trigger in TRIGGERS.values()} == files


def test_doctor_asks_for_what_is_granted_and_enabled() -> None:
    granted = {one.role for one in grants() if one.account == "headrace-pipelines" and one.on == "the project"}
    assert granted == {*access.ACCOUNT_ROLES, *access.OPTIONAL_ACCOUNT_ROLES}
    assert {*access.APIS, *access.OPTIONAL_APIS} <= set(MODULE.locals["services"])


def test_submitters_get_the_roles_that_doctor_names() -> None:
    from headrace.platforms.vertex.connecting import role_of

    submitter = MODULE.resources["google_project_iam_member", "submitter"]
    assert {role_of(one) for one in access.PERMISSIONS} == {submitter["role"]}


def test_headrace_finds_endpoints_by_their_label() -> None:
    assert LABEL in MODULE.resources["google_vertex_ai_endpoint", "endpoint"]["labels"]


def test_paths_of_the_events_service() -> None:
    app = (ROOT / "pipelines/events/app.py").read_text()
    for path in ("/pubsub", "/schedule/", "/health"):
        assert path in app
    assert MODULE.resources["google_pubsub_subscription", "events"]["push_config"][0]["push_endpoint"].endswith(
        "/pubsub"
    )
    assert "/schedule/" in MODULE.resources["google_cloud_scheduler_job", "tick"]["http_target"][0]["uri"]
    [template] = MODULE.resources["google_cloud_run_v2_service", "events"]["template"]
    [container] = template["containers"]
    assert [container[probe][0]["http_get"][0]["path"] for probe in ("startup_probe", "liveness_probe")] == [
        "/health"
    ] * 2
    assert (container["command"], container["args"]) == (["headrace"], ["watch", "--http"])
    assert '"--http"' in (ROOT / "pipelines/commands/watch.py").read_text()
    lease = MODULE.resources["google_pubsub_subscription", "events"]["ack_deadline_seconds"]
    from headrace.pipelines.events.settings import Settings

    assert lease > Settings("", "", "").lease_s
