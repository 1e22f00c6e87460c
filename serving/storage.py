"""Where a served bundle lies: a local folder, or an address such as Vertex's AIP_STORAGE_URI."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from headrace.artifacts.errors import HeadraceError


def local_folder(place: str) -> Path:
    """The folder behind a path or a file:// address.

    Raises:
        HeadraceError: the address has a scheme that is not read, or names another host.
    """
    if "://" not in place:
        return Path(place)
    parts = urlsplit(place)
    if parts.scheme != "file":
        raise HeadraceError(
            f"model: expected a folder or a file:// address. Received: {place}. "
            f"Copy the bundle to a local folder first, or mount its storage."
        )
    if parts.netloc not in ("", "localhost"):
        raise HeadraceError(f"model: expected a file:// address of this machine. Received: {place}")
    return Path(unquote(parts.path))
