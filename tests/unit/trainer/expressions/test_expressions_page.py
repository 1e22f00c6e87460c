"""docs/expressions.md: every line of its tables is tried, and every function has one."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headrace.artifacts.signature import Input
from headrace.trainer.expressions.expression import Call, parse
from headrace.trainer.expressions.nodes import walk
from headrace.trainer.expressions.operations import MEANINGS
from tests.unit.trainer.expressions.expression_values import in_arrow, in_graph

PAGE = (Path(__file__).parents[4] / "docs" / "expressions.md").read_text()
_LINE = re.compile(r"^\| `(?P<name>.+?)` \| (?P<second>.+?) \| (?P<third>.*?) ?\|$", re.MULTILINE)
_TYPES = {"number": pa.float64(), "boolean": pa.bool_(), "text": pa.string(), "date": pa.timestamp("us")}
LINES = [match.groups() for match in _LINE.finditer(PAGE)]
COLUMNS = [line for line in LINES if line[1] in _TYPES]
EXAMPLES = [(text, value) for text, value, _ in LINES if value not in _TYPES]


def sample() -> pa.Table:
    def value(kind: str, text: str) -> Any:
        if text == "missing":
            return None
        text = text.strip("`")
        read = {"number": float, "boolean": lambda t: t == "True", "text": str, "date": dt.datetime.fromisoformat}
        return read[kind](text)

    return pa.table({name: pa.array([value(kind, text)], _TYPES[kind]) for name, kind, text in COLUMNS})


@pytest.mark.parametrize(("text", "value"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_a_line_says_what_comes_out(text: str, value: str) -> None:
    inputs = tuple(Input(name, kind) for name, kind, _ in COLUMNS)
    (got,) = in_graph(text, sample(), inputs)
    (also,) = in_arrow(text, sample())
    expected: Any = None if value == "missing" else value.strip("`")
    if isinstance(got, float):
        assert got == pytest.approx(float(expected)) and also == pytest.approx(float(expected))
    else:
        assert got == also == expected


def test_every_operation_has_a_line() -> None:
    shown = {node.op for text, _ in EXAMPLES for node in walk(parse(text).root) if isinstance(node, Call)}
    assert set(MEANINGS) - shown <= {"less_equal", "negate"}  # operators, which stand beside others of their kind
    assert len(COLUMNS) == 9
