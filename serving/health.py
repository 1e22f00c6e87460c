"""`python -m headrace.serving.health`: whether the server of this container answers, for the image's HEALTHCHECK.

The port is that of the server's own command line (process 1), of AIP_HTTP_PORT, or 8080. Ends with 0 where the server
says that it is ready, and else with 1 and the reason.
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from headrace.serving.settings import Settings

SECONDS = 2.0


def main(command: Sequence[str] | None = None) -> int:
    """Asks once; returns the process's exit code.

    Args:
        command: the server's command line; by default that of process 1.
    """
    given = Path("/proc/1/cmdline").read_text().split("\0") if command is None else command
    port = int(_option(given, "--port") or os.environ.get("AIP_HTTP_PORT") or Settings.port)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    if _option(given, "--tls-cert"):
        # The certificate is for the server's name, and what is asked is whether anybody answers.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SECONDS, context=context)
    try:
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except ssl.SSLError as error:  # it wants a certificate of its client, so it is there
        return _ended("" if "REQUIRED" in str(error) else str(error))
    except (OSError, http.client.HTTPException) as error:
        return _ended(f"127.0.0.1:{port}: expected an answer. Received: {error or type(error).__name__}")
    finally:
        connection.close()
    return _ended("" if status == 200 else f"127.0.0.1:{port}: expected 200. Received: {status}")


def _option(command: Sequence[str], name: str) -> str:
    """The value that an option has last, as `--port 1` or `--port=1`; empty without one."""
    found = ""
    for at, word in enumerate(command):
        if word == name and at + 1 < len(command):
            found = command[at + 1]
        elif word.startswith(f"{name}="):
            found = word.partition("=")[2]
    return found


def _ended(problem: str) -> int:
    if problem:
        print(problem, file=sys.stderr)
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
