"""The `train.tune` section: what it takes, what it refuses, and where it says so."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from headrace.components.train.spec import TrainSpec
from headrace.components.tune.spec import own_space, settled
from headrace.pipelines.spec import SpecError, load_spec
from headrace.trainer.tuning.space import Choice, Range

MINIMAL = "name: churn\ntask: classification\ndata:\n  source: t.csv\n  label: y\n"


def spec(**tune) -> TrainSpec:
    return TrainSpec.model_validate({"tune": tune})


def test_the_budget():
    assert spec().tune.budget == 20 and spec(trials=5).tune.budget == 5
    assert spec(minutes=3).tune.budget is None and spec(minutes=3, trials=7).tune.budget == 7


def test_ranges_and_lists_become_the_search_space():
    given = spec(
        space={
            "num_leaves": [7, 15.0],
            "min_child_samples": {"low": 2, "high": 50, "log": True},
            "feature_fraction": {"low": 0.5, "high": 1},
        }
    )
    assert own_space(given.tune, given.section) == {
        "num_leaves": Choice((7, 15)),
        "min_child_samples": Range(2, 50, log=True, whole=True),
        "feature_fraction": Range(0.5, 1),
    }
    again = TrainSpec.model_validate(given.model_dump(mode="json", by_alias=True, exclude_none=True))
    assert own_space(again.tune, again.section) == own_space(given.tune, given.section), "as the pipeline carries it"


def test_numbers_come_back_whole_from_a_backend_that_has_only_floats():
    module = {"module": "m.py", "tune": {"space": {"depth": {"low": 1, "high": 9}, "width": [8, 16], "rate": {"low": 0.0, "high": 1.0}}}}  # fmt: skip
    plain = TrainSpec.model_validate(module).model_dump(mode="json", exclude_none=True)
    plain["tune"]["space"]["depth"] |= {"low": 1.0, "high": 9.0}
    plain["tune"]["space"]["width"]["values"] = [8.0, 16.0]
    back = TrainSpec.model_validate(plain)
    assert own_space(back.tune, back.section) == {"depth": Range(1, 9, whole=True), "width": Choice((8, 16)), "rate": Range(0, 1)}  # fmt: skip
    assert all(isinstance(value, int) for value in own_space(back.tune, None)["width"].values)


def test_what_the_spec_sets_is_settled():
    given = TrainSpec.model_validate({"gbdt": {"learning_rate": 0.1, "lambda_l2": 1.0}})
    assert settled(given.section) == ("learning_rate",)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("{space: {num_leves: [7]}}", 7, "train.tune.space.num_leves: expected a parameter of the model: learning_rate, num_leaves"),
        ("{space: {learning_rate: [0.1, 2]}}", 7, "train.tune.space.learning_rate: expected values that the parameter takes: Input should be less than or equal to 1. Received: 2"),
        ("{space: {learning_rate: {low: 0, high: 0.5}}}", 7, "train.tune.space.learning_rate: expected values that the parameter takes: Input should be greater than 0. Received: 0.0"),
        ("{space: {learning_rate: {low: 0.5, high: 0.1}}}", 7, "train.tune.space.learning_rate: expected a finite low that is not above high. Received: 0.5 to 0.1"),
        ("{space: {learning_rate: {low: 0.5}}}", 7, "train.tune.space.learning_rate: expected low and high, or values. Received: low"),
        ("{space: {num_leaves: []}}", 7, "train.tune.space.num_leaves: expected low and high, or values. Received: none of them"),
        ("{sampler: grid, space: {lambda_l2: {low: 0, high: 1}}}", 7, "train.tune.space.lambda_l2: expected a list of values, or a step, for a grid. Received: a range without"),
        ("{sampler: grid}", 7, "train.tune.space: expected the parameters of a grid with what is to be tried. Received: none"),
        ("{trails: 3}", 7, "unknown field `trails`; did you mean `trials`?"),
        ("{trials: 0}", 7, "train.tune.trials: expected greater than or equal to 1"),
    ],
)  # fmt: skip
def test_mistakes_are_named_where_they_stand(tmp_path, text, line, message):
    file = tmp_path / "spec.yaml"
    file.write_text(MINIMAL + f"train:\n  tune: {text}\n")
    with pytest.raises(SpecError) as caught:
        load_spec(file)
    assert str(caught.value).startswith(f"{file}:{line}: {message}")


def test_a_module_of_ones_own_says_what_to_try():
    with pytest.raises(ValidationError, match="expected the parameters of your module with what is to be tried"):
        TrainSpec.model_validate({"module": "m.py", "tune": {}})
