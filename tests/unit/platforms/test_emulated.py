"""An API's address that is an emulator's: its Cloud Storage is used too, and nobody else's is taken for one."""

from __future__ import annotations

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms import emulated


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, self.server.health if self.path == "/healthz" else b"{}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.made.append((self.path, body))
        self.reply(self.server.status, b'{"error": "told"}')

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.delenv(emulated.STORAGE, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.health, found.status, found.made = b'{"emulator": "headrace emulator"}', 200, []
        found.url = f"http://127.0.0.1:{found.server_port}"
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield found
        found.shutdown()
    os.environ.pop(emulated.STORAGE, None)
    emulated.is_emulator.cache_clear()


def test_an_emulator_brings_its_storage(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert emulated.use_storage(f"{server.url}/")
    assert os.environ[emulated.STORAGE] == server.url
    assert emulated.make_bucket("gs://runs/churn", "acme")
    assert server.made == [("/storage/v1/b?project=acme", {"name": "runs"})]


def test_storage_that_is_named_already_stays(server, monkeypatch):
    monkeypatch.setenv(emulated.STORAGE, "http://127.0.0.1:9")
    assert emulated.use_storage(server.url)
    assert os.environ[emulated.STORAGE] == "http://127.0.0.1:9"


@pytest.mark.parametrize("health", [b'{"multi_user": true}', b"<html>", b'"emulator"'])
def test_another_service_is_none(server, health):
    server.health = health
    assert not emulated.use_storage(server.url)
    assert emulated.STORAGE not in os.environ


@pytest.mark.parametrize("endpoint", [None, "", "http://127.0.0.1:9", "https://europe-west4-aiplatform.googleapis.com"])
def test_nor_is_what_does_not_answer_and_nothing_else_is_asked(endpoint, monkeypatch):
    monkeypatch.delenv(emulated.STORAGE, raising=False)
    assert not emulated.use_storage(endpoint)
    assert emulated.STORAGE not in os.environ


def test_a_bucket_that_is_there_and_one_that_is_refused(server):
    emulated.use_storage(server.url)
    assert not emulated.make_bucket("s3://runs/churn", "acme")
    server.status = 409
    assert not emulated.make_bucket("gs://runs", "")
    server.status = 400
    with pytest.raises(HeadraceError, match=r'gs://runs: expected a bucket .* Received: .*"told"'):
        emulated.make_bucket("gs://runs", "")
