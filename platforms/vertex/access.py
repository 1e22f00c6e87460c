"""Whether a pipeline could be sent to Vertex AI: address, credentials, APIs, permissions, and which role is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace.platforms.running import Finding, RunsError, Where
from headrace.platforms.vertex.connecting import connected, role_of

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_TIMEOUT_S = 20.0

# What whoever submits has to be allowed on the project.
PERMISSIONS = (
    "aiplatform.pipelineJobs.create",
    "aiplatform.pipelineJobs.get",
    "aiplatform.pipelineJobs.list",
    "aiplatform.pipelineJobs.cancel",
    "aiplatform.schedules.create",
    "aiplatform.metadataStores.get",
    "aiplatform.models.get",
    "aiplatform.endpoints.predict",
)
# APIs that are needed, and what for; those behind the line in the documentation only where they are used.
APIS = {
    "aiplatform.googleapis.com": "pipelines, models, endpoints",
    "artifactregistry.googleapis.com": "images",
    "storage.googleapis.com": "the pipeline's root",
    "compute.googleapis.com": "machines of custom jobs and endpoints",
    "iam.googleapis.com": "service accounts",
}
OPTIONAL_APIS = {
    "dataflow.googleapis.com": "Beam's steps on Dataflow",
    "bigquery.googleapis.com": "tables as sources, and predictions into tables",
    "monitoring.googleapis.com": "alerts",
}
# What the pipelines' service account has to have on the project.
ACCOUNT_ROLES = {
    "roles/aiplatform.user": "registers models, deploys, starts custom jobs",
    "roles/logging.logWriter": "writes its steps' logs",
}
OPTIONAL_ACCOUNT_ROLES = {
    "roles/bigquery.jobUser": "reads tables",
    "roles/dataflow.developer": "starts Beam's steps on Dataflow",
}
_WIDER = {
    "roles/aiplatform.user": ("roles/aiplatform.admin",),
    "roles/logging.logWriter": ("roles/logging.admin",),
    "roles/bigquery.jobUser": ("roles/bigquery.user", "roles/bigquery.admin"),
    "roles/dataflow.developer": ("roles/dataflow.admin",),
}
_WIDEST = ("roles/owner", "roles/editor")


@dataclass(frozen=True)
class Google:
    """Addresses of the services that are asked, beside Vertex AI's own."""

    resources: str = "https://cloudresourcemanager.googleapis.com"
    services: str = "https://serviceusage.googleapis.com"


GOOGLE = Google()


def check(where: Where) -> list[Finding]:
    """What `headrace doctor --on vertex` says of a project. Changes nothing, raises nothing."""
    if where.endpoint.startswith("http://"):
        return [_answers(where), Finding("roles", None, "an emulator asks for none")]
    opened, found = session()
    if opened is None:
        return [found]
    return [
        found,
        _answers(where),
        *api_findings(where.project, opened),
        *permission_findings(where.project, opened),
    ]


def api_findings(project: str, session: Any, google: Google = GOOGLE) -> list[Finding]:
    """Which of the APIs are enabled."""
    names = "&".join(f"names=projects/{project}/services/{api}" for api in (*APIS, *OPTIONAL_APIS))
    url = f"{google.services}/v1/projects/{project}/services:batchGet?{names}"
    answer, told = asked(lambda: session.get(url, timeout=_TIMEOUT_S))
    if answer is None:
        return [Finding("APIs", None, told, _grant(project, "MEMBER", "roles/serviceusage.serviceUsageViewer"))]
    on = {
        str(one.get("name", "")).rpartition("/")[2] for one in answer.get("services", []) if one["state"] == "ENABLED"
    }
    findings = []
    for api, purpose in {**APIS, **OPTIONAL_APIS}.items():
        ok: bool | None = api in on
        if not ok and api in OPTIONAL_APIS:
            ok = None
        enable = "" if api in on else f"gcloud services enable {api} --project {project}"
        findings.append(Finding(f"API {api}", ok, f"{'enabled' if api in on else 'not enabled'} ({purpose})", enable))
    return findings


