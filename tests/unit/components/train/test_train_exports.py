"""What is trained can be served, also of numbers that float32 hardly holds: large, tiny, around 0, and beyond 2^53."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.dataset import DatasetInfo, describe, write_dataset
from headrace.artifacts.schema import parse_schema, write_schema
from headrace.components.train.spec import TrainSpec
from headrace.components.train.train import train_model
from headrace.components.transform.fit import fit
from headrace.components.transform.spec import FeaturesSpec
from headrace.serving.scorer import Scorer
from headrace.serving.verify import require_samples

ROWS = 600
KINDS = [{"model": "gbdt", "gbdt": {"n_estimators": 60}}, {"model": "linear"}]


def table(scale: float, **more: np.ndarray) -> pa.Table:
    """A label around 0 that is the sum of features which are not, and cancel each other out."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=ROWS), random.normal(size=ROWS)
    return pa.table({"a": a * 1e3, "b": b * 1e3, **more, "y": scale * (a - b + 0.01 * random.normal(size=ROWS))})


def trained(tmp_path: Path, rows: pa.Table, features: FeaturesSpec, settings: dict[str, object]) -> Bundle:
    split = {"split": {"by": "hash", "eval": 0.15, "test": 0.15}}
    info = DatasetInfo("regression", [], "y", {"train": ROWS, "eval": ROWS, "test": ROWS}, query=split)
    with write_dataset(tmp_path / "dataset") as (files, details):
        for file in files.values():
            pq.write_table(rows, file)
        details.update(describe(info))
    fit(tmp_path / "dataset", features, tmp_path / "transform")
    write_schema(tmp_path / "schema", parse_schema('feature { name: "a" type: FLOAT }'))
    inputs = [tmp_path / name for name in ("dataset", "transform", "schema")]
    pages = [tmp_path / "report.html", tmp_path / "card.html"]
    train_model(*inputs, "awkward", TrainSpec.model_validate(settings), tmp_path / "bundle", *pages)
    bundle = Bundle.open(tmp_path / "bundle")
    require_samples(Scorer(bundle), bundle)
    return bundle


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one["model"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e3, 1e7, 1e30])
def test_a_label_of_any_scale_around_0(tmp_path, scale, settings):
    trained(tmp_path, table(scale), FeaturesSpec(), settings)


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one["model"])
def test_squares_and_products_of_large_numbers(tmp_path, settings):
    features = FeaturesSpec(construct={"aa": "a ** 2", "bb": "b ** 2", "ab": "a * b"})
    trained(tmp_path, table(1.0), features, settings)


@pytest.mark.parametrize("settings", KINDS, ids=lambda one: one["model"])
def test_whole_numbers_beyond_2_to_the_53rd_are_learned_from_when_asked(tmp_path, settings):
    big = np.random.default_rng(1).integers(-(2**62), 2**62, ROWS)
    bundle = trained(tmp_path, table(1.0, big=big), FeaturesSpec(keep=["big"]), settings)
    assert "big" in [item.name for item in bundle.signature.inputs]
    instances, _ = bundle.samples()
    assert {type(row["big"]) for row in instances} == {float}  # servers take no whole number that is not exact
