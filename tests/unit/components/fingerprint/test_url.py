from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.artifacts.errors import HeadraceError
from headrace.components.fingerprint.url import is_url, public, redact, resolve, scheme_of

# No star, because that is what a hidden text is replaced by; and with a beginning that no other word has.
SECRETS = st.text(st.characters(min_codepoint=32, exclude_characters="*", exclude_categories=["Cs"]), max_size=30).map(
    lambda text: "Zq7" + text
)


def test_a_path_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "x")
    for path in ("rows.csv", "/data/${A}/rows.csv", "C:/rows.csv", "a@b/c.csv"):
        assert resolve(path) == public(path) == path
        assert scheme_of(path) is None
        assert not is_url(path)


@pytest.mark.parametrize(
    ("source", "resolved"),
    [
        ("postgresql://app:${PW}@h/db", "postgresql://app:p%40ss%2Fw%3A%25@h/db"),
        ("postgresql://${PW}:${PW}@${HOST}:1/${HOST}", "postgresql://p%40ss%2Fw%3A%25:p%40ss%2Fw%3A%25@db.local:1/db.local"),
        ("s3://${HOST}/a@b/*.csv", "s3://db.local/a@b/*.csv"),
        ("${URL}", "postgresql://u:secret@h/db"),
        ("gs://b/$HOST.csv", "gs://b/$HOST.csv"),
    ],
)  # fmt: skip
def test_variables_are_taken_from_the_environment(source: str, resolved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PW", "p@ss/w:%")
    monkeypatch.setenv("HOST", "db.local")
    monkeypatch.setenv("URL", "postgresql://u:secret@h/db")
    assert resolve(source) == resolved


@pytest.mark.parametrize(("value", "received"), [(None, "none"), ("", "an empty one")])
def test_a_missing_variable_is_named(value: str | None, received: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PW", raising=False)
    if value is not None:
        monkeypatch.setenv("PW", value)
    with pytest.raises(HeadraceError) as caught:
        resolve("postgresql://app:${PW}@h/db?x=1")
    assert str(caught.value) == (
        "postgresql://h/db: expected the environment variable PW, which the URL names. "
        f"Received: {received}; set it where the step runs that opens the source"
    )


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("postgresql://u:p@h:5/db?sslpassword=x", "postgresql://h:5/db"),
        ("postgresql://u:p/w@x@h/db", "postgresql://h/db"),
        ("gs://bucket/day=2020-0?/a@b.csv", "gs://bucket/day=2020-0?/a@b.csv"),
        ("https://u:p@h/x.csv?sig=abc", "https://h/x.csv"),
        ("s3://key:secret@bucket/x", "s3://bucket/x"),
        ("${URL}", "${URL}"),
    ],
)
def test_what_is_shown_of_a_url(source: str, shown: str) -> None:
    assert public(source) == shown


@given(secret=SECRETS, user=st.text(st.characters(codec="ascii", categories=["L"]), max_size=3))
@example(secret="p@ss word", user="")
@example(secret="a/b?c#d@e", user="x")
@example(secret="%41%42%43", user="")
@example(secret="\\n'\"\\'quote", user="")
def test_no_message_shows_a_password(secret: str, user: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADRACE_TEST_PW", secret)
        for source in (
            "postgresql://" + user + ":${HEADRACE_TEST_PW}@host/db",
            "https://host/x.csv?token=${HEADRACE_TEST_PW}",
            f"postgresql://{user}:{quote(secret, safe='')}@host/db",
        ):
            url = resolve(source)
            message = f"cannot reach {url}: {secret!r} or {secret} or {quote(secret, safe='')}; {ValueError(url)!r}"
            for spelling in {secret, quote(secret, safe=""), unquote(secret), repr(secret)[1:-1]} - {""}:
                assert spelling not in redact(message, source)
                assert spelling not in public(source)


def test_a_message_with_other_urls_is_kept_readable() -> None:
    text = "no route to https://host/path?page=2&token=abcdef from postgres://u:p@h/d"
    assert redact(text, "gs://b/x") == "no route to https://host/path?page=2&token=*** from postgres://***@h/d"


def test_a_variable_that_holds_the_whole_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URL", "postgresql://u:s3cr3t@h/db")
    assert "s3cr3t" not in redact("FATAL: s3cr3t is wrong for postgresql://u:s3cr3t@h/db", "${URL}")
    assert urlsplit(resolve("${URL}")).password == "s3cr3t"
