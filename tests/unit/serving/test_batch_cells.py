"""Columns are encoded to the very bits that the server's rows are, and get the very answers."""

import json

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from headrace.artifacts.answer import predictions
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.signature import Input, Signature
from headrace.components.batch_predict.values import carried
from headrace.serving.batch.answers import answer_columns, probability_names
from headrace.serving.batch.cells import ColumnEncoder
from headrace.serving.batch.model import ROWS, open_model
from headrace.serving.encode import Encoder
from headrace.serving.scorer import Scorer
from tests.unit.serving.tiny_bundle import random_instances


def columns_of(inputs, instances):
    types = {"number": pa.float64(), "boolean": pa.bool_()}
    arrays = {
        item.name: pa.array([one[item.name] for one in instances], types.get(item.type, pa.string())) for item in inputs
    }
    found = {item.name: carried(item, arrays[item.name], ".") for item in inputs}
    assert not any(one.wrong for one in found.values())
    return {name: one.values for name, one in found.items()}


@pytest.mark.parametrize("dictionary", [False, True])
def test_cells_are_those_of_the_server(binary: Bundle, dictionary):
    inputs = binary.signature.inputs
    instances = random_instances(inputs, 500, seed=3)
    instances += [{item.name: None for item in inputs}]
    columns = columns_of(inputs, instances)
    if dictionary:
        columns["plan"] = columns["plan"].dictionary_encode()
    wanted, unseen = Encoder(binary.signature).matrix([tuple(one.values()) for one in instances])
    cells = ColumnEncoder(binary.signature).encode(columns, len(instances))
    assert np.array_equal(cells.matrix, wanted, equal_nan=True)
    assert cells.unseen.tolist() == [0, 0, 0, unseen, 0] and unseen > 0


def test_an_empty_category_is_missing_and_not_unseen():
    signature = Signature("regression", "y", (Input("plan", "category", vocabulary=("a", "b")),))
    for column in (pa.array(["a", "", None, "z"]), pa.array(["a", "", None, "z"]).dictionary_encode()):
        cells = ColumnEncoder(signature).encode({"plan": column}, 4)
        assert np.array_equal(cells.matrix[:, 0], [1.0, np.nan, np.nan, 0.0], equal_nan=True)
        assert cells.unseen.tolist() == [1]


def test_texts_travel_beside_the_matrix():
    signature = Signature("regression", "y", (Input("note", "text"), Input("n", "number")))
    cells = ColumnEncoder(signature).encode({"note": pa.array(["hi", None, ""]), "n": pa.array([1.0, 2.0, 3.0])}, 3)
    assert np.array_equal(cells.matrix[:, 0], [1.0, np.nan, np.nan], equal_nan=True)
    assert cells.texts.tolist() == [["hi"], [""], [""]]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_answers_are_those_of_the_server(bundles, kind):
    bundle = Bundle.open(bundles[kind])
    instances = random_instances(bundle.signature.inputs, ROWS + 77, seed=5)
    answered = open_model(bundle).answer(columns_of(bundle.signature.inputs, instances), len(instances))
    found = pa.table(answer_columns(bundle.signature, answered.outputs)).to_pylist()
    body = Scorer(bundle).score(msgspec.json.encode({"instances": instances})).body
    online = json.loads(body)["predictions"]
    names = probability_names(bundle.signature)
    for row, answer in zip(found, online, strict=True):
        if kind == "regression":
            assert row == answer
            continue
        assert row["label"] == answer["label"]
        assert [row[name] for name in names] == list(answer["probabilities"].values())


@pytest.mark.parametrize("classes", [("0", "1"), ("a", "b", "c")])
def test_labels_are_those_of_the_samples(classes):
    two = len(classes) == 2
    signature = Signature(
        "classification",
        "y",
        (Input("n", "number"),),
        classes,
        classes[0] if two else None,
        0.3 if two else None,
    )
    rng = np.random.default_rng(0)
    outputs = rng.choice(np.array([0.1, 0.3, 0.3000001, 0.5], np.float32), (200, len(classes)))
    wanted = [one["label"] for one in predictions(signature, outputs)]
    assert answer_columns(signature, outputs)["label"].to_pylist() == wanted
