"""A connection to Vertex AI, and its refusals in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.vertex import experiments

CONSOLE = "https://console.cloud.google.com"
_PERMISSION = re.compile(r"[Pp]ermission[s]? '?([a-z]+\.[A-Za-z.]+)'?")
_DISABLED = re.compile(r"has not been used in project|SERVICE_DISABLED|it is disabled")
_LONGEST = 500  # characters of what the service says

# The narrowest predefined role that has a permission, for those that this package needs.
ROLES = {
    "aiplatform.": "roles/aiplatform.user",
    "iam.serviceAccounts.actAs": "roles/iam.serviceAccountUser",
    "storage.objects.": "roles/storage.objectUser",
    "storage.buckets.get": "roles/storage.bucketViewer",
    "artifactregistry.": "roles/artifactregistry.reader",
    "bigquery.jobs.": "roles/bigquery.jobUser",
    "bigquery.tables.": "roles/bigquery.dataViewer",
    "dataflow.": "roles/dataflow.developer",
    "serviceusage.": "roles/serviceusage.serviceUsageViewer",
    "cloudkms.": "roles/cloudkms.cryptoKeyEncrypterDecrypter",
}


@contextmanager
def connected(
    project: str,
    location: str,
    endpoint: str | None,
    failure: type[HeadraceError],
    *,
    account: str = "",
    known: Sequence[type[BaseException]] = (),
) -> Iterator[Any]:
    """The client `google.cloud.aiplatform`, set to a project and its region, while the block runs.

    Args:
        project: the Google Cloud project.
        location: its region.
        endpoint: another address of the API; None for Google's.
        failure: what is raised where Vertex AI refuses or does not answer.
        account: the service account that is worked as, named in the message where it may not be.
        known: exceptions of the client that the block deals with, or that whoever calls deals with.
    """
    from google.api_core.exceptions import GoogleAPIError
    from google.auth.exceptions import GoogleAuthError

    experiments.quiet()
    from google.cloud import aiplatform

    where = f"vertex {project}/{location}"
    try:
        experiments.knock(experiments.Place(project, location, endpoint=endpoint))
        options = experiments.transport(endpoint)
        aiplatform.init(project=project, location=location, **options)
        yield aiplatform
    except tuple(known):
        raise
    except (GoogleAPIError, GoogleAuthError, OSError) as error:  # requests' errors are OSErrors
        raise failure(refusal(where, error, project, account)) from error
    except (ValueError, RuntimeError) as error:  # what the client itself finds wrong before, or with a job after
        raise failure(f"{where}: expected what Vertex AI takes. Received: {_said(error)}") from error


def refusal(where: str, error: BaseException, project: str, account: str = "") -> str:
    """What went wrong in the house's words, with the role or the command that mends it where that is known."""
    from google.auth.exceptions import GoogleAuthError

    said = _said(error)
    if isinstance(error, GoogleAuthError):
        remedy = "`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS"
        return f"{where}: expected Google Cloud credentials. Received: {said}; {remedy}"
    return f"{where}: expected Vertex AI to do it. Received: {said}{_remedy(str(error), project, account)}"


def role_of(permission: str) -> str:
    """The role that has a permission; empty where it is none of ours."""
    return next((role for start, role in ROLES.items() if permission.startswith(start)), "")


def _remedy(said: str, project: str, account: str) -> str:
    if _DISABLED.search(said):
        return f"; `gcloud services enable aiplatform.googleapis.com --project {project}`"
    if "act as" in said or "actAs" in said:
        whose = account or "ACCOUNT"
        return (
            f"; grant roles/iam.serviceAccountUser on {whose}: `gcloud iam service-accounts add-iam-policy-binding "
            f"{whose} --member MEMBER --role roles/iam.serviceAccountUser`"
        )
    found = _PERMISSION.search(said)
    role = role_of(found.group(1)) if found else ""
    if role:
        return f"; `gcloud projects add-iam-policy-binding {project} --member MEMBER --role {role}`"
    return ""


def _said(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:3])[:_LONGEST] or type(error).__name__
