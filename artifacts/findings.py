"""What was found wrong with a snapshot: findings with their levels, in a sealed folder.

    <findings>/
        findings.json    {"findings": [Finding, ...], "notes": [...]}
        profile.json     what was measured on the way, for the data report: associations, images
        manifest.json    details: the snapshot's digest, and the number of findings by level

A finding says what was expected, what was received, where, and what to do, in the grammar of errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json

FORMAT = "headrace/findings"
VERSION = 1
FINDINGS = "findings.json"
PROFILE = "profile.json"

DATASET = "(all rows)"  # stands for the column where a finding is about the data as a whole
MOST_EXAMPLES = 5

Level = Literal["error", "warn"]


@dataclass(frozen=True)
class Finding:
    """One way in which the data is not as it should be."""

    check: str  # the field of the spec's `validate` section, or a custom check's name
    level: Level
    where: str  # the column; DATASET for the data as a whole
    expected: str
    received: str
    todo: str
    columns: list[str] = field(default_factory=list)  # the ones to mark in the report
    rows: int | None = None  # how many rows it concerns, where that was counted
    examples: list[str] = field(default_factory=list)  # ids of such rows, or the rows; at most MOST_EXAMPLES

    def line(self) -> str:
        """The finding as one line of the house's error grammar."""
        such = f", such as {', '.join(self.examples[:MOST_EXAMPLES])}" if self.examples else ""
        return f"{self.where}: expected {self.expected}. Received: {self.received}{such}. {self.todo}"


@dataclass(frozen=True)
class Findings:
    """All findings about one snapshot, and what was measured to get them."""

    dataset: str  # digest of the snapshot
    found: list[Finding]
    notes: list[str] = field(default_factory=list)  # what was not looked at, and why
    profile: dict[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run."""
        return [finding for finding in self.found if finding.level == "error"]


def sort_findings(found: Iterable[Finding]) -> list[Finding]:
    """Errors first; otherwise in the order in which they were found."""
    return sorted(found, key=lambda finding: finding.level != "error")


def as_warnings(found: Iterable[Finding]) -> list[Finding]:
    """The same findings, none of which stops a run."""
    return [replace(finding, level="warn") for finding in found]


def write_findings(path: Path | str, findings: Findings) -> None:
    """Writes findings as a sealed folder; equal findings give equal bytes."""
    levels = [finding.level for finding in findings.found]
    counts = {"errors": levels.count("error"), "warnings": levels.count("warn")}
    with write_folder(Path(path), FORMAT, VERSION, {"dataset": findings.dataset, **counts}) as folder:
        content = {"findings": [asdict(finding) for finding in findings.found], "notes": findings.notes}
        write_json(folder / FINDINGS, content)
        write_json(folder / PROFILE, findings.profile)


def read_findings(path: Path | str) -> Findings:
    """Reads findings from their sealed folder.

    Raises:
        ArtifactError: no findings, damaged, or of a newer format version.
    """
    path = Path(path)
    manifest = read_manifest(path, FORMAT, VERSION)
    content, profile = read_json(path / FINDINGS), read_json(path / PROFILE)
    try:
        found = [Finding(**finding) for finding in content["findings"]]
        return Findings(manifest.details["dataset"], found, list(content["notes"]), dict(profile))
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path / FINDINGS}: expected findings. Received: damage ({error})") from None
