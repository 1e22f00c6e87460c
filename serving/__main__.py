"""`python -m headrace.serving MODEL_DIR`: the entry point of the server image.

In a Vertex AI custom container, the AIP_* variables give the model, the port and the routes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.serving.options import add_arguments
from headrace.serving.server import serve, stop_with
from headrace.serving.settings import Settings, vertex_defaults
from headrace.serving.storage import local_folder
from headrace.serving.target import Member, Plan, Target


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server; returns the process's exit code."""
    given = vars(_parser().parse_args(arguments))
    given_shadows = given.pop("shadow", [])
    model = given.pop("model") or os.environ.get("AIP_STORAGE_URI")
    if parent := given.pop("exit_with", None):
        stop_with(parent)
    try:
        if not model:
            raise HeadraceError("model: expected a bundle's folder, or AIP_STORAGE_URI. Received: neither")
        values: dict[str, Any] = vertex_defaults(os.environ) | given
        members = [Member(Target(local_folder(model))), *_shadows(given_shadows)]
        serve(Plan(tuple(members)), Settings(**values))
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _shadows(places: Sequence[str]) -> Iterator[Member]:
    """Those that are to be had: what answers does not wait for what does not."""
    for place in places:
        try:
            yield Member(Target(local_folder(place)), 0, shadow=True)
        except HeadraceError as error:
            print(f"headrace: the shadow {place} is not served: {error}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="headrace.serving",
        description="Serve a model bundle over HTTP.",
        argument_default=argparse.SUPPRESS,  # what is not given keeps its default in Settings
    )
    parser.add_argument("model", nargs="?", default=None, metavar="MODEL_DIR", help="the bundle's folder")
    parser.add_argument(
        "--shadow", action="append", metavar="MODEL_DIR", help="one that sees copies of the requests and answers nobody"
    )
    add_arguments(parser)
    parser.add_argument("--exit-with", type=int, metavar="PID", help="end when this parent process has ended")
    return parser


if __name__ == "__main__":
    sys.exit(main())
