"""Gates that ask for confidence: what they say, and that each fails where what it rests on is taken away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifacts.evaluation import Evaluation
from headrace.components.evaluate.scores import Scores
from headrace.components.gate.spec import Gate
from tests.unit.components.gate.judged import DATA, evidence_of, gains_of, outcome
from tests.unit.components.gate.models import several, two, values

ROWS = 2000
SURE = {"confidence": 0.95}
BETTER = Gate(metric="auc", versus="champion", better_by=0, **SURE)
NO_WORSE = Gate(metric="auc", versus="champion", no_worse_than=0.01, **SURE)
AT_LEAST = Gate(metric="auc", at_least=0.75, **SURE)
EACH = Gate(metric="recall", at_least=0.2, slice="region", **SURE)
PAIR = Gate(metric="recall", at_least=0.2, slice=["plan", "region"], **SURE)
EACH_VERSUS = Gate(metric="log_loss", versus="champion", no_worse_than=0.1, slice="region", **SURE)
ALL = [BETTER, NO_WORSE, AT_LEAST, EACH, PAIR, EACH_VERSUS]


@pytest.fixture(scope="module")
def regions():
    return np.random.default_rng(1).choice(["east", "north", "south"], ROWS)


@pytest.fixture(scope="module")
def better(regions):
    ours, theirs = two(np.random.default_rng(0), ROWS, 2.0, 1.4)
    return evidence_of(ours, theirs, regions, gains_of(ours))


@pytest.fixture(scope="module")
def alike(regions):
    ours, theirs = two(np.random.default_rng(3), ROWS, 1.5, 1.5)
    return evidence_of(ours, theirs, regions, gains_of(ours))


def test_a_better_model_passes_all(better):
    for gate in ALL:
        decision = outcome(gate, better)
        assert decision.passed, decision
        assert not decision.todo
    found = outcome(BETTER, better)
    assert found.reason.endswith("(DeLong's paired test, 2,000 rows)")
    assert "; with 95 % confidence better by at least 0.0" in found.reason
    assert 0 < found.evidence["bound"] < found.evidence["gain"]


def test_one_that_is_as_good_is_not_surely_better(alike):
    found = outcome(BETTER, alike)
    assert not found.passed
    assert "; with 95 % confidence worse by at most 0.0" in found.reason
    assert outcome(Gate(metric="auc", versus="champion", no_worse_than=0.05, **SURE), alike).passed


def test_a_figure_that_would_pass_says_how_many_rows_would_make_it_sure(regions):
    ours, theirs = two(np.random.default_rng(1), 300, 1.7, 1.5)
    found = outcome(BETTER, evidence_of(ours, theirs, regions[:300]))
    assert not found.passed and found.evidence["gain"] > 0
    assert found.todo.startswith("The figure itself would pass: with about ")
    assert found.todo.endswith(" rows instead of 300 it would be sure")
    value = outcome(Gate(metric="auc", at_least=0.999, **SURE), evidence_of(ours, theirs, regions[:300]))
    assert "worst slices" in value.todo  # no number of rows would help


def test_the_direction_of_a_loss(better, regions):
    found = outcome(Gate(metric="log_loss", versus="champion", better_by=0, **SURE), better)
    theirs, ours = two(np.random.default_rng(0), ROWS, 2.0, 1.4)
    worse = outcome(
        Gate(metric="log_loss", versus="champion", no_worse_than=0, **SURE), evidence_of(ours, theirs, regions)
    )
    assert found.passed and not worse.passed
    assert " worse than the champion's " in worse.reason and "confidence worse by at most" in worse.reason


def test_the_same_model_again_is_no_worse_and_no_better(better):
    same = replace(
        better,
        champion=replace(better.evaluation, model_digest="sha256:champion"),
        champion_scores=better.scores,
    )
    no_worse = Gate(metric="auc", versus="champion", no_worse_than=0, **SURE)
    assert outcome(no_worse, same).passed
    assert outcome(no_worse, same).reason.endswith(
        "equal to the champion's 0.923274; no row tells them apart, of 2,000"
    )
    assert not outcome(BETTER, same).passed
    assert outcome(Gate(metric="auc", versus="champion", better_by=0), same).passed  # without confidence, as ever


def test_the_bound_counts_and_not_the_figure(better):
    level = better.evaluation.metrics["auc"]
    near = Gate(metric="auc", at_least=round(level - 0.004, 4), **SURE)
    assert not outcome(near, better).passed
    assert outcome(Gate(metric="auc", at_least=round(level - 0.004, 4)), better).passed
    assert "instead of 2,000" in outcome(near, better).todo


def test_worse_on_one_slice_is_stopped_and_named(regions):
    """Better on the whole, and much worse in the south."""
    ours, theirs = two(np.random.default_rng(5), ROWS, 2.2, 1.6)
    outputs = ours.outputs.copy()
    south = regions == "south"
    outputs[south] = 0.5 + 0.3 * (outputs[south] - 0.5)[:, ::-1]  # the wrong way round
    ours = Scores(ours.task, ours.truth, outputs, ours.classes, ours.positive)
    found = outcome(EACH_VERSUS, evidence_of(ours, theirs, regions))
    assert not found.passed
    assert found.reason.startswith("in 1 of 3 slices by region it does not hold: south 0.8456")
    assert "worse than the champion's" in found.reason
    plain = outcome(EACH_VERSUS.model_copy(update={"confidence": None}), evidence_of(ours, theirs, regions))
    assert not plain.passed and plain.reason.startswith("in 1 of 3 slices by region it does not hold: south")


def test_other_tasks(regions):
    for make, metric in ((several, "auc"), (several, "macro_f1"), (values, "rmse"), (values, "median_absolute_error")):
        ours, theirs = make(np.random.default_rng(6), ROWS, 1.0, 1.0)
        if make is values:
            ours, theirs = make(np.random.default_rng(6), ROWS, 0.8, 1.2)
        evidence = evidence_of(ours, theirs, regions)
        gate = Gate(metric=metric, versus="champion", no_worse_than=0.2, **SURE)
        assert outcome(gate, evidence).passed, metric
        assert not outcome(gate, replace(evidence, scores=None)).passed


# What is taken away.


def spoilt(evidence, **changes):
    return replace(evidence, scores=replace(evidence.scores, **changes))


def spoilt_champion(evidence, **changes):
    return replace(evidence, champion_scores=replace(evidence.champion_scores, **changes))


@pytest.mark.parametrize("gate", ALL, ids=lambda gate: gate.text)
def test_scores_that_are_missing(better, gate):
    gone = replace(better, scores=None, unread={"scores": "scores.parquet: no such file"})
    found = outcome(gate, gone)
    assert not found.passed
    assert found.reason == "what the model says of each row is not known: scores.parquet: no such file"
    assert found.todo.startswith("Find out why")


@pytest.mark.parametrize("gate", [BETTER, NO_WORSE, EACH_VERSUS], ids=lambda gate: gate.text)
def test_a_champion_that_vanished(better, gate):
    vanished = replace(better, champion=None)
    assert outcome(gate, vanished).reason == "there is no evaluation of the champion"
    no_scores = replace(better, champion_scores=None)
    assert outcome(gate, no_scores).reason == "what the champion says of each row is not known"
    none = replace(better, champion=Evaluation(False, "classification", "y", "test", ROWS, DATA), champion_scores=None)
    assert "there is no champion yet" in outcome(gate, none).reason
    unfit = replace(better, champion=replace(better.champion, unfit="column `plan` is gone", metrics={}, slices=()))
    assert "cannot be judged on this data: column `plan` is gone" in outcome(gate, unfit).reason
    for evidence in (vanished, no_scores, none, unfit):
        assert not outcome(gate, evidence).passed
    lenient = gate.model_copy(update={"without_champion": "pass"})
    assert outcome(lenient, none).passed
    assert not outcome(lenient, vanished).passed and not outcome(lenient, unfit).passed
    assert outcome(gate.model_copy(update={"unfit_champion": "pass"}), unfit).passed


@pytest.mark.parametrize("gate", [BETTER, NO_WORSE, EACH_VERSUS], ids=lambda gate: gate.text)
def test_scores_of_other_rows_are_not_paired(better, gate):
    table = better.champion_scores
    others = {
        "rows": {"row": table.row + 1},
        "truth": {"truth": 1 - table.truth},
        "weights": {"weight": np.linspace(0.5, 1.5, ROWS)},
    }
    for what, change in others.items():
        found = outcome(gate, spoilt_champion(better, **change))
        assert not found.passed
        assert found.reason == f"the champion's scores have other {what} than the model's: they cannot be paired"


@pytest.mark.parametrize("gate", ALL, ids=lambda gate: gate.text)
def test_scores_that_are_at_odds_with_the_evaluation(better, gate):
    table = better.scores
    shuffled = spoilt(better, outputs=table.outputs[::-1])
    assert not outcome(gate, shuffled).passed
    assert " by its evaluation, but " in outcome(gate, shuffled).reason
    few = spoilt(better, row=table.row[:50], truth=table.truth[:50], outputs=table.outputs[:50], by={})
    assert not outcome(gate, few).passed
    assert "there are scores of 50 rows of the model, not of 2,000" in outcome(gate, few).reason
    other = spoilt(better, classes=("a", "b"))
    assert "of other classes than its evaluation" in outcome(gate, other).reason


@pytest.mark.parametrize("gate", ALL, ids=lambda gate: gate.text)
def test_scores_that_are_no_numbers(better, gate):
    outputs = better.scores.outputs.copy()
    outputs[7] = np.nan
    assert not outcome(gate, spoilt(better, outputs=outputs)).passed


@pytest.mark.parametrize("gate", [EACH, PAIR, EACH_VERSUS], ids=lambda gate: gate.text)
def test_slices_whose_rows_are_not_known(better, gate):
    assert not outcome(gate, spoilt(better, by={})).passed
    assert "it was not kept which rows are in which slice" in outcome(gate, spoilt(better, by={})).reason
    own = replace(better.evaluation, slices=())
    assert "no slice by " in outcome(gate, replace(better, evaluation=own)).reason
    west = replace(better.evaluation.slices[0], value="west")
    more = replace(better.evaluation, slices=(*better.evaluation.slices, west))
    assert not outcome(gate, replace(better, evaluation=more)).passed or gate is PAIR


def test_a_slice_that_the_champion_was_not_measured_on(better):
    champion = replace(better.champion, slices=better.champion.slices[1:])
    found = outcome(EACH_VERSUS, replace(better, champion=champion))
    assert not found.passed
    assert found.reason == "the champion was not measured on slice region=east"


@pytest.mark.parametrize("value", [np.nan, np.inf, None])
@pytest.mark.parametrize("gate", ALL, ids=lambda gate: gate.text)
def test_metrics_that_are_not_finite(better, gate, value):
    own = better.evaluation
    slices = tuple(replace(part, metrics=dict.fromkeys(part.metrics, value)) for part in own.slices)
    broken = replace(own, metrics=dict.fromkeys(own.metrics, value), slices=slices)
    found = outcome(gate, replace(better, evaluation=broken))
    assert not found.passed
    assert f"is {value}, not a finite number" in found.reason


def test_a_sample_is_not_held_against_the_whole(better, regions):
    """Of a split too large to keep, the figure is the evaluation's, and only its error the sample's."""
    half = np.arange(0, ROWS, 2)

    def part(table):
        by = {name: column.take(half.tolist()) for name, column in table.by.items()}
        return replace(
            table, row=table.row[half], truth=table.truth[half], outputs=table.outputs[half], share=0.5, by=by
        )

    sampled = replace(better, scores=part(better.scores), champion_scores=part(better.champion_scores))
    whole, found = outcome(BETTER, better), outcome(BETTER, sampled)
    assert found.passed and found.evidence["gain"] == whole.evidence["gain"]
    assert found.evidence["bound"] < whole.evidence["bound"]


@pytest.mark.parametrize(
    "gate",
    [
        Gate(metric="auc", at_least=0.6, slice="region", **SURE),
        Gate(metric="recall", versus="champion", no_worse_than=0.1, slice="region", **SURE),
    ],
    ids=lambda gate: gate.text,
)
def test_a_slice_of_too_few_positives_is_named(gate):
    ours, theirs = two(np.random.default_rng(0), ROWS, 2.0, 1.4)
    regions = np.where(np.arange(ROWS) % 2, "eastern", "western")
    found = np.flatnonzero(ours.actual & (ours.predicted == ours.positive))[:1]
    regions[[*np.flatnonzero(~ours.actual)[:30], *found]] = "islands"  # one positive row, and it is found
    decision = outcome(gate, evidence_of(ours, theirs, regions))
    assert not decision.passed and "in slice islands, class yes has 1 row" in decision.reason
