"""The card of a run: complete with nothing typed, about one model alone, and honest about what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from headrace.artifacts.card import read_card
from headrace.artifacts.decision import Decision, Verdict
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.fairness_found import Fairness, Group
from headrace.artifacts.findings import Findings
from headrace.artifacts.image_evaluation import (
    ClassQuality,
    ImageEvaluation,
    OperatingPoint,
    Operation,
    Robustness,
    Share,
)
from headrace.artifacts.signature import Input
from headrace.artifacts.value_found import Amount, Value
from headrace.artifacts.worst_slices import WorstSlice, WorstSlices
from tests.unit.components.card.run import CHAMPION, changed, finished_run

SPEC = {
    "name": "churn",
    "card": {
        "purpose": "Finds subscribers about to leave.",
        "owners": ["Growth <growth@example.com>"],
        "out_of_scope": ["Prices"],
        "considerations": ["Being watched.", {"risk": "Age.", "mitigation": "Compared monthly."}],
        "sensitive": ["gender"],
        "license": "proprietary",
    },
}


def test_a_card_is_complete_though_nobody_typed_anything(tmp_path: Path) -> None:
    card = finished_run(tmp_path).card()
    assert read_card(tmp_path / "card") == card
    text = card.to_markdown()
    for title in ("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
                  "Quantitative analyses", "Caveats and recommendations", "Gates", "Environment", "Lineage"):  # fmt: skip
        assert f"\n## {title}\n" in text
    assert card.purpose == "Predicts churned, one of 0, 1, from a row of 1 column."
    unsaid = "The owner has not said: purpose, owners, out_of_scope, considerations."
    assert any(limit.startswith(unsaid) for limit in card.limits)
    assert "`" not in card.to_html() and "`" not in text
    assert card.details["Learner"] == "trees" and card.details["Latency"].startswith("median 0.2500 ms, p99 0.5000 ms")
    assert card.lineage["Code"] == "abc123" and card.lineage["Model"] == card.model_digest
    assert card.data["Labels in train"] == "0: 80.0%, 1: 20.0%"
    assert (tmp_path / "card.html").read_text() == card.to_html()


def test_what_the_owner_says_is_in_it(tmp_path: Path) -> None:
    card = finished_run(tmp_path).card(SPEC)
    assert card.purpose == "Finds subscribers about to leave."
    assert [(risk.risk, risk.mitigation) for risk in card.considerations] == [
        ("Being watched.", ""),
        ("Age.", "Compared monthly."),
    ]
    assert card.data["Sensitive"] == ["gender"]
    assert not any("The owner has not said" in limit for limit in card.limits)
    assert card.lineage["Spec"].startswith("sha256:")


def test_metrics_come_with_intervals_and_the_most_important_first(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    run.champion = replace(run.evaluation, model_digest=CHAMPION, metrics={"auc": 0.79})
    first, second = run.card().whole()
    assert (first.metric, first.value, first.low, first.high) == ("auc", 0.8, 0.78, 0.82)
    assert (first.constant, first.champion) == (0.5, 0.79)
    assert (second.metric, second.low, second.champion) == ("accuracy", None, None)


def test_a_champion_on_other_rows_is_not_put_beside(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    run.champion = replace(run.evaluation, model_digest=CHAMPION, rows=399)
    assert all(item.champion is None for item in run.card().whole())


def test_limits_name_slices_that_are_worse_than_chance_explains(tmp_path: Path) -> None:
    card = finished_run(tmp_path).card()
    assert [item.slice for item in card.performance if item.slice] == ["plan = premium"] * 2 + ["plan = basic"] * 2
    worse = [limit for limit in card.limits if "more than chance" in limit]
    assert worse == [
        "On plan = premium (100 rows) its ROC AUC is 0.6100, 0.19 worse than on all rows, which is more than chance "
        "explains."
    ]
    assert "plan: 2 values (gift, trial) with fewer than 20 rows, 7 in all, were not judged." in card.limits
    assert "Not measured: MCC: one class only." in card.limits
    assert "Prone to drift: hours has drifted from the champion's data." in card.limits
    assert card.importance == {"hours": 0.2}


def test_a_slice_whose_interval_holds_the_whole_is_not_a_limit(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    first, second = run.evaluation.slices
    card = changed(run, slices=(first, replace(second, intervals={"auc": (0.4, 0.81)}))).card()
    assert not [limit for limit in card.limits if "more than chance" in limit]


def test_the_worst_parts_that_were_found_come_first(tmp_path: Path) -> None:
    part = WorstSlice("plan × region", "basic × north", 50, 0.9, 0.3, 0.1, 0.001, 0.2, 0.5, True)
    worst = WorstSlices("log_loss", 400, 99, 20, ("plan", "region"), (), {}, (part,))
    card = changed(finished_run(tmp_path), worst=worst).card()
    assert card.limits[0] == (
        "Worst part: plan × region = basic × north (50 rows), mean log loss 0.9000 against 0.3000 on all other rows: "
        "it says 0.2000 where 0.5000 is true."
    )
    told = {table.title: table.about for table in card.analyses}["Worst parts found"]
    assert "over 2 columns and pairs of 0 of them;" in told
    paired = changed(finished_run(tmp_path / "all"), worst=replace(worst, paired=worst.columns)).card()
    assert (
        "over 2 columns and all pairs of them;"
        in {one.title: one.about for one in paired.analyses}["Worst parts found"]
    )


def test_fairness_and_value_are_in_it(tmp_path: Path) -> None:
    group = Group("f", 200, 0.2, 0.5, 0.1)
    fair = Fairness("gender", (group, replace(group, value="m")), {"demographic_parity_difference": 0.01},
                    small_groups=("x",))  # fmt: skip
    amount = Amount(1200.0, 3.0, 900.0, 1500.0, 0.2)
    value = Value({"true_positive": "40"}, "USD", 400, 0.5, {"model": amount}, {"all": amount})
    card = changed(finished_run(tmp_path), fairness=(fair,), value=value).card()
    text = card.to_markdown()
    assert "| f | 200 | 20.0 % | 50.0 % | 10.0 % |" in text
    assert "| Demographic parity difference | 0.0100 |  | 0 |" in text
    assert "| As it is served | 1,200 | 900 – 1,500 | 3 |" in text and "In USD, over 400 rows" in text
    assert "| The model, more than acting on every row | 1,200 |" in text
    assert "gender: too small to be compared for fairness (fewer than 20 rows): x." in card.limits
    assert "Groups compared: gender" in card.factors


def test_a_model_that_was_refused_has_a_card_that_says_why(tmp_path: Path) -> None:
    run = finished_run(tmp_path)
    run.verdict = Verdict(run.digest, (Decision("auc at least 0.9", False, "auc is 0.8"), *run.verdict.decisions))
    card = run.card()
    assert card.passed is False
    assert card.limits[0] == "It did not pass a gate: auc at least 0.9: auc is 0.8."
    assert "gates not passed" in card.to_html()


def test_dates_are_prone_to_drift_and_time_was_not_measured(tmp_path: Path) -> None:
    run = finished_run(tmp_path, inputs=(Input("last_seen", "date", 0.0, 0.0, 20_600.0), Input("hours", "number")))
    limits = run.card().limits
    assert "Prone to drift: dates leave what is known as time goes by: last_seen (known until 2026-05-27)." in limits
    assert "Rows were split by hash, not by time: how it ages was not measured." in limits


def test_a_bundle_without_a_card_is_described_by_its_signature(tmp_path: Path) -> None:
    card = finished_run(tmp_path, told=False).card()
    assert card.features == (("hours", "number", "0.5000 to 120"),)
    assert "Learner" not in card.details and card.details["Positive class"] == "1"


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("evaluation", "model card: evaluation: expected one of the model"),
        ("verdict", "model card: decision: expected one of the model"),
        ("data", "model card: evaluation: expected one on the snapshot"),
        ("findings", "model card: findings: expected those about the snapshot"),
    ],
)
def test_evidence_of_something_else_makes_no_card(tmp_path: Path, what: str, message: str) -> None:
    run = finished_run(tmp_path)
    match what:
        case "evaluation":
            run = changed(run, model_digest=CHAMPION)
        case "verdict":
            run.verdict = replace(run.verdict, model_digest=CHAMPION)
        case "data":
            run = changed(run, dataset_digest="sha256:other")
        case "findings":
            run.findings = Findings("sha256:other", [])
    with pytest.raises(HeadraceError, match=message):
        run.card()
    assert not (tmp_path / "card").exists() and not (tmp_path / "card.html").exists()


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        finished_run(tmp_path / name).card(SPEC)
    digests = [json.loads((tmp_path / name / "card" / "manifest.json").read_text())["digest"] for name in ("a", "b")]
    assert digests[0] == digests[1]


def test_the_card_of_a_model_of_images(tmp_path: Path) -> None:
    run = finished_run(tmp_path, inputs=(Input("image", "image", height=32, width=32),))
    found = Share(90, 100, 0.82, 0.95)
    reached = Operation("test", found, None, found, found)
    point = OperatingPoint("1", 0.95, 0.25, reached, reached, reached)
    classes = (ClassQuality("0", 300, found, found), ClassQuality("1", 100, None, found))
    dark, unchanged = Share(50, 100, 0.4, 0.6), Robustness("none", 0.0, found, Share(0, 100, 0.0, 0.04))
    changes = (unchanged, Robustness("blur", 1.5, found, found), Robustness("brightness", 0.6, dark, dark))
    run.images = ImageEvaluation("expert", classes, point, None, (), changes)
    card = run.card()
    text = card.to_markdown()
    assert "| 0 | 300 | 90.0 % (90 of 100; 82.0 % – 95.0 %) |" in text and "| 1 | 100 | – |" in text
    assert "Measured against the column expert." in text
    assert "### Finding 1" in text and "| threshold 0.2500 |" in text
    assert "| blur 1.5 | 90.0 %" in text
    assert card.purpose == "Predicts churned, one of 0, 1, from an image."
    assert not any("not by time" in limit for limit in card.limits)
    told = [limit for limit in card.limits if limit.startswith("Images changed by")]
    assert told == ["Images changed by brightness 0.6: accuracy 50.0 %, against 90.0 % unchanged."]
    assert read_card(tmp_path / "card") == card
