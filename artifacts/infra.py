"""What the real server said of a bundle before it may be pushed: does it load, does it answer as it should.

<infra>/
    infra.json       passed, model_digest, checks [{name, passed, message}], latency_ms {p50, p99}, figures, requests
    manifest.json    details: passed, model_digest

Version 1 has no figures and no number of requests: a gate on a figure does not pass on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json

FORMAT = "headrace/infra"
VERSION = 2
FILE = "infra.json"

FIGURES: Mapping[str, str] = {
    "latency_p50_ms": "median time to answer one row, one after another, in the quietest of some rounds",
    "latency_p99_ms": "time within which 99 of 100 such requests are answered",
    "bundle_mib": "the bundle's files together",
    "server_mib": "proportional set size of the server's processes after it answered: shared pages count in parts",
    "cold_start_s": "from starting the server's process to its first answer",
}


@dataclass(frozen=True)
class Check:
    """One thing that was tried on the server."""

    name: str
    passed: bool
    message: str


@dataclass(frozen=True)
class Infra:
    """What was tried on the server, and how it went: passed where there are checks and all of them passed."""

    model_digest: str
    checks: tuple[Check, ...]
    latency_ms: dict[str, float] = field(default_factory=dict)  # p50, p99 of one row per request
    figures: dict[str, float] = field(default_factory=dict)  # of FIGURES, those that could be measured
    requests: int = 0  # that the latencies are of

    @property
    def passed(self) -> bool:
        """Whether the bundle serves."""
        return bool(self.checks) and all(check.passed is True for check in self.checks)


def write_infra(path: Path | str, infra: Infra) -> None:
    """Writes the report as a sealed folder."""
    details = {"passed": infra.passed, "model_digest": infra.model_digest}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        write_json(folder / FILE, {"passed": infra.passed, **asdict(infra)})


def read_infra(path: Path | str) -> Infra:
    """Opens a report and checks it.

    Raises:
        ArtifactError: not such a report, damaged, of a newer format version, or at odds with itself.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    value = read_json(path / FILE)
    try:
        if manifest.format_version == 1:
            value = {"figures": {}, "requests": 0, **value}
        checks = tuple(Check(**item) for item in value["checks"])
        figures, requests = dict(value["figures"]), int(value["requests"])
        infra = Infra(str(value["model_digest"]), checks, dict(value["latency_ms"]), figures, requests)
        said = value["passed"]
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path / FILE}: expected a report on serving. Received: {error!r}") from None
    if said is not infra.passed:
        raise ArtifactError(f"{path / FILE}: expected passed to follow from the checks. Received: passed={said!r}")
    return infra
