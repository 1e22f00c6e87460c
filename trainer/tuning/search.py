"""The search itself: Optuna suggests, trials are told of, and what is known is on disk at every moment.

Reproducible, whatever the number of processes and however often it was killed:

- Trials are suggested in batches, each after the whole batch before it has ended. What a trial is told of is therefore
  the same, whichever of its neighbours ends first.
- A trial's values come from a sampler that is seeded by the trial's number, over a copy of the study in memory; they
  go into the database in one transaction. A trial is there with all its values, or not at all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from headrace.artifacts.tuning import Trial
from headrace.trainer.tuning.space import Choice, Dimension, Space, grid
from headrace.trainer.tuning.trial import Curve, Result

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from headrace.trainer.tuning.checkpoint import Checkpoint

RECORD = "headrace"  # the attribute of a trial that holds its result
ENDLESS = 10_000  # trials, where minutes alone limit them
SPENT = "seconds"  # the study's: how long it was searched


@dataclass(frozen=True)
class Plan:
    """How a search goes on.

    Attributes:
        sampler: `tpe`, `random` or `grid`.
        trials: at most so many.
        batch: trials that are suggested together.
        seed: of the search.
        shard, shards: this one's number among searches of the same space beside each other.
    """

    sampler: str
    trials: int
    batch: int
    seed: int
    shard: int = 0
    shards: int = 1


class Search:
    """A study with a space and a plan, in a checkpoint."""

    def __init__(self, checkpoint: Checkpoint, space: Space, plan: Plan, defaults: dict[str, Any]) -> None:
        """Opens the study, or begins it. `defaults` are the values of the first trial, None where there is none."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._checkpoint, self._space, self._plan, self._defaults = checkpoint, space, plan, defaults
        self._storage = _storage(checkpoint)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name="tuning",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._distributions = {name: _distribution(dimension) for name, dimension in space.items()}
        points = grid(space, plan.seed)[plan.shard :: plan.shards] if plan.sampler == "grid" else None
        self._grid = points
        # The first search's first trial has the parameters as they are; so has that of one which else had none.
        idle = plan.trials == 0 or points == []
        self._own = own = 1 if plan.shard == 0 or idle else 0
        self.most = 1 if idle and plan.shard else min(plan.trials, ENDLESS if points is None else len(points) + own)
        self._trials: list[FrozenTrial] | None = None  # as last read; nobody else writes

    @property
    def spent(self) -> float:
        """Seconds that were searched before this process."""
        return float(self._study.user_attrs.get(SPENT, 0.0))

    def next(self) -> list[tuple[int, dict[str, Any]]]:
        """The trials to run now, with their values: what is left of a batch, or a new one; none where all is done."""
        trials = self._known()
        done = sum(trial.state.is_finished() for trial in trials)
        if done % self._plan.batch == 0:  # no trial of a batch runs before all of it is suggested
            for number in range(len(trials), min(done + self._plan.batch, self.most)):
                self._suggest(number)
            self._checkpoint.save()
        trials = self._known()
        return [(trial.number, self._tried(trial)) for trial in trials if not trial.state.is_finished()]

    def same_as(self, tried: Mapping[str, Any]) -> Result | None:
        """What the same values came to before, if they did: they would again."""
        for trial in self._known():
            if trial.state.is_finished() and self._tried(trial) == tried:
                result = _result(trial)
                if result.state == "complete":
                    return result
        return None

    def history(self) -> tuple[Curve, ...]:
        """The curves of complete trials of the batches before."""
        trials = self._known()
        before = len(trials) - (len(trials) - 1) % self._plan.batch - 1 if trials else 0
        results = [_result(trial) for trial in trials[:before] if trial.state.is_finished()]
        return tuple(result.curve for result in results if result.state == "complete" and result.curve)

    def tell(self, number: int, result: Result, spent: float) -> None:
        """Records what a trial came to, and how long has been searched until now."""
        from optuna.trial import TrialState

        identity = self._known()[number]._trial_id
        self._storage.set_trial_user_attr(identity, RECORD, asdict(result))
        if result.curve:
            self._storage.set_trial_intermediate_value(identity, *result.curve[-1])
        if result.state == "complete":
            self._study.tell(number, result.value)
        else:
            self._study.tell(number, state=TrialState.FAIL if result.state == "failed" else TrialState.PRUNED)
        self._study.set_user_attr(SPENT, spent)
        self._trials = None
        self._checkpoint.save()
        self._checkpoint.end_trial(number)

    def trials(self) -> list[Trial]:
        """All that have ended, in order."""
        found = []
        for trial in self._known():
            if trial.state.is_finished():
                values = {name: value for name, value in vars(_result(trial)).items() if name != "metric"}
                first = self._is_own(trial.number)
                tried = self._defaults if first else self._tried(trial)
                found.append(Trial(trial.number, tried, **values, defaults=first, shard=self._plan.shard))
        return found

    def metric(self) -> str:
        """The metric's name, as the models say it; empty where no trial was complete."""
        results = (_result(trial) for trial in self._known() if trial.state.is_finished())
        return next((result.metric for result in results if result.metric), "")

    def _known(self) -> list[FrozenTrial]:
        if self._trials is None:
            self._trials = self._study.get_trials(deepcopy=False)
        return self._trials

    def close(self) -> None:
        """Lets go of the database."""
        self._storage.remove_session()

    def _is_own(self, number: int) -> bool:
        return number < self._own

    def _tried(self, trial: FrozenTrial) -> dict[str, Any]:
        if self._is_own(trial.number):
            return {}
        return {name: _decoded(dimension, trial.params[name]) for name, dimension in self._space.items()}

    def _suggest(self, number: int) -> None:
        """Adds a trial with all its values."""
        import optuna

        if self._is_own(number):
            params = {name: _encoded(self._space[name], self._defaults.get(name)) for name in self._space}
        elif self._grid is not None:
            point = self._grid[number - self._own]
            params = {name: _encoded(self._space[name], value) for name, value in point.items()}
        else:
            beside = optuna.create_study(sampler=_sampler(self._plan, number))
            beside.add_trials(self._known())
            params = beside.ask(self._distributions).params
        self._trials = None
        running = optuna.trial.TrialState.RUNNING
        self._study.add_trial(
            optuna.trial.create_trial(state=running, params=params, distributions=self._distributions)
        )


