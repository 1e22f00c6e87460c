"""One worker's side of a swap: the next model is loaded beside the one that answers, and takes over between requests.

Nothing of the connections changes, so nothing of them can be lost: a new process would have to close those that clients
keep open, or go on to answer them with the old model. A request that has begun is answered by the model it began with.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.serving.app import App
from headrace.serving.exchange import Answer, Request
from headrace.serving.router import Router
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.target import Target, titled

_LONGEST = 65_536  # bytes of a message between the processes
_REASON = 4_000  # characters of a reason


class Switch:
    """The surface of a worker whose model may change."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._next: App | None = None

    def answer(self, request: Request) -> Answer:
        """Answers one request with the model of this moment."""
        return self._app.answer(request)

    def listen(self, control: socket.socket) -> None:
        """Does from now on, in the running event loop, what is asked through `control`; see `serving.swap`."""
        loop = asyncio.get_running_loop()
        control.setblocking(False)
        self._task = loop.create_task(self._obey(loop, control))

    async def _obey(self, loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
        while message := await loop.sock_recv(control, _LONGEST):
            order = json.loads(message)
            try:
                await self._do(loop, order)
                answer: dict[str, Any] = {"number": order["number"]}
            except Exception as error:  # noqa: BLE001 (whatever a model does when it is loaded is its refusal)
                answer = {"number": order["number"], "error": reason(error)}
            await loop.sock_sendall(control, json.dumps(answer).encode())

    async def _do(self, loop: asyncio.AbstractEventLoop, order: dict[str, Any]) -> None:
        if order["do"] == "prepare":
            target = Target(Path(order["path"]), order["version"])
            self._next = await _apart(loop, lambda: self._load(target), order["seconds"])
        elif order["do"] == "switch":
            self._switch()
        else:
            self._next = None
            self._app.refuse(order["reason"])

    def _load(self, target: Target) -> App:
        return load(target, self._settings, self._app)

    def _switch(self) -> None:
        if self._next is None:
            raise HeadraceError("swap: expected a model that was loaded. Received: none")
        old, self._app, self._next = self._app, self._next, None
        main = self._app.router.main
        self._app.metrics.serves(main.name, main.version, main.digest)
        old.retire()


async def _apart(loop: asyncio.AbstractEventLoop, work: Callable[[], App], seconds: float) -> App:
    """The result of work in a thread that nobody waits for once its time is over, or the process is to end.

    Both would wait for a thread of the event loop's own: one that hangs would be the end of every later swap, and the
    process could not be stopped.

    Raises:
        HeadraceError: it took longer than `seconds`. What it comes to later is dropped.
        Exception: what the work raises.
    """
    done: asyncio.Future[App] = loop.create_future()

    def settle(tell: Callable[[], None]) -> None:
        if not done.done():
            tell()

    def run() -> None:
        try:
            tell = partial(done.set_result, work())
        except Exception as error:  # noqa: BLE001 (raised where it is waited for)
            tell = partial(done.set_exception, error)
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(settle, tell)

    threading.Thread(target=run, daemon=True, name="load-model").start()
    await asyncio.wait([done], timeout=seconds)
    if not done.done():
        done.cancel()
        raise HeadraceError(f"expected it to load the model. Received: nothing for {seconds:g} seconds")
    return done.result()


def load(target: Target, settings: Settings, before: App | None = None) -> App:
    """Loads a model, and has it answer its own samples.

    Args:
        target: the bundle. Its content is compared with its digest where there is no application `before`: whoever
            asks a worker to load it has had that done.
        settings: of the server.
        before: the application that it takes over from, whose counters go on.

    Raises:
        HeadraceError: it is damaged, cannot be loaded, or answers otherwise than the model that was trained.
    """
    from headrace.serving.verify import verify_samples  # not before the first swap: a server starts in no time

    bundle = target.open(verify=before is None)
    served = Served(bundle, settings)
    checked = verify_samples(served.scorer, bundle, requests=0)
    if not checked.passed:
        told = f"{len(checked.mismatches)} others; {checked.mismatches[0]}"
        raise HeadraceError(
            f"{titled(bundle)}: expected the answers to its {checked.samples} samples. Received: {told}"
        )
    return App(Router(served), settings, before.metrics if before else None)


def reason(error: Exception) -> str:
    """An error as the reason of a refusal; of those that are not ours also the kind."""
    text = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
    return text[:_REASON]
