"""What is seen of a prediction request beside its answer: for the request log, for traces.

A request has an id: the one that its client sends as `x-request-id`, else one made here. The answer repeats it, and
the log keeps it, so that what came of a prediction can be joined with it later. Whether a request is looked at
depends on its id alone: all versions that see it, the shadows too, agree.
"""

from __future__ import annotations

import os
import re
import time
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from zlib import crc32

from headrace.serving.exchange import Pairs, Request, Response

if TYPE_CHECKING:
    from headrace.artifacts.signature import Signature
    from headrace.serving.served import Served

REQUEST_ID = b"x-request-id"
_tuple = tuple.__new__
_FINE = re.compile(rb"[\x21-\x7e]{1,128}")  # visible ASCII
_NUMBERS = count(1)
_PREFIX = [b""]  # random, of this process


class Observed(NamedTuple):
    """One version's answer to one prediction request."""

    request_id: str
    route: str  # the path that was asked
    model: str
    version: str | None
    digest: str
    time: float  # when the request was whole, in seconds since 1970
    seconds: float  # from then to the answer
    status: int  # 200, or that of the error
    signature: Signature
    # Of a table: tuples of raw cells in the signature's order; of images: files' bytes or pixels; None: unknown.
    rows: Any = None
    outputs: Any = None  # the model's, float32 [N, C] or [N, 1]; None where it failed
    variant: str = ""  # the name that the plan has for this version
    key: str = ""  # by which the version was chosen
    shadow: bool = False  # whether nobody was answered with it
    error: str = ""  # what an error says
    trace: Trace | None = None
    method: str = "POST"


class Trace(NamedTuple):
    """Where a request belongs, as W3C's `traceparent` says."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16, of who sent the request
    sampled: bool


class Observer(Protocol):
    """Looks at some requests. It is called by the event loop, so it must return at once; it raises nothing."""

    def wants(self, request_id: bytes) -> bool:
        """Whether it wants to see this request."""

    def see(self, observed: Observed) -> None:
        """Shows it one; from any thread."""

    def close(self) -> None:
        """What it still holds goes where it belongs; takes two seconds at most."""


def request_id(request: Request) -> bytes:
    """The client's id of a request, if that is 1 to 128 visible ASCII characters; else one of 32 hexadecimal digits."""
    given = request.headers.get(REQUEST_ID)
    if given is not None and _FINE.fullmatch(given):
        return given
    return b"%b%012x" % (_PREFIX[0] or _new_prefix(), next(_NUMBERS))


def _new_prefix() -> bytes:
    _PREFIX[0] = os.urandom(10).hex().encode()
    return _PREFIX[0]


os.register_at_fork(after_in_child=_new_prefix)  # no two processes make the same


def sampled(request_id: bytes, share: float) -> bool:
    """Whether a request is among this share of all; the same for the same id, in every process."""
    return crc32(request_id) < share * 4294967296.0


_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def trace_of(request: Request) -> Trace | None:
    """The trace that a request's `traceparent` names (W3C Trace Context); None where it has none, or a broken one.

    >>> from headrace.serving.exchange import Request
    >>> trace_of(Request("POST", "/", headers={b"traceparent": b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"})).sampled
    True
    """
    given = request.headers.get(b"traceparent")
    found = _TRACEPARENT.fullmatch(given) if given else None
    if found is None or (found[4] and given is not None and given.startswith(b"00")):
        return None
    return Trace(found[1].decode(), found[2].decode(), bool(int(found[3], 16) & 1))


def identified(response: Response, request_id: bytes, more: Pairs = ()) -> Response:
    """The answer with the request's id among its headers, and more."""
    status, body, content_type, headers, close = response
    # Not by the class's own constructor, which takes four times as long.
    return _tuple(Response, (status, body, content_type, (*headers, (REQUEST_ID, request_id), *more), close))


def observed(
    request: Request,
    served: Served,
    seconds: float,
    *,
    inputs: Any = None,
    outputs: Any = None,
    status: int = 200,
    error: str = "",
    shadow: bool = False,
) -> Observed:
    """What an observer is shown of a request that was answered just now.

    Args:
        request: with its id.
        served: the version that answered, or failed to.
        seconds: that it took.
        inputs: what the version's scorer was given (see `Scorer.run`, `ImageScorer.run`).
        outputs: the model's, [N, C] or [N, 1].
        status: of the answer.
        error: what it says, if it is one.
        shadow: whether nobody was answered with it.
    """
    return Observed(
        request_id=request.id.decode(),
        route=request.path,
        model=served.name,
        version=served.version,
        digest=served.digest,
        time=time.time() - seconds,
        seconds=seconds,
        status=status,
        signature=served.bundle.signature,
        rows=inputs if isinstance(inputs, list) else getattr(inputs, "rows", None),
        outputs=outputs,
        variant=served.variant,
        key=request.key.decode(errors="replace"),
        shadow=shadow,
        error=error,
        trace=trace_of(request),
        method=request.method,
    )


class Several:
    """Observers as one."""

    def __init__(self, observers: list[Observer]) -> None:
        self._observers = observers

    def wants(self, request_id: bytes) -> bool:
        """Whether one of them does."""
        return any(one.wants(request_id) for one in self._observers)

    def see(self, observed: Observed) -> None:
        """Shows it to those that want it."""
        identity = observed.request_id.encode()
        for one in self._observers:
            if one.wants(identity):
                one.see(observed)

    def close(self) -> None:
        """Closes all."""
        for one in self._observers:
            one.close()
