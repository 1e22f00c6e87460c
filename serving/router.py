"""Which of the loaded versions answers a request."""

from __future__ import annotations

from headrace.serving.exchange import Request
from headrace.serving.served import Served


class Router:
    """The versions of an endpoint."""

    def __init__(self, main: Served) -> None:
        self.main = main

    def choose(self, request: Request) -> Served:
        """The version for this request."""
        return self.main
