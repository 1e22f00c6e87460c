#!/usr/bin/env python3
"""Requests at a constant rate, whatever the server does: latency counts from when each was due, not from when it went.

    python open_loop.py URL BODIES --rate 5000 --seconds 10 --connections 64

A closed loop, as wrk's, asks the next question when it has an answer: a server that stands still for a second is asked
eight times in that second, and not five thousand times. Here what is due waits for a free connection, and its waiting
is part of its latency (Gil Tene's "coordinated omission" is what that leaves out).

BODIES is a file with a body a line. Prints one line of JSON: what was sent, accepted (2xx), shed (429, 503), otherwise
refused, left without an answer; p50, p99, p99.9 and the largest latency of those accepted, in ms; and how late the
sender itself was at most: where that is large, the sender and not the server was measured.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit


class Client:
    """One connection; it has at most one request on its way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.due = 0.0
        self.received = b""

    def status(self) -> int:
        """The status of the answer, once all of it is there; 0 before. -1 where the server closed the connection."""
        try:
            piece = self.socket.recv(65536)
        except BlockingIOError:
            return 0
        except OSError:
            return -1
        if not piece:
            return -1
        self.received += piece
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return 0
        fields = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in fields if line.startswith(b"content-length:")), -1)
        whole = len(rest) >= length if length >= 0 else rest.endswith(b"0\r\n\r\n")
        return int(fields[0].split()[1]) if whole else 0


def run(url: str, bodies: list[bytes], rate: float, seconds: float, connections: int) -> dict[str, float]:
    """Sends, and says what came back."""
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\ncontent-length: "
    requests = [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]
    poll = select.epoll()
    clients = {client.socket.fileno(): client for client in (Client(address) for _ in range(connections))}
    for number in clients:
        poll.register(number, select.EPOLLIN)
    free = deque(clients.values())
    waiting: deque[float] = deque()
    counts: Counter[str] = Counter()
    latencies: list[float] = []
    total, made, late = int(rate * seconds), 0, 0.0
    start = time.perf_counter() + 0.05
    deadline = start + seconds + 10.0
    while (made < total or waiting or len(free) < len(clients)) and time.perf_counter() < deadline:
        now = time.perf_counter()
        while made < total and start + made / rate <= now:
            waiting.append(start + made / rate)
            late = max(late, now - waiting[-1])
            made += 1
        while waiting and free:
            client = free.popleft()
            client.due, client.received = waiting.popleft(), b""
            with suppress(OSError):  # it was closed; the event that says so is on its way
                client.socket.send(requests[counts["sent"] % len(requests)])
            counts["sent"] += 1
        pause = 0.0005 if made < total else 0.1
        for number, _ in poll.poll(pause):
            client = clients[number]
            status = client.status()
            if status == 0:
                continue
            if 200 <= status < 300:
                latencies.append(time.perf_counter() - client.due)
            counts[{429: "shed", 503: "shed", -1: "cut"}.get(status, "accepted" if status < 300 else "refused")] += 1
            if status < 0 or b"connection: close" in client.received[:400].lower():
                poll.unregister(number)
                client.socket.close()
                del clients[number]
                client = Client(address)
                clients[client.socket.fileno()] = client
                poll.register(client.socket.fileno(), select.EPOLLIN)
            free.append(client)
    return {"rate": rate, **_told(counts, latencies, total), "sender_late_ms": 1000 * late}


def _told(counts: Counter[str], latencies: list[float], total: int) -> dict[str, float]:
    latencies.sort()

    def quantile(share: float) -> float:
        return 1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))] if latencies else float("nan")

    answered = sum(counts[kind] for kind in ("accepted", "shed", "refused", "cut"))
    return {
        "due": total,
        **{kind: counts[kind] for kind in ("sent", "accepted", "shed", "refused", "cut")},
        "unanswered": total - answered,
        "p50_ms": quantile(0.5),
        "p99_ms": quantile(0.99),
        "p999_ms": quantile(0.999),
        "max_ms": 1000 * latencies[-1] if latencies else float("nan"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("bodies", type=Path)
    parser.add_argument("--rate", type=float, required=True, metavar="N", help="requests a second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    bodies = given.bodies.read_bytes().splitlines()
    print(json.dumps(run(given.url, bodies, given.rate, given.seconds, given.connections)))


if __name__ == "__main__":
    main()
