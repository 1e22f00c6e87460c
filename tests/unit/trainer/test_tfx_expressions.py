"""The spec's own features, in TensorFlow as in Arrow: for TFX's Transform."""

import math

import pyarrow as pa
import pytest

from headrace.pipelines.tfx_plan import _tree
from headrace.trainer.expressions.expression import parse
from headrace.trainer.expressions.graph import NODES
from headrace.trainer.expressions.graph_dates import DATES
from headrace.trainer.tfx.plan import OPERATIONS
from tests.unit.trainer.expressions.expression_values import in_arrow

VALUES = [None, -2.5, -1.0, 0.0, 0.5, 1.0, 2.0, 7.0]
TABLE = pa.table(
    {
        "a": pa.array([a for a in VALUES for _ in VALUES], pa.float64()),
        "b": pa.array([b for _ in VALUES for b in VALUES], pa.float64()),
        "new": pa.array([(None, True, False)[i % 3] for i in range(len(VALUES) ** 2)], pa.bool_()),
    }
)
EXPRESSIONS = [
    *(f"a {op} b" for op in ("+", "-", "*", "/", "//", "%", "<", "<=", ">", ">=", "==", "!=")),
    *(f"{name}(a)" for name in ("-", "abs", "sign", "exp", "log", "log2", "log10", "log1p", "sqrt", "sin", "cos")),
    *(f"{name}(a)" for name in ("floor", "ceil", "round", "is_missing")),
    "a ** 2", "2 ** a", "a ** b", "min(a, b)", "max(a, b, 1)", "clip(a, 0, 1)", "coalesce(a, b)", "a in [1, 2]", "new + 1",
    "a < b and new", "a < b or new", "not new", "a if new else b", "coalesce(new, a > 1)", "is_missing(new)",
]  # fmt: skip


@pytest.mark.slow
def test_every_operation_means_what_it_means_in_arrow():
    import tensorflow as tf

    from headrace.trainer.tfx.expressions import _OPERATIONS, evaluate

    assert _OPERATIONS.keys() == OPERATIONS
    columns = {
        name: tf.constant([math.nan if x is None else float(x) for x in TABLE[name].to_pylist()], tf.float64)
        for name in TABLE.column_names
    }
    used = set()
    for text in EXPRESSIONS:
        root = parse(text).typed({"a": "number", "b": "number", "new": "boolean"})[0].root
        tree = _tree(root)
        used |= set(_named(tree))
        found = [None if math.isnan(x) else x for x in evaluate(tree, columns).numpy().tolist()]
        expected = in_arrow(text, TABLE)
        assert found == [None if x is None else pytest.approx(x, rel=1e-12) for x in expected], text
    assert used == OPERATIONS


def _named(tree):
    if isinstance(tree, list):
        yield tree[0]
        for argument in tree[1:]:
            yield from _named(argument)


def test_all_but_dates_and_texts_can_be_said():
    assert NODES.keys() - DATES.keys() == OPERATIONS
