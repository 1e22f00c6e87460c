"""`python -m headrace.serving MODEL_DIR`: the entry point of the server image.

In a Vertex AI custom container, the AIP_* variables give the model, the port and the routes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.serving.server import serve, stop_with
from headrace.serving.settings import MAX_BODY, MAX_PIXELS, Settings, vertex_defaults
from headrace.serving.storage import local_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; returns the process's exit code."""
    given = vars(_parser().parse_args(arguments))
    model = given.pop("model") or os.environ.get("AIP_STORAGE_URI")
    if parent := given.pop("exit_with", None):
        stop_with(parent)
    try:
        if not model:
            raise HeadraceError("model: expected a bundle's folder, or AIP_STORAGE_URI. Received: neither")
        values: dict[str, Any] = vertex_defaults(os.environ) | given
        serve(local_folder(model), Settings(**values))
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace.serving",
        description="Serve a model bundle over HTTP.",
        argument_default=argparse.SUPPRESS,  # what is not given keeps its default in Settings
    )
    parser.add_argument("model", nargs="?", default=None, metavar="MODEL_DIR", help="the bundle's folder")
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port, 0 for any free one (default 8080)")
    parser.add_argument("--workers", type=int, help="processes, best one per core (default 1)")
    parser.add_argument("--max-body", type=int, metavar="BYTES", help=f"largest request body (default {MAX_BODY})")
    parser.add_argument("--max-pixels", type=int, metavar="N", help=f"of a picture, at most (default {MAX_PIXELS})")
    parser.add_argument("--access-log", action="store_true", help="log every request to standard error")
    parser.add_argument("--exit-with", type=int, metavar="PID", help="end when this parent process has ended")
    return parser


if __name__ == "__main__":
    sys.exit(main())
