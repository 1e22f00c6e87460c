"""Requests that are handed on to a server: what servers do, and clients."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from headrace.emulator.forwarding import Answer, Forwarder, Gone

HEAD = b"POST /predict HTTP/1.1\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[Any]]


def asked(serve: Serve, use: Callable[[Forwarder, tuple[str, int]], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24)
        async with server:
            return await asyncio.wait_for(use(Forwarder(), server.sockets[0].getsockname()[:2]), 10)

    return asyncio.run(run())


def saying(*pieces: bytes, close: bool = False) -> Serve:
    """A server that answers each request with these pieces, one at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await _request(reader):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
            if close:
                break
        writer.close()

    return serve


async def _request(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    return head + await reader.readexactly(length)


async def once(forwarder: Forwarder, address: tuple[str, int]) -> Answer:
    return await forwarder.post(address, HEAD, b"{}")


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        [b"Content-Length: 5\r\n\r\nhello"],
        [b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"],
        [b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nll", b"o\r\n0\r\nX-Trailer: 1\r\n", b"\r\n"],
        [b"Transfer-Encoding: chunked\r\n\r\n5\r", b"\nhello\r\n", b"0", b"\r", b"\n", b"\r", b"\n"],
        [b"content-LENGTH:5\r\nX: y\r", b"\n\r\nhel", b"lo"],
    ],
)
def test_bodies_in_any_pieces(body: list[bytes], close: bool) -> None:
    answer = asked(saying(b"HTTP/1.1 200 OK\r\n" + body[0], *body[1:], close=close), once)
    assert (answer.status, answer.body) == (200, b"hello")


def test_a_body_that_ends_with_the_connection() -> None:
    answer = asked(saying(b"HTTP/1.0 200 OK\r\n\r\nhe", b"llo", close=True), once)
    assert answer.body == b"hello"


def test_what_comes_before_the_answer_and_answers_without_a_body() -> None:
    answer = asked(saying(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"), once)
    assert (answer.status, answer.body) == (204, b"")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmuch\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: much\r\n\r\nhello",
        b"HTTP/1.1 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_servers_that_leave_or_speak_something_else(said: bytes) -> None:
    with pytest.raises(Gone):
        asked(saying(said, close=True), once)


def test_nobody_there() -> None:
    async def use(forwarder: Forwarder, address: tuple[str, int]) -> None:
        await forwarder.post(("127.0.0.1", 1), HEAD, b"")

    with pytest.raises(Gone, match="111|refused"):
        asked(saying(), use)


def test_connections_are_kept_and_one_that_was_closed_meanwhile_is_not_missed() -> None:
    connections: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")(reader, writer)

    async def use(forwarder: Forwarder, address: tuple[str, int]) -> None:
        for _ in range(5):
            await once(forwarder, address)
        assert len(connections) == 1
        connections[0].transport.abort()
        assert (await once(forwarder, address)).body == b"x"
        assert len(connections) == 2
        answers = await asyncio.gather(*(once(forwarder, address) for _ in range(100)))
        assert {answer.body for answer in answers} == {b"x"} and len(connections) == 101

    asked(serve, use)


def test_what_is_said_unasked_is_nobodys_answer() -> None:
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while await _request(reader):
            count += 1
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%dHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nX" % count
            )

    async def use(forwarder: Forwarder, address: tuple[str, int]) -> list[bytes]:
        return [(await once(forwarder, address)).body for _ in range(4)]

    assert asked(serve, use) == [b"1", b"2", b"3", b"4"]


def test_a_client_that_leaves_takes_nobody_elses_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _request(reader):
            await asyncio.sleep(0.05)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + request[-1:])

    async def use(forwarder: Forwarder, address: tuple[str, int]) -> None:
        leaving = asyncio.create_task(forwarder.post(address, HEAD, b"1"))
        await asyncio.sleep(0.01)
        leaving.cancel()
        assert (await forwarder.post(address, HEAD, b"2")).body == b"2"
        await asyncio.sleep(0.1)
        assert (await forwarder.post(address, HEAD, b"3")).body == b"3"

    asked(serve, use)


@pytest.mark.parametrize("chunked", [False, True])
def test_big_bodies_both_ways_in_time(chunked: bool) -> None:
    size = 8 * 2**20

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = (await _request(reader)).partition(b"\r\n\r\n")[2]
        if chunked:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 1000):
                writer.write(b"%x\r\n%b\r\n" % (len(body[start : start + 1000]), body[start : start + 1000]))
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async def use(forwarder: Forwarder, address: tuple[str, int]) -> int:
        return len((await forwarder.post(address, HEAD, b"x" * size)).body)

    assert asked(serve, use) == size
