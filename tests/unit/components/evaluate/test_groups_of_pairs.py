"""Rows divided by two columns at once."""

from __future__ import annotations

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components.evaluate.groups import coded, groups
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.slices import slices
from headrace.components.evaluate.spec import EvaluateSpec

TABLE = pa.table(
    {
        "plan": ["a", "a", "b", "b", None, "a"],
        "region": ["n", "s", "n", "n", "n", "n"],
        "age": [1, 2, 3, 4, 5, 6],
    }
)


def test_each_combination_that_has_rows_is_a_group():
    found = {group.value: group.rows.tolist() for group in groups(TABLE, ("plan", "region"))}
    assert found == {"a × n": [0, 5], "b × n": [2, 3], "a × s": [1], "(missing) × n": [4]}


def test_three_columns_and_numbers_in_quartiles():
    many = pa.table({"x": list(range(40)), "y": ["u", "v"] * 20, "z": ["p"] * 40})
    found = groups(many, ("x", "y", "z"))
    assert len(found) == 8 and sum(len(group.rows) for group in found) == 40
    assert found[0].value.startswith("[") and found[0].value.endswith("× p")


def test_codes_are_the_groups():
    labels, codes = coded(TABLE, ("plan", "region"))
    assert [labels[code] for code in codes] == ["a × n", "a × s", "b × n", "b × n", "(missing) × n", "a × n"]


def test_a_column_that_is_not_there_is_named():
    with pytest.raises(HeadraceError, match=r"expected a column `regon` to divide rows by.*did you mean `region`"):
        groups(TABLE, ("plan", "regon"))


def test_slices_of_a_pair_are_those_of_the_rows_themselves(binary, subjects):
    import numpy as np

    from headrace.components.evaluate.measure import measure
    from headrace.components.evaluate.scores import score

    table = binary.table("test")
    scores = score(binary.info, subjects["binary"].signature, table["y"], subjects["binary"].predict(table))
    found, unjudged = slices(scores, table, [("plan", "gender")])
    assert {part.by for part in found} == {"plan × gender"} and len(found) == 4
    for part in found:
        plan, gender = part.value.split(" × ")
        rows = np.flatnonzero((np.asarray(table["plan"]) == plan) & (np.asarray(table["gender"]) == gender))
        assert part.rows == len(rows)
        assert part.metrics == measure(scores.take(rows))[0]
        low, high = part.intervals["auc"]
        assert low < part.metrics["auc"] < high and high - low > 0.02
    assert unjudged[0].by == "plan × gender" and unjudged[0].small == 2
    assert isinstance(scores, Scores)


def test_the_spec_takes_columns_and_pairs():
    spec = EvaluateSpec(slices=["plan", ["plan", "region"]], gates=[{"metric": "auc", "at_least": 0.5, "slice": "age"}])
    assert spec.slice_columns == ["plan", ("plan", "region"), "age"]
    assert EvaluateSpec(**spec.model_dump(mode="json", exclude_none=True)) == spec
