"""A gate's decision: whether a model may be registered and served, and on what grounds.

<decision>/
    decision.json    passed, model_digest, champion_digest (or null), decisions [{gate, passed, reason, evidence, todo}]
    manifest.json    details: passed, model_digest, champion_digest

Version 1 has no champion_digest: what it was judged against is `UNRECORDED`, and nothing is pushed on it. Before
version 3, decisions do not say what to do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json

FORMAT = "headrace/decision"
VERSION = 3
FILE = "decision.json"

UNRECORDED = "not recorded"  # never a digest, so that it equals no champion's


@dataclass(frozen=True)
class Decision:
    """One gate: what it demands, whether it is passed, why, and what it looked at."""

    gate: str
    passed: bool
    reason: str
    evidence: dict[str, Any] = field(default_factory=dict)
    todo: str = ""  # what its reader can do about it, where it is not passed


@dataclass(frozen=True)
class Verdict:
    """All gates of one model. `passed` is true only where there are decisions and all of them are passed."""

    model_digest: str
    decisions: tuple[Decision, ...]
    champion_digest: str | None = None  # of the champion that it was judged against; None: there was none

    @property
    def passed(self) -> bool:
        """Whether the model may go on."""
        return bool(self.decisions) and all(decision.passed is True for decision in self.decisions)


def write_verdict(path: Path | str, verdict: Verdict) -> None:
    """Writes a verdict as a sealed folder."""
    details = {
        "passed": verdict.passed,
        "model_digest": verdict.model_digest,
        "champion_digest": verdict.champion_digest,
    }
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        write_json(folder / FILE, {**details, "decisions": [asdict(item) for item in verdict.decisions]})


def read_verdict(path: Path | str) -> Verdict:
    """Opens a verdict and checks it.

    Raises:
        ArtifactError: not a decision, damaged, of a newer format version, or at odds with itself.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    value = read_json(path / FILE)
    try:
        decisions = tuple(Decision(**item) for item in value["decisions"])
        champion = UNRECORDED if manifest.format_version == 1 else value["champion_digest"]
        if not isinstance(champion, str | None):
            raise TypeError(f"champion_digest={champion!r}")
        verdict = Verdict(str(value["model_digest"]), decisions, champion)
        said = value["passed"]
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path / FILE}: expected a decision. Received: {error!r}") from None
    if said is not verdict.passed:
        raise ArtifactError(f"{path / FILE}: expected passed to follow from the decisions. Received: passed={said!r}")
    return verdict
