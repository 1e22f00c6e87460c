"""Checks of one's own: what the spec lists under `validate.checks`, each run, each failure a finding.

A check that cannot run did not pass: that is a finding at its level too.
"""

from __future__ import annotations

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.findings import DATASET, Finding
from headrace.components.check.function_check import run_function
from headrace.components.check.result import ValidationResult
from headrace.components.check.sql_check import run_sql
from headrace.components.validate.spec import CustomCheck


def find_by_custom_checks(snapshot: Dataset, checks: list[CustomCheck]) -> list[Finding]:
    """Runs the checks that are not off, in the spec's order."""
    found = []
    for check in checks:
        if check.level == "off":
            continue
        result = run_sql(snapshot, check) if check.sql is not None else run_function(snapshot, check)
        print(f"check {check.name}: {'passed' if result.passes else 'did not pass'}")
        if not result.passes:
            found.append(_finding(check, result))
    return found


def _finding(check: CustomCheck, result: ValidationResult) -> Finding:
    assert check.level != "off"
    diagnostics = dict(result.diagnostics)
    examples = [str(example) for example in diagnostics.pop("examples", [])][:5]
    rows = diagnostics.pop("rows", None)
    told = result.message or "a check that did not pass, and does not say why"
    if diagnostics:
        told += " (" + ", ".join(f"{name} {value}" for name, value in diagnostics.items()) + ")"
    todo = f"See validate.checks in the spec: {check.sql or check.function}"
    expected = f"the check `{check.name}` to pass"
    return Finding(check.name, check.level, DATASET, expected, told, todo, [], rows, examples)
