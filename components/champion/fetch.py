"""From the registry's alias `champion` to a bundle on disk."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.absent import write_absent
from headrace.platforms.interface import CHAMPION, Platform


def fetch_champion(platform: Platform, name: str, output: Path) -> bool:
    """Writes the champion's bundle to `output`; where the registry answers that there is none, says so there.

    A registry that cannot answer is an error and never an absence: a gate that may pass without a champion
    would otherwise pass whenever the registry is down.

    Returns:
        Whether there is a champion.

    Raises:
        HeadraceError: the registry cannot be read, or the champion's bundle is damaged.
    """
    found = platform.registry.champion(name)
    if found is None:
        write_absent(output, f"no version of {name} has the alias {CHAMPION}")
        print(f"{name} has no champion yet")
        return False
    platform.registry.download(name, found.version, output)
    print(f"champion of {name}: version {found.version} ({found.digest[:19]})")
    return True
