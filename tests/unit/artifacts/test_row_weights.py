"""Columns of weights: one rule for training and evaluation."""

import pyarrow as pa
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.row_weights import row_weights
from headrace.components.evaluate.weights import row_weights as of_evaluation
from headrace.trainer.rows import sample_weights


@pytest.mark.parametrize("values", [[1, 2**60 + 1], [0.5, 0.0], [True, False], [1e-300, 1e300]])
def test_numbers_are_weights_in_training_and_in_an_evaluation(values):
    column = pa.chunked_array([values])
    assert row_weights(column, "w", "k").tolist() == [float(value) for value in values]
    assert of_evaluation(pa.table({"w": column}), "w").tolist() == [float(value) for value in values]
    assert sample_weights(column, "w").mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("values", "received"),
    [
        (["1.5"], "k: expected numbers in the column w. Received: string"),
        (
            [1.0, None],
            "k: expected a number of 0 or more in every row of w. Received: None in row 2, and in 1 row in all",
        ),
        ([-1, -2], "Received: -1 in row 1, and in 2 rows in all"),
        ([float("nan")], "Received: nan in row 1"),
    ],
)
def test_what_is_no_weight(values, received):
    column = pa.chunked_array([values])
    with pytest.raises(HeadraceError, match=received):
        row_weights(column, "w", "k")
    for refuse in (lambda: of_evaluation(pa.table({"w": column}), "w"), lambda: sample_weights(column, "w")):
        with pytest.raises(HeadraceError, match=received.replace("k:", "(evaluate.weight|train.sample_weight):")):
            refuse()
