"""Conditions: what they say, by type; and every doubt is an error, never "false"."""

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.pipelines.local.ir.conditions import ConditionError, parse

X = "inputs.parameter_values['x']"


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        (f"{X} == true", True, True),
        (f"{X} == true", False, False),
        (f"!({X} == true)", False, True),
        (f"{X} == 'a'", "a", True),
        (f'{X} == "a"', "b", False),
        (f"{X} > 0.5", 0.6, True),
        (f"{X} > 0.5", 1, True),
        (f"int({X}) == 2", 2.0, True),
        (f"int({X}) == 2", "2", True),
        (f"int({X}) >= -3", -3, True),
        (f"{X} < 1e-05", 0.0, True),
        (f"double({X}) <= 2.5", 2, True),
        (f"{X} == null", None, True),
        (f"{X} != null", 1, True),
        (rf"{X} == 'it\'s \\ \n\x41\u0042'", "it's \\ \nAB", True),
        (f"{X} > 'a' && {X} < 'c'", "b", True),
        (f"{X} == 1 || {X} == 2", 2, True),
        (f"!({X} == 1) && !({X} == 2)", 3, True),
        (f"true || {X} > 'never looked at'", 1, True),
    ],
)
def test_answers(text, value, expected):
    assert parse(text).evaluate({"x": value}) is expected


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        (f"{X} == true", "can't say", "a string is compared with a boolean"),
        (f"{X} == 1", "1", "a string is compared with a number"),
        (f"{X} == 1", True, "a boolean is compared with a number"),
        (f"{X} > 0.5", math.nan, "NaN is compared"),
        (f"{X} != 0.5", math.nan, "NaN is compared"),
        (f"{X} > 0.5", None, "null is compared with a number"),
        (f"{X} > true", False, "a boolean has no order"),
        (f"int({X}) > 3", "can't say", "is not an integer"),
        (f"int({X}) > 3", math.inf, "is not an integer"),
        (f"{X} && true", 1, "`&&` was given a number"),
        (f"!{X}", "", "`!` was given a string"),
        (X, 1, "the whole is a number"),
        ("inputs.parameter_values['y'] == 1", 1, "the parameter 'y' has no value"),
    ],
)
def test_doubts_are_errors(text, value, why):
    with pytest.raises(ConditionError) as caught:
        parse(text).evaluate({"x": value})
    assert why in str(caught.value)
    assert text in str(caught.value)


def test_the_short_form_is_for_people():
    text = "!(int(inputs.parameter_values['pipelinechannel--count-Output']) > 2) && inputs.parameter_values['x'] == 'a'"
    assert parse(text).short == "!(int(count-Output) > 2) && x == 'a'"


def test_the_error_shows_the_values():
    with pytest.raises(ConditionError, match=r"\(values: x = \"can't say\"\)"):
        parse(f"{X} == true").evaluate({"x": "can't say"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(",
        f"{X} ==",
        f"{X} = 1",
        f"{X} == 1 1",
        "__import__('os')",
        f"{X} == nan",
        "inputs.parameter_values.x == 1",
        f"{X} ? 1 : 2",
        f"{X} == 1 == 1",
        "inputs.artifacts['x'] == 1",
        r"'\q' == 'q'",
        "(" * 5000 + "true" + ")" * 5000,
    ],
)
def test_what_is_not_a_condition_is_refused(text):
    with pytest.raises(ConditionError, match="expected a condition in CEL"):
        parse(text)


OTHER = X.replace("'x'", "'y'")


@pytest.mark.parametrize(
    ("text", "true", "false"),
    [
        (f"{X} == 'it's'", {"x": "it's"}, {"x": "its"}),
        (f"{X} != 'a\nb'", {"x": "ab"}, {"x": "a\nb"}),
        (f"{X} == '' == 'x'", {"x": "' == 'x"}, {"x": ""}),
        (f"{X} == 'it's && he's'", {"x": "it's && he's"}, {"x": "it's"}),
        (rf"{X} == 'C:\Data'", {"x": r"C:\Data"}, {"x": "C:Data"}),
        (f"!({X} == 'it's') && {X} == 'b'", {"x": "b"}, {"x": "it's"}),
        (f"!({X} == 'it's') && !({OTHER} == 'b'c')", {"x": "1", "y": "2"}, {"x": "it's", "y": "2"}),
    ],
)
def test_constants_that_kfp_does_not_escape_are_read_as_it_put_them(text, true, false):
    condition = parse(text)
    assert condition.evaluate(true) is True
    assert condition.evaluate(false) is False
    assert "an error on KFP" in condition.doubt
    assert text in condition.doubt


def test_what_can_be_read_in_two_ways_is_refused():
    with pytest.raises(ConditionError, match="expected a condition that can be read in one way"):
        parse(f"{X} == 'a' || 'b' == 'b'")
    with pytest.raises(ConditionError, match="compare like with like"):
        parse(f"'int({X})' == '5'")
    assert parse(rf"{X} == 'it\'s'").evaluate({"x": "it's"}) is True
    assert "backslash" in parse(rf"{X} == 'it\'s'").doubt
    assert parse(f"{X} == 'a' || {X} == 'b'").doubt == ""


@given(st.text(), st.text(alphabet=st.sampled_from("ab' =&|!()<>\n")))
def test_a_constant_is_never_read_as_something_else(value, constant):
    try:
        condition = parse(f"{X} == '{constant}'")
    except ConditionError:
        return
    assert condition.evaluate({"x": value}) is (value == constant)
    assert condition.evaluate({"x": constant}) is True


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    try:
        condition = parse(text)
    except ConditionError:
        return
    with contextlib.suppress(ConditionError):
        assert condition.evaluate({}) in (True, False)


numbers = st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9))


@given(numbers, numbers)
def test_numbers_are_compared_as_python_does(value, limit):
    for op, expected in {
        "<": value < limit,
        "<=": value <= limit,
        ">": value > limit,
        ">=": value >= limit,
        "==": value == limit,
        "!=": value != limit,
    }.items():
        assert parse(f"{X} {op} {limit!r}").evaluate({"x": value}) is expected


@given(st.text(), st.text())
def test_strings_are_never_substituted(value, literal):
    escaped = "".join(f"\\U{ord(sign):08x}" for sign in literal)
    assert parse(f"{X} == '{escaped}'").evaluate({"x": value}) is (value == literal)


names = st.sampled_from("abc")
leaves = names.map(lambda n: (f"inputs.parameter_values['{n}'] == true", lambda v, n=n: v[n]))


def _combine(inner):
    return st.one_of(
        inner.map(lambda e: (f"!({e[0]})", lambda v: not e[1](v))),
        st.tuples(inner, inner).map(lambda e: (f"({e[0][0]}) && ({e[1][0]})", lambda v: e[0][1](v) and e[1][1](v))),
        st.tuples(inner, inner).map(lambda e: (f"({e[0][0]}) || ({e[1][0]})", lambda v: e[0][1](v) or e[1][1](v))),
    )


@given(st.recursive(leaves, _combine, max_leaves=12), st.fixed_dictionaries({n: st.booleans() for n in "abc"}))
def test_logic_is_that_of_the_same_expression_in_python(expression, values):
    text, expected = expression
    assert parse(text).evaluate(values) is expected(values)
