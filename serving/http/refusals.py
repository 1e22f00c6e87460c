"""Why a front refuses what a client sends, in words; and the limits that no setting changes."""

from __future__ import annotations

from headrace.serving.exchange import HttpError
from headrace.serving.http.turns import RETRY_AFTER

MAX_HEAD = 65_536  # bytes of a request's line and headers
MAX_HEADERS = 128
AHEAD = 1024  # requests that a client may send before the first of them is answered


def large_head(received: str) -> HttpError:
    """431: more headers, or longer ones."""
    expected = f"at most {MAX_HEAD} bytes and {MAX_HEADERS} headers"
    return HttpError(431, f"head: expected {expected}. Received: {received}", close=True)


def too_large(limit: int, received: str, close: bool = False) -> HttpError:
    """413; the connection stays where the body was read to its end."""
    return HttpError(413, f"body: expected at most {limit} bytes. Received: {received}", close)


def late(what: str, seconds: float, size: int) -> HttpError:
    """408: a part of a request did not come in time."""
    return HttpError(408, f"{what}: expected all of it within {seconds:g} seconds. Received: {size} bytes", close=True)


def far_ahead() -> HttpError:
    """503: requests come and come, and none of their answers is due."""
    expected = f"at most {AHEAD} requests ahead of their answers"
    return HttpError(503, f"connection: expected {expected}. Received: more", close=True)


def no_room() -> HttpError:
    """503: bodies that come in pieces hold all the memory that they may."""
    message = "server: expected room for a body. Received: too many large ones at a time; ask again later"
    return HttpError(503, message, close=True, headers=RETRY_AFTER)


def long_path(size: int) -> HttpError:
    """414."""
    return HttpError(414, f"path: expected at most {MAX_HEAD} bytes. Received: {size}", close=True)


def other_expectation(received: bytes) -> HttpError:
    """417: the client expects what no server here does."""
    shown = received[:80].decode("latin-1")
    return HttpError(417, f"expect: expected 100-continue. Received: {shown}", close=True)
