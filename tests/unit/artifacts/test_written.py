"""How dates and amounts are written: what a declared type may say, and what one text comes to."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts.written import plain_text, split_type


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("number", ("number", None)),
        ("amount", ("amount", None)),
        ("date %d/%m/%Y", ("date", "%d/%m/%Y")),
        ("timestamp %b %d, %Y %I:%M %p", ("timestamp", "%b %d, %Y %I:%M %p")),
    ],
)
def test_a_declared_type_has_a_word_and_perhaps_a_pattern(text, parts):
    assert split_type(text) == parts


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("dat", "expected string, number, .*, amount, or how dates are written.* Received: 'dat'"),
        ("", "Received: ''"),
        ("number %d", "Received: 'number %d'"),
        ("date ", "Received: 'date '"),
        ("date %d/%q/%Y", "expected a pattern of %d .* Received: %q in"),
        ("date %d/%m/%", "Received: % in"),
        ("date %d/%m", "one day, one month and one year"),
        ("date %d/%m/%Y %y", "one day, one month and one year"),
        ("date %d/%d/%m/%Y", "one day, one month and one year"),
        ("date %d/%m/%Y %H:%M", "`timestamp` with one of hours"),
        ("timestamp %d/%m/%Y", "`timestamp` with one of hours"),
        ("timestamp %d/%m/%Y %I:%M", "%I and %p"),
        ("timestamp %d/%m/%Y %H:%M %p", "%I and %p"),
    ],
)
def test_a_type_that_says_no_day_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        split_type(text)


@pytest.mark.parametrize(
    ("text", "decimal", "plain"),
    [
        ("$1,234.50", ".", "1234.50"),
        ("-$5", ".", "-5"),
        ("$ -7", ".", "-7"),
        ("(3.00)", ".", "-3.00"),
        ("\u22125", ".", "-5"),
        ("+4", ".", "4"),
        ("12 %", ".", "12"),
        ("USD 1,000", ".", "1000"),
        ("5 EUR", ".", "5"),
        (".5", ".", "0.5"),
        ("12.", ".", "12"),
        ("1 234\u202f567", ".", "1234567"),
        ("1.234,56 €", ",", "1234.56"),
        ("1.234", ",", "1234"),
        ("520,28-", ",", "-520.28"),
        ("1,000.50- USD", ".", "-1000.50"),
    ],
)
def test_an_amount_is_a_number(text, decimal, plain):
    assert plain_text(text, "amount", decimal) == plain


@pytest.mark.parametrize("text", ["", "$", "n.a.", "1,23", "ABC123", "SKU1", "1e5", "1.2.3", "12 %%"])
def test_what_is_no_amount_stays_as_it_is(text):
    assert plain_text(text, "amount", ".") == text


@given(st.integers(-(10**12), 10**12), st.sampled_from(["${}", "{} €", "{}%", "EUR {}", "{}"]))
def test_any_number_of_cents_comes_back(cents, form):
    written = f"{cents / 100:,.2f}"
    assert float(plain_text(form.format(written), "amount", ".")) == float(written.replace(",", ""))
    comma = written.translate(str.maketrans(",.", ".,"))
    assert float(plain_text(form.format(comma), "amount", ",")) == float(written.replace(",", ""))


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)).map(lambda moment: moment.replace(microsecond=0)),
    st.sampled_from(["%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%d-%b-%Y", "%b %d, %Y"]),
    st.sampled_from(["%H:%M:%S", "%I:%M:%S %p"]),
)
def test_any_moment_comes_back(moment, day, hours):
    assert plain_text(moment.strftime(day), f"date {day}", ".") == moment.date().isoformat()
    whole = f"{day} {hours}"
    assert plain_text(f" {moment.strftime(whole)} ", f"timestamp {whole}", ".") == moment.isoformat()


@pytest.mark.parametrize("text", ["31/02/2023", "13/13/2023", "1/2/23", "2023-01-02", "01/02/2023x", "x"])
def test_what_is_no_such_day_stays_as_it_is(text):
    assert plain_text(text, "date %d/%m/%Y", ".") == text
