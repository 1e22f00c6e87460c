"""One worker's side of a swap: the next model is loaded beside the one that answers, and takes over between requests.

Nothing of the connections changes, so nothing of them can be lost: a new process would have to close those that clients
keep open, or go on to answer them with the old model. A request is answered by what is served at the moment at which it
is whole.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.serving.app import App
from headrace.serving.exchange import Answer, Request
from headrace.serving.router import Router
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.target import Plan, Target, planned
from headrace.serving.verify import require_samples

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

    def flush(self) -> None:
        """Answers what waits for the end of this turn."""
        self._app.flush()

    def refused(self, status: int) -> None:
        """Counts a request that was refused with this status before it came here."""
        self._app.metrics.error(status)

    def tell(self, connections: int, came: int, requests: int, queued: int) -> None:
        """Notes for the metrics page what the front has at this moment."""
        waiting = sum(served.waiting for served in self._app.router.all)
        self._app.metrics.state(connections, came, requests, queued + waiting)

    def listen(self, control: socket.socket) -> None:
        """Does from now on, in the running event loop, what is asked through `control`; see `serving.swap`."""
        loop = asyncio.get_running_loop()
        control.setblocking(False)
        if self._app.copies is not None:
            self._app.copies.listen(loop)
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
            plan = Plan.from_dict(order["plan"])
            self._next = await _apart(loop, lambda: self._load(plan), order["seconds"])
        elif order["do"] == "switch":
            self._switch()
        else:
            self._next = None
            self._app.refuse(order["reason"])

    def _load(self, plan: Plan) -> App:
        return load(plan, self._settings, self._app)

    def _switch(self) -> None:
        if self._next is None:
            raise HeadraceError("swap: expected a model that was loaded. Received: none")
        old, self._app, self._next = self._app, self._next, None
        old.retire()
        self._app.serves()
        self._app.metrics.swapped()


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


def load(what: Target | Plan, settings: Settings, before: App | None = None) -> App:
    """Loads what is to be served, and has it answer its own samples.

    Args:
        what: a bundle, or a plan of several. Their content is compared with their digests where there is no application
            `before`: whoever asks a worker to load it has had that done.
        settings: of the server.
        before: the application that it takes over from: its counters go on, and its models are not loaded again.

    Raises:
        HeadraceError: one is damaged, cannot be loaded, or answers otherwise than the model that was trained.
    """
    plan = planned(what)
    if before is None:
        return App(Router([_loaded(target, settings, verify=True) for target in plan.targets], plan), settings)
    there = dict(zip(before.router.plan.targets, before.router.all, strict=True)) if before.router.plan else {}
    served = [there.get(target) or _loaded(target, settings, verify=False) for target in plan.targets]
    return App(Router(served, plan), settings, before.metrics, before.observer, before.copies)


def _loaded(target: Target, settings: Settings, verify: bool) -> Served:
    bundle = target.open(verify=verify)
    served = Served(bundle, settings)
    require_samples(served.scorer, bundle)
    return served


def reason(error: Exception) -> str:
    """An error as the reason of a refusal; of those that are not ours also the kind."""
    text = str(error) if isinstance(error, HeadraceError) else f"{type(error).__name__}: {error}"
    return text[:_REASON]
