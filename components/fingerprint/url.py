"""A source's URL: what is secret in it comes from the environment, and never appears in a message or an artifact.

A spec says `postgresql://app:${DB_PASSWORD}@host/db`. Only the process that opens the source replaces `${DB_PASSWORD}`
by the environment's value (`resolve`); everything that is printed or stored goes through `public` or `redact`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from headrace.artifacts.errors import HeadraceError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")  # two letters at least: C:// is a drive
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_USERINFO = re.compile(r"(?<=://)[^/\s?#]*@")
# Up to the last @ of all: a password with a slash or an @ in it that nobody encoded is hidden whole. An object's name
# in a bucket may have an @ in it, a database's address may not.
_DATABASE_USERINFO = re.compile(r"(?<=://)\S*@")
_DATABASES = ("postgresql", "postgres")
_QUERY = re.compile(r"(?<=[?&])([^=&\s#]+)=([^&\s#\"']*)")
_SECRET_NAME = re.compile(r"pass|secret|token|key|sig|credential", re.IGNORECASE)
_SQLITE = "sqlite:///"
HIDDEN = "***"


def scheme_of(source: str) -> str | None:
    """The scheme of a URL in lower case; None for a path.

    >>> scheme_of("gs://bucket/rows.csv"), scheme_of("data/rows.csv")
    ('gs', None)
    """
    found = _SCHEME.match(source)
    return found[1].lower() if found else None


def resolve(source: str) -> str:
    """The source with every `${NAME}` replaced by the environment's value; a plain path is left as it is.

    Before the `@` of a URL the value is percent-encoded, so that a password may have any character in it.

    Raises:
        HeadraceError: a variable is not set, or empty.
    """
    if not is_url(source):
        return source
    userinfo = _userinfo(source)
    end = userinfo.end() if userinfo else 0

    def value(found: re.Match[str]) -> str:
        text = os.environ.get(found[1], "")
        if not text:
            raise HeadraceError(
                f"{public(source)}: expected the environment variable {found[1]}, which the URL names. "
                f"Received: {'an empty one' if found[1] in os.environ else 'none'}; "
                "set it where the step runs that opens the source"
            )
        return quote(text, safe="") if found.start() < end else text

    return _NAME.sub(value, source)


def is_url(source: str) -> bool:
    """Whether a source is a URL, or a variable that holds one, and no path.

    >>> is_url("s3://bucket/x.csv"), is_url("${DATABASE_URL}"), is_url("a/${b}.csv")
    (True, True, False)
    """
    return scheme_of(source) is not None or _NAME.match(source) is not None


def kind_of(source: str) -> str:
    """The scheme by which a source is opened, also where a variable holds the URL; empty for a path on this machine.

    >>> kind_of("postgres://h/db"), kind_of("file:///a.csv"), kind_of("rows.csv")
    ('postgresql', '', '')
    """
    scheme = scheme_of(resolve(source)) or ""
    return {"postgres": "postgresql", "file": "", "gcs": "gs", "s3a": "s3"}.get(scheme, scheme)


def local_path(source: str) -> str:
    """The path that a source on this machine names: `file:///data/rows.csv` is `/data/rows.csv`."""
    resolved = resolve(source)
    return resolved[len("file://") :] if resolved.lower().startswith("file://") else resolved


def sources_of(text: str) -> list[str]:
    """The sources that a parameter of a pipeline names, which is a text: one, or a list of them as JSON.

    >>> sources_of("rows.csv"), sources_of('["a.csv", "b.csv"]'), sources_of("[ab].csv")
    (['rows.csv'], ['a.csv', 'b.csv'], ['[ab].csv'])
    """
    if text.startswith('["') and text.endswith('"]'):
        with contextlib.suppress(json.JSONDecodeError):  # else it is a glob that looks like one
            return [str(one) for one in json.loads(text)]
    return [text]


def absolute(source: str, folder: Path | str) -> str:
    """The source as it can be opened from anywhere: a relative path, of an SQLite file too, lies in the folder.

    Args:
        source: a path or a URL.
        folder: a path, or a URL in a text.

    >>> absolute("a/*.csv", Path("/spec")), absolute("sqlite:///a.db", Path("/spec"))
    ('/spec/a/*.csv', 'sqlite:////spec/a.db')
    >>> absolute("gs://bucket/a.csv", Path("/spec"))
    'gs://bucket/a.csv'
    >>> absolute("plans.csv", "gs://bucket/spec")
    'gs://bucket/spec/plans.csv'
    """
    if isinstance(folder, str) and is_url(folder):
        return source if is_url(source) or source.startswith("/") else f"{folder.rstrip('/')}/{source}"
    folder = Path(folder)
    if source.lower().startswith(_SQLITE):
        return _SQLITE + str(folder / source[len(_SQLITE) :])
    return source if is_url(source) else str(folder / source)


def in_folder(data: dict[str, Any], folder: str) -> dict[str, Any]:
    """The `data` section with what it joins as it can be opened from anywhere; unchanged where no folder is named.

    >>> in_folder({"join": [{"source": "plans.csv", "on": ["plan"]}]}, "/spec")["join"]
    [{'source': '/spec/plans.csv', 'on': ['plan']}]
    """
    joins = data.get("join")
    if not folder or not joins:
        return data
    return {**data, "join": [{**join, "source": absolute(join["source"], folder)} for join in joins]}


def children_in_folder(aggregate: dict[str, Any], folder: str) -> dict[str, Any]:
    """The section `features.aggregate` with child tables as they can be opened from anywhere, as `in_folder`.

    >>> children_in_folder({"sessions": {"source": "sessions.parquet"}}, "/spec")
    {'sessions': {'source': '/spec/sessions.parquet'}}
    """
    if not folder:
        return aggregate
    return {
        name: {**one, "source": absolute(one["source"], folder)} if one.get("source") else one
        for name, one in aggregate.items()
    }


def public(source: str) -> str:
    """What may be printed and stored of a source: a URL without user, password and parameters.

    >>> public("postgresql://app:${PASSWORD}@host/db?sslmode=require")
    'postgresql://host/db'
    """
    if scheme_of(source) is None:
        return source
    userinfo = _userinfo(source)
    shown = source[: userinfo.start()] + source[userinfo.end() :] if userinfo else source
    return shown if scheme_of(source) not in _WITH_PARAMETERS else re.split(r"[?#]", shown, maxsplit=1)[0]


# In the others a question mark is a letter of a file's name, or of a glob.
_WITH_PARAMETERS = (*_DATABASES, "http", "https", "sqlite", "bigquery")


def redact(text: object, source: str) -> str:
    """A text from elsewhere, such as a server's message, without anything of the source that may be secret.

    Args:
        text: the text, or an exception.
        source: the source as the spec has it, with `${NAME}` in it.
    """
    shown = str(text)
    for secret in sorted(_secrets(source), key=len, reverse=True):
        shown = shown.replace(secret, HIDDEN)
    shown = _USERINFO.sub(f"{HIDDEN}@", shown)
    return _QUERY.sub(lambda found: f"{found[1]}={HIDDEN}" if _SECRET_NAME.search(found[1]) else found[0], shown)


def _secrets(source: str) -> set[str]:
    """The values that must not be shown, in each spelling that a message could have."""
    values = {os.environ.get(name, "") for name in _NAME.findall(source)} if is_url(source) else set()
    for url in (source, *values):  # a variable may hold the whole URL
        values = values | _passwords(url)
    with contextlib.suppress(HeadraceError):  # a variable that is not set has no value to hide
        values |= _passwords(resolve(source))
    values |= {quote(value, safe="") for value in values} | {unquote(value) for value in values}
    return {value for value in values | {repr(value)[1:-1] for value in values} if value and not _NAME.fullmatch(value)}


def _userinfo(url: str) -> re.Match[str] | None:
    return (_DATABASE_USERINFO if scheme_of(url) in _DATABASES else _USERINFO).search(url)


def _passwords(url: str) -> set[str]:
    if scheme_of(url) is None:
        return set()
    userinfo = _userinfo(url)
    found = {userinfo[0][:-1].partition(":")[2]} if userinfo else set()
    with contextlib.suppress(
        ValueError
    ):  # no valid URL, e.g. half an IPv6 address: the pattern has found what there is
        found.add(urlsplit(url).password or "")
    return found | {unquote(value) for name, value in _QUERY.findall(url) if _SECRET_NAME.search(name)}
