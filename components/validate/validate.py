"""The step as a whole: findings in; a run that goes on, or stops with all of them in its error."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.findings import Finding, Findings, read_findings

_MOST_NOTES = 5


class DataFindings(HeadraceError):
    """The data is not as it has to be. The message names each finding; `findings` has them as values."""

    def __init__(self, message: str, findings: list[Finding]) -> None:
        super().__init__(message)
        self.findings = findings


def validate(findings: Path | str) -> Findings:
    """Stops the run where a finding is at level error.

    Args:
        findings: the folder of all findings about a snapshot.

    Returns:
        the findings, which are all warnings.

    Raises:
        DataFindings: something was found at level error.
        ArtifactError: the findings are damaged.
    """
    found = read_findings(findings)
    errors = found.errors
    for finding in found.found:
        if finding not in errors:
            print(f"warning: {finding.line()}")
    if errors:
        raise DataFindings(_message(errors), errors)
    print("the data is as it has to be" if not found.found else "the data passes, with warnings")
    return found


def notes(found: Findings) -> list[str]:
    """The warnings in a line each, for the end of a run."""
    lines = [finding.line() for finding in found.found[:_MOST_NOTES]]
    more = len(found.found) - len(lines)
    return [*lines, f"{more} more warnings in the data report"] if more else lines


def as_markdown(found: Findings) -> str:
    """All warnings as Markdown."""
    if not found.found:
        return "The data is as it has to be.\n"
    special = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_[]<>#|"})
    return "".join(f"- {finding.line().translate(special)}\n" for finding in found.found)


def _message(errors: list[Finding]) -> str:
    """All of it: whoever reads the error need not find the page first."""
    number = "1 fault" if len(errors) == 1 else f"{len(errors)} faults"
    lines = "\n".join(f"  - {finding.line()}" for finding in errors)
    schema = any(finding.check == "schema" for finding in errors)
    widen = ", or widen the committed schema.pbtxt on purpose" if schema else ""
    return (
        f"expected data that can be learned from. Received: {number}\n{lines}\n"
        f"Put the data right at its source{widen}; the data report of `examine` shows it. "
        "`validate: {on_anomaly: warn}` in the spec goes on in spite of them."
    )
