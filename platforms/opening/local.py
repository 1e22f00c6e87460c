"""`local`: a registry and endpoints in a folder of this machine."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Platform
from headrace.platforms.local.platform import LocalPlatform
from headrace.platforms.open import HOME


def open_platform(uri: str, home: Path | str | None) -> Platform:
    """The platform in `home`, or in the folder that HEADRACE_HOME names.

    Raises:
        HeadraceError: neither is given.
    """
    found = home or os.environ.get(HOME)
    if not found:
        # A default such as the working folder would be a new, empty registry wherever a step runs.
        raise HeadraceError(f"platform local: expected its folder in {HOME}. Received: no such variable")
    return LocalPlatform(Path(found))
