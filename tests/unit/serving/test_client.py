"""The client: CSV cells to instances, and one sentence for whatever goes wrong."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.client import Access, Client, predict


def test_nobody_there() -> None:
    with pytest.raises(HeadraceError) as refused:
        predict("http://127.0.0.1:9", [{}])
    assert str(refused.value) == (
        "http://127.0.0.1:9: expected a running server. Received: connection refused. "
        "Start one with `headrace serve MODEL`."
    )


def test_an_address_is_checked() -> None:
    with pytest.raises(HeadraceError, match=r"expected an address like http://127\.0\.0\.1:8080\. Received: ftp://x"):
        Client("ftp://x")


@pytest.mark.parametrize("address", ["http://127.0.0.1:99999", "127.0.0.1:port", "http://[::1"])
def test_a_port_or_a_host_that_is_none(address: str) -> None:
    with pytest.raises(HeadraceError, match="expected an address like http://127"):
        Client(address)


def test_the_first_token_of_a_file_is_sent(tmp_path: Path) -> None:
    """A server's file may hold an old one and its successor."""
    file = tmp_path / "token"
    file.write_text("\n  0123456789abcdef \nfedcba9876543210\n")
    assert Access(file).headers == {"Authorization": "Bearer 0123456789abcdef"}
    assert Access().headers == {} and Access().token == ""
    assert Access(file).token == "0123456789abcdef"


def test_what_json_cannot_say_is_not_sent() -> None:
    with pytest.raises(HeadraceError, match=r"null where a value is missing\)\. Received: NaN or infinity"):
        predict("http://127.0.0.1:9", [{"n": float("nan")}])


@pytest.fixture
def stranger() -> Iterator[tuple[str, dict[str, Any]]]:
    """A server that is none of ours; what it answers can be set."""
    says: dict[str, Any] = {"status": 200, "body": b"<html>"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(says["status"])
            self.end_headers()
            self.wfile.write(says["body"])

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", says
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "text", "message"),
    [
        (200, b"<html>", "/predict: expected JSON. Received: <html> (HTTP 200)"),
        (502, b"bad gateway", "/predict: expected JSON. Received: bad gateway (HTTP 502)"),
        (400, b'{"error": "body: no"}', "/predict: body: no (HTTP 400)"),
        (500, b'["oops"]', "/predict: ['oops'] (HTTP 500)"),
        (200, b'{"predictions": []}', ": expected 1 predictions. Received: {'predictions': []}"),
        (200, b'{"answers": []}', ": expected 1 predictions. Received: {'answers': []}"),
    ],
)
def test_a_strange_answer_is_an_error(
    status: int, text: bytes, message: str, stranger: tuple[str, dict[str, Any]]
) -> None:
    url, says = stranger
    says |= {"status": status, "body": text}
    with pytest.raises(HeadraceError) as refused:
        predict(url, [{"n": 1}])
    assert str(refused.value) == url + message
