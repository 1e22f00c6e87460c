"""What TensorFlow replays of our graphs is what ONNX Runtime answers: numbers, dates, words of any script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.raw_inputs import open_graph
from headrace.artifacts.signature import Input
from headrace.trainer import text_graph
from headrace.trainer.encoder_graph import encoder_graph
from headrace.trainer.graph import IR_VERSION, MICROSOFT, Graph, opsets

TEXTS = ["", " ", "a", "Never SEEN before", "ÄÖÜ straße Ça İI ıi ΣΑΣ", "日本語 テスト", "🙂 it's ok", "0 1 22 3.5", "x" * 37,
         "to be or not to be", "TO BE", "tab\tand\nline", "to", "abcd", "abc", "Ǆ ǅ"]  # fmt: skip
VALUES = [0.0, -0.0, 1.5, -2.5, 2.5, 1e30, -1e-30, float("nan"), float("inf"), 7.0, -7.0, 3.0, 0.25, -0.25, 1e6, 2.0]

Build = Callable[[Graph], str]


def compared(build: Build, inputs: dict[str, np.ndarray]) -> None:
    """Runs one graph in both, and compares."""
    from headrace.trainer.saved_model.replay import Replay

    graph = Graph("")
    output = graph.add("Identity", build(graph))
    types = {"O": TensorProto.STRING, "d": TensorProto.DOUBLE, "f": TensorProto.FLOAT}
    given = [
        helper.make_tensor_value_info(name, types[a.dtype.char], ["N", *a.shape[1:]]) for name, a in inputs.items()
    ]
    whole = helper.make_graph(
        graph.nodes, "test", given, [helper.make_empty_tensor_value_info(output)], graph.constants
    )
    model = helper.make_model(whole, opset_imports=opsets(graph.nodes), ir_version=IR_VERSION)
    (expected,) = open_graph(model.SerializeToString()).run(None, inputs)
    got = Replay(model).replay(inputs)[output].numpy()
    if expected.dtype == object:
        got = np.vectorize(bytes.decode, otypes=[object])(got) if got.size else got.astype(object)
        assert got.tolist() == expected.tolist()
    else:
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-12 if expected.dtype == np.float64 else 1e-6, equal_nan=True)


def _words(graph: Graph) -> str:
    return text_graph.words_of(graph, "t", least=2)


def _bag(mode: str, **more: Any) -> Build:
    def build(graph: Graph) -> str:
        tokens = graph.add("Concat", _words(graph), "t", axis=1)
        pool = ["to", "be", "Never", "日本語", "to", "be", "not", "to"]
        return graph.add("TfIdfVectorizer", tokens, mode=mode, min_gram_length=1, max_gram_length=2, max_skip_count=0,
                         ngram_counts=[0, 4], ngram_indexes=[3, 0, 2, 1, 4, 5], pool_strings=pool, **more)  # fmt: skip

    return build


@pytest.mark.parametrize(
    "build",
    [
        lambda graph: text_graph.lower(graph, "t"),
        lambda graph: text_graph.upper(graph, "t"),
        _words,
        lambda graph: text_graph.words_of(graph, "t", pattern=r"\S(?s:.*\S)?"),
        lambda graph: text_graph.words_of(graph, "t", pattern="(?s:.)"),
        lambda graph: text_graph.count(graph, _words(graph)),
        lambda graph: text_graph.shared(graph, _words(graph), text_graph.words_of(graph, "u")).common,
        lambda graph: graph.to_double(graph.add("MurmurHash3", "t", domain=MICROSOFT, positive=1, seed=0)),
        _bag("TF"),
        _bag("IDF"),
        _bag("TFIDF", weights=[1.0, 2.0, 0.5, 3.0, 4.0, 5.0]),
    ],
    ids=["lower", "upper", "words", "trimmed", "characters", "count", "shared", "hash", "counts", "binary", "tfidf"],
)
def test_texts(build: Build) -> None:
    texts = np.array(TEXTS, object).reshape(-1, 1)
    compared(build, {"t": texts, "u": texts[::-1].copy()})


def test_numbers() -> None:
    """Every operation of one number, and the awkward ones of two, in one graph."""

    def build(graph: Graph) -> str:
        one = [
            graph.add(op, "x") for op in ("Abs", "Sign", "Floor", "Ceil", "Round", "Exp", "Log", "Sqrt", "Sin", "Neg")
        ]
        two = [graph.add(op, "x", "y") for op in ("Add", "Div", "Pow", "Sub")]
        whole = graph.add("Cast", graph.add("Clip", "y", graph.constant(-9.0, np.float64), graph.constant(9.0, np.float64)),
                          to=TensorProto.INT64)  # fmt: skip
        quotient = [graph.to_double(graph.add(op, whole, graph.integer(4))) for op in ("Div", "Mod")]
        flags = [graph.to_double(graph.add(op, "x")) for op in ("IsNaN", "IsInf")]
        last = graph.add("Gather", "both", graph.constant([-1], np.int64), axis=1)
        tail = graph.add("Slice", "both", *(graph.constant([value], np.int64) for value in (-1, 2**62, 1)))
        return graph.add("Concat", *one, *two, *quotient, *flags, last, tail, axis=1)

    x = np.array(VALUES).reshape(-1, 1)
    y = np.where(np.isfinite(x), x, 1.0)[::-1].copy()
    with np.errstate(all="ignore"):
        compared(build, {"x": x, "y": y, "both": np.hstack([x, y])})


def test_encodings_of_raw_columns() -> None:
    """Dates in every form, categories unseen and missing: the encoder's own graph."""
    from headrace.trainer.saved_model.replay import Replay

    inputs = (
        Input("new", "boolean"),
        Input("at", "date", offset=19_000.0),
        Input("plan", "category", vocabulary=("a", "ß")),
    )
    dates = [
        "",
        "2024-02-29",
        "0001-01-01",
        "2024-03-01T10:20:30.123456789+05:30",
        "2024-12-31 23:59",
        "1969-12-31T00:00Z",
    ]
    tensors = {
        "new": np.array([[1.0], [0.0], [np.nan], [1.0], [0.0], [1.0]]),
        "at": np.array(dates, object).reshape(-1, 1),
        "plan": np.array(["a", "ß", "", "new", "A", "a"], object).reshape(-1, 1),
    }
    graph = encoder_graph(inputs)
    (expected,) = open_graph(graph.SerializeToString()).run(None, tensors)
    np.testing.assert_array_equal(Replay(graph).replay(tensors)["matrix"].numpy(), expected)


def test_what_tensorflow_lacks_is_named() -> None:
    from headrace.trainer.saved_model.replay import Replay

    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml")
    graph = helper.make_graph([node], "trees", [], [])
    with pytest.raises(
        HeadraceError, match="whose operations TensorFlow has.* Received: one with TreeEnsembleRegressor"
    ):
        Replay(onnx.helper.make_model(graph))
