"""What the models of segments are called."""

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.segments.names import slug, slugs, text_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("North America", "north-america"),
        ("São Paulo", "sao-paulo"),
        ("EMEA", "emea"),
        (" a/b  c ", "a-b-c"),
        ("12", "12"),
        ("2026-01-31", "2026-01-31"),
    ],
)
def test_a_value_in_letters(value, expected):
    assert slug(value) == expected


def test_what_has_no_letters_that_fit_is_told_apart_by_a_hash():
    assert slug("東京") != slug("大阪")
    assert re.fullmatch("[0-9a-f]{8}", slug("東京"))
    assert slug("") == slug("") and slug("")


def test_long_values_stay_apart_though_they_begin_alike():
    one, other = "a" * 60 + "b", "a" * 60 + "c"
    assert slug(one) != slug(other)
    assert max(len(slug(one)), len(slug(other))) <= 40


@given(st.text())
def test_every_slug_is_a_name_everywhere(value):
    assert re.fullmatch("[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", slug(value))
    assert slug(value) == slug(value)


def test_two_values_with_one_name_are_refused():
    with pytest.raises(HeadraceError, match=r"'a b' and 'a-b', which would both be `a-b`.*for_each.values"):
        slugs(["x", "a b", "a-b"])
    assert slugs(["a b", "a c"]) == {"a b": "a-b", "a c": "a-c"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (3, "3"), ("x", "x"), (datetime.date(2026, 1, 2), "2026-01-02")],
)
def test_values_as_text(value, text):
    assert text_of(value) == text


@pytest.mark.parametrize("value", [1.5, None, datetime.datetime(2026, 1, 2), b"x"])
def test_what_names_no_segment(value):
    with pytest.raises(HeadraceError, match="expected a text, a whole number, a truth value or a date"):
        text_of(value)
