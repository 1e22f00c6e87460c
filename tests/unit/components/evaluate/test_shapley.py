"""Shapley values: exact where they can be known, additive everywhere."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from headrace.components.evaluate import explain as module
from headrace.components.evaluate.explain import explain, players, worth_a_look
from headrace.components.evaluate.look_spec import ExplainSpec
from headrace.components.evaluate.matrix_model import Cells, MatrixModel
from headrace.components.evaluate.scores import Scores
from headrace.components.evaluate.shapley import shapley

COLUMNS = ("a", "b", "c", "d")
ALONE = tuple((place,) for place in range(4))
WEIGHTS = np.array([2.0, -1.0, 0.5, 0.0])


def model(function) -> MatrixModel:
    def encode(table: pa.Table) -> Cells:
        return Cells(np.column_stack([np.asarray(table[name]) for name in COLUMNS]))

    return MatrixModel(COLUMNS, encode, lambda cells: function(cells.matrix))


def linear(x: np.ndarray) -> np.ndarray:
    return (x @ WEIGHTS + 3).reshape(-1, 1)


def crossed(x: np.ndarray) -> np.ndarray:
    """No sum of columns: products, a threshold; two outputs."""
    first = x[:, 0] * x[:, 1] + np.where(x[:, 2] > 0, x[:, 0], 0)
    return np.column_stack([first, np.tanh(x[:, 1] + x[:, 3])])


def cells(seed: int, count: int) -> Cells:
    return Cells(np.random.default_rng(seed).normal(size=(count, 4)))


def enumerated(function, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """By the definition: over all sets of the other columns, with all background rows."""
    size = len(row)

    def worth(chosen: tuple[int, ...]) -> np.ndarray:
        mixed = background.copy()
        mixed[:, list(chosen)] = row[list(chosen)]
        return function(mixed).mean(axis=0)

    found = []
    for player in range(size):
        others = [place for place in range(size) if place != player]
        total = 0.0
        for many in range(size):
            share = math.factorial(many) * math.factorial(size - many - 1) / math.factorial(size)
            for chosen in itertools.combinations(others, many):
                total = total + share * (worth((*chosen, player)) - worth(chosen))
        found.append(total)
    return np.array(found)


def test_a_linear_model_is_explained_exactly():
    rows, background = cells(1, 5), cells(2, 8)
    found = shapley(model(linear), rows, background, ALONE, np.random.default_rng(0))
    expected = (rows.matrix - background.matrix.mean(axis=0)) * WEIGHTS
    assert found.values[:, :, 0] == pytest.approx(expected, abs=1e-12)
    assert found.base == pytest.approx(linear(background.matrix).mean(axis=0))


@pytest.mark.parametrize("function", [linear, crossed])
@pytest.mark.parametrize("background", [2, 10])
def test_contributions_add_up_to_the_answer(function, background):
    rows = cells(3, 7)
    found = shapley(model(function), rows, cells(4, background), ALONE, np.random.default_rng(0))
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.outputs, abs=1e-12)
    assert found.outputs == pytest.approx(function(rows.matrix))


def test_sampling_comes_to_what_the_definition_says_and_knows_its_error():
    background = cells(6, 2000)
    rows = cells(5, 3)
    found = shapley(model(crossed), rows, background, ALONE, np.random.default_rng(1))
    expected = np.array([enumerated(crossed, row, background.matrix) for row in rows.matrix])
    off = np.abs(found.values - expected)
    assert off.max() < 0.08
    # The means over background rows are without error here, so that the error is of the orders alone, and smaller.
    assert (off <= 4 * found.errors + 1e-9).all()
    assert found.errors.max() < 0.1


def test_a_column_that_does_not_matter_gets_nothing_and_one_that_is_in_no_player_stays_out():
    rows, background = cells(7, 4), cells(8, 6)
    found = shapley(model(linear), rows, background, ((0,), (1,), (2,)), np.random.default_rng(0))
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.outputs, abs=1e-12)
    whole = shapley(model(linear), rows, background, ALONE, np.random.default_rng(0))
    assert np.abs(whole.values[:, 3]).max() == 0


def test_columns_that_are_one_player_share_what_is_theirs():
    rows, background = cells(9, 4), cells(10, 6)
    found = shapley(model(linear), rows, background, ((0, 1), (2, 3)), np.random.default_rng(0))
    expected = (rows.matrix - background.matrix.mean(axis=0)) * WEIGHTS
    assert found.values[:, 0, 0] == pytest.approx(expected[:, 0] + expected[:, 1], abs=1e-12)


def test_one_player_gets_the_whole_difference():
    rows, background = cells(11, 3), cells(12, 4)
    found = shapley(model(crossed), rows, background, ((0, 1, 2, 3),), np.random.default_rng(0))
    assert found.values[:, 0] == pytest.approx(found.outputs - found.base, abs=1e-12)


def test_texts_are_exchanged_with_their_cells():
    def run(given: Cells) -> np.ndarray:
        lengths = np.array([len(text) for text in given.texts[:, 0]], np.float64)
        return (given.matrix[:, 0] + 10 * lengths).reshape(-1, 1)

    texts = MatrixModel(("n", "t"), lambda table: None, run, (1,))
    rows = Cells(np.array([[1.0, 1.0]]), np.array([["abcd"]], object))
    background = Cells(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[""], ["ab"]], object))
    found = shapley(texts, rows, background, ((0,), (1,)), np.random.default_rng(0))
    assert found.values[0, :, 0] == pytest.approx([1.0, 30.0])


def test_rows_are_taken_in_parts_where_there_are_many_cells(monkeypatch):
    rows, background = cells(13, 9), cells(14, 4)
    monkeypatch.setattr("headrace.components.evaluate.shapley.MOST_CELLS", 60)
    found = shapley(model(linear), rows, background, ALONE, np.random.default_rng(0))
    assert found.values.shape == (9, 4, 1)
    assert found.base + found.values.sum(axis=1) == pytest.approx(found.outputs, abs=1e-12)


@pytest.mark.parametrize("count", [0, 3])
def test_an_odd_background_is_refused(count):
    with pytest.raises(ValueError, match=f"expected an even number of background rows. Received: {count}"):
        shapley(model(linear), cells(1, 2), cells(2, count), ALONE, np.random.default_rng(0))


def subject(count: int = 400) -> tuple[MatrixModel, Scores, pa.Table]:
    data = cells(20, count).matrix
    table = pa.table({"id": [f"r{i}" for i in range(count)], **{n: data[:, i] for i, n in enumerate(COLUMNS)}})

    def run(x: np.ndarray) -> np.ndarray:
        chance = 1 / (1 + np.exp(-(x @ WEIGHTS)))
        return np.column_stack([1 - chance, chance])

    truth = (np.random.default_rng(21).random(count) < run(data)[:, 1]).astype(np.int64)
    return model(run), Scores("classification", truth, run(data), ("0", "1"), 1), table


def test_the_explanation_ranks_what_matters_and_names_its_rows():
    found = explain(*subject(), id="id", gain=None, settings=ExplainSpec(rows=50, background=16, examples=2), seed=1)
    assert [mean.feature for mean in found.means] == ["a", "b", "c", "d"]
    assert (found.unit, found.of, found.rows, found.background) == ("probability", "1", 50, 16)
    reasons = [item.why for item in found.examples]
    assert reasons == [
        *["highest probability of 1"] * 2,
        *["lowest probability of 1"] * 2,
        *["nearest to the threshold 0.5"] * 2,
        *["most wrong"] * 2,
    ]
    for item in found.examples:
        assert item.id == f"r{item.row}" and item.of == "1"
        assert item.base + sum(part.contribution for part in item.parts) == pytest.approx(item.output, abs=1e-9)
        assert [abs(p.contribution) for p in item.parts] == sorted(
            (abs(p.contribution) for p in item.parts), reverse=True
        )
    assert found.examples[0].output > 0.9 and found.examples[2].output < 0.1


def test_it_is_the_same_again_with_the_same_seed():
    first, second = (explain(*subject(), id="id", gain=None, settings=ExplainSpec(rows=20), seed=3) for _ in range(2))
    assert first == second


def test_what_is_not_asked_for_is_not_done():
    def never(*arguments):
        raise AssertionError("the model was run")

    answer, scores, table = subject()
    refused = answer._replace(encode=never, run=never)
    assert explain(refused, scores, table, None, None, ExplainSpec(rows=0), 0) is None
    assert explain(refused, scores, table, None, dict.fromkeys(COLUMNS, 0.0), ExplainSpec(), 0) is None
    assert explain(refused, scores.take(np.arange(1)), table.slice(0, 1), None, None, ExplainSpec(), 0) is None


def test_of_very_many_columns_the_ones_that_gained_least_are_taken_as_one():
    gain = {f"f{i}": float(i) for i in range(10)}
    game = players([f"f{i}" for i in range(10)], gain, most=4)
    assert game.names == ("f7", "f8", "f9", "6 other columns")
    assert game.columns == ((7,), (8,), (9,), (1, 2, 3, 4, 5, 6))
    assert game.together == tuple(f"f{i}" for i in range(1, 7))


def test_a_costly_game_explains_fewer_rows(monkeypatch):
    monkeypatch.setattr(module, "MOST_SCORED", 16 * 4 * 30)
    found = explain(*subject(), id=None, gain=None, settings=ExplainSpec(rows=200, background=16), seed=1)
    assert found.rows == 30 and found.examples[0].id is None


def test_of_several_classes_the_predicted_one_is_explained():
    outputs = np.array([[0.1, 0.2, 0.7], [0.4, 0.35, 0.25], [0.0, 1.0, 0.0]])
    scores = Scores("classification", np.array([0, 0, 1]), outputs, ("x", "y", "z"))
    assert worth_a_look(scores, 1) == [("surest", 2), ("least sure", 1), ("most wrong", 0)]
