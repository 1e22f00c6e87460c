"""What a champion of earlier data is told apart by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.artifacts.dataset import Column, DatasetInfo
from headrace.artifacts.signature import Input, Signature
from headrace.components.evaluate.misfit import misfit

MODEL = Signature(
    "classification",
    "y",
    (Input("n", "number"), Input("b", "boolean"), Input("c", "category"), Input("d", "date")),
    ("0", "1"),
    "1",
    0.5,
)
COLUMNS = [Column("n", "int64"), Column("b", "bool"), Column("c", "string"), Column("d", "timestamp[us]")]
DATA = DatasetInfo("classification", COLUMNS, "y", {}, ["0", "1"], "1")


def data(**types: str) -> DatasetInfo:
    return replace(DATA, columns=[Column(item.name, types.get(item.name, item.type)) for item in COLUMNS])


def test_what_fits():
    assert misfit(MODEL, DATA) == ""
    assert misfit(MODEL, data(n="float64", d="date32")) == ""
    assert misfit(MODEL, replace(DATA, columns=[*COLUMNS, Column("new", "string")])) == ""


def test_a_column_that_left():
    left = replace(DATA, columns=COLUMNS[1:])
    assert misfit(MODEL, left) == "column `n`, which the model needs, is not in the data"


@pytest.mark.parametrize(("name", "type"), [("n", "string"), ("b", "int64"), ("c", "float64"), ("d", "string")])
def test_a_column_of_another_type(name, type):
    assert f"column `{name}` was a " in misfit(MODEL, data(**{name: type}))


@pytest.mark.parametrize(
    "change",
    [
        {"task": "regression", "classes": None, "positive": None},
        {"label": "z"},
        {"positive": "0"},
        {"classes": ["0", "2"]},
    ],
)
def test_another_question(change):
    assert misfit(MODEL, replace(DATA, **change))


def test_several_classes():
    model = Signature("classification", "y", MODEL.inputs, ("a", "b", "c"))
    of = replace(DATA, positive=None, classes=["a", "b", "c", "new"])
    assert misfit(model, of) == ""  # rows of the new class count as wrong
    assert "a, b, c" in misfit(model, replace(of, classes=["a", "b", "d"]))
