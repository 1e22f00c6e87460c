"""What tuning tried, and what it chose.

    tuning.json    kind, metric, objective, space, chosen, trials

Trials are in the order in which they were suggested; the first has the parameters as the spec has them, so that the
chosen ones are never worse than those where both were judged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import read_json, read_manifest, write_folder, write_json

FORMAT = "headrace/tuning"
VERSION = 1
FILE = "tuning.json"


@dataclass(frozen=True)
class Trial:
    """One training with one set of parameters.

    Attributes:
        number: from 0, in the order of suggestion, in its shard.
        parameters: what was tried; of the first, what the defaults come to.
        state: `complete`; `pruned`: given up, as it did worse than others had at that point; `late`: the time was over;
            `failed`.
        value: the metric where it was judged; None where it failed. Of one that was given up: its best until then.
        rounds: of boosting, or epochs, that the model keeps; over folds their mean.
        seconds: how long it took.
        curve: [step, best value so far]: steps are epochs, of trees the sum of their learning rates.
        folds: the values of the folds, where there are any.
        defaults: it has the parameters as the spec has them.
        shard: which of the fanned out searches it belongs to.
        error: why it failed.
    """

    number: int
    parameters: dict[str, Any]
    state: Literal["complete", "pruned", "late", "failed"]
    value: float | None = None
    rounds: float | None = None
    seconds: float = 0.0
    curve: tuple[tuple[int, float], ...] = ()
    folds: tuple[float, ...] = ()
    defaults: bool = False
    shard: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Tuning:
    """A search that has ended.

    Attributes:
        kind: of model.
        metric: what is the smaller the better: `log_loss` or `rmse`.
        judged: on what: `eval`, or `folds` of train.
        chosen: the parameters of the best trial; empty where that is the one with the spec's own.
        best: its place among `trials`.
        space: parameter -> what was tried, in words.
        sampler: which chose the values.
        trials: all, in order.
        importance: parameter -> its share of what made the trials differ; empty where too few ended.
        seconds: that the search took, before it was interrupted and after.
        dataset, transform: digests of what was learned from.
    """

    kind: str
    metric: str
    judged: Literal["eval", "folds"]
    chosen: dict[str, Any]
    best: int
    space: dict[str, str]
    sampler: str
    trials: tuple[Trial, ...]
    importance: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    dataset: str = ""
    transform: str = ""

    @property
    def winner(self) -> Trial:
        """The best trial."""
        return self.trials[self.best]

    @property
    def defaults(self) -> Trial | None:
        """The trial with the parameters as the spec has them; None in a shard that left it to another."""
        return next((trial for trial in self.trials if trial.defaults), None)


def write_tuning(path: Path | str, tuning: Tuning) -> None:
    """Writes and seals a tuning."""
    details = {"kind": tuning.kind, "trials": len(tuning.trials)}
    with write_folder(Path(path), FORMAT, VERSION, details) as folder:
        write_json(folder / FILE, asdict(tuning))


def read_tuning(path: Path | str) -> Tuning:
    """Reads a tuning.

    Raises:
        ArtifactError: not a tuning, damaged, or of a newer format.
    """
    path = Path(path)
    read_manifest(path, FORMAT, VERSION)
    value = read_json(path / FILE)
    try:
        return Tuning(**{**value, "trials": tuple(_trial(item) for item in value["trials"])})
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path / FILE}: expected the fields of a tuning. Received: {error!r}") from None


def _trial(value: dict[str, Any]) -> Trial:
    curve = tuple((int(step), float(best)) for step, best in value["curve"])
    return Trial(**{**value, "curve": curve, "folds": tuple(value["folds"])})
