"""Shapley values of a sample of rows, and of single rows that are worth a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from headrace.artifacts.attributions import Attributions, Explained, Mean, Part
from headrace.components.evaluate.error_analysis import as_text, truth_of
from headrace.components.evaluate.look_spec import ExplainSpec
from headrace.components.evaluate.losses import losses
from headrace.components.evaluate.matrix_model import MatrixModel
from headrace.components.evaluate.scores import Array, Floats, Scores
from headrace.components.evaluate.shapley import Contributions, Player, shapley

MOST_PLAYERS = 40  # columns that are told apart; the rest, which mattered least in training, is taken as one
MOST_SCORED = (
    300_000  # mixed rows that the means are of, at most: fewer rows are explained where there are many columns
)
MOST_WITH_TEXTS = 20_000  # a text is taken apart again for each
LEAST_ROWS = 10
SHARPER = 4  # times as many background rows for single rows as for the means, in which the noise cancels


class Players(NamedTuple):
    """What answers are shared among: names, the columns of each, and which columns the last of them stands for."""

    names: tuple[str, ...]
    columns: tuple[Player, ...]
    together: tuple[str, ...] = ()


def players(columns: Sequence[str], gain: Mapping[str, float] | None, most: int = MOST_PLAYERS) -> Players:
    """The columns that the model reads, one player each; one that gained nothing in training is in no tree.

    >>> players(["a", "b", "c"], {"a": 0.1, "b": 0.0, "c": 0.9})
    Players(names=('a', 'c'), columns=((0,), (2,)), together=())
    """
    used = [place for place, name in enumerate(columns) if gain is None or gain.get(name, 0.0) > 0]
    if len(used) <= most:
        return Players(tuple(columns[place] for place in used), tuple((place,) for place in used))
    ranked = sorted(used, key=lambda place: -(gain or {}).get(columns[place], 0.0))
    alone, rest = sorted(ranked[: most - 1]), sorted(ranked[most - 1 :])
    names = (*(columns[place] for place in alone), f"{len(rest)} other columns")
    return Players(names, (*((place,) for place in alone), tuple(rest)), tuple(columns[place] for place in rest))


def explain(
    model: MatrixModel,
    scores: Scores,
    table: pa.Table,
    id: str | None,
    gain: Mapping[str, float] | None,
    settings: ExplainSpec,
    seed: int,
    places: Array | None = None,
) -> Attributions | None:
    """Explains a sample of the rows, and the ones that are surest, least sure and most wrong.

    Args:
        model: as a function of cells.
        scores: N rows.
        table: the same rows' columns.
        id: the column that names a row.
        gain: what each column gained in training; None where that is not known.
        settings: how many rows.
        seed: of the samples and the orders.
        places: (N,) the rows' places in the split; 0 to N - 1 by default.

    Returns:
        None where it is not asked for, or where there is nothing to explain.
    """
    game = players(model.columns, gain)
    background = _even(min(settings.background, len(scores)))
    if settings.rows == 0 or scores.flaw() or not game.names or background < 2:
        return None
    rng = np.random.default_rng(seed)
    most = (MOST_WITH_TEXTS if model.texts else MOST_SCORED) // (background * len(game.names))
    count = min(settings.rows, len(scores), max(LEAST_ROWS, most))
    order = rng.permutation(len(scores))
    found = _contributions(model, table, order[:count], order[::-1][:background], game, rng)
    sizes = _sizes(scores, np.abs(found.values).mean(axis=0))
    means = sorted(
        (Mean(name, float(size)) for name, size in zip(game.names, sizes, strict=True)), key=lambda m: -m.size
    )
    chosen = worth_a_look(scores, settings.examples)
    sharper = _even(min(background * SHARPER, len(scores)))
    rows = np.array([row for _, row in chosen], np.int64)
    single = _contributions(model, table, rows, order[::-1][:sharper], game, rng)
    of = None if scores.positive is None else scores.classes[scores.positive]
    unit = "value" if scores.task == "regression" else "probability"
    examples = tuple(
        explained(why, single, index, _output(scores, row), game, table.slice(int(row), 1), id, scores.classes,
                  int(row if places is None else places[row]), truth_of(scores, int(row)))
        for index, (why, row) in enumerate(chosen)
    )  # fmt: skip
    return Attributions(unit, of, count, background, game.together, tuple(means), examples)


def explained(
    why: str,
    found: Contributions,
    index: int,
    output: int,
    game: Players,
    row: pa.Table,
    id: str | None,
    classes: Sequence[str],
    place: int,
    truth: str | None,
) -> Explained:
    """One row of contributions for people: `output` is the place of the class that is explained."""
    values, errors = found.values[index, :, output], found.errors[index, :, output]
    cells = row.to_pylist()[0]
    parts = [
        Part(name, "" if len(columns) > 1 else as_text(cells[name]), float(value), float(error))
        for name, columns, value, error in zip(game.names, game.columns, values, errors, strict=True)
    ]
    return Explained(
        why=why,
        row=place,
        id=None if id is None else as_text(cells[id]),
        of=classes[output] if classes else None,
        truth=truth,
        base=float(found.base[output]),
        output=float(found.outputs[index, output]),
        parts=tuple(sorted(parts, key=lambda part: -abs(part.contribution))),
    )


def _contributions(
    model: MatrixModel, table: pa.Table, rows: Array, background: Array, game: Players, rng: np.random.Generator
) -> Contributions:
    own, others = (model.encode(table.take(pa.array(places))) for places in (rows, background))
    return shapley(model, own, others, game.columns, rng)


def _sizes(scores: Scores, means: Floats) -> Floats:
    """(P,) from (P, C): of the positive class, of the value, or of all classes together."""
    return np.asarray(means.sum(axis=1) if scores.kind == "multiclass" else means[:, scores.positive or 0])


def _output(scores: Scores, row: int) -> int:
    """The output that is explained: the positive class's, the predicted one's, or the value."""
    if scores.kind == "multiclass":
        return int(scores.predicted[row])
    return scores.positive or 0


def worth_a_look(scores: Scores, each: int) -> list[tuple[str, int]]:
    """Rows with why they are worth a look, `each` for every reason; a row is named once."""
    if scores.kind == "binary":
        name = scores.classes[scores.positive or 0]
        score = scores.score
        reasons = {
            f"highest probability of {name}": -score,
            f"lowest probability of {name}": score,
            f"nearest to the threshold {scores.threshold:g}": np.abs(score - scores.threshold),
        }
    elif scores.kind == "multiclass":
        top = scores.outputs.max(axis=1)
        reasons = {"surest": -top, "least sure": top}
    else:
        reasons = {"highest value": -scores.predicted, "lowest value": scores.predicted}
    reasons["most wrong"] = -losses(scores)
    found: dict[int, str] = {}
    for why, rank in reasons.items():
        for row in [int(row) for row in np.argsort(rank, kind="stable")[: each + len(found)] if int(row) not in found][
            :each
        ]:
            found[row] = why
    return [(why, row) for row, why in found.items()]


def _even(count: int) -> int:
    return count - count % 2
