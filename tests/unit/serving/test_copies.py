from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path

from headrace.serving import copies
from headrace.serving.copies import Copies, Line, codec_of
from headrace.serving.exchange import Request
from headrace.serving.protocols.vertex import VertexCodec


def send(line: Line, *requests: Request, sender: int = 0) -> int:
    """Sends copies as a worker does; how many were dropped."""
    dropped = []

    async def take() -> None:
        worker = Copies([line], sender)
        worker.dropped = lambda: dropped.append(1)
        worker.listen(asyncio.get_running_loop())
        thread = threading.Thread(target=lambda: [worker.take(request, VertexCodec, 1) for request in requests])
        thread.start()
        thread.join()
        await asyncio.sleep(0)

    asyncio.run(take())
    return len(dropped)


def request(body: bytes, identity: bytes = b"id") -> Request:
    found = Request("POST", "/predict", body, {b"content-type": b"x", b"authorization": b"Bearer secret"}, b"a=b")
    found.id, found.key = identity, b"user"
    return found


def test_a_copy_is_what_was_sent_but_for_secrets() -> None:
    line = Line(2)
    large = os.urandom(3_000_000)
    assert send(line, request(b"small"), request(large), sender=1) == 0
    for body in (b"small", large):
        copy = line.receive()
        found = copy.request
        assert (found.method, found.path, found.query, found.body) == ("POST", "/predict", b"a=b", body)
        assert (found.id, found.key, dict(found.headers)) == (b"id", b"user", {b"content-type": b"x"})
        assert codec_of(copy.codec) is VertexCodec


def test_nobody_waits_for_a_full_line_and_the_first_are_kept() -> None:
    line = Line(1)
    dropped = send(line, *(request(b"x" * 500, b"%d" % number) for number in range(5000)))
    assert 0 < dropped < 5000
    assert [line.receive().request.id for _ in range(3)] == [b"0", b"1", b"2"]
    assert send(line, request(b"again")) == 0


def test_large_bodies_that_wait_are_bounded_and_leave_no_files() -> None:
    line = Line(1)
    gc.collect()  # what tests before left behind
    before = len(list(Path("/proc/self/fd").iterdir()))
    body = b"x" * 8_000_000
    assert send(line, *[request(body)] * 12) == 12 - copies.WAITING // len(body)
    for _ in range(copies.WAITING // len(body)):
        assert len(line.receive().request.body) == len(body)
    assert send(line, request(body)) == 0
    line.receive()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_cannot_be_copied_is_dropped() -> None:
    line = Line(1)
    too_long = Request("POST", "/" + "p" * 70_000, b"")
    assert send(line, too_long) == 1
    assert send(line, request(b"")) == 0
    assert line.receive().request.path == "/predict"
