"""What a gate looks at, and the one way to read a number from it: there and finite, or there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.infra import Infra


class NoEvidence(Exception):
    """What a gate needs is missing or cannot be trusted. The message says what; the gate is not passed."""


@dataclass(frozen=True)
class Evidence:
    """All that is known of a model before it may be registered. None is what could not be read."""

    model_digest: str
    task: str
    evaluation: Evaluation | None
    champion: Evaluation | None
    infra: Infra | None

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
