"""Snapshots and models that are known by construction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.dataset import Column, Dataset, DatasetInfo, describe, write_dataset
from headrace.artifacts.signature import Input, Signature
from headrace.components.evaluate.evaluate import Subject


def snapshot(path: Path, task: str, tables: dict[str, pa.Table], **info) -> Dataset:
    """Writes the tables as a snapshot's splits; the label is `y`."""
    names = {"double": "float64"}  # as ingest writes them
    columns = [Column(field.name, names.get(str(field.type), str(field.type))) for field in tables["test"].schema]
    rows = {split: table.num_rows for split, table in tables.items()}
    with write_dataset(path) as (files, details):
        for split, file in files.items():
            pq.write_table(tables[split], file)
        details.update(describe(DatasetInfo(task, columns, "y", rows, **info)))
    return Dataset.open(path)


def rows(seed: int, count: int) -> dict[str, np.ndarray]:
    """x ~ N(0, 1), and columns to slice by."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=count),
        "plan": rng.choice(["basic", "premium", "trial"], count, p=[0.6, 0.395, 0.005]),
        "age": rng.integers(18, 90, count),
        "gender": rng.choice(["f", "m"], count),
        "u": rng.random(count),
    }


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.fixture(scope="session")
def binary(tmp_path_factory) -> Dataset:
    """P(y = "1") = sigmoid(2 x), whatever the plan."""
    tables = {}
    for seed, (split, count) in enumerate([("train", 3000), ("eval", 500), ("test", 2000)]):
        data = rows(seed, count)
        label = np.where(data.pop("u") < sigmoid(2 * data["x"]), "1", "0")
        tables[split] = pa.table({**data, "y": label})
    path = tmp_path_factory.mktemp("binary") / "data"
    return snapshot(path, "classification", tables, classes=["0", "1"], positive="1")


@pytest.fixture(scope="session")
def several(tmp_path_factory) -> Dataset:
    """Three classes by where x lies, with noise."""
    tables = {}
    for seed, (split, count) in enumerate([("train", 3000), ("eval", 500), ("test", 1500)]):
        data = rows(seed, count)
        place = np.digitize(data["x"] + data.pop("u") - 0.5, [-0.5, 0.7])
        tables[split] = pa.table({**data, "y": np.array(["a", "b", "c"])[place]})
    return snapshot(tmp_path_factory.mktemp("several") / "data", "classification", tables, classes=["a", "b", "c"])


@pytest.fixture(scope="session")
def regression(tmp_path_factory) -> Dataset:
    """y = 3 x + N(0, 1) + 10."""
    tables = {}
    for seed, (split, count) in enumerate([("train", 3000), ("eval", 500), ("test", 1500)]):
        data = rows(seed, count)
        data.pop("u")
        noise = np.random.default_rng(seed + 100).normal(size=count)
        tables[split] = pa.table({**data, "y": 3 * data["x"] + noise + 10})
    return snapshot(tmp_path_factory.mktemp("regression") / "data", "regression", tables)


INPUTS = (Input("x", "number"),)
BINARY = Signature("classification", "y", INPUTS, ("0", "1"), "1", 0.5)
SEVERAL = Signature("classification", "y", INPUTS, ("a", "b", "c"))
REGRESSION = Signature("regression", "y", INPUTS)


def x_of(table: pa.Table) -> np.ndarray:
    return np.asarray(table["x"])


def two(table: pa.Table) -> np.ndarray:
    """The true probabilities."""
    positive = sigmoid(2 * x_of(table))
    return np.column_stack([1 - positive, positive]).astype(np.float32)


def three(table: pa.Table) -> np.ndarray:
    x = x_of(table)
    logits = np.column_stack([-2 * x - 1, np.full_like(x, 1.0), 2 * x - 1.4])
    weights = np.exp(logits)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def line(table: pa.Table) -> np.ndarray:
    return (3 * x_of(table) + 10).reshape(-1, 1).astype(np.float32)


@pytest.fixture(scope="session")
def subjects() -> dict[str, Subject]:
    return {
        "binary": Subject(BINARY, "sha256:b", two),
        "several": Subject(SEVERAL, "sha256:s", three),
        "regression": Subject(REGRESSION, "sha256:r", line),
    }
