"""Gates on the server's figures and on findings about the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifacts.findings import Findings
from headrace.artifacts.infra import FIGURES as KNOWN
from headrace.artifacts.infra import Infra, read_infra, write_infra
from headrace.components.gate.spec import Gate
from tests.unit.components.gate.judged import DATA, FIGURES, INFRA, MODEL, evidence_of, finding, outcome
from tests.unit.components.gate.models import two

ERRORS = Gate(anomalies="error", at_most=0)
WARNINGS = Gate(anomalies="warning", at_most=1)


@pytest.fixture(scope="module")
def evidence():
    ours, theirs = two(np.random.default_rng(0), 100, 2.0, 2.0)
    return evidence_of(ours, theirs, np.full(100, "x"))


@pytest.mark.parametrize("name", KNOWN)
def test_a_figure_of_the_server(evidence, name):
    assert outcome(Gate(infra=name, at_most=FIGURES[name]), evidence).passed
    over = outcome(Gate(infra=name, at_most=FIGURES[name] * 0.99), evidence)
    assert not over.passed
    assert over.reason.startswith(f"{name} is {FIGURES[name]:.4g}") and over.todo.startswith("A smaller model")
    assert ("over 1,000 requests" in over.reason) is name.startswith("latency")


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "fast", True])
def test_a_figure_that_is_no_number(evidence, name, value):
    infra = replace(INFRA, figures={**FIGURES, name: value})
    assert not outcome(Gate(infra=name, at_most=1e9), replace(evidence, infra=infra)).passed


@pytest.mark.parametrize("name", KNOWN)
def test_a_figure_that_is_not_there(evidence, name):
    gate = Gate(infra=name, at_most=1e9)
    gone = replace(INFRA, figures={key: value for key, value in FIGURES.items() if key != name})
    assert outcome(gate, replace(evidence, infra=gone)).reason == f"{name} was not measured: {KNOWN[name]}"
    assert outcome(gate, replace(evidence, infra=None)).reason == "there is no report of the server"
    other = replace(INFRA, model_digest="sha256:other")
    assert "the server was given another model" in outcome(gate, replace(evidence, infra=other)).reason
    for infra in (gone, None, other):
        assert not outcome(gate, replace(evidence, infra=infra)).passed


def test_a_report_of_an_earlier_version_has_no_figures(tmp_path, monkeypatch, evidence):
    monkeypatch.setattr("headrace.artifacts.infra.VERSION", 1)
    write_infra(tmp_path / "infra", replace(INFRA, figures={}, requests=0))
    monkeypatch.undo()
    found = read_infra(tmp_path / "infra")
    assert found == Infra(MODEL, INFRA.checks, {}, {}, 0)
    assert not outcome(Gate(infra="bundle_mib", at_most=10), replace(evidence, infra=found)).passed


@pytest.mark.parametrize(
    ("levels", "errors", "warnings"),
    [([], True, True), (["warn"], True, True), (["warn", "warn"], True, False), (["error"], False, True)],
)
def test_findings_are_counted_by_level(evidence, levels, errors, warnings):
    found = replace(evidence, findings=Findings(DATA, [finding(level) for level in levels]))
    assert outcome(ERRORS, found).passed is errors
    assert outcome(WARNINGS, found).passed is warnings


def test_findings_are_told(evidence):
    found = outcome(ERRORS, replace(evidence, findings=Findings(DATA, [finding()] * 7)))
    line = "plan: expected values. Received: none in 12 %. Ask who fills the column"
    assert found.reason == f"7 errors in the data: {' | '.join([line] * 5)} | 2 more"
    assert found.todo == "Ask who fills the column"
    assert outcome(ERRORS, evidence).reason == "no errors in the data"


@pytest.mark.parametrize("gate", [ERRORS, WARNINGS], ids=lambda gate: gate.text)
def test_findings_that_are_missing_or_of_other_data(evidence, gate):
    assert not outcome(gate, replace(evidence, findings=None)).passed
    other = outcome(gate, replace(evidence, findings=Findings("sha256:other", [])))
    assert not other.passed and other.reason == "the findings are about other data, sha256:other, not sha256:data"
    strange = outcome(gate, replace(evidence, findings=Findings(DATA, [finding("fatal")])))
    assert not strange.passed and "levels that are not known: fatal" in strange.reason


@pytest.mark.parametrize("gate", [ERRORS, WARNINGS], ids=lambda gate: gate.text)
def test_findings_that_do_not_say_of_which_data(evidence, gate):
    nameless = outcome(gate, replace(evidence, findings=Findings("", [])))
    assert not nameless.passed and "the findings are about other data" in nameless.reason
    part = replace(evidence, evaluation=replace(evidence.evaluation, part_of="sha256:whole"))
    assert outcome(gate, replace(part, findings=Findings("sha256:whole", []))).passed
