"""What TFX's components are told of a spec, and what of a spec they would not honour."""

import pytest

from headrace.artifacts.dataset import Dataset
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import ingest
from headrace.pipelines.spec import Spec
from headrace.pipelines.tfx_plan import NotForTfx, plan_of, refuse
from headrace.trainer.tfx.plan import Bound, Column, Plan

BASE = {"name": "tips", "task": "classification", "data": {"source": "tips.csv", "label": "tipped"}}


def spec(**sections):
    return Spec.model_validate({**BASE, **sections})


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tips")
    rows = [f"{row % 23},{('cash', 'card', '')[row % 3]},{row % 7 < 3},r{row}" for row in range(600)]
    (folder / "tips.csv").write_text("\n".join(["miles,paid,tipped,note", *rows]) + "\n")
    source, data = str(folder / "tips.csv"), spec().data
    ingest(source, fingerprint([source], data.model_dump(mode="json")), "classification", data, folder / "snapshot")
    return Dataset.open(folder / "snapshot")


def test_columns_are_those_that_our_own_transform_takes(snapshot):
    plan = plan_of(spec(), snapshot)
    assert plan.columns == (Column("miles", "number", "number", 0.0, 22.0), Column("paid", "category", "category"))
    assert (plan.label, plan.classes, plan.positive, plan.outputs) == ("tipped", ("false", "true"), "true", 1)
    assert plan.of_kind("category") == [(1, plan.columns[1])]


def test_gates_become_what_the_evaluator_demands(snapshot):
    gates = [
        {"metric": "accuracy", "at_least": 0.8},
        {"metric": "auc", "slice": "paid", "at_least": 0.6},
        {"metric": "log_loss", "at_most": 0.5},
        {"metric": "auc", "versus": "champion", "no_worse_than": 0.01},
        {"metric": "brier", "at_most": 0.2},  # TFX has no such metric: our own gate judges it
        {"metric": "accuracy", "at_least": 0.7, "confidence": 0.95},
    ]
    plan = plan_of(spec(evaluate={"gates": gates, "slices": ["paid"]}), snapshot)
    assert plan.bounds == (
        Bound("BinaryAccuracy", True, limit=0.8),
        Bound("AUC", True, limit=0.6, slice="paid"),
        Bound("BinaryCrossentropy", False, limit=0.5),
        Bound("AUC", True, change=0.01),
    )
    assert plan.slices == ("paid",)


def test_without_a_limit_the_evaluator_demands_better_than_a_constant(snapshot):
    assert plan_of(spec(), snapshot).bounds[-1] == Bound("AUC", True, limit=0.55)


def test_a_plan_travels_as_json(snapshot):
    plan = plan_of(spec(evaluate={"gates": [{"metric": "auc", "at_least": 0.7}]}), snapshot, ("--runner=X",))
    assert plan.beam == ("--runner=X",)
    assert Plan.from_json(plan.to_json()) == plan


def test_what_tfx_would_not_honour_is_refused_by_name():
    sections = {
        "features": {"construct": {"double": "miles * 2"}, "drop": ["note"]},
        "train": {"class_weight": "balanced", "calibrate": "sigmoid"},
    }
    with pytest.raises(NotForTfx, match=r"Received: features\.construct, train\.class_weight, train\.calibrate$"):
        refuse(spec(**sections))
    refuse(spec(features={"drop": ["note"]}))
