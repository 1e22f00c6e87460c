"""What the graph computes of an expression is what Arrow computes of it, for every operation."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.signature import Input
from headrace.trainer.expressions.arrow import _COMPUTE, evaluate
from headrace.trainer.expressions.expression import ExpressionError, inlined, parse
from headrace.trainer.expressions.graph import NODES, TEXT_NODES, Columns
from headrace.trainer.expressions.operations import FUNCTIONS, MEANINGS
from headrace.trainer.graph import Graph
from tests.unit.trainer.expressions.expression_values import INPUTS, graph_of, in_arrow, in_graph

TYPES = {"a": pa.float64(), "b": pa.float64(), "new": pa.bool_(), "since": pa.timestamp("us"), "until": pa.date32()}


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    names = [item.name for item in INPUTS]
    return pa.table({name: pa.array([row[name] for row in rows], TYPES.get(name, pa.string())) for name in names})


LETTERS = st.sampled_from("aAbZ éÉßñ日本🙂_-'.,!?\t\n019\0")
TEXT_VALUES = st.one_of(
    st.none(),
    st.text(LETTERS, max_size=12),
    st.sampled_from(["Refund now, refund!", "12.5", "-3e2", "1e999", " 7 ", "a b a b", "A B", "!?"]),
)
NUMBER_VALUES = st.one_of(st.none(), st.integers(-50, 50), st.sampled_from([0.5, -0.25, 1e6, 2.5, -1.5, -0.0, 1e308]))
MOMENTS = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2060, 1, 1)).map(
    lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)
)
ROWS = st.fixed_dictionaries(
    {
        "a": NUMBER_VALUES,
        "b": NUMBER_VALUES,
        "new": st.one_of(st.none(), st.booleans()),
        "plan": st.one_of(st.none(), st.sampled_from(["rare", "common", "unseen", ""])),
        "since": st.one_of(st.none(), MOMENTS),
        "until": st.one_of(st.none(), st.dates(dt.date(2000, 1, 1), dt.date(2060, 1, 1))),
        "note": TEXT_VALUES,
        "title": TEXT_VALUES,
    }
)


def joined(form: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(lambda given: form.format(*given))


def either(forms: list[str], *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of([joined(form, *parts) for form in forms])


# What IEEE 754 or whole numbers decide: both must agree to the last bit.
numbers: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["a", "b", "2", "0.5", "0", "-3", "new", "until"]),
        either(["({} + {})", "({} - {})", "({} * {})", "({} / {})", "({} // {})", "({} % {})"], numbers, numbers),
        either(["min({}, {})", "max({}, {}, 1)", "coalesce({}, {})"], numbers, numbers),
        either([f"{name}({{}})" for name in ("abs", "sign", "sqrt", "floor", "ceil", "round", "-")], numbers),
        joined("clip({}, {}, {})", numbers, numbers, numbers),
        joined("({} if {} else {})", numbers, truths, numbers),
        either([f"{name}({{}})" for name in ("length", "words", "number")], texts),
        either(["overlap({}, {})", "common_words({}, {})"], texts, texts),
        either([f"{name}({{}})" for name in ("year", "quarter", "month", "day", "weekday", "day_of_year")], dates),
        either(["hour({})", "minute({})"], dates),
        either(["days_between({}, {})", "({} - {})"], dates, dates),
    )
)
dates: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["since", "until", "since", "until", "date('2024-02-29')", "date('2031-12-31T23:59:59')"]),
        either(["({} + 31)", "({} - 0.5)", "coalesce({}, since)", "max({}, until)"], dates),
        joined("({} if {} else {})", dates, truths, dates),
    )
)
texts: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["note", "title", "note", "title", "'Refund é'", "'a'"]),
        either([f"{name}({{}})" for name in ("lower", "upper", "trim")], texts),
        either(["concat({}, {})", "concat({}, '-', {})", "coalesce({}, {})"], texts, texts),
        joined("({} if {} else {})", texts, truths, texts),
    )
)
truths: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["new", "True", "(plan == 'rare')", "('never' != plan)", "(plan in ['rare', 'gone'])"]),
        st.sampled_from(["is_missing(plan)", "(since > '2024-01-01')", "(until not in ['2024-01-01', '2024-01-02'])"]),
        either(["({} and {})", "({} or {})", "({} == {})", "coalesce({}, {})"], truths, truths),
        joined("(not {})", truths),
        st.one_of(joined("is_missing({})", part) for part in (numbers, texts, dates, truths)),
        either([f"({{}} {sign} {{}})" for sign in ("<", "<=", ">", ">=", "==", "!=")], numbers, numbers),
        joined("({} in [1, 2.5, True])", numbers),
        either(["({} == {})", "({} != {})"], texts, texts),
        joined("({} not in ['a', 'A B'])", texts),
        either(["contains({}, 'e')", "contains({}, '.,')", "starts_with({}, 'a')", "ends_with({}, '?')"], texts),
        either([r"matches({}, '(?i)[a-z ]+')", r"matches({}, r'.*\\d.*')", "matches({}, 'a|ab*')"], texts),
        joined("({} if {} else {})", truths, truths, truths),
    )
)


CASES = (st.one_of(numbers, truths, dates, texts), st.lists(ROWS, min_size=1, max_size=5))


@settings(max_examples=50, deadline=None)
@given(*CASES)
def test_what_is_exact_agrees_to_the_last_bit(text: str, rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    assert in_graph(text, table) == in_arrow(text, table), text


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(*CASES)
def test_and_in_a_thousand_cases(text: str, rows: list[dict[str, Any]]) -> None:
    table = table_of(rows)
    assert in_graph(text, table) == in_arrow(text, table), text


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["exp", "log", "log1p", "log2", "log10", "sin", "cos"]), st.lists(NUMBER_VALUES, min_size=1))
def test_what_a_library_approximates_agrees_closely(function: str, values: list[float | None]) -> None:
    table = pa.table({"a": pa.array(values, pa.float64())})
    inputs = (Input("a", "number"),)
    for text in (f"{function}(a)", "a ** 3 + a ** -0.5"):
        got = np.array(in_graph(text, table, inputs), np.float64)
        expected = np.array(in_arrow(text, table), np.float64)
        np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-15)


POWERS = st.sampled_from(["a ** b", "(a * a) ** b", "a ** (b * b)", "(0 / b) ** a", "coalesce(a ** b, -1)"])


@settings(max_examples=40, deadline=None)
@given(POWERS, st.lists(st.fixed_dictionaries({"a": NUMBER_VALUES, "b": NUMBER_VALUES}), min_size=1))
def test_powers_agree_whatever_is_missing_or_infinite(text: str, rows: list[dict[str, float | None]]) -> None:
    table = pa.table({name: pa.array([row[name] for row in rows], pa.float64()) for name in "ab"})
    got, expected = in_graph(text, table, (Input("a", "number"), Input("b", "number"))), in_arrow(text, table)
    assert got == [value if value is None else pytest.approx(value, rel=1e-12) for value in expected]


@pytest.mark.parametrize("text", ["a ** b", "a ** 0", "1 ** a", "(a * 10) ** 0", "1 ** (a * 10)"])
def test_no_power_of_what_is_missing_is_a_number(text: str) -> None:
    table = pa.table({"a": pa.array([None, None, 1.0, 1e308], pa.float64()), "b": [0.0, 1.0, None, 0.0]})
    inputs = (Input("a", "number"), Input("b", "number"))
    assert in_graph(text, table, inputs) == in_arrow(text, table)
    assert in_graph(text, table, inputs)[:2] == [None, None]


def test_whole_numbers_beyond_2_53_are_the_next_float_in_both() -> None:
    table = pa.table({"a": pa.array([2**53 + 1, -(2**63), None])})
    for text in ("a", "a + 1", "a > 0", "a in [1, 2]"):
        assert in_graph(text, table, (Input("a", "number"),)) == in_arrow(text, table)
    assert in_arrow("a", table) == [2.0**53, -(2.0**63), None]
    moments = pa.table({"since": pa.array([2**61 + 1], pa.int64()).cast(pa.timestamp("us"))})
    assert in_arrow("since - date('1970-01-01')", moments) == [2**61 / 86_400_000_000]


PARTS = ("year", "quarter", "month", "day", "weekday", "day_of_year", "hour", "minute")


@pytest.mark.parametrize("part", PARTS)
def test_the_calendar_holds_from_year_1_to_9999(part: str) -> None:
    days = np.arange(-719_162, 2_932_897, 97)
    edges = [
        dt.date(y, m, d)
        for y in (1, 4, 100, 400, 1900, 2000, 2023, 2024, 9999)
        for m, d in ((1, 1), (2, 28), (3, 1), (12, 31))
    ]
    table = pa.table({"d": pa.concat_arrays([pa.array(days, pa.int32()).cast(pa.date32()), pa.array(edges)])})
    inputs = (Input("d", "date"),)
    expected = in_arrow(f"{part}(d)", table)
    assert in_graph(f"{part}(d)", table, inputs) == expected
    assert None not in expected
    beyond = pa.table({"d": pa.array([-719_163.0, 2_932_897.0, 1e300])})
    assert (
        in_graph(
            f"{part}(since + d)",
            beyond.append_column("since", pa.array([0] * 3, pa.date32())),
            (Input("since", "date"), Input("d", "number")),
        )
        == [None] * 3
    )


def test_parts_of_moments_are_those_of_python() -> None:
    moments = [
        dt.datetime(2024, 2, 29, 10),
        dt.datetime(1969, 12, 31, 23, 59, 59, 999000),
        dt.datetime(2023, 7, 2, 0, 0),
    ]
    table = pa.table({"d": pa.array(moments, pa.timestamp("us"))})
    inputs = (Input("d", "date", offset=19000.123456789),)
    for part, wanted in (("hour", lambda m: m.hour), ("minute", lambda m: m.minute), ("weekday", lambda m: m.weekday()),
                         ("day_of_year", lambda m: m.timetuple().tm_yday), ("day", lambda m: m.day)):  # fmt: skip
        assert (
            in_graph(f"{part}(d)", table, inputs)
            == [wanted(moment) for moment in moments]
            == in_arrow(f"{part}(d)", table)
        )


def test_every_operation_is_in_both_and_was_tried() -> None:
    names = {meaning.name for meanings in MEANINGS.values() for meaning in meanings} | {"in", "text_in", "to_number"}
    assert set(_COMPUTE) == names
    assert set(NODES) | set(TEXT_NODES) == names
    assert not set(NODES) & set(TEXT_NODES)
    assert set(FUNCTIONS) >= {"contains", "date", "overlap"}


FUNCTION_TABLE = pa.table(
    {
        "note": ["Refund now, REFUND it!", "", None, "é 🙂 x_1", " 12.5 "],
        "title": ["now it", "a", "b", "x_1 é", "12"],
        "since": pa.array(
            [dt.datetime(2024, 2, 29, 10, 30), None, dt.datetime(1970, 1, 1), None, None], pa.timestamp("us")
        ),
    }
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("contains(lower(note), 'refund')", [1, None, None, 0, 0]),
        ("length(note)", [22, None, None, 7, 6]),
        ("words(note)", [4, None, None, 2, 2]),
        ("overlap(note, title)", [1 / 2, None, None, 1.0, 1 / 2]),
        ("common_words(note, title)", [2, None, None, 2, 1]),
        ("overlap('!', note)", [0, None, None, 0, 0]),
        ("number(trim(note))", [None, None, None, None, 12.5]),
        ("concat(title, '/', title)", ["now it/now it", "a/a", "b/b", "x_1 é/x_1 é", "12/12"]),
        ("coalesce(note, title)", ["Refund now, REFUND it!", "a", "b", "é 🙂 x_1", " 12.5 "]),
        ("upper('straße')", ["STRAßE"] * 5),
        ("matches(title, '[a-z]')", [0, 1, 1, 0, 0]),
        ("starts_with(title, 'now')", [1, 0, 0, 0, 0]),
        ("title in ['a', '12']", [0, 1, 0, 0, 1]),
        ("note == title", [0, None, None, 0, 0]),
        ("is_missing(note)", [0, 1, 1, 0, 0]),
        ("'none' if is_missing(note) else title", ["now it", "none", "none", "x_1 é", "12"]),
        ("year(since) * 10000 + month(since) * 100 + day(since)", [20240229, None, 19700101, None, None]),
        ("hour(since) + minute(since) / 60", [10.5, None, 0, None, None]),
        ("weekday(since)", [3, None, 3, None, None]),
        ("days_between(since, date('2024-03-01'))", [0.5625, None, 19783, None, None]),
        ("since >= '2024-01-01'", [1, None, 0, None, None]),
        ("-7 % 3", [2] * 5),
        ("7 // -2", [-4] * 5),
        ("round(2.5) + round(-0.6)", [1] * 5),
    ],
)
def test_value(text: str, values: list[Any]) -> None:
    inputs = (Input("note", "text"), Input("title", "text"), Input("since", "date"))
    assert in_arrow(text, FUNCTION_TABLE) == pytest.approx(values)
    assert in_graph(text, FUNCTION_TABLE, inputs) == pytest.approx(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "contains(note, title)",
            "expected a text in quotes for contains in `contains(note, title)`. Received: a text",
        ),
        ("matches(note, '(')", "expected a regular expression (of RE2) for matches"),
        (r"matches(note, '\\Qa')", "expected a regular expression (of RE2) for matches"),
        ("year(a)", "expected a date for year in `year(a)`. Received: a number (the column `a`)"),
        ("since > 'soon'", "expected a date such as '2024-03-01' in `since > 'soon'`. Received: 'soon'"),
        ("date(a)", "expected a date such as date('2024-03-01')"),
        ("note in [1]", "expected texts in the list of `note in [1]`. Received: 1.0"),
        ("a in [note]", "expected columns, numbers, texts"),
        ("note == ''", "expected texts that are not empty in `note == ''`"),
        ("lower(plan)", "expected `plan` to be a text, for its spelling is read. Received: a category"),
        ("plan", "expected `plan` to be a text"),
        ("note + 'x'", "expected a number for add in `note + 'x'`. Received: a text (the column `note`)"),
        ("clip(a, 1)", "expected 3 arguments for clip"),
        ("a if new else note", "expected a text for if_else"),
    ],
)
def test_graph_refuses(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        graph_of(text)
    assert message in str(raised.value)
    assert "features.construct.made: " in str(raised.value)


def test_constructs_may_name_one_another() -> None:
    construct = {"c": "b_ + 1", "b_": "a * 2", "d": "c + b_"}
    graph = Graph("features/")
    built = Columns(graph, INPUTS).constructed(construct)
    assert [built[name].columns for name in construct] == [("a",)] * 3
    table = pa.table({"a": [1.0]})
    assert [evaluate(expression, table).to_pylist() for expression in inlined(construct).values()] == [[3], [2], [5]]
    assert sum(node.op_type == "Mul" for node in graph.nodes) == 1  # what several need is computed once
    with pytest.raises(ExpressionError, match=r"construct.a: expected no circle. Received: a -> b -> a"):
        inlined({"a": "b + 1", "b": "a + 1"})
    doubled = {"x0": "a", **{f"x{i}": f"x{i - 1} + x{i - 1}" for i in range(1, 40)}}
    with pytest.raises(ExpressionError, match=r"construct.x9: expected at most 1,000 parts"):
        inlined(doubled)


def test_which_columns_must_travel_as_texts() -> None:
    types = {"plan": "text", "note": "text", "a": "number"}

    def spelt(text: str) -> list[str]:
        return parse(text).spelt(types)

    assert spelt("plan == 'x' and plan in ['y'] and not is_missing(plan) and a > 1") == []
    assert spelt("'x' != plan") == []
    assert spelt("plan == note") == ["plan", "note"]
    assert spelt("lower(plan) == 'x'") == ["plan"]
    assert spelt("is_missing(coalesce(note, plan))") == ["note", "plan"]
    assert spelt("plan") == ["plan"]


def test_long_texts_are_compared_in_memory_that_grows_with_their_words() -> None:
    """All pairs of words would be 4e8 cells."""
    inputs = (Input("note", "text"), Input("title", "text"))
    table = pa.table(
        {"note": [" ".join(map(str, range(20_000)))], "title": [" ".join(map(str, range(10_000, 30_000)))]}
    )
    assert in_graph("overlap(note, title)", table, inputs) == [10_000 / 30_000]


def test_lower_and_upper_are_arrows_but_for_letters_newer_than_the_c_library() -> None:
    letters = [chr(code) for code in range(1, 0x1_0000) if not 0xD800 <= code < 0xE000]
    inputs, table = (Input("note", "text"),), pa.table({"note": letters})
    for function in ("lower", "upper"):
        got, expected = in_graph(f"{function}(note)", table, inputs), in_arrow(f"{function}(note)", table)
        newer = [letter for letter, ours, theirs in zip(letters, got, expected, strict=True) if ours != theirs]
        assert all(ours == letter for letter, ours in zip(letters, got, strict=True) if letter in newer)
        assert len(newer) < 40  # of Unicode 15 and later


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 200, 100_001])
def test_length_counts_characters_of_any_width(count: int) -> None:
    table = pa.table({"note": ["x" + "é\n🙂a"[:4] * (count // 4) + "日" * (count % 4)]})
    assert in_graph("length(note)", table, (Input("note", "text"),)) == [count + 1] == in_arrow("length(note)", table)
