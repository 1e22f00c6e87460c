"""Ports for servers that are told theirs."""

import os
import random
import socket
from pathlib import Path


def free_port() -> int:
    """A port that nobody uses now, and that nobody gets by asking for any: the system gives those from another range.

    Tests that run at once (pytest-xdist) choose among different ones.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    candidates = list(range(10_000 + worker, max(lowest, 10_000 + 100 * workers), workers))
    random.SystemRandom().shuffle(candidates)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
