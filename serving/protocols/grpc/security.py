"""TLS for gRPC, from the same files as for HTTPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from headrace.artifacts.errors import HeadraceError
from headrace.serving.settings import Settings


def credentials(settings: Settings) -> Any:
    """The server's, which are read anew when the files change; None where it has no certificate.

    Raises:
        HeadraceError: a file cannot be read.
    """
    if not settings.tls_cert:
        return None
    files = [Path(settings.tls_cert), Path(settings.tls_key or settings.tls_cert)]
    files += [Path(settings.tls_client_ca)] if settings.tls_client_ca else []
    try:
        stamps, configuration = _stamps(files), _configuration(files)
    except OSError as error:
        raise HeadraceError(f"{error.filename}: expected a file in PEM. Received: {error.strerror}") from None

    def changed() -> Any:
        nonlocal stamps
        try:
            if (now := _stamps(files)) == stamps:
                return None
            found, stamps = _configuration(files), now
        except OSError:  # half renewed: the old ones go on
            return None
        return found

    return grpc.dynamic_ssl_server_credentials(
        configuration, changed, require_client_authentication=settings.tls_client_ca is not None
    )


def _configuration(files: list[Path]) -> Any:
    certificate, key, *authority = [file.read_bytes() for file in files]
    return grpc.ssl_server_certificate_configuration([(key, certificate)], *authority)


def _stamps(files: list[Path]) -> list[int]:
    return [file.stat().st_mtime_ns for file in files]
