"""Search spaces: their edges, and their defaults."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.trainer.model import Rows
from headrace.trainer.parameters import PARAMETERS
from headrace.trainer.tuning.problem import part, value_of, with_values
from headrace.trainer.tuning.space import SPACES, Choice, Range, grid, space_for


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 2, "high": 1}, "expected a finite low that is not above high. Received: 2 to 1"),
        ({"low": 0, "high": float("inf")}, "expected a finite low"),
        ({"low": 0, "high": 1, "log": True}, "expected a low above 0 for a range with log. Received: 0"),
        ({"low": 1, "high": 2, "log": True, "step": 1}, "expected log or a step, not both"),
        ({"low": 1.5, "high": 2, "whole": True}, "expected whole numbers. Received: 1.5 to 2"),
    ],
)
def test_ranges_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        Range(**arguments)


def test_values_are_what_a_person_would_write():
    assert Range(0.01, 0.3).tidy(0.123456789) == 0.1235
    assert Range(0.12344, 0.3).tidy(0.12344) == 0.12344, "never outside"
    assert Range(4, 64, whole=True).tidy(7.0) == 7 and isinstance(Range(4, 64, whole=True).tidy(7.0), int)
    assert Range(0, 1, step=0.25).points() == [0, 0.25, 0.5, 0.75, 1] and Range(0, 1).points() is None
    assert Range(0, 1, step=0.25).nearest(0.4) == 0.5 and Range(1, 9).nearest(12) == 9
    assert Range(1, 100, log=True).middle == 10
    with pytest.raises(ValueError, match="expected at least one value"):
        Choice(())


@pytest.mark.parametrize("kind", sorted(SPACES))
@pytest.mark.parametrize("rows", [60, 5_000, 1_000_000])
def test_defaults_lie_in_their_space(kind, rows):
    base = PARAMETERS[kind]()
    decided = base.for_rows(rows) if hasattr(base, "for_rows") else base
    for name, dimension in space_for(kind, rows, {}).items():
        value = value_of(decided, name)
        if isinstance(dimension, Choice):
            assert value in dimension.values
        else:
            assert value is None or dimension.low <= value <= dimension.high, name


def test_what_the_spec_sets_stays_unless_it_is_named():
    own = {"num_leaves": Choice((7, 15))}
    space = space_for("gbdt", 1_000, own, ("learning_rate", "num_leaves"))
    assert "learning_rate" not in space and space["num_leaves"] == Choice((7, 15)) and "lambda_l2" in space
    assert space_for("gbdt", 1_000, own, alone=True) == own
    with pytest.raises(HeadraceError, match="expected a parameter of `module` to be tried. Received: none"):
        space_for("module", 1_000, {})


def test_a_grid_takes_no_endless_range():
    with pytest.raises(HeadraceError, match=r"train.tune.space.x: expected a list of values, or a step, for a grid"):
        grid({"x": Range(0, 1)}, 0)
    space = {"x": Choice((1, 2)), "y": Choice(("a", "b", "c"))}
    assert grid(space, 0) == grid(space, 0) != grid(space, 1)


def test_parameters_of_a_kind_and_of_ones_own_module():
    assert with_values(PARAMETERS["gbdt"](), {"num_leaves": 9}).num_leaves == 9
    assert with_values(PARAMETERS["mlp"](), {"hidden_units": [8, 4]}).hidden_units == (8, 4)
    module = with_values(PARAMETERS["module"](parameters={"a": 1, "b": 2}), {"b": 3})
    assert module.parameters == {"a": 1, "b": 3} and value_of(module, "b") == 3


def test_a_part_of_rows_keeps_their_weights_with_a_mean_of_one():
    rows = Rows(np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0, 1, 0]), np.array([1.0, 2.0, 3.0]))
    some = part(rows, np.array([2, 0]))
    assert some.features.tolist() == [[4, 5], [0, 1]] and some.labels.tolist() == [0, 0]
    assert some.weights.tolist() == [1.5, 0.5], "a penalty per row would otherwise weigh more or less than in training"
    assert part(Rows(rows.features, rows.labels), np.array([2, 0])).weights is None
