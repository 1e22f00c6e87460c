"""Why a request is not answered with 200."""

from __future__ import annotations


class HttpError(Exception):
    """An answer with another status, and a message for the client.

    `close` ends the connection, because the request was not read to its end; `allow` is the method that the
    path has.
    """

    def __init__(self, status: int, message: str, close: bool = False, allow: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.close = close
        self.allow = allow
