"""The body of a request that did not come in one piece: bounded in size, memory and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from headrace.serving.http_error import HttpError
from headrace.serving.settings import Settings

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]

# A body of up to so many times the limit is read and thrown away: a client that is cut off while it sends
# would see a broken connection instead of the answer.
DRAINED = 4


async def rest_of_body(first: Message, receive: Receive, declared: int, settings: Settings) -> bytes:
    """Reads on after the first message; holds no more than the limit.

    `declared` is the Content-Length, 0 where there is none.

    Raises:
        HttpError: 413 over `max_body` bytes, 408 after `body_seconds`, 400 where the client left.
    """
    limit = f"body: expected at most {settings.max_body} bytes. Received:"
    most = settings.max_body * DRAINED
    if declared > most:
        raise HttpError(413, f"{limit} {declared} bytes", close=True)
    chunks: list[bytes] = []
    size, message = 0, first
    try:
        async with asyncio.timeout(settings.body_seconds):
            while True:
                size += len(message.get("body", b""))
                if size > most:
                    raise HttpError(413, f"{limit} more than {most} bytes", close=True)
                if size <= settings.max_body:
                    chunks.append(message.get("body", b""))
                else:
                    chunks.clear()
                if not message.get("more_body"):
                    break
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HttpError(400, "body: expected all of it. Received: the end of the connection")
    except TimeoutError:
        expected = f"all of it within {settings.body_seconds:g} seconds"
        raise HttpError(408, f"body: expected {expected}. Received: {size} bytes", close=True) from None
    if size > settings.max_body:
        raise HttpError(413, f"{limit} {size} bytes")
    return b"".join(chunks)
