"""What the data is held against: the statistics of the data that the champion was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from headrace.artifacts.absent import is_absent
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.statistics import Statistics, read_statistics


@dataclass(frozen=True)
class Baseline:
    """The champion's statistics; or why there are none."""

    statistics: Statistics | None
    why_not: str = ""


def read_baseline(champion: Path | None) -> Baseline:
    """Reads the statistics out of a champion's bundle.

    Args:
        champion: a bundle, or the statement that there is none; None where nobody was asked.

    Raises:
        ArtifactError: the bundle or its statistics are damaged: that is no absence.
    """
    if champion is None:
        return Baseline(None, "no champion was given")
    if is_absent(champion):
        return Baseline(None, "there is no champion yet")
    bundle = Bundle.open(champion, verify=False)
    if bundle.statistics is None:
        return Baseline(None, f"the champion, {bundle.digest[:19]}, was made before bundles had statistics")
    return Baseline(read_statistics(bundle.statistics))
