"""What was found decides whether a run goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.findings import DATASET, Finding, Findings, write_findings
from headrace.components.validate.validate import DataFindings, as_markdown, notes, validate


def finding(level: str, name: str, check: str = "drift") -> Finding:
    return Finding(check, level, name, "this", "that", "Do so", [name], None, ["r1"])  # type: ignore[arg-type]


def written(folder: Path, *found: Finding) -> Path:
    write_findings(folder / "findings", Findings("sha256:x", list(found)))
    return folder / "findings"


def test_no_findings_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(written(tmp_path)).found == []
    assert capsys.readouterr().out == "the data is as it has to be\n"


def test_warnings_pass_and_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = validate(written(tmp_path, *(finding("warn", f"c{i}") for i in range(7))))
    assert capsys.readouterr().out.count("warning: c") == 7
    told = notes(found)
    assert len(told) == 6
    assert told[0] == "c0: expected this. Received: that, such as r1. Do so"
    assert told[-1] == "2 more warnings in the data report"
    text = as_markdown(found)
    assert text.count("\n") == 7 and "- c6: expected this." in text
    assert as_markdown(validate(written(tmp_path / "none"))) == "The data is as it has to be.\n"


def test_a_value_in_a_warning_is_no_markdown(tmp_path: Path) -> None:
    odd = Finding("drift", "warn", "a_b", "this", "<b>*x*", "Do so")
    assert "a\\_b" in as_markdown(Findings("sha256:x", [odd])) and "\\<b\\>\\*x\\*" in as_markdown(Findings("", [odd]))


def test_an_error_stops_the_run_and_all_errors_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = [finding("error", "a", "schema"), finding("error", DATASET), finding("warn", "c")]
    with pytest.raises(DataFindings) as error:
        validate(written(tmp_path, *found))
    assert error.value.findings == found[:2]
    assert str(error.value).splitlines() == [
        "expected data that can be learned from. Received: 2 faults",
        "  - a: expected this. Received: that, such as r1. Do so",
        "  - (all rows): expected this. Received: that, such as r1. Do so",
        "Put the data right at its source, or widen the committed schema.pbtxt on purpose; the data report of "
        "`examine` shows it. `validate: {on_anomaly: warn}` in the spec goes on in spite of them.",
    ]
    assert capsys.readouterr().out == "warning: c: expected this. Received: that, such as r1. Do so\n"


def test_findings_that_cannot_be_read_do_not_pass(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        validate(tmp_path / "none")
