"""Answers as the bytes of HTTP/1.1."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from headrace.serving.exchange import JSON, HttpError, Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

CLOSE, KEEP, TOLD = range(
    3
)  # the connection ends with an answer; stays open; stays open and a client of HTTP/1.0 is told

_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
_BEGIN_OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "
_HOP = (b"upgrade", b"connection", b"http2-settings")
_NO_LENGTH = (204, 304)  # answers that have no body, and may not say how long it is


def plain_head(method: bytes, url: bytes, headers: Mapping[bytes, bytes]) -> bytes:
    """A request's head once more, without its offer of another protocol."""
    lines = [b"%b %b HTTP/1.1" % (method, url)]
    lines += [b"%b: %b" % pair for pair in headers.items() if pair[0] not in _HOP]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def told(error: HttpError) -> Response:
    """An error as its answer, {"error": message}."""
    body = msgspec.json.encode({"error": str(error)})
    return Response(error.status, body, headers=error.headers, close=error.close)


def written(response: Response, head_only: bool = False, keep: int = KEEP) -> bytes:
    """An answer's bytes, head and body in one piece, so that it takes one system call and wakes the client once.

    Args:
        response: the answer.
        head_only: of a HEAD request.
        keep: CLOSE, KEEP or TOLD: whether the connection stays open.
    """
    status, body, content_type, headers, _ = response
    if status == 200 and keep == KEEP and not headers and not head_only and content_type is JSON:
        return b"%b%d\r\n\r\n%b" % (_BEGIN_OK, len(body), body)
    lines = [_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
    if status not in _NO_LENGTH:
        lines.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, len(body)))
    lines += [b"%b: %b\r\n" % (name, value.translate(None, b"\r\n\0")) for name, value in headers]
    if keep == CLOSE:
        lines.append(b"connection: close\r\n")
    elif keep == TOLD:
        lines.append(b"connection: keep-alive\r\n")
    lines.append(b"\r\n")
    if not head_only and status not in _NO_LENGTH:
        lines.append(body)
    return b"".join(lines)
