"""The emulator's HTTP server."""

from __future__ import annotations

import asyncio
import errno
import json
import math
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from headrace.artifacts.errors import HeadraceError
from headrace.emulator.refusals import Refusal, google_body, kfp_body
from headrace.emulator.routing import Call, Response, Route, Router
from headrace.emulator.state import Emulator

# Modules below headrace.emulator whose ROUTES are served, in this order.
MODULES: tuple[str, ...] = (
    "health",
    "operations",
    "vertex.pipeline_jobs",
    "vertex.schedules",
    "vertex.custom_jobs",
    "vertex.training_pipelines",
    "kfp.health",
    "kfp.experiments",
    "kfp.pipelines",
    "kfp.runs",
    "kfp.recurring_runs",
    "kfp.artifacts",
    "storage.uploads",
    "storage.handlers",
    "storage.buckets",
    "storage.batch",
    "vertex.models",
    "vertex.endpoints",
    "vertex.predict",
    "vertex.batch",
    "vertex.evaluations",
    "vertex.metadata",
    "vertex.tensorboards",
    "vertex.datasets",
)
MOST_BODY = 256 * 1024 * 1024  # bytes of a request that is not streamed
_THREADS = 32  # for requests that wait for a disk or a process
_DRAIN_SECONDS = 5.0  # for which requests that have come are waited for, once the emulator is to end
_LEAVE_SECONDS = 20.0  # after which it ends in any case: what was acknowledged is on disk
_LINE = 64 * 1024  # bytes of a path with its filter, or of a header
_BACKLOG = 256


def routes() -> tuple[Route, ...]:
    """All that is served."""
    return tuple(route for name in MODULES for route in import_module(f"headrace.emulator.{name}").ROUTES)


def serve(folder: Path, host: str, port: int, on_ready: Callable[[Emulator], object]) -> None:
    """Serves until SIGTERM or SIGINT, for a process's main thread.

    Clients that come while it starts wait until it has. A second signal ends it at once, which loses nothing either.

    Args:
        folder: of the state.
        host, port: to listen on; port 0 takes a free one.
        on_ready: is told once requests are answered.

    Raises:
        HeadraceError: the state cannot be used, or the address is taken.
    """
    emulator = Emulator(folder)
    try:
        with _listen(host, port) as listening:
            emulator.address = _address(listening)
            emulator.start()
            asyncio.run(_serve(emulator, listening, on_ready))
    finally:
        _leave_in(_LEAVE_SECONDS)
        emulator.stop()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        hint = " Give another with --port, or 0 for any." if port else ""
        reason = error.strerror or str(error)
        raise HeadraceError(f"{host}:{port}: expected a free port. Received: {reason}.{hint}") from None


def _leave_in(seconds: float) -> None:
    """Ends the process after a while, if a thread of a request is still at work then."""
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


async def _serve(emulator: Emulator, listening: socket.socket, on_ready: Callable[[Emulator], object]) -> None:
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS, "request"))
    stop = asyncio.Event()

    def leave(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave, number)
    # Not of emulator.address, which is a loopback one also where every address is listened to.
    local = ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback
    application = web.Application(client_max_size=MOST_BODY)
    application.router.add_route("*", "/{path:(?s:.*)}", Front(emulator, Router(routes()), local).answer)
    runner = web.AppRunner(
        application, access_log=None, shutdown_timeout=_DRAIN_SECONDS, max_line_size=_LINE, max_field_size=_LINE
    )
    await runner.setup()
    try:
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        on_ready(emulator)
        await stop.wait()
        _leave_in(_LEAVE_SECONDS)
    finally:
        await runner.cleanup()


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Front:
    """From requests to handlers, and back."""

    def __init__(self, emulator: Emulator, router: Router, local: bool) -> None:
        """`local` says that it listens to this machine alone."""
        self._emulator, self._router, self._local = emulator, router, local

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answers one request, whatever happens."""
        path = _path(request)
        try:
            answer = await self._handled(request, path)
            if isinstance(answer, web.StreamResponse):
                return answer
            response = answer if isinstance(answer, Response) else Response(answer)
            return _sent(response)
        except Refusal as refusal:
            refused = refusal
        except HeadraceError as error:
            refused = Refusal("FAILED_PRECONDITION", str(error))
        except web.HTTPException as error:
            refused = Refusal("INVALID_ARGUMENT", error.text or error.reason, error.status)
        except Exception as error:  # noqa: BLE001 (one request's defect is not the others' end)
            if request.transport is None or request.transport.is_closing():  # the client has left
                return web.Response(status=499)
            refused = _unexpected(error)
        if request.writer.output_size > 0 and request.transport is not None:
            request.transport.abort()  # in the middle of an answer, its end is all that can be said
        return _sent(_refused(path, refused))

    async def _handled(self, request: web.Request, path: str) -> Any:
        self._check_sender(request)
        route, params = self._router.find(request.method, path)
        call = Call(
            method=request.method,
            path=path,
            params=params,
            query={name: request.query.getall(name) for name in request.query},
            headers={name.lower(): value for name, value in request.headers.items()},
            body=b"" if route.direct else await request.read(),
            request=request,
            template=route.template,
        )
        if route.direct:
            return await cast(Any, route.handler)(self._emulator, call)
        return await asyncio.get_running_loop().run_in_executor(None, route.handler, self._emulator, call)

    def _check_sender(self, request: web.Request) -> None:
        """A web page that is open on this machine must not start programs here: no client library is a browser.

        Raises:
            Refusal: PERMISSION_DENIED.
        """
        if "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none":
            raise Refusal("PERMISSION_DENIED", "expected a client library. Received: a request of a web page")
        if self._local and not _is_loopback(request.headers.get("Host", "localhost")):
            raise Refusal(
                "PERMISSION_DENIED",
                f"Host: expected an address of this machine itself. Received: {request.headers['Host']:.200}. "
                "With --host 0.0.0.0 the emulator answers to other names, and to other machines.",
            )


def _unexpected(error: Exception) -> Refusal:
    """Of a disk that is full with status 507, which clients do not try again for minutes; else a defect, which is told.

    Google's clients try 429 and 503 again.
    """
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Refusal("RESOURCE_EXHAUSTED", f"The emulator's disk has no room: {error.strerror}", 507)
    traceback.print_exception(error, file=sys.stderr)
    return Refusal("INTERNAL", f"{type(error).__name__}: {error}")


def _path(request: web.Request) -> str:
    """The path as it was sent, without the query, and without what stands before it in a proxy's request.

    A base address that ends with `/` gives two of them.
    """
    sent = request.raw_path if request.raw_path.startswith("/") else request.rel_url.raw_path
    return "/" + sent.partition("?")[0].lstrip("/")


def _is_loopback(host: str) -> bool:
    """Of a host with or without a port."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost" or name.lower().endswith(".localhost")


def _sent(response: Response) -> web.Response:
    body = response.body if isinstance(response.body, bytes) else _json(response.body)
    return web.Response(
        body=body, status=response.status, content_type=response.content_type, headers=dict(response.headers)
    )


def _json(body: Any) -> bytes:
    """As JSON; numbers that it lacks are texts, as protobuf's JSON has them."""
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError:
        return json.dumps(_finite(body), allow_nan=False).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _refused(path: str, refusal: Refusal) -> Response:
    body = kfp_body(refusal) if path.startswith("/apis/") else google_body(refusal)
    return Response(body, refusal.status)
