"""Bodies that come in pieces, too large, slowly or never, and connections that are used in unusual ways."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from tiny_bundle import INPUTS, body, random_instances

from headrace.serving.client import predict
from tests.integration.serving.servers import GOOD, ask, connect, process, read_until, rss_mib, url_of


def test_a_body_in_pieces_is_put_together(url: str) -> None:
    instances = random_instances(INPUTS, 3000, seed=2)
    data = body(*instances)
    assert len(data) > 200_000
    whole = ask(url, "POST", "/predict", data)[2]["predictions"]
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    pieces = (data[i : i + 10_000] for i in range(0, len(data), 10_000))
    connection.request("POST", "/predict", pieces, {"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["predictions"] == whole
    connection.close()
    assert len(whole) == 3000


def test_a_body_over_the_limit_is_refused_without_being_held(bundles: dict[str, Path]) -> None:
    with process(bundles["binary"], "--port", 0, "--max-body", 1_000_000) as started:
        url = url_of(started)
        before = rss_mib(started.pid)
        expected = {"error": "body: expected at most 1000000 bytes. Received: 3500000 bytes"}
        large = b" " * 3_500_000
        assert ask(url, "POST", "/predict", large)[::2] == (413, expected)
        chunks = [large[:500_000]] * 7
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        connection.request("POST", "/predict", iter(chunks), {"Transfer-Encoding": "chunked"}, encode_chunked=True)
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (413, expected)
        connection.request("POST", "/predict", body(GOOD))  # the connection is still good
        assert connection.getresponse().status == 200
        connection.close()
        assert rss_mib(started.pid) - before < 3  # MiB: less than the body


def test_ten_megabytes_are_refused_by_default(url: str) -> None:
    status, _, answer = ask(url, "POST", "/predict", b"x" * 10_000_000)
    assert (status, answer) == (
        413,
        {"error": "body: expected at most 8388608 bytes. Received: 10000000 bytes"},
    )


def test_a_huge_body_is_refused_before_it_is_sent(url: str) -> None:
    host, _, port = urlsplit(url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\n" + b" " * 100_000)
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


def test_a_client_that_waits_for_leave_gets_it(url: str) -> None:
    data = body(GOOD)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {len(data)}\r\n\r\n"
    with connect(url) as client:
        client.sendall(head.encode())
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(data)
        assert read_until(client, b"}").startswith(b"HTTP/1.1 200")


def test_requests_sent_ahead_are_answered_in_order(url: str) -> None:
    first, second = body(GOOD), b'{"instances": []}'
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
    with connect(url) as client:
        client.sendall(head.format(len(first)).encode() + first + head.format(len(second)).encode() + second)
        client.sendall(b"HEAD /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert 0 < received.index(b'"label"') < received.index(b'{"predictions":[],')
    assert received.endswith(b"connection: close\r\n\r\n")


def test_a_client_that_leaves_early_harms_nobody(url: str) -> None:
    for _ in range(20):
        with connect(url) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    for rubbish in (
        b"\0\0\0\0",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ):
        with connect(url) as client:
            client.sendall(rubbish)
            client.recv(65536)
    assert len(predict(url, [GOOD])) == 1
