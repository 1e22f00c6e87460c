"""Whether the emulator answers, and that it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace import __version__
from headrace.emulator.connecting import NAME
from headrace.emulator.documents import Document
from headrace.emulator.routing import Call, Route

if TYPE_CHECKING:
    from headrace.emulator.state import Emulator


def _health(emulator: Emulator, call: Call) -> Document:
    return {"emulator": NAME, "version": __version__, "status": "ok"}


ROUTES = (
    Route("GET", "/", _health, "headrace.emulator.connect"),
    Route("GET", "/healthz", _health, "headrace.emulator.connect"),
)
