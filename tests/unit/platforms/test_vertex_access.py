"""What `headrace doctor --on vertex` asks of Google: by google-auth and requests, of services on this machine."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
import requests

from headrace.platforms.running import Where
from headrace.platforms.vertex import access
from headrace.platforms.vertex.place_checks import bucket_findings, check_account, check_bucket

ACCOUNT = "runner@acme.iam.gserviceaccount.com"
HERE = Where("vertex", project="acme", location="europe-west4")
ROOT = "gs://runs/churn"
OBJECTS = ["storage.objects.create", "storage.objects.get", "storage.objects.list"]


@pytest.fixture
def google():
    """The services, all at one address; `answers` has what each path is answered with, by its first match."""
    asked: list[tuple[str, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        answers: dict[str, tuple[int, object]] = {}  # noqa: RUF012 (each test's own, set below)

        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            path = unquote(self.path)
            asked.append((self.command, path, self.headers.get("Authorization", "")))
            asked_body.append(body)
            status, value = next((found for part, found in service.answers.items() if part in path), (404, {}))
            content = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    asked_body: list[bytes] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = server
    service.answers, service.asked, service.bodies = {}, asked, asked_body
    service.url = f"http://127.0.0.1:{server.server_port}"
    service.google = access.Google(service.url, service.url)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield service
    server.shutdown()
    server.server_close()


def by_what(findings):
    return {one.what: one for one in findings}


def test_apis_that_are_off_are_named_with_the_command(google):
    names = [*access.APIS, *access.OPTIONAL_APIS]
    off = {"compute.googleapis.com", "dataflow.googleapis.com"}
    google.answers["services:batchGet"] = (
        200,
        {
            "services": [
                {"name": f"projects/7/services/{name}", "state": "DISABLED" if name in off else "ENABLED"}
                for name in names
            ]
        },
    )
    found = by_what(access.api_findings("acme", requests.Session(), google.google))
    assert found["API aiplatform.googleapis.com"].ok is True
    needed = found["API compute.googleapis.com"]
    assert needed.ok is False and needed.remedy == "gcloud services enable compute.googleapis.com --project acme"
    assert found["API dataflow.googleapis.com"].ok is None, "only who runs Beam there needs it"
    [(_, path, _)] = google.asked
    assert all(f"names=projects/acme/services/{name}" in path for name in names)


def test_a_project_that_may_not_be_asked_is_no_answer_and_no_failure(google):
    for answer in ((403, {"error": {"message": "Permission denied on acme"}}), (200, b"<html>"), (502, b"")):
        google.answers = {"": answer}
        [apis] = access.api_findings("acme", requests.Session(), google.google)
        [permissions] = access.permission_findings("acme", requests.Session(), google.google)
        [roles] = access.account_findings("acme", ACCOUNT, requests.Session(), google.google)
        assert (apis.ok, permissions.ok, roles.ok) == (None, None, None)
        assert "could not be asked" in apis.told and "roles/serviceusage.serviceUsageViewer" in apis.remedy
    away = access.Google("http://127.0.0.1:1", "http://127.0.0.1:1")
    assert "ConnectionError" in access.api_findings("acme", requests.Session(), away)[0].told


def test_missing_permissions_are_told_as_the_role_that_has_them(google):
    google.answers["projects/acme:testIamPermissions"] = 200, {"permissions": list(access.PERMISSIONS)}
    assert [one.ok for one in access.permission_findings("acme", requests.Session(), google.google)] == [True]
    assert json.loads(google.bodies[-1]) == {"permissions": list(access.PERMISSIONS)}
    google.answers["projects/acme:testIamPermissions"] = 200, {"permissions": list(access.PERMISSIONS[1:])}
    [found] = access.permission_findings("acme", requests.Session(), google.google)
    assert found.ok is False and found.told == f"missing: {access.PERMISSIONS[0]}"
    assert found.remedy.endswith("acme --member user:YOU --role roles/aiplatform.user")
    google.answers["projects/acme:testIamPermissions"] = 200, {}  # the service leaves an empty list out
    [found] = access.permission_findings("acme", requests.Session(), google.google)
    assert found.ok is False


def test_roles_of_the_account(google):
    policy = {
        "bindings": [
            {"role": "roles/aiplatform.admin", "members": [f"serviceAccount:{ACCOUNT}"]},
            {"role": "roles/logging.logWriter", "members": ["serviceAccount:other@acme.iam.gserviceaccount.com"]},
        ]
    }
    google.answers["projects/acme:getIamPolicy"] = 200, policy
    wanted = ["roles/dataflow.developer"]
    found = by_what(access.account_findings("acme", ACCOUNT, requests.Session(), google.google, optional=wanted))
    assert found[f"role roles/aiplatform.user of {ACCOUNT}"].ok is True, "a wider one will do"
    missing = found[f"role roles/logging.logWriter of {ACCOUNT}"]
    assert missing.ok is False
    assert missing.remedy == (
        f"gcloud projects add-iam-policy-binding acme --member serviceAccount:{ACCOUNT} --role roles/logging.logWriter"
    )
    assert found[f"role roles/dataflow.developer of {ACCOUNT}"].ok is False
    assert f"role roles/bigquery.jobUser of {ACCOUNT}" not in found, "this pipeline does not need it"
    policy["bindings"].append({"role": "roles/editor", "members": [f"serviceAccount:{ACCOUNT}"]})
    found = by_what(access.account_findings("acme", ACCOUNT, requests.Session(), google.google))
    assert found[f"role roles/logging.logWriter of {ACCOUNT}"].ok is True
    assert found[f"rights of {ACCOUNT}"].ok is None and "more than it needs" in found[f"rights of {ACCOUNT}"].told


def test_the_account_that_nobody_names_is_worth_knowing():
    [found] = check_account(HERE, "")
    assert found.ok is None and "Compute Engine's default account" in found.told
    assert check_account(Where("vertex", "http://127.0.0.1:1", "p", "l"), "") == [], "an emulator has no accounts"


@pytest.mark.parametrize(
    ("answers", "ok", "words"),
    [
        ({"/iam/testPermissions": (200, {"permissions": OBJECTS}), "/b/runs": (200, {"location": "EUROPE-WEST4"})},
         True, "may be read and written"),
        ({"/iam/testPermissions": (200, {"permissions": OBJECTS}), "/b/runs": (200, {"location": "US-EAST1"})},
         None, "lies in us-east1, and runs in europe-west4"),
        ({"/iam/testPermissions": (200, {"permissions": OBJECTS}), "/b/runs": (200, {"location": "EU"})}, True, ""),
        ({"/iam/testPermissions": (200, {"permissions": OBJECTS}), "/b/runs": (403, {})}, True, ""),
        ({"/iam/testPermissions": (200, {"permissions": OBJECTS[1:]})}, False, "missing: storage.objects.create"),
        ({"/iam/testPermissions": (404, {"error": {"message": "The specified bucket does not exist."}})}, False, "404"),
        ({"/iam/testPermissions": (503, b"away")}, None, "could not be asked"),
    ],
)  # fmt: skip
def test_the_bucket_of_the_runs(google, answers, ok, words):
    google.answers = answers
    [found] = bucket_findings(HERE, ROOT, requests.Session(), google.url)
    assert found.ok is ok and words in found.told
    path = google.asked[0][1]
    assert path.startswith("/storage/v1/b/runs/iam/testPermissions?") and path.count("permissions=") == len(OBJECTS)
    if ok is False:
        assert "gs://runs" in found.remedy and found.remedy.startswith("gcloud storage buckets ")


def test_the_bucket_of_an_emulator(google, monkeypatch):
    emulated = Where("vertex", google.url, "acme", "europe-west4")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    assert check_bucket(emulated, ROOT) == [], "nobody says where its buckets are"
    google.answers = {"/iam/testPermissions": (200, {"permissions": OBJECTS}), "/b/runs": (200, {})}
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", google.url)
    assert [one.ok for one in check_bucket(emulated, ROOT)] == [True]


@pytest.fixture
def credentials(google, tmp_path, monkeypatch):
    """A service account's key, whose tokens this machine gives out."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = tmp_path / "key.json"
    said = {"type": "service_account", "client_email": ACCOUNT, "private_key": pem.decode(), "project_id": "acme"}
    file.write_text(json.dumps({**said, "private_key_id": "1", "token_uri": f"{google.url}/token"}))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
    return file


def test_credentials_are_those_of_the_machine_and_go_with_each_question(google, credentials):
    google.answers = {"/token": (200, {"access_token": "t0ken", "expires_in": 3600, "token_type": "Bearer"})}
    opened, found = access.session()
    assert found.ok is True and found.told == ACCOUNT
    access.permission_findings("acme", opened, google.google)
    assert google.asked[-1][2] == "Bearer t0ken"


def test_credentials_that_are_over_or_missing_are_said_with_what_to_do(google, credentials, monkeypatch):
    google.answers = {"/token": (400, {"error": "invalid_grant", "error_description": "Token has been revoked."})}
    opened, found = access.session()
    assert opened is None and found.ok is False and "Token has been revoked" in found.told
    assert found.remedy == "gcloud auth application-default login"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(credentials.with_name("none.json")))
    opened, found = access.session()
    assert opened is None and found.ok is False and "none.json" in found.told
    assert check_bucket(HERE, ROOT) == [], "without credentials that is one finding, and not three"
