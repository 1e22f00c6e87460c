"""What `headrace doctor --on vertex` asks beside the project: the bucket of runs, and the account of their tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from headrace.platforms.running import Finding, Where
from headrace.platforms.vertex import access

_STORAGE = "https://storage.googleapis.com"
_TIMEOUT_S = 20.0
# What whoever submits does in the bucket; and the role that brings it.
_PERMISSIONS = ("storage.objects.create", "storage.objects.get", "storage.objects.list")
_ROLE = "roles/storage.objectUser"


def check_account(where: Where, account: str, *, optional: Iterable[str] = ()) -> list[Finding]:
    """Which roles the account has that tasks work as. Raises nothing.

    Args:
        where: the project.
        account: its address; empty where none is said.
        optional: roles that only some pipelines need; see `access.OPTIONAL_ACCOUNT_ROLES`.
    """
    if where.endpoint.startswith("http://"):
        return []
    if not account:
        remedy = "submit.vertex.service_account, or --service-account; docs/vertex.md has the roles that it needs"
        told = "none is said: tasks work as Compute Engine's default account, which may do more than they need"
        return [Finding("service account", None, told, remedy)]
    session = access.session()[0]
    return access.account_findings(where.project, account, session, optional=optional) if session else []


def check_bucket(where: Where, root: str) -> list[Finding]:
    """Whether the bucket of the runs' root is there, near, and open to whoever submits. Raises nothing."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
    if where.endpoint.startswith("http://") and not emulator:
        return []
    if emulator:
        import requests

        return bucket_findings(where, root, requests.Session(), emulator)
    session = access.session()[0]
    return bucket_findings(where, root, session) if session else []


def bucket_findings(where: Where, root: str, session: Any, storage: str = _STORAGE) -> list[Finding]:
    """The same, by a session with credentials."""
    bucket = root.removeprefix("gs://").partition("/")[0]
    what, url = f"bucket gs://{bucket}", f"{storage.rstrip('/')}/storage/v1/b/{quote(bucket, safe='')}"
    wanted = "&".join(f"permissions={one}" for one in _PERMISSIONS)
    allowed, told = access.asked(lambda: session.get(f"{url}/iam/testPermissions?{wanted}", timeout=_TIMEOUT_S))
    if allowed is None:
        make = f"gcloud storage buckets create gs://{bucket} --location {where.location} --project {where.project}"
        return [Finding(what, False if "404" in told else None, told, make if "404" in told else "")]
    missing = [one for one in _PERMISSIONS if one not in allowed.get("permissions", [])]
    if missing:
        grant = f"gcloud storage buckets add-iam-policy-binding gs://{bucket} --member user:YOU --role {_ROLE}"
        return [Finding(f"role {_ROLE} on gs://{bucket}", False, f"missing: {', '.join(missing)}", grant)]
    about, _ = access.asked(lambda: session.get(f"{url}?fields=location", timeout=_TIMEOUT_S))
    location = str((about or {}).get("location", "")).lower()
    if location and "-" in location and location != where.location:
        return [Finding(what, None, f"lies in {location}, and runs in {where.location}: each read crosses regions")]
    return [Finding(what, True, "may be read and written")]
