"""One server process: opens the bundle, listens, says where, and stops without dropping a request."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.serving.settings import Settings
from headrace.serving.target import Follow, Target, titled

if TYPE_CHECKING:
    from headrace.serving.switch import Switch

KEEP_ALIVE_SECONDS = 620  # longer than the 600 s for which Google's load balancers reuse a connection
DRAIN_SECONDS = 25  # Kubernetes kills 30 s after its SIGTERM
BACKLOG = 2048


def serve(
    bundle: Path | str | Target,
    settings: Settings | None = None,
    on_ready: Callable[[str], object] | None = None,
    follow: Follow | None = None,
) -> None:
    """Serves a bundle until SIGTERM or SIGINT; then answers what is in flight, and returns.

    With `follow` it serves what that says, from one moment to the next: another model takes over without a request
    dropped, once it is loaded and has answered its own samples; until then, and where it fails, the one before goes on.

    Once it can answer, it prints one line, `headrace: serving <name> at <url>`, and calls `on_ready` with the
    url. It is for a process's main thread, whose signal handlers it takes.

    Raises:
        HeadraceError: the bundle is refused, or the address is taken.
    """
    settings = settings or Settings()
    target = bundle if isinstance(bundle, Target) else Target(Path(bundle))
    if settings.workers > 1 or follow:
        from headrace.serving.workers import serve_many

        serve_many(target, settings, on_ready, follow)
        return
    listener = bind(settings.host, settings.port, listen=True)
    opened = target.open()
    run(opened, settings, listener, ready=lambda: announce(opened, listener, on_ready))


def run(
    bundle: Bundle,
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    control: socket.socket | None = None,
) -> None:
    """Loads the model and answers on `listener`; calls `ready` when the first request can be answered.

    Through `control` another model can be made to take over; see `serving.swap`.
    """
    import uvloop

    from headrace.serving.app import App
    from headrace.serving.router import Router
    from headrace.serving.served import Served
    from headrace.serving.switch import Switch

    switch = Switch(App(Router(Served(bundle, settings)), settings), settings)
    gc.collect()
    gc.freeze()  # what is loaded stays: no collection need walk it while requests wait
    uvloop.run(_answer(switch, settings, listener, ready, control))


async def _answer(
    switch: Switch,
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    control: socket.socket | None,
) -> None:
    """Answers until SIGTERM or SIGINT; then what is in flight."""
    from headrace.serving.http.connection import Connection

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    connections: set[Connection] = set()
    server = await loop.create_server(
        lambda: Connection(switch.answer, settings, connections), sock=listener, backlog=BACKLOG
    )
    if control:
        switch.listen(control)
    ready()
    await stop.wait()
    server.close()
    for connection in list(connections):
        connection.drain()
    deadline = loop.time() + DRAIN_SECONDS
    while connections and loop.time() < deadline:
        await asyncio.sleep(0.01)


def bind(host: str, port: int, *, listen: bool = False, shared: bool = False) -> socket.socket:
    """A TCP socket at host and port (0: a free one).

    `listen` lets clients in, who wait until they are served; only then is the port ours for certain. `shared`
    lets other processes of the same user bind it too (SO_REUSEPORT): the kernel deals out the connections.

    Raises:
        HeadraceError: the address is taken, not this machine's, or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise HeadraceError(f"host: expected an address of this machine. Received: {host} ({error.strerror})") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind(address)
        if listen:
            listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = " Give another with --port, or 0 for any." if port else ""
        reason = error.strerror or str(error)
        raise HeadraceError(f"{host}:{port}: expected a free port. Received: {reason}.{hint}") from None
    listener.set_inheritable(False)
    return listener


def announce(bundle: Bundle, listener: socket.socket, on_ready: Callable[[str], object] | None = None) -> None:
    """Says that the server is ready: to who reads its output, and to who started it."""
    url = url_of(listener)
    print(f"headrace: serving {titled(bundle)} at {url}", flush=True)
    if on_ready:
        on_ready(url)


def url_of(listener: socket.socket) -> str:
    """The address to reach a socket at; a socket on every address is reached on this machine's own."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def stop_with(parent: int) -> None:
    """Makes this process end when its parent, the process of this id, has died, however it died."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="stop-with-parent").start()
