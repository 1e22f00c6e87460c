"""A kind of model that is quick, tells how often it was trained, and can be told to be slow, to fail or to die.

python toy_kind.py ROOT LOG    searches in a process of its own, to be killed, and prints the outcome
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headrace.artifacts.tuning import Tuning
from headrace.trainer import models
from headrace.trainer.model import Job, Rows
from headrace.trainer.tuning.checkpoint import open_checkpoint
from headrace.trainer.tuning.problem import Problem
from headrace.trainer.tuning.space import Choice, Range
from headrace.trainer.tuning.tune import Settings, search

NAME = "toy"
LOG = "TOY_LOG"
SLEEP = "TOY_SLEEP"  # seconds a round
SPACE = {"x": Range(-2.0, 2.0), "k": Range(1, 64, log=True, whole=True), "c": Choice(("good", "bad", "die", "raise"))}
SAFE = {**SPACE, "c": Choice(("good", "bad"))}


@dataclass(frozen=True)
class Toy:
    """Best at x = 1, k = 8, c = good: 0.1 there."""

    x: float = -1.0
    k: int = 2
    c: str = "bad"


@dataclass(frozen=True)
class ToyModel:
    rounds: int
    curve: dict[str, list[float]]
    metric: str = "rmse"
    parameters: dict[str, Any] = field(default_factory=dict)


def value(toy: Toy) -> float:
    return 0.1 + (toy.x - 1) ** 2 + 0.1 * (np.log2(toy.k) - 3) ** 2 + (0.5 if toy.c == "bad" else 0.0)


def fit(job: Job) -> ToyModel:
    toy: Toy = job.parameters
    if os.environ.get(LOG):
        with Path(os.environ[LOG]).open("a") as log:
            log.write(json.dumps({**asdict(toy), "pid": os.getpid(), "rows": len(job.train.labels)}) + "\n")
    if toy.c == "die":
        os.kill(os.getpid(), 9)
    if toy.c == "raise":
        raise ValueError("these parameters make no sense")
    curve = []
    for round in range(1, 21):
        curve.append(value(toy) * (1 + 1 / round))
        time.sleep(float(os.environ.get(SLEEP, "0")))
        if job.on_round:
            job.on_round(round, curve[-1])
    return ToyModel(20, {"eval": curve})


def problem(base: Toy = Toy(), seed: int = 0, **more: Any) -> Problem:
    rows = Rows(np.zeros((40, 1), np.float32), np.arange(40) % 2)
    return Problem(NAME, base, rows, rows, (), 2, seed, **more)


def searched(root: Path | None, settings: Settings, base: Toy = Toy(), seed: int = 0, told: Any = None) -> Tuning:
    with open_checkpoint(root, "toy") as checkpoint:
        return search(problem(base, seed), settings, checkpoint, told or (lambda trial: None))


if __name__ == "__main__":
    models.KINDS[NAME] = "tests.unit.trainer.toy_kind"
    os.environ[LOG] = sys.argv[2]
    with open_checkpoint(Path(sys.argv[1]), "toy") as checkpoint:
        found = search(problem(), Settings(trials=14, space=SAFE), checkpoint)
    print(json.dumps([asdict(trial) for trial in found.trials]))
