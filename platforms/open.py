"""From a platform's URI to the platform."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Platform

HOME = "HEADRACE_HOME"


def open_platform(uri: str, home: Path | str | None = None) -> Platform:
    """Opens a platform by its URI.

    Args:
        uri: `local`: a registry in a folder of this machine.
        home: that folder; by default the environment variable HEADRACE_HOME.

    Raises:
        HeadraceError: the URI names no platform that this version has, or `local` has no home.
    """
    if uri == "local":
        found = home or os.environ.get(HOME)
        if not found:
            # A default such as the working folder would be a new, empty registry wherever a step runs.
            raise HeadraceError(f"platform local: expected its folder in {HOME}. Received: no such variable")
        from headrace.platforms.local.platform import LocalPlatform

        return LocalPlatform(Path(found))
    kind = uri.partition(":")[0]
    known = kind in ("vertex", "kubeflow")
    hint = f"; {kind} is not available in this version" if known else ""
    raise HeadraceError(f"platform: expected `local`. Received: {uri!r}{hint}")
