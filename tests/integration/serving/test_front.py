"""The HTTP front over real sockets: unusual but right requests, wrong ones, slow ones, and too many."""

from __future__ import annotations

import asyncio
import gc
import re
import socket
import threading
import time
from typing import Any

import pytest

from headrace.serving.exchange import HttpError, Response
from headrace.serving.http import front
from headrace.serving.http.refusals import AHEAD, MAX_HEAD, MAX_HEADERS
from tests.integration.serving.fronts import Fronted, answers, fronted, handle, read_all
from tests.integration.serving.servers import read_until, wait_until

CLOSE = b"Connection: close\r\n"


def post(path: str, body: bytes, more: bytes = b"", version: str = "1.1") -> bytes:
    head = f"POST {path} HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n".encode()
    return head + more + b"\r\n" + body


def get(path: str, more: bytes = b"", version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: x\r\n".encode() + more + b"\r\n"


def holding(go: threading.Event) -> Any:
    """Answers as the other handler does, but /held only once it may."""

    async def held() -> Response:
        while not go.is_set():
            await asyncio.sleep(0.005)
        return Response(200, b"held")

    return lambda request: held() if request.path == "/held" else handle(request)


@pytest.fixture(scope="module")
def plain() -> object:
    with fronted(max_body=1000) as found:
        yield found


def test_pipelined_requests_are_answered_in_order_whatever_each_takes(plain: Fronted) -> None:
    ahead = post("/slow?0.1", b"1") + post("/echo", b"2") + post("/slow?0.01", b"3") + post("/echo", b"4", CLOSE)
    received = plain.ask(ahead)
    assert answers(received) == [200] * 4
    assert re.findall(rb"\r\n\r\n([^H]*)", received) == [b"slow 1", b"2", b"slow 3", b"4"]


def test_an_error_waits_for_the_answers_before_it(plain: Fronted) -> None:
    assert answers(plain.ask(post("/slow?0.1", b"1") + b"rubbish\r\n\r\n")) == [200, 400]
    assert answers(plain.ask(post("/slow?0.1", b"1") + post("/echo", b"x" * 1001) + get("/", CLOSE))) == [200, 413, 200]


def test_a_byte_at_a_time_is_the_same_request(plain: Fronted) -> None:
    with plain.connect() as client:
        for byte in post("/echo", b"body", CLOSE):
            client.sendall(bytes((byte,)))
        assert read_all(client).endswith(b"\r\n\r\nbody")


def test_chunks_are_put_together_and_trailers_say_nothing(plain: Fronted) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    received = plain.ask(head, b"3\r\nabc\r\n", b"2;extension\r\nde\r\n", b"0\r\nAuthorization: y\r\n\r\n")
    assert received.endswith(b"\r\n\r\nabcde")
    assert b"authorization" not in plain.seen[-1].headers


def test_old_clients_are_understood(plain: Fronted) -> None:
    received = plain.ask(get("/a", version="1.0"))
    assert b"connection: close" in received and received.endswith(b"/a")
    with plain.connect() as client:
        client.sendall(get("/a", b"Connection: keep-alive\r\n", "1.0"))
        assert b"connection: keep-alive\r\n" in read_until(client, b"/a")
        client.sendall(get("/b", version="1.0"))
        assert read_all(client).endswith(b"/b")


def test_head_has_no_body_and_a_long_one_is_announced(plain: Fronted) -> None:
    received = plain.ask(get("/large?70000", CLOSE).replace(b"GET", b"HEAD"))
    assert b"content-length: 70000\r\n" in received and received.endswith(b"\r\n\r\n")


def test_an_offer_of_another_protocol_is_passed_over(plain: Fronted) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    received = plain.ask(post("/echo", b"body", offer) + get("/next", CLOSE))
    assert answers(received) == [200, 200] and b"\r\n\r\nbodyHTTP" in received and received.endswith(b"/next")
    assert answers(plain.ask(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n")) == [400]
    assert answers(plain.ask(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n")) == [405]
    assert answers(plain.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) == [400]


def test_leave_to_send_is_given_unless_the_body_would_be_refused(plain: Fronted) -> None:
    waits = b"Expect: 100-continue\r\nConnection: close\r\n"
    with plain.connect() as client:
        head, _, body = post("/echo", b"body", waits).partition(b"\r\n\r\n")
        client.sendall(head + b"\r\n\r\n")
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_all(client).endswith(b"body")
    refused = post("/echo", b"", waits).replace(b"Length: 0", b"Length: 1001")
    assert answers(plain.ask(refused)) == [413]
    assert answers(plain.ask(post("/echo", b"", b"Expect: miracles\r\n"))) == [417]
    with plain.connect() as client:  # leave is asked for while another answer is due
        client.sendall(post("/slow?0.05", b"1") + head + b"\r\n\r\n")
        read_until(client, b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(body)
        assert read_all(client).endswith(b"body")


def test_who_sends_a_body_without_waiting_for_leave_is_given_none(plain: Fronted) -> None:
    """Behind the answer it would belong to the next request, and behind the last one it cannot be written."""
    wrong: list[Any] = []
    plain.front.loop.set_exception_handler(lambda loop, context: wrong.append(context))
    first, expects = post("/slow?0.05", b"1"), post("/echo", b"2", b"Expect: 100-continue\r\n")
    received = plain.ask(first + expects + get("/", CLOSE))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200"] * 3
    received = plain.ask(first + expects + b"rubbish\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"200", b"400"]
    gc.collect()  # a task's error is told when nobody can ask for it any more
    plain.front.loop.set_exception_handler(None)
    assert wrong == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\0\0\0\0", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5000\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\n\nGET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"A" * 200_000, 431),
    ],
    ids=range(15),
)
def test_what_is_no_request_gets_one_answer_and_the_end(plain: Fronted, sent: bytes, status: int) -> None:
    before = len(plain.counted)
    received = plain.ask(sent)
    assert answers(received)[-1] == status, received
    assert b"connection: close" in received and b'{"error":"' in received
    assert plain.counted[before:] == [status]


def test_who_is_refused_while_sending_sees_why(plain: Fronted) -> None:
    """The rest of a body is read for a while: an end of the connection would take the answer with it."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with plain.connect() as client:
        client.sendall(head)
        for _ in range(8):
            client.sendall(b"x" * 500)
            time.sleep(0.005)
        assert answers(read_all(client)) == [413]


def test_a_client_that_stops_sending_sees_what_was_answered(plain: Fronted) -> None:
    with plain.connect() as client:
        client.sendall(post("/echo", b"1") + post("/echo", b"2"))
        client.shutdown(socket.SHUT_WR)
        assert answers(read_all(client)) == [200, 200]
    with plain.connect() as client:
        client.sendall(post("/slow?30", b"1"))
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""
    wait_until(lambda: plain.front.turns.apart == 0)
    with plain.connect() as client:
        client.sendall(post("/echo", b"12345")[:-1])
        client.shutdown(socket.SHUT_WR)
        assert read_all(client) == b""


def test_slow_clients_are_told_and_dropped() -> None:
    with fronted(head_seconds=0.1, body_seconds=0.1, idle_seconds=0.3) as found:
        began = time.monotonic()
        received = found.ask(b"GET / HT")
        assert (
            answers(received) == [408] and b"head: expected all of it within 0.1 seconds. Received: 8 bytes" in received
        )
        received = found.ask(post("/", b"12345")[:-1])
        assert (
            answers(received) == [408] and b"body: expected all of it within 0.1 seconds. Received: 4 bytes" in received
        )
        with found.connect() as client:
            client.sendall(get("/slow?0.5"))  # what we take is not the client's fault
            assert read_all(client).startswith(b"HTTP/1.1 200")
        assert found.ask() == b""  # idle
        assert time.monotonic() - began < 8
        with found.connect() as client:  # a head of which a piece comes now and then is no quicker
            for byte in b"GET / HTTP/1.1":
                client.sendall(bytes((byte,)))
                time.sleep(0.02)
            assert answers(read_all(client)) == [408]


def test_who_does_not_read_is_heard_no_more_and_then_cut() -> None:
    with fronted(write_seconds=0.3) as found:
        with found.connect() as client:
            sent = 0
            client.settimeout(0.3)
            request = get("/large?1000000")
            with pytest.raises(OSError):
                for _ in range(200_000):
                    sent += client.send(request * 10)
            assert len(found.seen) < 100  # of the many that were sent
            wait_until(lambda: not found.front.connections)
        assert found.counted[-1] == 499
        assert answers(found.ask(get("/", CLOSE))) == [200]


def test_who_reads_slowly_gets_it_all() -> None:
    with fronted(write_seconds=1.0) as found, found.connect() as client:
        client.sendall(get("/large?20000000") + get("/end", CLOSE))
        size = 0
        while piece := client.recv(1 << 20):
            size += len(piece)
            time.sleep(0.03)
        assert size > 20_000_000 and piece == b""
        assert len(found.seen) == 2


def test_requests_far_ahead_of_their_answers_end_the_connection(plain: Fronted) -> None:
    received = plain.ask(post("/slow?0.2", b"1") + get("/a") * (AHEAD + 5))
    assert answers(received) == [200] * (AHEAD + 1) + [503]
    assert answers(plain.ask(get("/a") * 500 + get("/a", CLOSE))) == [200] * 501  # none of them waits


def test_bodies_that_come_slowly_share_one_room(monkeypatch: pytest.MonkeyPatch) -> None:
    with fronted(max_body=1000, max_buffer=2500) as found:
        clients = [found.connect() for _ in range(3)]
        for client in clients:
            client.sendall(post("/echo", b"x" * 1000)[:-1])
            time.sleep(0.05)
            client.sendall(b"")
        with found.connect() as other:
            other.sendall(post("/echo", b"y"))
            assert read_until(other, b"y")  # a small one has room
        wait_until(lambda: len(found.front.connections) == 3)
        held = []
        for client in clients:
            client.sendall(b"x")
            held.append(client.recv(4096)[9:12])
            client.close()
        assert held == [b"200"] * 3  # in one piece and a byte: no more than one of them at a time


def test_too_many_connections_are_told_unless_one_is_idle() -> None:
    go = threading.Event()
    with fronted(holding(go), max_connections=3) as found:
        front_ = found.front
        front_._round = 0.02
        working = [found.connect() for _ in range(3)]
        for client in working:
            client.sendall(get("/held"))
        wait_until(lambda: front_.turns.apart == 3)
        received = found.ask(get("/a", CLOSE))
        assert answers(received) == [503] and b"retry-after: 1" in received
        go.set()
        for client in working:
            assert read_until(client, b"held").startswith(b"HTTP/1.1 200")
        wait_until(lambda: len(front_._idle) >= 3)
        time.sleep(0.3)
        assert answers(found.ask(get("/a", CLOSE))) == [200]  # one of the idle ones made room
        for client in working:
            client.close()


def test_a_stop_waits_for_what_is_in_progress_and_says_goodbye() -> None:
    go = threading.Event()
    with fronted(holding(go)) as found:
        busy, quick, idle = (found.connect() for _ in range(3))
        busy.sendall(get("/held"))
        quick.sendall(get("/a"))
        read_until(quick, b"/a")
        wait_until(lambda: found.front.turns.apart == 1)

        def ask_late() -> None:
            wait_until(lambda: found.front.draining)
            quick.sendall(get("/b"))
            wait_until(lambda: found.seen[-1].path == "/b")
            go.set()

        late = threading.Thread(target=ask_late)
        late.start()
        began = time.monotonic()
    late.join()
    received = read_all(busy)
    assert answers(received) == [200] and b"connection: close" in received
    assert read_all(idle) == b""
    received = read_all(quick)  # it asked while the server was ending
    assert answers(received) == [200] and b"connection: close" in received and received.endswith(b"/b")
    assert time.monotonic() - began < 60


def test_the_addresses_that_are_remembered_are_bounded(plain: Fronted) -> None:
    for first in (0, 500, 1000):
        received = plain.ask(b"".join(get(f"/{first + n}") for n in range(500)) + get("/caf%C3%A9?a=%20", CLOSE))
        assert answers(received) == [200] * 501
    assert plain.seen[-1].path == "/café" and plain.seen[-1].query == b"a=%20"
    assert len(plain.front._addresses) <= front._ADDRESSES
    assert (MAX_HEAD, MAX_HEADERS) == (65_536, 128)


def test_a_refusal_for_want_of_time_keeps_its_place(plain: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, asked = plain.front.turns, []

    def free() -> bool:
        asked.append(1)
        if len(asked) == 2:
            raise HttpError(503, "later")
        return True

    monkeypatch.setattr(turns, "free", free)
    received = plain.ask(post("/slow?0.05", b"1") + get("/a") + get("/b") + get("/c", CLOSE))
    assert answers(received) == [200, 503, 200, 200]
    assert received.index(b"slow 1") < received.index(b"later") < received.index(b"\r\n\r\n/b") < received.index(b"/c")
