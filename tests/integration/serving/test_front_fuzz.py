"""Bytes that no client should send, to the real server: it never ends, hangs, or answers 500."""

from __future__ import annotations

import random
import re
import socket
import time
from pathlib import Path

import pytest
from tiny_bundle import body

from headrace.serving.client import predict
from tests.integration.serving.servers import GOOD, connect, process, rss_mib, url_of

GOOD_BODY = body(GOOD)
SEEDS = [
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD_BODY), GOOD_BODY),
    b'POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"ins\r\n0\r\nA: b\r\n\r\n',
    b"POST /predict HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nnull",
    b"POST /v2/models/tiny/infer HTTP/1.1\r\nInference-Header-Content-Length: 3\r\nContent-Length: 5\r\n\r\n{}\0\1\2",
    b'POST /v1/models/tiny:predict HTTP/1.1\r\nContent-Length: 13\r\n\r\n{"inputs": 1}',
    b"GET /metrics?a=%ff HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\nHEAD /health HTTP/1.1\r\n\r\nPRI * HTTP/2.0\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
]
PIECES = [
    b"\r\n", b"\n", b"\0", b" ", b":", b"%", b"\xff", b"Content-Length: 7\r\n", b"Content-Length: 99999999999999999999\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"HTTP/1.1", b"[" * 3000,
    b"1e999", b"NaN", b"{\"instances\":[", b"\xed\xa0\x80", b"Authorization: Bearer x\r\n", b"x" * 9000, b"Connection: close\r\n",
]  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS) * rng.choice((1, 1, 1, 3)))
    for _ in range(rng.choice((0, 1, 1, 2, 4, 16))):
        place = rng.randrange(len(data) + 1)
        kind = rng.random()
        if kind < 0.3 and place < len(data):
            data[place] = rng.randrange(256)
        elif kind < 0.5:
            del data[place : place + rng.choice((1, 2, 10, 100))]
        elif kind < 0.8:
            data[place:place] = rng.choice(PIECES)
        elif kind < 0.9:
            data[place:place] = rng.randbytes(rng.choice((1, 10, 1000)))
        else:
            data[place:place] = rng.choice(SEEDS)
        data = data or bytearray(b"x")
    return bytes(data)


def send(url: str, data: bytes, rng: random.Random) -> bytes:
    """Sends it in pieces, ends its own side, or leaves; what came back."""
    received = b""
    with connect(url) as client:
        client.settimeout(5)
        try:
            while data:
                size = rng.choice((1, 7, 100, len(data)))
                client.sendall(data[:size])
                data = data[size:]
            if rng.random() < 0.2:
                return b""
            client.shutdown(socket.SHUT_WR)
            while piece := client.recv(65536):
                received += piece
        except TimeoutError:
            raise
        except OSError:  # it ended the connection
            pass
    return received


@pytest.mark.slow
def test_nothing_that_is_sent_harms_the_server(bundles: dict[str, Path]) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    with process(bundles["binary"], "--port", 0) as started:
        url = url_of(started)
        predict(url, [GOOD])
        before, statuses = rss_mib(started.pid), set()
        end, count = time.monotonic() + 30, 0
        while time.monotonic() < end or count < 1000:
            data = mutated(rng)
            received = send(url, data, rng)
            found = {int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)}
            assert 500 not in found, (seed, data, received)
            statuses |= found
            count += 1
            if count % 200 == 0:
                assert len(predict(url, [GOOD])) == 1
        assert started.poll() is None
        assert {200, 400, 404, 405} <= statuses
        assert rss_mib(started.pid) - before < 40
        started.terminate()
        assert started.wait(60) == 0
        assert started.stderr is not None and started.stderr.read() == ""
