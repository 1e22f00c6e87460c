"""The image's health check, against a server that answers, one that refuses, and none."""

import http.server
import socket
import threading

import pytest

from headrace.serving import health
from tests.raw_server import raw_server


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(self.server.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    found = http.server.HTTPServer(("127.0.0.1", 0), Answers)
    found.status = 200
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_the_port_is_that_of_the_command_line_or_of_vertex(server, monkeypatch, capsys):
    port = server.server_address[1]
    assert health.main(["python", "-m", "headrace.serving", "--port", "1", f"--port={port}"]) == 0
    monkeypatch.setenv("AIP_HTTP_PORT", str(port))
    assert health.main(["python"]) == 0
    server.status = 503
    assert health.main(["python"]) == 1
    assert "expected 200. Received: 503" in capsys.readouterr().err


def test_nobody_there_is_not_well(capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert health.main(["--port", str(free.getsockname()[1])]) == 1
    assert "expected an answer. Received: " in capsys.readouterr().err


def test_what_speaks_no_http_is_not_well(capsys):
    with raw_server(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as port:
        assert health.main(["--port", str(port)]) == 1
    assert "expected an answer. Received: SSH-2.0-OpenSSH_9.6" in capsys.readouterr().err


def test_what_speaks_no_tls_where_a_certificate_was_given_is_not_well(server, capsys):
    assert health.main(["--port", str(server.server_address[1]), "--tls-cert", "x.pem"]) == 1
    assert capsys.readouterr().err
