"""One server process: opens the bundle, listens, says where, and stops without dropping a request."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.artifacts.errors import HeadraceError
from headrace.serving.settings import Settings
from headrace.serving.target import Follow, Opened, Plan, Target, planned

if TYPE_CHECKING:
    from headrace.serving.switch import Switch
    from headrace.serving.telemetry import Place

BACKLOG = 2048


def serve(
    bundle: Path | str | Target | Plan,
    settings: Settings | None = None,
    on_ready: Callable[[str], object] | None = None,
    follow: Follow | None = None,
) -> None:
    """Serves a bundle, or several by a plan, until SIGTERM or SIGINT; then answers what is in flight, and returns.

    With `follow` it serves what that says, from one moment to the next: another model takes over without a request
    dropped, once it is loaded and has answered its own samples; until then, and where it fails, the one before goes on.

    Once it can answer, it prints one line, `headrace: serving <name> at <url>`, and calls `on_ready` with the
    url. It is for a process's main thread, whose signal handlers it takes.

    Raises:
        HeadraceError: the bundle is refused, or the address is taken.
    """
    settings = settings or Settings()
    plan = planned(bundle if isinstance(bundle, Target | Plan) else Target(Path(bundle)))
    # What writes the log has to be watched over, and so have shadows.
    if settings.workers > 1 or follow or settings.log_dir or plan.shadows:
        from headrace.serving.workers import serve_many

        serve_many(plan, settings, on_ready, follow)
        return
    listener = bind(settings.host, settings.port, listen=True)
    settings = _with_grpc(settings)
    opened = plan.open()
    run(opened, settings, listener, ready=lambda: announce(opened, listener, on_ready, settings))


def run(
    opened: Opened,
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    control: socket.socket | None = None,
    place: Place | None = None,
) -> None:
    """Loads what is served and answers on `listener`; calls `ready` when the first request can be answered.

    Through `control` another model can be made to take over; see `serving.swap`. `place` is the process's among those
    of its server.
    """
    import uvloop

    from headrace.serving.app import App
    from headrace.serving.copies import Copies
    from headrace.serving.load_limits import limited
    from headrace.serving.router import Router
    from headrace.serving.served import Served
    from headrace.serving.switch import Switch
    from headrace.serving.telemetry import Place, telemetry
    from headrace.serving.verify import require_samples

    served = []
    for bundle in opened.bundles:
        with limited(bundle.path, settings.load_memory):
            served.append(Served(bundle, settings))
            if bundle.signature.image is None:  # one of images has tried itself: its samples would take seconds
                require_samples(served[-1].scorer, bundle)
    place = place or Place()
    metrics, observer = telemetry(settings, place)
    copies = Copies(place.lines, place.number) if place.lines else None
    if copies:
        copies.dropped = partial(metrics.error_of, "shadow_dropped")
    app = App(Router(served, opened.plan), settings, metrics, observer, copies)
    app.serves()
    switch = Switch(app, settings)
    sys.setswitchinterval(0.0005)  # what threads work on, the largest requests, holds up the others no longer than this
    gc.collect()
    gc.freeze()  # what is loaded stays: no collection need walk it while requests wait
    uvloop.run(_answer(switch, settings, listener, ready, control))
    if observer is not None:
        observer.close()


async def _answer(
    switch: Switch,
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    control: socket.socket | None,
) -> None:
    """Answers until SIGTERM or SIGINT; then what is in flight."""
    from headrace.serving.http.front import Front

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    front = Front(switch.answer, settings, switch.refused)
    front.turns.flush = switch.flush
    front.tell = switch.tell
    await front.listen(listener)
    if control:
        switch.listen(control)
    rpc = None
    if settings.grpc_port is not None:
        from headrace.serving.protocols.grpc.server import GrpcServer

        rpc = GrpcServer(switch.answer, settings)
        await rpc.start()
    ready()
    await stop.wait()
    ends = [front.stop(), *([rpc.stop(settings.drain_seconds)] if rpc else [])]
    await asyncio.gather(*ends)


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


def _with_grpc(settings: Settings) -> Settings:
    if settings.grpc_port is None:
        return settings
    from headrace.serving.protocols.grpc.port import claimed

    return claimed(settings, shared=False)[0]


def announce(
    opened: Opened,
    listener: socket.socket,
    on_ready: Callable[[str], object] | None = None,
    settings: Settings | None = None,
) -> None:
    """Says that the server is ready: to who reads its output, and to who started it."""
    url = url_of(listener, secure=bool(settings and settings.tls_cert))
    print(f"headrace: serving {opened.titled()} at {url}", flush=True)
    if settings and settings.grpc_port is not None:
        print(f"headrace: gRPC at {url.split('://')[1].rpartition(':')[0]}:{settings.grpc_port}", flush=True)
    if on_ready:
        on_ready(url)


def url_of(listener: socket.socket, secure: bool = False) -> str:
    """The address to reach a socket at; a socket on every address is reached on this machine's own."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def stop_with(parent: int) -> None:
    """Makes this process end when its parent, the process of this id, has died, however it died."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="stop-with-parent").start()
