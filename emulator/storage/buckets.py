"""Buckets. https://cloud.google.com/storage/docs/json_api/v1/buckets

A folder is a bucket; what else clients said of it is a document. Rules of life cycles, of who may do what and the like
are kept as they were sent, and have no effect here.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from headrace.emulator.documents import Document
from headrace.emulator.paging import page
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call, Response, Route
from headrace.emulator.storage import listing, places
from headrace.emulator.storage.answers import address, storage
from headrace.emulator.storage.conditions import Conditions
from headrace.emulator.storage.objects import KIND as OBJECT
from headrace.emulator.storage.objects import moment

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator

KIND = "storage bucket"  # documents: by name
POLICY = "storage bucket policy"
_KEPT = (
    "location", "storageClass", "labels", "lifecycle", "cors", "website", "logging", "billing", "iamConfiguration",
    "autoclass", "rpo", "defaultEventBasedHold", "softDeletePolicy", "customPlacementConfig",
)  # fmt: skip
_REFUSED = ("retentionPolicy", "encryption", "hierarchicalNamespace", "objectRetention")


@storage
def _create(emulator: Emulator, call: Call) -> Document:
    sent, project = call.json, call.one("project")
    name = sent.get("name")
    if not isinstance(name, str):
        raise Refusal("INVALID_ARGUMENT", "Required: the bucket's name")
    places.check_bucket(name)
    with emulator.documents.transaction():
        folder = emulator.objects.root / name
        if folder.is_dir():
            raise Refusal(
                "ALREADY_EXISTS", "Your previous request to create the named bucket succeeded and you own it."
            )
        _forget(emulator, name)
        row = {**_fields(sent), "project": project, "metageneration": 1, "created": time.time_ns() // 1000}
        emulator.documents.create(KIND, name, {**row, "changed": row["created"]})
        folder.mkdir()
    return _resource(emulator, call, name)


@storage
def _list(emulator: Emulator, call: Call) -> Document:
    project, prefix = call.one("project"), call.one("prefix")
    if not project:
        raise Refusal("INVALID_ARGUMENT", "Required parameter: project")
    names = sorted(one.name for one in emulator.objects.root.iterdir() if one.is_dir() and one.name[0] != ".")
    ours = [
        name for name in names if name.startswith(prefix) and _row(emulator, name).get("project") in (None, "", project)
    ]
    found, token = page([{"name": name} for name in ours], call.one("maxResults"), call.one("pageToken"), 1000)
    answer: Document = {"kind": "storage#buckets", "items": [_resource(emulator, call, one["name"]) for one in found]}
    return {**answer, "nextPageToken": token} if token else answer


@storage
def _get(emulator: Emulator, call: Call) -> Document:
    found = _resource(emulator, call, call.params["bucket"])
    Conditions.of(call.query).check(0, int(found["metageneration"]), reading=True)
    return found


@storage
def _patch(emulator: Emulator, call: Call) -> Document:
    """Fields that are null are removed, and so are labels."""
    name, sent = call.params["bucket"], call.json
    _check_types(sent)

    def change(now: Document) -> Document:
        labels = {**now.get("labels", {}), **(sent.get("labels") or {})}
        both = {**{key: now[key] for key in _KEPT if key in now}, **sent}
        if sent.get("labels"):
            both["labels"] = {key: value for key, value in labels.items() if value is not None}
        return _fields(both)

    return _changed(emulator, call, name, change)


@storage
def _update(emulator: Emulator, call: Call) -> Document:
    return _changed(emulator, call, call.params["bucket"], lambda _: _fields(call.json))


@storage
def _delete(emulator: Emulator, call: Call) -> Response:
    name = call.params["bucket"]
    objects = emulator.objects
    with emulator.documents.transaction():
        objects.check_bucket(name)
        Conditions.of(call.query).check(0, int(_row(emulator, name).get("metageneration", 1)))
        if next(listing.names(objects.root, name), None) is not None:
            raise Refusal("ALREADY_EXISTS", "The bucket you tried to delete is not empty.")
        _forget(emulator, name)
        shutil.rmtree(objects.root / name)
        shutil.rmtree(objects.root / places.NAMES / name, ignore_errors=True)
    return Response(b"", 204)


@storage
def _get_policy(emulator: Emulator, call: Call) -> Document:
    name = call.params["bucket"]
    emulator.objects.check_bucket(name)
    return emulator.documents.find(POLICY, name) or _policy(emulator, call, {})


@storage
def _set_policy(emulator: Emulator, call: Call) -> Document:
    name = call.params["bucket"]
    emulator.objects.check_bucket(name)
    policy = _policy(emulator, call, call.json)
    with emulator.documents.transaction():
        if emulator.documents.find(POLICY, name):
            return emulator.documents.change(POLICY, name, lambda _: policy, call.json.get("etag"))
        return emulator.documents.create(POLICY, name, policy)


@storage
def _test_permissions(emulator: Emulator, call: Call) -> Document:
    """Everybody may do all here."""
    emulator.objects.check_bucket(call.params["bucket"])
    return {"kind": "storage#testIamPermissionsResponse", "permissions": call.query.get("permissions", [])}


@storage
def _service_account(emulator: Emulator, call: Call) -> Document:
    number = _number(call.params["project"])
    return {
        "kind": "storage#serviceAccount",
        "email_address": f"service-{number}@gs-project-accounts.iam.gserviceaccount.com",
    }


def _policy(emulator: Emulator, call: Call, sent: Document) -> Document:
    found = f"projects/_/buckets/{call.params['bucket']}"
    etag = hashlib.sha256(repr((time.time_ns(), sent)).encode()).hexdigest()[:12]
    bindings, version = sent.get("bindings", []), sent.get("version", 1)
    return {"kind": "storage#policy", "resourceId": found, "version": version, "bindings": bindings, "etag": etag}


def _changed(emulator: Emulator, call: Call, name: str, change: Any) -> Document:
    with emulator.documents.transaction():
        emulator.objects.check_bucket(name)
        now = _row(emulator, name)
        metageneration = int(now.get("metageneration", 1))
        Conditions.of(call.query).check(0, metageneration)
        beside = {key: now[key] for key in ("project", "created") if key in now}
        after = {**change(now), **beside, "metageneration": metageneration + 1, "changed": time.time_ns() // 1000}
        if emulator.documents.find(KIND, name):
            emulator.documents.change(KIND, name, lambda _: after)
        else:
            emulator.documents.create(KIND, name, after)
    return _resource(emulator, call, name)


def _check_types(sent: Mapping[str, Any]) -> None:
    kinds = {"cors": list, "defaultEventBasedHold": bool} | dict.fromkeys(("location", "storageClass", "rpo"), str)
    for name in (*_KEPT, "versioning"):
        expected = kinds.get(name, dict)
        if sent.get(name) is not None and not isinstance(sent[name], expected):
            raise Refusal("INVALID_ARGUMENT", f"{name}: expected {expected.__name__}. Received: {sent[name]!r:.80}")


def _fields(sent: Mapping[str, Any]) -> Document:
    """What is kept of what a client sends.

    Raises:
        Refusal: a field has another type, or asks for what is not served.
    """
    _check_types(sent)
    for name in _REFUSED:
        if sent.get(name) and sent[name] != {"enabled": False}:
            raise Refusal("UNIMPLEMENTED", f"buckets: the emulator does not serve {name}")
    if (sent.get("versioning") or {}).get("enabled"):
        raise Refusal("UNIMPLEMENTED", "buckets: the emulator keeps the last generation of each object alone")
    return {name: sent[name] for name in _KEPT if sent.get(name) is not None}


def _row(emulator: Emulator, name: str) -> Document:
    return emulator.documents.find(KIND, name) or {}


def _forget(emulator: Emulator, name: str) -> None:
    """Removes what is known of a bucket and of what was in it."""
    for kind in (KIND, POLICY):
        if emulator.documents.find(kind, name):
            emulator.documents.delete(kind, name)
    emulator.documents.clear(OBJECT, name)


def _number(project: str) -> str:
    """A project's number: the same each time."""
    return str(int(hashlib.sha256(project.encode()).hexdigest()[:9], 16))


