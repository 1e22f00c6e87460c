"""Where a stream is, as the command line says it.

redis://[USER:PASSWORD@]HOST[:PORT]/DB/STREAM     rediss:// over TLS; ?field=data &maxlen=N &remember=SECONDS
kafka://BROKER[:PORT][,BROKER...]/TOPIC
pubsub://PROJECT/SUBSCRIPTION                     as a sink pubsub://PROJECT/TOPIC
FILE.jsonl, or - for standard input and output
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from headrace.artifacts.errors import HeadraceError

FORMS = "redis://HOST:PORT/DB/STREAM, kafka://BROKER:PORT/TOPIC, pubsub://PROJECT/NAME, a file named .jsonl, or -"
_OPTIONS = {"redis": ("field", "maxlen", "remember"), "rediss": ("field", "maxlen", "remember")}


@dataclass(frozen=True)
class Place:
    """A source or a sink by its address."""

    scheme: str  # redis, rediss, kafka, pubsub, jsonl
    address: str  # host:port, brokers or a project
    name: str  # stream, topic, subscription or file
    user: str = field(default="", repr=False)  # user:password, as it is written in a URL
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The place for messages, without its password."""
        database = f"{self.options['db']}/" if "db" in self.options else ""
        return self.name if self.scheme == "jsonl" else f"{self.scheme}://{self.address}/{database}{self.name}"

    def number(self, option: str, default: int) -> int:
        """An option that is a whole number.

        Raises:
            HeadraceError: it is none.
        """
        text = self.options.get(option, str(default))
        if not text.isdigit():
            raise HeadraceError(f"{self.shown}: expected a whole number as {option}. Received: {text!r}")
        return int(text)


def parse(text: str, what: str) -> Place:
    """A place by its address; `what` (source, sink) is for the errors.

    Raises:
        HeadraceError: it is none of the forms above.
    """
    if "://" not in text:
        if text == "-" or text.endswith((".jsonl", ".ndjson")):
            return Place("jsonl", "", text)
        raise HeadraceError(f"{what}: expected {FORMS}. Received: {text!r}")
    scheme, _, rest = text.partition("://")
    before, _, query = rest.partition("?")
    if scheme not in ("redis", "rediss", "kafka", "pubsub"):
        raise HeadraceError(f"{what}: expected {FORMS}. Received: the scheme {scheme!r}")
    location, _, path = before.partition("/")
    user, _, address = location.rpartition("@")
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = _OPTIONS.get(scheme, ())
    if unknown := [name for name in options if name not in known]:
        there = ", ".join(known) or "none"
        raise HeadraceError(f"{what}: expected of the options {there}. Received: {unknown[0]!r}")
    if scheme in ("redis", "rediss"):
        database, _, path = path.partition("/")
        if not database.isdigit():
            form = f"{scheme}://HOST:PORT/DB/STREAM, such as {scheme}://localhost:6379/0/events"
            raise HeadraceError(f"{what}: expected {form}. Received: {database!r} as the database")
        options["db"] = database
        _check_host(address, what)
    elif user:
        raise HeadraceError(f"{what}: expected no user in {scheme}://. Received: one; see --kafka-config")
    if not address or not path:
        raise HeadraceError(f"{what}: expected {FORMS}. Received: {scheme}://{address}/{path}")
    return Place(scheme, address, unquote(path), user, options)


def _check_host(address: str, what: str) -> None:
    try:
        fine = bool(urlsplit(f"//{address}").hostname) and (urlsplit(f"//{address}").port or 0) >= 0
    except ValueError:
        fine = False
    if not fine:
        raise HeadraceError(f"{what}: expected HOST or HOST:PORT. Received: {address!r}")
