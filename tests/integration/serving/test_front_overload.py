"""More requests than can be answered: some are refused at once, the others are answered in time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from headrace.serving.exchange import HttpError, Request, Response
from headrace.serving.http.turns import LEAST, Turns
from tests.integration.serving.fronts import answers, fronted


async def _flood(port: int, path: str, connections: int, each: int) -> list[tuple[int, float]]:
    """The status of every request and how long its client waited; each connection asks without a pause."""
    found: list[tuple[int, float]] = []
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(each):
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            await reader.readexactly(size)
            found.append((int(head[9:12]), time.perf_counter() - began))
            if head[9:12] == b"503":
                assert b"retry-after: 1" in head
                await asyncio.sleep(0.02)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return found


@pytest.mark.parametrize("path", ["/busy?0.02", "/slow?0.01"])
def test_no_accepted_request_waits_much_longer_than_it_may(path: str) -> None:
    """/busy holds the event loop; /slow is worked on apart, all at a time, so that none need wait."""
    with fronted(max_wait=0.1 if "busy" in path else 5.0) as found:
        came = asyncio.run(_flood(found.port, path, 60, 6))
        statuses = [status for status, _ in came]
        fine = sorted(seconds for status, seconds in came if status == 200)
        refused = statuses.count(503)
        assert len(fine) + refused == 360 == len(came)
        if "busy" in path:
            assert len(fine) > 10 and refused > 20
            assert fine[len(fine) // 2] < 0.6  # without a limit: 60 * 20 ms; the slowest met a pause of the machine
        else:
            assert refused == 0
        assert found.counted == [503] * refused


def test_health_is_answered_meanwhile() -> None:
    with fronted(max_wait=0.05) as found:
        others = [found.connect() for _ in range(40)]
        for client in others:
            client.sendall(b"GET /busy?0.01 HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        time.sleep(0.01)
        began = time.monotonic()
        assert answers(found.ask(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == [200]
        assert time.monotonic() - began < 3.0
        for client in others:
            client.close()


class Ended:
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.got: list[object] = []

    def answered(self, request: Request, keep: int) -> None:
        self.got.append(200)

    def abort(self) -> None:
        self.got.append(None)

    def passed_over(self, error: HttpError, request: Request, keep: int) -> None:
        self.got.append(error.status)


def test_turns_are_bounded_in_number_and_time() -> None:
    request = Request("GET", "/")

    async def look() -> None:
        turns = Turns(asyncio.get_running_loop(), 0.1, 20)
        connection: Any = Ended()
        for _ in range(20):
            turns.queue(connection, request, 1)
        with pytest.raises(HttpError, match="at most 20 requests at a time") as told:
            turns.queue(connection, request, 1)
        assert (told.value.status, dict(told.value.headers)) == (503, {b"retry-after": b"1"})
        assert turns.waiting == 20
        await asyncio.sleep(0.01)
        assert connection.got == [200] * 20 and turns.waiting == 0
        turns._mean = 0.05
        for _ in range(LEAST):
            turns.queue(connection, request, 1)
        with pytest.raises(HttpError, match=r"a turn within 0.1 seconds. Received: 0.4; ask again later"):
            turns.queue(connection, request, 1)

    asyncio.run(look())


def test_the_pace_of_work_apart_is_measured() -> None:
    async def look() -> None:
        turns = Turns(asyncio.get_running_loop(), 0.1, 1000)
        for _ in range(12):
            turns.begin()
        for _ in range(10):
            await asyncio.sleep(0.02)
            turns.end()
        assert turns.apart == 2 and 0.01 < turns._pace < 0.2
        for _ in range(LEAST):
            turns.begin()
        with pytest.raises(HttpError, match="a turn within 0.1 seconds"):
            turns.free()
        for _ in range(turns.apart):
            turns.end()
        assert turns.free()

    asyncio.run(look())


def test_a_client_that_leaves_gives_its_turn_back() -> None:
    begun: list[str] = []

    async def never(request: Request) -> Response:
        begun.append(request.path)
        await asyncio.sleep(60)
        return Response(200, b"")

    with fronted(lambda request: never(request)) as found:
        for _ in range(5):
            client = found.connect()
            client.sendall(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
            time.sleep(0.05)
            client.close()
        deadline = time.monotonic() + 5
        while found.front.turns.apart and time.monotonic() < deadline:
            time.sleep(0.01)
        assert found.front.turns.apart == 0 and len(begun) == 5


def test_a_fault_of_one_connection_does_not_stop_the_others_turns(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Ended):
        def answered(self, request: Request, keep: int) -> None:
            raise RuntimeError("broken")

    async def look() -> None:
        turns = Turns(asyncio.get_running_loop(), 0.1, 20)
        broken, fine = Broken(), Ended()
        for connection in (broken, fine, broken, fine):
            turns.queue(connection, Request("GET", "/"), 1)  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        assert broken.got == [None] * 2 and fine.got == [200] * 2 and turns.waiting == 0

    asyncio.run(look())
    assert "RuntimeError: broken" in capsys.readouterr().err
