"""What the tuning step does around the search: settings in; what was tried, the parameters and a report out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from headrace.artifacts import report as r
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.tuning import Trial, Tuning, read_tuning, write_tuning
from headrace.components.train.spec import TrainSpec
from headrace.components.tune.page import tuning_page
from headrace.components.tune.spec import own_space, settled
from headrace.trainer.tuning.tune import Settings, best_of, tune


def tune_model(
    dataset: Path, transform: Path, train: TrainSpec, output: Path, report: Path, shard: int = 0
) -> tuple[Tuning, dict[str, float]]:
    """Searches, and writes what was tried to `output` and to the HTML file `report`.

    Returns:
        the outcome, and what is worth logging.

    Raises:
        HeadraceError: the section has no `tune`, or nothing can be trained.
    """
    if train.tune is None:
        raise HeadraceError("train.tune: expected a section that says what to try. Received: none")
    section = train.section
    settings = Settings(
        trials=train.tune.budget,
        minutes=train.tune.minutes,
        folds=train.tune.folds,
        parallel=train.tune.parallel,
        prune=train.tune.prune,
        sampler=train.tune.sampler,
        space=own_space(train.tune, section),
        settled=settled(section),
        shard=shard,
        shards=train.tune.shards,
    )

    def keep(tuning: Tuning) -> None:
        write(tuning, output, report)

    tuning = tune(dataset, transform, train.training(), settings, told=show, keep=keep)
    return tuning, summary(tuning)


def choose(tunings: Sequence[Path], output: Path, report: Path) -> tuple[Tuning, dict[str, float]]:
    """The best of several searches, written like one.

    Raises:
        HeadraceError: they did not search the same.
    """
    found = sorted((read_tuning(path) for path in tunings), key=lambda tuning: tuning.trials[0].shard)
    if not found:
        raise HeadraceError("expected at least one search to choose from. Received: none")
    asked = {(one.kind, one.metric, one.judged, one.dataset, one.transform) for one in found}
    if len(asked) > 1:
        raise HeadraceError(
            f"expected searches of one model on one data version. Received: {len(asked)} different ones"
        )
    tuning = merged(found)
    write(tuning, output, report)
    print(f"of {len(found)} searches, that of shard {tuning.winner.shard} found the best")
    return tuning, summary(tuning)


def merged(found: Sequence[Tuning]) -> Tuning:
    """Several searches as one, trial by trial in the order of their numbers."""
    trials = tuple(sorted((t for one in found for t in one.trials), key=lambda trial: (trial.number, trial.shard)))
    best = best_of(trials)
    assert best is not None  # each search has one
    return replace(
        found[0],
        trials=trials,
        best=best,
        chosen={} if trials[best].defaults else trials[best].parameters,
        importance=_mean_importance(found),
        seconds=max(one.seconds for one in found),
    )


def write(tuning: Tuning, output: Path, report: Path) -> None:
    """Writes the artifact and the report."""
    write_tuning(output, tuning)
    r.write(report, tuning_page(tuning))


def show(trial: Trial) -> None:
    """A line in the log for a trial that has ended."""
    value = "" if trial.value is None else f" {trial.value:.6g}"
    why = f": {trial.error}" if trial.error else ""
    tried = "the parameters as they stand" if trial.defaults else json.dumps(trial.parameters)
    print(f"trial {trial.number} {trial.state}{value} in {trial.seconds:.1f} s{why} {tried}", flush=True)


def summary(tuning: Tuning) -> dict[str, float]:
    """What is worth logging of a search: how far it came, and from where."""
    best, defaults = tuning.winner, tuning.defaults
    name = f"{'cv' if tuning.judged == 'folds' else 'eval'}_{tuning.metric}"
    counts = {state: float(sum(t.state == state for t in tuning.trials)) for state in ("complete", "pruned")}
    logged = {"trials": float(len(tuning.trials)), **counts, "seconds": round(tuning.seconds, 1)}
    values = {f"best_{name}": best.value} | ({f"default_{name}": defaults.value} if defaults else {})
    return logged | {key: value for key, value in values.items() if value is not None}


def _mean_importance(found: Sequence[Tuning]) -> dict[str, float]:
    known = [one.importance for one in found if one.importance]
    names = {name for shares in known for name in shares}
    means = {name: sum(shares.get(name, 0.0) for shares in known) / len(known) for name in names}
    return dict(sorted(means.items(), key=lambda item: (-item[1], item[0])))
