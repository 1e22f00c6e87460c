"""Which handler answers which request: templates of paths, and what a handler is told."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from headrace.emulator import shapes, unserved
from headrace.emulator.refusals import Refusal

if TYPE_CHECKING:
    from aiohttp import web

    from headrace.emulator.state import Emulator

_PARAMETER = re.compile(r"\{(\w+)(\*?)\}")


@dataclass(frozen=True)
class Response:
    """An answer that is not plain JSON with status 200."""

    body: bytes | dict[str, Any]
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request, as handlers see it.

    Attributes:
        method: GET, POST, PATCH, PUT, DELETE.
        path: as the client sent it, escapes and all, without the query.
        params: what stands in the template's places, unescaped.
        query: all values of each parameter.
        headers: by their names in small letters.
        body: whole; empty for a handler that is a coroutine function, which reads `request` itself.
        request: the server's own.
        template: the route's.
    """

    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes = b""
    request: web.Request | None = None
    template: str = ""

    @property
    def json(self) -> dict[str, Any]:
        """The body, an object of JSON; {} where it is empty. Its fields have the types of the API: see `shapes`.

        Raises:
            Refusal: it is not.
        """
        if not self.body.strip():
            return {}
        try:
            found = json.loads(self.body)
            if b"\\ud" in self.body.lower():  # which may be half of a letter
                json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise Refusal("INVALID_ARGUMENT", f"Invalid JSON payload received. {error}") from None
        if not isinstance(found, dict):
            raise Refusal("INVALID_ARGUMENT", f"Invalid JSON payload received: expected an object, not {found!r:.80}")
        return shapes.read(self.method, self.template, found)

    @property
    def version(self) -> str:
        """Of the API: `v1`, or `v1beta1`."""
        return self.path.split("/")[1]

    def one(self, name: str, default: str = "") -> str:
        """The last value of a parameter of the query, by its name in camelCase or snake_case."""
        for spelled in (name, re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", name)):
            if values := self.query.get(spelled):
                return values[-1]
        return default


Answer = Response | dict[str, Any]
Handler = Callable[["Emulator", Call], Answer] | Callable[["Emulator", Call], Awaitable["Answer | web.StreamResponse"]]
"""A plain function runs in a thread; a coroutine function in the event loop, which it must not hold up."""


@dataclass(frozen=True)
class Route:
    """One method of the API.

    Attributes:
        method: of HTTP.
        template: a path; `{name}` stands for a part without `/`, and at the template's end without `:` either;
            `{name*}` for any rest. `/v1/` stands for `/v1beta1/` too.
        handler: answers it.
        call: what calls it in the client's library, for the table of what is served: `PipelineJob.submit`.
        why_not: for a call that is answered with 501: why it is not served.
    """

    method: str
    template: str
    handler: Handler
    call: str
    why_not: str = ""

    @cached_property
    def direct(self) -> bool:
        """Whether the handler runs in the event loop."""
        return inspect.iscoroutinefunction(self.handler)


def refused(method: str, template: str, call: str, why_not: str) -> Route:
    """A route that answers 501 with the call's name, and says why."""

    def refuse(emulator: Emulator, asked: Call) -> Answer:
        raise Refusal(
            "UNIMPLEMENTED", f"{call} ({method} {asked.path}): the emulator does not serve this call: {why_not}"
        )

    return Route(method, template, refuse, call, why_not)


_REMEMBERED = 4096  # paths whose route is known; predictions come to the same ones again and again
_LONGEST_REMEMBERED = 500  # characters


class Router:
    """Finds a request's route: the first one whose template fits. A HEAD is answered as a GET, without the body."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._by_method: dict[str, list[tuple[re.Pattern[str], Route]]] = {}
        self._known: dict[tuple[str, str], tuple[Route, dict[str, str]]] = {}
        for route in self.routes:
            self._by_method.setdefault(route.method, []).append((_pattern(route.template), route))
        self._by_method.setdefault("HEAD", []).extend(self._by_method.get("GET", ()))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a path as it was sent, and what stands in its places.

        Raises:
            Refusal: there is none; or what stands in a place is no text.
        """
        if known := self._known.get((method, path)):
            return known
        for pattern, route in self._by_method.get(method, ()):
            if found := pattern.fullmatch(path):
                answer = route, {name: _unescaped(value) for name, value in found.groupdict().items()}
                if len(path) <= _LONGEST_REMEMBERED:
                    if len(self._known) >= _REMEMBERED:
                        self._known.clear()
                    self._known[method, path] = answer
                return answer
        others = [
            name
            for name in self._by_method
            if name != "HEAD" and any(p.fullmatch(path) for p, _ in self._by_method[name])
        ]
        others_told = f"; this address has {', '.join(sorted(others))}" if others else ""
        raise Refusal("UNIMPLEMENTED", unserved.told(method, path) + others_told)


def _unescaped(part: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise Refusal("INVALID_ARGUMENT", f"expected a path in UTF-8. Received: {part:.200}") from None


def _pattern(template: str) -> re.Pattern[str]:
    """A template as a regular expression over paths whose escapes stand."""
    parts, end = [], 0
    for found in _PARAMETER.finditer(template):
        parts.append(re.escape(template[end : found.start()]))
        end = found.end()
        one = "[^/]+" if template[end : end + 1] == "/" else "[^/:]+"
        parts.append(f"(?P<{found[1]}>{'.+' if found[2] else one})")
    text = "".join(parts) + re.escape(template[end:])
    if template.startswith("/v1/"):
        text = "/v1(?:beta1)?/" + text[len("/v1/") :]
    return re.compile(text, re.DOTALL)
