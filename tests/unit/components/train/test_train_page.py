"""The training step as a whole: weights, calibration and a baseline in the bundle, on the card and in the report."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.bundle import CARD_MD, Bundle
from headrace.artifacts.dataset import Column, DatasetInfo, describe, write_dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import parse_schema, write_schema
from headrace.artifacts.tuning import Trial, Tuning, write_tuning
from headrace.components.train.spec import TrainSpec
from headrace.components.train.train import train_model
from headrace.components.transform.fit import fit
from headrace.components.transform.spec import FeaturesSpec

SCHEMA = 'feature { name: "x" type: FLOAT }'
MODULE = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.impute import SimpleImputer

def fit(job):
    model = make_pipeline(SimpleImputer(), LogisticRegression(C=job.parameters.get("C", 1.0)))
    return model.fit(job.train.features, job.train.labels)
"""


def table(count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    x, plan = random.normal(size=count), random.choice(["basic", "pro"], count)
    score = x + np.where(plan == "pro", 1.0, 0.0) + random.logistic(size=count) * 0.5
    return pa.table({
        "x": x, "plan": plan, "w": random.integers(1, 4, count).astype(float),
        "y": np.where(score > 1.2, "leaves", "stays"),
    })  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    columns = [Column(name, kind) for name, kind in
               (("x", "float64"), ("plan", "string"), ("w", "float64"), ("y", "string"))]  # fmt: skip
    sizes = {"train": 600, "eval": 300, "test": 300}
    query = {"split": {"by": "hash", "eval": 0.15, "test": 0.15}}
    info = DatasetInfo("classification", columns, "y", sizes, ["leaves", "stays"], "leaves", query=query)
    with write_dataset(folder / "dataset") as (files, details):
        for seed, (split, file) in enumerate(files.items()):
            pq.write_table(table(sizes[split], seed), file)
        details.update(describe(info))
    write_schema(folder / "schema", parse_schema(SCHEMA))
    return folder


def trained(dataset, tmp_path, section: dict, tuning: Path | None = None):
    settings = TrainSpec.model_validate(section)
    fit(dataset / "dataset", FeaturesSpec(), tmp_path / "transform", settings.model, settings.sample_weight or "")
    inputs = dataset / "dataset", tmp_path / "transform", dataset / "schema"
    outputs = tmp_path / "model", tmp_path / "report.html", tmp_path / "card.html"
    logged = train_model(*inputs, "tiny", settings, *outputs, tuning=tuning)
    bundle = Bundle.open(tmp_path / "model")
    return logged, bundle, json.loads(bundle.lineage.read_text())["training"], outputs[1].read_text()


def test_trees_with_everything(dataset, tmp_path):
    section = {"class_weight": {"leaves": 3.0}, "sample_weight": "w", "calibrate": "sigmoid",
               "gbdt": {"n_estimators": 60, "monotone": {"x": 1}}}  # fmt: skip
    stood = Trial(0, {"num_leaves": 7}, "complete", 0.6, 20, defaults=True)
    tried = stood, Trial(1, {"num_leaves": 5}, "complete", 0.5, 30), Trial(2, {"num_leaves": 31}, "pruned", 0.7, 4)
    write_tuning(tmp_path / "tuning", Tuning("gbdt", "log_loss", "eval", {"num_leaves": 5}, 1, {}, "tpe", tried))
    logged, bundle, record, report = trained(dataset, tmp_path, section, tmp_path / "tuning")
    assert "w" not in [item.name for item in bundle.signature.inputs]
    assert record["class_weight"] == {"leaves": 3.0}
    assert (record["sample_weight"], record["calibrate"]) == ("w", "sigmoid")
    assert record["parameters"]["num_leaves"] == 5
    assert record["parameters"]["monotone"] == {"x": 1}
    assert record["parameters"]["calibration"]["method"] == "sigmoid"
    assert logged["baseline_eval_log_loss"] > logged["eval_log_loss"]
    assert record["baseline"]["log_loss"]["eval"] == pytest.approx(logged["baseline_eval_log_loss"], rel=1e-9)
    curve = json.loads(bundle.curve.read_text())
    assert curve["eval"][record["rounds"] - 1] == pytest.approx(logged["eval_log_loss"], rel=1e-9)
    assert min(curve["eval"]) == curve["eval"][record["rounds"] - 1]
    card = (bundle.path / CARD_MD).read_text()
    assert "sigmoid, fitted on the eval split" in card
    assert "the classes' shares in train" in card
    assert "leaves: 3" in card
    for words in ("Training: tiny", "What tuning tried", "0 (as it stood)", "pruned", "Effect of the chosen features", "probability of leaves",
                  "a constant", "Peak memory", "Time, memory and proof"):  # fmt: skip
        assert words in report


def test_the_answer_rises_with_a_monotone_feature_up_to_the_bundle(dataset, tmp_path):
    from headrace.artifacts.raw_inputs import open_graph, run_graph

    _, bundle, _, _ = trained(dataset, tmp_path, {"gbdt": {"n_estimators": 60, "monotone": {"x": 1}}})
    rows = pa.table({"x": np.linspace(-3, 3, 200), "plan": ["pro"] * 200, "w": [1.0] * 200})
    leaves = run_graph(open_graph(bundle.model), rows, bundle.signature.inputs)[:, 0]  # positive, though the first
    assert (np.diff(leaves) >= -1e-6).all()
    assert leaves[-1] > leaves[0] + 0.5


@pytest.mark.parametrize("section", [{"model": "linear"}, {"module": "m.py", "module_text": MODULE}], ids=str)
def test_other_kinds_make_the_same_kind_of_bundle(dataset, tmp_path, section):
    logged, bundle, record, report = trained(dataset, tmp_path, {**section, "calibrate": "temperature"})
    assert record["model"] == ("linear" if "model" in section else "module")
    assert logged["eval_log_loss"] < 0.8 * logged["baseline_eval_log_loss"]
    assert bundle.samples()[1][0]["label"] in ("leaves", "stays")
    assert ("text" in record.get("module", {})) == ("module" in section)
    assert "Training: tiny" in report


def test_a_weight_that_is_a_feature_all_the_same_is_refused(dataset, tmp_path):
    fit(dataset / "dataset", FeaturesSpec(), tmp_path / "transform")
    inputs = dataset / "dataset", tmp_path / "transform", dataset / "schema"
    outputs = tmp_path / "model", tmp_path / "report.html", tmp_path / "card.html"
    with pytest.raises(HeadraceError, match="expected a column that is no feature"):
        train_model(*inputs, "tiny", TrainSpec(sample_weight="w"), *outputs)
    assert not outputs[0].exists()


def test_the_same_seed_gives_the_same_bundle(dataset, tmp_path):
    digests = set()
    for place, seed in enumerate((1, 1, 2)):
        (tmp_path / str(place)).mkdir()
        _, bundle, _, _ = trained(dataset, tmp_path / str(place), {"seed": seed, "gbdt": {"n_estimators": 30}})
        digests.add(bundle.digest)
    assert len(digests) == 2
