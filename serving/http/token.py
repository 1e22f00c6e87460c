"""Who may ask: those who have a token, where the server was given one."""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.serving.exchange import HttpError
from headrace.serving.settings import Settings

_LEAST = 16  # characters of a token
_CHALLENGE = ((b"www-authenticate", b'Bearer realm="headrace"'),)


class Tokens:
    """The tokens of a file, one per line: an old one and its successor may both hold for a while.

    The file is read anew when it changes, as a mounted secret does; one that cannot be used then leaves the tokens as
    they were.
    """

    def __init__(self, file: str) -> None:
        """Reads the file.

        Raises:
            HeadraceError: it cannot be read, has no token, or one that is too short.
        """
        self._file = Path(file)
        self._stamp = _stamp(self._file)
        self._known = _read(self._file)

    def know(self, authorization: bytes) -> bool:
        """Whether the value of an Authorization header is `Bearer` and a token; it takes as long for any wrong one."""
        scheme, _, given = authorization.partition(b" ")
        given = given.strip()
        found = False
        for token in self._known:
            found |= hmac.compare_digest(token, given)
        return found and scheme.lower() == b"bearer"

    def look(self) -> None:
        """Reads the file anew if it changed."""
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._known = _read(self._file)
        except HeadraceError:
            return


class Guard:
    """Refuses requests without a token, before their bodies are read."""

    def __init__(self, file: str, open_paths: Collection[str]) -> None:
        """`open_paths` are answered without a token.

        Raises:
            HeadraceError: see `Tokens`.
        """
        self._tokens = Tokens(file)
        self._open = frozenset(path.encode() for path in open_paths)
        self.look = self._tokens.look

    def refuses(self, url: bytes, headers: Mapping[bytes, bytes]) -> HttpError | None:
        """Why a request is refused, if it is."""
        given = headers.get(b"authorization")
        if given is not None and self._tokens.know(given):
            return None
        if url.partition(b"?")[0] in self._open:
            return None
        received = "none" if given is None else "another"
        message = f"authorization: expected `Bearer` and the server's token. Received: {received}"
        return HttpError(401, message, headers=_CHALLENGE)


def open_routes(settings: Settings) -> tuple[str, ...]:
    """The paths that need no token: who asks whether the server is healthy has none."""
    return (*settings.health_routes, "/v2/health/live", "/v2/health/ready")


def _read(file: Path) -> tuple[bytes, ...]:
    try:
        lines = [line.strip() for line in file.read_bytes().splitlines()]
    except OSError as error:
        raise HeadraceError(f"{file}: expected a file with a token. Received: {error.strerror}") from None
    tokens = tuple(line for line in lines if line)
    if not tokens:
        raise HeadraceError(f"{file}: expected a token on a line of its own. Received: none")
    if short := [token for token in tokens if len(token) < _LEAST]:
        raise HeadraceError(
            f"{file}: expected tokens of at least {_LEAST} characters. Received: one of {len(short[0])}"
        )
    return tokens


def _stamp(file: Path) -> tuple[int, int, int]:
    try:
        about = file.stat()
    except OSError:
        return (0, 0, 0)
    return about.st_mtime_ns, about.st_size, about.st_ino
