"""Findings on disk and in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.findings import (
    DATASET,
    Finding,
    Findings,
    as_warnings,
    read_findings,
    sort_findings,
    write_findings,
)
from headrace.artifacts.folder import read_manifest, seal

WARNING = Finding("duplicates", "warn", DATASET, "no repetitions", "3 of them", "Remove them", [], 3, ["a", "b"])
ERROR = Finding("leakage", "error", "closed", "no leak", "an AUC of 1", "Drop it", ["closed"])
BOTH = Findings("sha256:x", [ERROR, WARNING], ["a note"], {"measure": "AUC"})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_findings(tmp_path / "findings", BOTH)
    assert read_findings(tmp_path / "findings") == BOTH
    assert BOTH.errors == [ERROR]
    write_findings(tmp_path / "again", BOTH)
    first, second = (read_manifest(tmp_path / name, "headrace/findings", 1) for name in ("findings", "again"))
    assert first.digest == second.digest
    assert first.details == {"dataset": "sha256:x", "errors": 1, "warnings": 1}


def test_a_line_has_the_grammar_of_errors() -> None:
    assert WARNING.line() == "(all rows): expected no repetitions. Received: 3 of them, such as a, b. Remove them"
    assert ERROR.line() == "closed: expected no leak. Received: an AUC of 1. Drop it"


def test_errors_come_first_and_may_become_warnings() -> None:
    assert sort_findings([WARNING, ERROR]) == [ERROR, WARNING]
    assert [finding.level for finding in as_warnings([WARNING, ERROR])] == ["warn", "warn"]


@pytest.mark.parametrize("content", [{}, {"findings": [{"check": "x"}], "notes": []}, {"findings": None, "notes": []}])
def test_damage_is_an_error_and_never_no_finding(content: object, tmp_path: Path) -> None:
    write_findings(tmp_path / "findings", BOTH)
    (tmp_path / "findings" / "findings.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="changed content"):
        read_findings(tmp_path / "findings")
    (tmp_path / "findings" / "manifest.json").unlink()
    seal(tmp_path / "findings", "headrace/findings", 1, {"dataset": "sha256:x"})
    with pytest.raises(ArtifactError, match="expected findings"):
        read_findings(tmp_path / "findings")