def importance(trials: Iterable[Trial], space: Space) -> dict[str, float]:
    """Each parameter's share of what makes complete trials differ (PED-ANOVA), greatest first; empty for a handful."""
    import optuna

    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    varied = {
        name: dimension
        for name, dimension in space.items()
        if len({json.dumps(trial.parameters.get(name)) for trial in complete}) > 1
    }
    if len(complete) < 8 or not varied or len({trial.value for trial in complete}) == 1:
        return {}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {name: _distribution(dimension) for name, dimension in varied.items()}
    for trial in complete:
        params = {name: _encoded(dimension, trial.parameters.get(name)) for name, dimension in varied.items()}
        study.add_trial(optuna.trial.create_trial(value=trial.value, params=params, distributions=distributions))
    shares = optuna.importance.get_param_importances(study)
    return {name: float(share) for name, share in shares.items()}


def _storage(checkpoint: Checkpoint) -> optuna.storages.BaseStorage:
    """SQLite where there is a checkpoint to come back to, else memory.

    SQLite need not wait for the disk: what outlives the process is the checkpoint's copy.
    """
    import optuna
    from sqlalchemy import event

    if checkpoint.folder is None:
        return optuna.storages.InMemoryStorage()
    storage = optuna.storages.RDBStorage(f"sqlite:///{checkpoint.database}")
    event.listen(storage.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
    storage.engine.dispose()  # connections that were made before know nothing of it
    return storage


def _sampler(plan: Plan, number: int) -> optuna.samplers.BaseSampler:
    import optuna

    text = f"{plan.seed}/{plan.shard}/{number}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    if plan.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    # A third of a small budget is enough to look around; ten, Optuna's own, of a larger one.
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=min(10, max(4, plan.trials // 3)))


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna import distributions as d

    if isinstance(dimension, Choice):  # by place: Optuna's database takes no lists
        places = len(dimension.values)
        return d.IntDistribution(0, places - 1) if dimension.ordered else d.CategoricalDistribution(range(places))
    if dimension.whole:
        step = int(dimension.step or 1)
        return d.IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return d.FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _decoded(dimension: Dimension, value: Any) -> Any:
    return dimension.values[int(value)] if isinstance(dimension, Choice) else dimension.tidy(value)


def _encoded(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna is told it: the nearest within the space, or its first."""
    if not isinstance(dimension, Choice):
        usable = isinstance(value, int | float) and math.isfinite(value)
        return dimension.nearest(value) if usable else dimension.middle
    value = tuple(value) if isinstance(value, list) else value
    if value in dimension.values:
        return dimension.values.index(value)
    if dimension.ordered and isinstance(value, int | float):
        return min(range(len(dimension.values)), key=lambda place: abs(dimension.values[place] - value))
    return 0


def _result(trial: FrozenTrial) -> Result:
    value = trial.user_attrs[RECORD]
    return Result(**{**value, "curve": tuple(map(tuple, value["curve"])), "folds": tuple(value["folds"])})
