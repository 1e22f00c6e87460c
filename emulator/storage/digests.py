"""The hashes of an object's content, as Cloud Storage gives them."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import google_crc32c

PIECE = 1 << 20  # bytes that are read, hashed and written at a time


class Digests:
    """Of content that comes in pieces."""

    def __init__(self) -> None:
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]

    def update(self, piece: bytes) -> None:
        """Content goes on."""
        self.size += len(piece)
        self._md5.update(piece)
        self._crc.update(piece)

    @property
    def md5(self) -> str:
        """In base64."""
        return base64.b64encode(self._md5.digest()).decode()

    @property
    def crc32c(self) -> str:
        """Big-endian, in base64."""
        return base64.b64encode(self._crc.digest()).decode()


def of_file(file: Path) -> Digests:
    """Of a file, in bounded memory."""
    digests = Digests()
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            digests.update(piece)
    return digests
