"""HTTPS, and clients that show certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

from headrace.artifacts.errors import HeadraceError


class Certificates:
    """The server's certificate and key, and whose clients are let in.

    They are read anew when the files change, as those do that are renewed: connections from then on have the new ones.
    New ones that cannot be used leave things as they were.
    """

    def __init__(self, certificate: str, key: str | None, client_authority: str | None) -> None:
        """Reads them: PEM files; the key may stand in the certificate's.

        Raises:
            HeadraceError: one of them is none, or the key is of another certificate.
        """
        self._files = [Path(file) for file in (certificate, key, client_authority) if file]
        self._certificate, self._key = certificate, key or certificate
        self._stamps = self._times()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._load()
        if client_authority:
            self.context.verify_mode = ssl.CERT_REQUIRED
            try:
                self.context.load_verify_locations(client_authority)
            except OSError as error:  # also of ssl's own errors
                raise _unusable(client_authority, "the certificates of authorities", error) from None

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self._certificate, self._key, password=lambda: b"")  # never ask at a terminal
        except OSError as error:
            raise _unusable(self._certificate, "a certificate, and its key without a password,", error) from None

    def look(self) -> None:
        """Reads the certificate anew if its file changed."""
        times = self._times()
        if times == self._stamps:
            return
        self._stamps = times
        try:
            trial = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trial.load_cert_chain(self._certificate, self._key, password=lambda: b"")
            self._load()
        except (OSError, HeadraceError):
            return

    def _times(self) -> list[int]:
        return [file.stat().st_mtime_ns if file.exists() else 0 for file in self._files]


def _unusable(file: str, expected: str, error: OSError) -> HeadraceError:
    reason = error.strerror or str(error)
    return HeadraceError(f"{file}: expected {expected} in PEM. Received: {reason}")
