"""The real clients, pointed at an emulator, reach it and nothing else."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.emulator import connect
from headrace.emulator.connecting import Elsewhere
from tests.raw_server import raw_server

COMMAND = [sys.executable, "-m", "headrace.pipelines.cli", "emulator", "--port", "0", "--quiet", "--state"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    state = tmp_path_factory.mktemp("connecting")
    process = subprocess.Popen([*COMMAND, str(state)], stdout=subprocess.PIPE, text=True)
    yield process.stdout.readline().split(" at ")[1].split(",")[0]
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def connection(address, monkeypatch):
    """What connect() sets in the environment ends with the test."""
    for name in ("STORAGE_EMULATOR_HOST", "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    return connect(f"{address}/", project="p", location="europe-west4", staging_bucket="gs://b")


@contextmanager
def quick():
    """Refused before a name is looked up, let alone again and again."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 30  # to look for it again and again takes minutes


def test_the_clients_reach_it(connection, address):
    from google.cloud import aiplatform, storage

    assert (connection.address, connection.project) == (address, "p")
    assert os.environ["STORAGE_EMULATOR_HOST"] == address
    assert aiplatform.PipelineJob.list() == []
    aiplatform.init(project="other")  # a program's own call afterwards
    assert aiplatform.PipelineJob.list() == []
    assert aiplatform.initializer.global_config.api_endpoint == address
    assert list(storage.Client("p", connection.credentials()).list_buckets()) == []
    assert connection.kfp().list_experiments().total_size == 1  # the default one


def test_nothing_reaches_the_real_service(connection):
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud import aiplatform, resourcemanager
    from google.cloud.aiplatform_v1 import PredictionServiceAsyncClient

    real = "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/l/endpoints/1"
    session = AuthorizedSession(aiplatform.initializer.global_config.credentials)
    with quick(), pytest.raises(Elsewhere, match="it was not sent"):
        session.get(real)
    with quick(), pytest.raises(Elsewhere, match="connection.session"):
        session.post(f"{real}:rawPredict", data=b"{}")
    with quick(), pytest.raises(Elsewhere, match="gRPC"):
        resourcemanager.ProjectsClient(credentials=connection.credentials()).get_project(name="projects/p")
    create = aiplatform.initializer.global_config.create_client
    with quick(), pytest.raises(Elsewhere, match="predict_async"):
        asyncio.run(create(PredictionServiceAsyncClient, prediction_client=True).predict(endpoint=real, instances=[]))
    answer = connection.session().post(f"{real}:rawPredict?x=1", data=b"{}")
    assert answer.status_code in (404, 501) and answer.request.url.startswith(f"{connection.address}/v1/")


@pytest.mark.parametrize(
    "url",
    ["https://aiplatform.googleapis.com", "127.0.0.1:8971", "http://", "http://x/y", "http://x:99999", "ftp://x", ""],
)
def test_addresses_that_are_none(url):
    with pytest.raises(HeadraceError, match="url: expected an emulator's address"):
        connect(url)


def test_other_servers_are_no_emulator(monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)

    class Other(BaseHTTPRequestHandler):
        body, status = b"{}", 200

        def do_GET(self):
            self.send_response(self.status)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Other)
    Thread(target=server.serve_forever, daemon=True).start()
    for Other.body, Other.status in (
        (b"{}", 200),
        (b"[1]", 200),
        (b"<html>", 200),
        (b"\xff", 200),
        (b"", 404),
        (b"", 503),
    ):
        with pytest.raises(HeadraceError, match="expected an emulator. Received: "):
            connect(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()
    with pytest.raises(HeadraceError, match="`headrace emulator` starts one"):
        connect(f"http://127.0.0.1:{server.server_port}")
    with (
        raw_server(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as port,
        pytest.raises(HeadraceError, match="expected an emulator. Received: SSH-2.0-OpenSSH_9.6"),
    ):
        connect(f"http://127.0.0.1:{port}")
    assert "STORAGE_EMULATOR_HOST" not in os.environ


def test_a_proxy_is_passed_by(address, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "")
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "example.org")
    connect(address)
    assert os.environ["NO_PROXY"] == os.environ["no_proxy"] == "example.org,127.0.0.1"


def test_it_costs_little_to_import():
    code = "import sys; from headrace.emulator import connect; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"aiohttp", "kfp", "requests", "google.auth", "sqlite3", "google.cloud.aiplatform"} & set(
        done.stdout.split()
    )
