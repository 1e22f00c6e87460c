"""The tables of the quality benchmark: each as one CSV with a column that says the split, the same for everyone."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
TAXI = (
    ROOT / ".venv-tfx" / "lib" / "python3.11" / "site-packages" / "tfx" / "examples"
    / "chicago_taxi_pipeline" / "data" / "simple" / "data.csv"
)  # fmt: skip
SPLIT = "split_"
SHARES = {"train": 0.7, "eval": 0.15, "test": 0.15}


@dataclass(frozen=True)
class Table:
    """A task: rows, and what is known of them without looking."""

    name: str
    task: str  # classification or regression
    label: str
    rows: Callable[[], pd.DataFrame]
    metric: str  # the one that is compared
    drop: tuple[str, ...] = ()  # for everyone: they name a row, or are made of the label
    text: tuple[str, ...] = ()
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)  # more specs for Headrace

    @property
    def higher_is_better(self) -> bool:
        return self.metric in ("auc", "accuracy", "r2")


def _churn() -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "subscribers.csv"
        command = [sys.executable, str(ROOT / "examples" / "churn" / "generate.py"), "--output", str(file)]
        subprocess.run(command, check=True, capture_output=True)
        return pd.read_csv(file)


def _taxi() -> pd.DataFrame:
    table = pd.read_csv(TAXI)
    tip = table.pop("tips") > 0.2 * table["fare"]
    return table.assign(big_tipper=tip.astype(int))


def _sklearn(name: str) -> pd.DataFrame:
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    return found.frame.rename(columns=lambda column: column.replace(" ", "_").replace("/", "_"))


def _questions() -> pd.DataFrame:
    from questions import pairs

    return pd.DataFrame(pairs(20_000), columns=["question1", "question2", "duplicate"])


TEXTS = ["question1", "question2"]
OVERLAP = {"shared": "overlap(question1, question2)"}
TABLES = {
    table.name: table
    for table in (
        Table("taxi", "classification", "big_tipper", _taxi, "auc"),
        Table("churn", "classification", "churned", _churn, "auc", ("subscriber_id", "email")),
        Table("breast_cancer", "classification", "target", lambda: _sklearn("breast_cancer"), "auc"),
        Table("wine", "classification", "target", lambda: _sklearn("wine"), "log_loss"),
        Table("diabetes", "regression", "target", lambda: _sklearn("diabetes"), "rmse"),
        Table(
            "questions", "classification", "duplicate", _questions, "auc", text=tuple(TEXTS),
            variants={
                "words, linear": {"features": {"text": TEXTS}, "train": {"model": "linear"}},
                "words and overlap": {"features": {"text": TEXTS, "construct": OVERLAP}},
            },
        ),
    )
}  # fmt: skip


def split(table: Table, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows with their split: shares of 70, 15 and 15 %, of each class where there are classes."""
    chance = random.Random(f"{table.name} {seed}")
    groups = [rows.index] if table.task == "regression" else rows.groupby(table.label).groups.values()
    splits: dict[Any, str] = {}
    for group in groups:
        order = list(group)
        chance.shuffle(order)
        first, second = round(len(order) * SHARES["train"]), round(len(order) * (SHARES["train"] + SHARES["eval"]))
        splits |= dict.fromkeys(order[:first], "train")
        splits |= dict.fromkeys(order[first:second], "eval") | dict.fromkeys(order[second:], "test")
    return rows.drop(columns=list(table.drop)).assign(**{SPLIT: pd.Series(splits)})
