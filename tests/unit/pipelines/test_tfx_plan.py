"""What TFX's components are told of a spec, and what of a spec they would not honour."""

import pytest

from headrace.artifacts.dataset import Dataset
from headrace.components.fingerprint.digest import fingerprint
from headrace.components.ingest.ingest import ingest
from headrace.pipelines.spec import Spec
from headrace.pipelines.tfx_plan import NotForTfx, plan_of, refuse
from headrace.trainer.tfx.plan import Bound, Column, Constructed, Plan

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
    elsewhere = plan_of(spec(evaluate={"gates": gates}, train={"threshold": "f1"}), snapshot)
    assert elsewhere.bounds == plan.bounds[1:]  # TFX decides at 0.5: its accuracy is not this model's


def test_without_a_limit_the_evaluator_demands_better_than_a_constant(snapshot):
    assert plan_of(spec(), snapshot).bounds[-1] == Bound("AUC", True, limit=0.55)


def test_constructed_features_are_resolved_and_what_they_alone_read_is_no_feature(snapshot):
    features = {"construct": {"double": "miles * 2", "far": "double > 10"}, "drop": ["miles"]}
    plan = plan_of(spec(features=features), snapshot)
    assert [(column.name, column.feature) for column in plan.columns] == [("miles", False), ("paid", True)]
    assert plan.constructed == (
        Constructed("double", ["multiply", "miles", 2.0]),
        Constructed("far", ["greater", ["multiply", "miles", 2.0], 10.0]),
    )
    assert plan.constructed[1].reads == ("miles",)
    assert (plan.features("number"), plan.features("category")) == ([2, 3], [1])
    assert Plan.from_json(plan.to_json()) == plan
    for text, told in (("length(paid)", "paid"), ("if_else(paid == 'cash', 1, 0)", "paid")):
        with pytest.raises(NotForTfx, match=f"features.construct.made: .* Received: {told}"):
            plan_of(spec(features={"construct": {"made": text}}), snapshot)


def test_a_gate_that_is_moved_is_no_reason_to_train_anew(snapshot):
    strict, mild = (
        plan_of(spec(evaluate={"gates": [{"metric": "auc", "at_least": limit}]}), snapshot) for limit in (0.9, 0.6)
    )
    assert strict != mild
    assert strict.for_trainer() == mild.for_trainer()
    slower = plan_of(spec(train={"mlp": {"learning_rate": 0.1}, "seed": 7}), snapshot)
    assert slower.for_trainer() != mild.for_trainer()
    assert slower.for_transform() == mild.for_transform()


def test_a_plan_travels_as_json(snapshot):
    plan = plan_of(spec(evaluate={"gates": [{"metric": "auc", "at_least": 0.7}]}), snapshot, ("--runner=X",))
    assert plan.beam == ("--runner=X",)
    assert Plan.from_json(plan.to_json()) == plan


def test_what_tfx_would_not_honour_is_refused_by_name():
    sections = {
        "features": {"select": {"variance": 0}, "drop": ["note"]},
        "train": {"class_weight": "balanced", "calibrate": "sigmoid"},
    }
    with pytest.raises(NotForTfx, match=r"Received: features\.select, train\.class_weight, train\.calibrate$"):
        refuse(spec(**sections))
    refuse(spec(features={"drop": ["note"]}))