def permission_findings(project: str, session: Any, google: Google = GOOGLE) -> list[Finding]:
    """Which permissions whoever asks has on the project, and the role that brings what is missing."""
    url = f"{google.resources}/v1/projects/{project}:testIamPermissions"
    answer, told = asked(lambda: session.post(url, json={"permissions": list(PERMISSIONS)}, timeout=_TIMEOUT_S))
    if answer is None:
        return [Finding("permissions", None, told, "gcloud services enable cloudresourcemanager.googleapis.com")]
    missing = [one for one in PERMISSIONS if one not in answer.get("permissions", [])]
    if not missing:
        return [Finding("permissions", True, f"all {len(PERMISSIONS)} that submitting takes")]
    roles = sorted({role_of(one) for one in missing})
    return [
        Finding(f"role {role}", False, "missing: " + ", ".join(one for one in missing if role_of(one) == role), remedy)
        for role in roles
        for remedy in [_grant(project, "user:YOU", role)]
    ]


def account_findings(
    project: str, account: str, session: Any, google: Google = GOOGLE, *, optional: Iterable[str] = ()
) -> list[Finding]:
    """Which roles a pipeline's service account has on the project.

    Args:
        project: the project.
        account: its e-mail address.
        session: requests with credentials.
        google: where to ask.
        optional: those of `OPTIONAL_ACCOUNT_ROLES` that this pipeline needs.
    """
    url = f"{google.resources}/v1/projects/{project}:getIamPolicy"
    answer, told = asked(lambda: session.post(url, json={}, timeout=_TIMEOUT_S))
    if answer is None:
        remedy = _grant(project, "user:YOU", "roles/iam.securityReviewer")
        return [Finding(f"roles of {account}", None, told, remedy)]
    member = f"serviceAccount:{account}"
    has = {one["role"] for one in answer.get("bindings", []) if member in one.get("members", [])}
    findings = []
    for role, purpose in {**ACCOUNT_ROLES, **OPTIONAL_ACCOUNT_ROLES}.items():
        if role in OPTIONAL_ACCOUNT_ROLES and role not in optional:
            continue
        ok = bool(has & {role, *_WIDER.get(role, ()), *_WIDEST})
        findings.append(
            Finding(
                f"role {role} of {account}",
                ok,
                ("has it" if ok else "missing") + f" ({purpose})",
                "" if ok else _grant(project, member, role),
            )
        )
    if has & set(_WIDEST):
        wide = ", ".join(sorted(has & set(_WIDEST)))
        findings.append(Finding(f"rights of {account}", None, f"{wide} is more than it needs"))
    return findings


def _answers(where: Where) -> Finding:
    what = f"Vertex AI in {where.location}"
    try:
        with connected(where.project, where.location, where.endpoint or None, RunsError) as aiplatform:
            client = aiplatform.initializer.global_config.create_client(aiplatform.utils.PipelineClientWithOverride)
            parent = f"projects/{where.project}/locations/{where.location}"
            next(iter(client.list_pipeline_jobs({"parent": parent, "page_size": 1})), None)
    except RunsError as error:
        told, _, remedy = str(error).rpartition("; ")
        return Finding(what, False, told or str(error), remedy if told else "")
    return Finding(what, True, "answers")


def session() -> tuple[Any, Finding]:
    """Requests with the machine's credentials, None where there are none; and what was found out about them."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession, Request

    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
        credentials.refresh(Request())  # type: ignore[no-untyped-call]
    except (GoogleAuthError, OSError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        return None, Finding("credentials", False, told, "gcloud auth application-default login")
    who = getattr(credentials, "service_account_email", "") or getattr(credentials, "account", "") or "a user's"
    opened = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    return opened, Finding("credentials", True, str(who))


def asked(ask: Callable[[], Any]) -> tuple[Mapping[str, Any] | None, str]:
    """A service's answer; or None, and why there is none."""
    from google.auth.exceptions import GoogleAuthError

    try:
        answer = ask()
        content = answer.json()
    except (GoogleAuthError, OSError, ValueError) as error:
        return None, f"could not be asked: {type(error).__name__}"
    if answer.status_code != 200:
        message = content.get("error", {}).get("message", "") if isinstance(content, dict) else ""
        return None, f"could not be asked: {answer.status_code} {message}"[:300]
    return content, ""


def _grant(project: str, member: str, role: str) -> str:
    return f"gcloud projects add-iam-policy-binding {project} --member {member} --role {role}"
