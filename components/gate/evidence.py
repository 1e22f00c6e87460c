"""What a gate looks at, and the one way to read a number from it: there and finite, or there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.findings import Findings
from headrace.artifacts.infra import Infra
from headrace.artifacts.scores import ScoresTable

if TYPE_CHECKING:  # numpy, which no gate needs that asks for no confidence
    from headrace.components.evaluate.scores import Scores

_CLOSE = 1e-3  # relative: scores are kept as float32, and summed in another order


class NoEvidence(Exception):
    """What a gate needs is missing or cannot be trusted. The message says what; the gate is not passed."""


class Rows(NamedTuple):
    """The rows that a model was judged on: what it says of them, and the table they were read from."""

    scores: Scores
    table: ScoresTable


@dataclass(frozen=True)
class Evidence:
    """All that is known of a model before it may be registered. None is what could not be read.

    `unread` says why, by the field's name, of what only some gates need.
    """

    model_digest: str
    task: str
    evaluation: Evaluation | None
    champion: Evaluation | None
    infra: Infra | None
    findings: Findings | None = None
    scores: ScoresTable | None = None
    champion_scores: ScoresTable | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def champion_digest(self) -> str | None:
        """The digest of the champion that the model is judged against; None where there is none."""
        found = self.champion
        return found.model_digest if found is not None and found.present else None

    def own(self) -> Evaluation:
        """The evaluation of this very model.

        Raises:
            NoEvidence: there is none, or it is of something else.
        """
        found = self.evaluation
        if found is None:
            raise NoEvidence("there is no evaluation of the model")
        if found.present is not True:
            raise NoEvidence("the evaluation says that there was no model")
        if found.unfit:
            raise NoEvidence(f"the model cannot be judged on this data: {found.unfit}")
        if found.model_digest != self.model_digest:
            raise NoEvidence(f"the evaluation is of another model, {found.model_digest}, not of {self.model_digest}")
        if found.task != self.task:
            raise NoEvidence(f"the evaluation is of a {found.task}, not of a {self.task}")
        return found

    def comparable_champion(self) -> Evaluation | None:
        """The champion's evaluation on the same rows; None where it says that there is no champion.

        It may say that the champion is `unfit`, and then has no metrics.

        Raises:
            NoEvidence: there is none, it does not say of which champion, or its rows are others.
        """
        own, found = self.own(), self.champion
        if found is None:
            raise NoEvidence("there is no evaluation of the champion")
        if found.present is False:
            return None
        if not found.model_digest:
            raise NoEvidence("the champion's evaluation does not say which model it is of")
        for name in ("dataset_digest", "split", "rows", "task", "label"):
            ours, theirs = getattr(own, name), getattr(found, name)
            if ours != theirs:
                what = name.replace("_", " ")
                raise NoEvidence(f"the champion was evaluated on another {what}: {theirs}, not {ours}")
        return found

    def rows(self) -> Rows:
        """What the model says of each row.

        Raises:
            NoEvidence: that was not kept, or is at odds with the evaluation.
        """
        return self._own_rows

    def champion_rows(self) -> Rows:
        """What the champion says of the same rows, in the same order.

        Raises:
            NoEvidence: that was not kept, is at odds with its evaluation, or is of other rows.
        """
        return self._champion_rows

    @cached_property
    def _own_rows(self) -> Rows:
        return self._rows(self.own(), self.scores, "scores", "the model")

    @cached_property
    def _champion_rows(self) -> Rows:
        import numpy as np

        own, champion = self.rows(), self.comparable_champion()
        if champion is None:
            raise NoEvidence("there is no champion")
        found = self._rows(champion, self.champion_scores, "champion_scores", "the champion")
        pairs: dict[str, tuple[Any, Any]] = {
            "rows": (own.table.row, found.table.row),
            "truth": (own.scores.truth, found.scores.truth),
            "weights": (own.scores.weights, found.scores.weights),
        }
        for what, (ours, theirs) in pairs.items():
            if (ours is None) != (theirs is None) or (ours is not None and not np.array_equal(ours, theirs)):
                raise NoEvidence(f"the champion's scores have other {what} than the model's: they cannot be paired")
        return found

    def _rows(self, evaluation: Evaluation, table: ScoresTable | None, name: str, whose: str) -> Rows:
        if table is None:
            why = self.unread.get(name, "")
            raise NoEvidence(f"what {whose} says of each row is not known" + (f": {why}" if why else ""))
        if (table.task, table.classes) != (evaluation.task, evaluation.classes):
            raise NoEvidence(f"the scores of {whose} are of other classes than its evaluation")
        if table.share == 1 and len(table) != evaluation.rows:
            raise NoEvidence(f"there are scores of {len(table):,} rows of {whose}, not of {evaluation.rows:,}")
        return Rows(as_scores(table, evaluation), table)


def as_scores(table: ScoresTable, evaluation: Evaluation) -> Scores:
    """The rows as an evaluation measures them: with its positive class, and its threshold."""
    import numpy as np

    from headrace.components.evaluate.scores import Scores

    positive = evaluation.classes.index(evaluation.positive) if evaluation.positive is not None else None
    weights = None if table.weight is None else table.weight / table.weight.mean()
    threshold = 0.5 if evaluation.threshold is None else evaluation.threshold
    outputs = np.asarray(table.outputs, dtype=np.float64)
    return Scores(table.task, table.truth, outputs, table.classes, positive, threshold, weights)


def agree(kept: float, measured: float, sampled: bool, name: str, whose: str) -> None:
    """Checks that a figure of the kept rows is the one that was measured, unless they are a sample.

    Raises:
        NoEvidence: it is not: one of the two is of something else.
    """
    if not sampled and not math.isclose(kept, measured, rel_tol=_CLOSE, abs_tol=_CLOSE):
        raise NoEvidence(f"{name} of {whose} is {measured:.6g} by its evaluation, but {kept:.6g} by its scores")


def number(values: Mapping[str, Any], name: str, undefined: Mapping[str, str], whose: str) -> float:
    """The value of a metric.

    Raises:
        NoEvidence: it is missing, no number, NaN or infinite.
    """
    if name not in values:
        why = undefined.get(name)
        raise NoEvidence(f"{whose} has no {name}" + (f": {why}" if why else ""))
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise NoEvidence(f"{name} of {whose} is {value}, not a finite number")
    return float(value)
