"""Expressions are parsed, typed, never evaluated by Python, and mean the same in Arrow and in the graph."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.raw_inputs import raw_inputs
from headrace.artifacts.signature import Input
from headrace.trainer.encoder_graph import encoder_graph, merge
from headrace.trainer.expressions.arrow import evaluate
from headrace.trainer.expressions.expression import ExpressionError, parse
from tests.unit.trainer.construct_graph import construct_graph

TABLE = pa.table(
    {
        "tips": [1.0, 2.0, None],
        "fare": [10, 1, 3],
        "Total Charges": [1, 0, 2],
        "plan": ["a", None, "b"],
        "new": [True, None, False],
        "since": pa.array([0, 1, None], pa.date32()),
    }
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("tips > 0.2 * fare", [False, True, None]),
        ("`Total Charges` / (fare - 1)", [1 / 9, None, 1.0]),
        ('plan == "a" and not new', [False, None, False]),
        ("1 if new else 0", [1, None, 0]),
        ("log(-fare)", [None, None, None]),
        ("is_missing(plan)", [False, True, False]),
        ("min(fare, tips) + max(fare, 2)", [11, 3, None]),
        ("-fare ** 2", [-100, -1, -9]),
        ("new + 1", [2, None, 1]),
        ("since + 1", [1, 2, None]),
        ("3", [3, 3, 3]),
    ],
)
def test_value(text, values):
    assert evaluate(parse(text), TABLE).to_pylist() == pytest.approx(values, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("__import__('os').system('x')", "expected columns, numbers, texts"),
        ("fare.real", "Received: `fare.real`"),
        ("(lambda: 1)()", "expected columns, numbers, texts"),
        ("[x for x in fare]", "expected columns, numbers, texts"),
        ("a < b < c", "expected columns, numbers, texts"),
        ("tip > 3", "Received: `tip`; did you mean `tips`?"),
        ("plan > 3", "expected a number for greater in `plan > 3`. Received: a text (the column `plan`)"),
        ("fare if tips else 2", "expected a boolean for if_else"),
        ("log(1, 2)", "expected 1 arguments for log in `log(1, 2)`. Received: 2"),
        ("min()", "expected 2 arguments for min"),
        ("(((", "expected an expression such as `a / b`. Received: `(((`"),
        ("", "expected an expression"),
        ("+".join(["fare"] * 2_000), "expected an expression of at most"),
        ("(" * 500 + "1" + ")" * 500, "expected an expression"),
        ("1\0", "expected an expression"),
    ],
)
def test_refused(text, message):
    with pytest.raises(ExpressionError) as raised:
        evaluate(parse(text), TABLE)
    assert message in str(raised.value)


INPUTS = [
    Input("a", "number"),
    Input("b", "number", offset=5.0),
    Input("new", "boolean"),
    Input("plan", "category", vocabulary=("rare", "common")),
]
number_column = st.one_of(st.none(), st.integers(-50, 50), st.sampled_from([0.5, -0.25, 1e6]))
ROWS = st.fixed_dictionaries(
    {
        "a": number_column,
        "b": number_column,
        "new": st.one_of(st.none(), st.booleans()),
        "plan": st.one_of(st.none(), st.sampled_from(["rare", "common", "unseen"])),
    }
)
NUMBERS = st.recursive(
    st.sampled_from(["a", "b", "2", "0.5", "0", "new"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(st.sampled_from(["abs", "log", "sqrt", "-"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner, inner).map(
            lambda t: f"({t[3]} if {t[0]} {t[1]} {t[2]} else 1)"
        ),
        st.tuples(inner, inner).map(
            lambda t: f'({t[0]} if (plan == "rare" or not new) and is_missing(plan) == 0 else {t[1]})'
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=20, deadline=None)
@given(NUMBERS, st.lists(ROWS, min_size=1, max_size=8))
def test_arrow_and_the_graph_agree(text, rows):
    import onnxruntime

    types = {"a": pa.float64(), "b": pa.float64(), "new": pa.bool_(), "plan": pa.string()}
    table = pa.table({name: pa.array([row[name] for row in rows], type) for name, type in types.items()})
    graph = merge(encoder_graph(INPUTS), construct_graph(INPUTS, {"new_feature": text}))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, raw_inputs(table, INPUTS))[0][:, -1]
    expected = [math.nan if value is None else float(value) for value in evaluate(parse(text), table).to_pylist()]
    if _is_exact(text):  # float32 rounds divisions and roots; then comparisons of their results may differ
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    assert got.shape == (len(rows),)


def test_differences_of_large_numbers_are_exact():
    """Epoch seconds differ by seconds, which float32 would round away."""
    import onnxruntime

    inputs = [
        Input("start", "number", offset=1_600_000_000.0),
        Input("end", "number"),
        Input("day", "date", offset=19_000.0),
    ]
    table = pa.table(
        {
            "start": [1_700_000_000 + i for i in range(4)],
            "end": [1_700_000_079, 1_700_000_038, 1_700_000_048, 1_700_000_111],
            "day": [f"2024-03-01T00:00:{i:02d}" for i in range(4)],
        }
    )
    construct = {"seconds": "end - start", "clock": "(day - 19783) * 86400"}
    graph = merge(encoder_graph(inputs), construct_graph(inputs, construct))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    features = session.run(None, raw_inputs(table, inputs))[0]
    np.testing.assert_allclose(features[:, -2:], [[79, 0], [37, 1], [46, 2], [108, 3]], atol=1e-4)


def _is_exact(text: str) -> bool:
    return not any(part in text for part in ("/", "log", "sqrt", "1e6"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plan", "expected `plan` to be a text"),
        ("'plan'", "expected a number or a truth value. Received: a text, `'plan'`"),
        ('plan == "a" == 1', "expected columns, numbers"),
        ("plan == plan", "Received: a category, which is compared with texts in quotes alone"),
        ("nothing + 1", "features.construct.f: expected a column in `nothing + 1`"),
    ],
)
def test_graph_refuses(text, message):
    with pytest.raises(ExpressionError) as raised:
        construct_graph(INPUTS, {"f": text})
    assert message in str(raised.value)


def test_an_unknown_text_equals_nothing():
    import onnxruntime

    graph = merge(encoder_graph(INPUTS), construct_graph(INPUTS, {"f": 'plan == "never"', "g": 'plan != "never"'}))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    table = pa.table({"a": [1.0] * 3, "b": [1.0] * 3, "new": [True] * 3, "plan": ["rare", "unseen", None]})
    features = session.run(None, raw_inputs(table, INPUTS))[0]
    np.testing.assert_array_equal(features[:, -2:], [[0, 1], [0, 1], [np.nan, np.nan]])