def _resource(emulator: Emulator, call: Call, name: str) -> Document:
    emulator.objects.check_bucket(name)
    row = _row(emulator, name)
    created = int(row.get("created", 0)) or (emulator.objects.root / name).stat().st_mtime_ns // 1000
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "selfLink": f"{address(emulator, call)}/storage/v1/b/{name}",
        "projectNumber": _number(row.get("project") or "headrace"),
        "storageClass": "STANDARD",
        "locationType": "region" if "-" in row.get("location", "US") else "multi-region",
        "timeCreated": moment(created),
        "updated": moment(row.get("changed", created)),
        "metageneration": str(row.get("metageneration", 1)),
        "etag": f"{created:x}/{row.get('metageneration', 1)}",
        **{key: value for key, value in row.items() if key in _KEPT},
        "location": row.get("location", "US").upper(),
    }


_BUCKET = "/storage/v1/b/{bucket}"
ROUTES = (
    Route("GET", "/storage/v1/b", _list, "Client.list_buckets; gcsfs.buckets"),
    Route("POST", "/storage/v1/b", _create, "Client.create_bucket, Bucket.create; gcsfs.mkdir"),
    Route("GET", f"{_BUCKET}/iam", _get_policy, "Bucket.get_iam_policy"),
    Route("PUT", f"{_BUCKET}/iam", _set_policy, "Bucket.set_iam_policy"),
    Route("GET", f"{_BUCKET}/iam/testPermissions", _test_permissions, "Bucket.test_iam_permissions"),
    Route("GET", _BUCKET, _get, "Client.get_bucket, lookup_bucket, Bucket.exists, reload"),
    Route("PATCH", _BUCKET, _patch, "Bucket.patch"),
    Route("PUT", _BUCKET, _update, "Bucket.update"),
    Route("DELETE", _BUCKET, _delete, "Bucket.delete; gcsfs.rmdir"),
    Route("GET", "/storage/v1/projects/{project}/serviceAccount", _service_account, "Client.get_service_account_email"),
)
