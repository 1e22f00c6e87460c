"""The rules: which events start which pipeline, with what."""

from __future__ import annotations

import difflib
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, field_validator, model_validator

from headrace.artifacts.errors import HeadraceError
from headrace.components.section import Section
from headrace.pipelines.events.event import MESSAGE, OBJECT, SCHEDULE, Event
from headrace.pipelines.events.patterns import check_pattern, check_text, field, matches
from headrace.pipelines.yaml_lines import YamlFile, read_yaml

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?")
UNFINISHED = ("**/.*", "**/*.tmp", "**/*.part", "**/*.partial", "**/_temporary/**")


class RulesError(HeadraceError):
    """The rules are not what they should be; the message names file, line and field."""


class ObjectRule(Section):
    """A new file, or a new state of one."""

    match: str
    """A pattern of addresses, `gs://BUCKET/incoming/*.csv`, or of paths; a relative one lies beside the rules. `*`
    stands for no `/`, `**/` for any folders."""
    ignore: tuple[str, ...] = UNFINISHED
    """Patterns of addresses that start nothing: what writers use before a file is whole."""

    @field_validator("match")
    @classmethod
    def _pattern(cls, value: str) -> str:
        return check_pattern(value)

    @field_validator("ignore")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_pattern(one) for one in value)

    def means(self, event: Event) -> bool:
        """Whether the rule is about this object. A name that ends in `/` is a folder's, and no file."""
        address = event.subject
        return (
            not address.endswith("/")
            and matches(self.match, address)
            and not any(matches(pattern, address) for pattern in self.ignore)
        )


class MessageRule(Section):
    """A message of Pub/Sub, or a CloudEvent."""

    source: str = "**"
    """A pattern of what tells of it: `projects/P/subscriptions/S` of a push, a CloudEvent's source."""
    type: str = "**"
    """A pattern of the CloudEvent's type."""
    where: dict[str, str] = Field(default={})
    """Patterns by field: `attributes.NAME`, or `data.NAME` of a payload in JSON. All have to hold."""

    @field_validator("source", "type")
    @classmethod
    def _pattern(cls, value: str) -> str:
        return check_pattern(value)

    @field_validator("where")
    @classmethod
    def _fields(cls, value: dict[str, str]) -> dict[str, str]:
        for name, pattern in value.items():
            if not re.fullmatch(r"(data|attributes)\.[^{}]+", name):
                raise ValueError(f"expected data.NAME or attributes.NAME. Received: {name!r}")
            check_text(f"{{{name}}}")
            check_pattern(pattern)
        return value

    def means(self, event: Event) -> bool:
        """Whether the rule is about this message."""
        if not matches(self.source, event.source) or not matches(self.type, event.type):
            return False
        found = {name: field(event, name) for name in self.where}
        return all(text is not None and matches(self.where[name], text) for name, text in found.items())


class ScheduleRule(Section):
    """Hours. Cloud Scheduler calls `/schedule/NAME`; `headrace watch` keeps the time by itself."""

    cron: str
    """Five fields, as in crontab(5)."""
    timezone: str = "UTC"
    """Of the cron's hours, as the IANA database names it."""
    catch_up: bool = True
    """Whether the latest hour that was missed, while nothing watched, is made up for."""

    @field_validator("cron")
    @classmethod
    def _five_fields(cls, value: str) -> str:
        from datetime import UTC, datetime

        from cronsim import CronSim, CronSimError

        try:
            if len(value.split()) != 5:
                raise CronSimError("it has another number of fields")
            next(CronSim(value, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            told = str(error) or "no day is like that"
            raise ValueError(f"expected five fields, as in `0 3 * * 1-5`. Received: {value!r} ({told})") from None
        return value

    @field_validator("timezone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"expected a time zone such as Europe/Zurich. Received: {value!r}") from None
        return value


class Rule(Section):
    """Events of one kind, and the pipeline that each of them starts."""

    name: str
    """Names the rule and, in the ledger, what it started: lower-case letters, digits and hyphens, up to 40."""
    object: ObjectRule | None = None
    """Starts on a new file."""
    message: MessageRule | None = None
    """Starts on a message."""
    schedule: ScheduleRule | None = None
    """Starts at certain hours."""
    pipeline: str
    """A spec or a compiled pipeline; beside the rules, or at an address (`gs://...`: compiled)."""
    parameters: dict[str, str | int | float | bool] = Field(default={})
    """Parameters of the pipeline. Texts may have fields of the event in braces: `{uri}`, `{date}`, `{data.NAME}`."""

    @field_validator("name")
    @classmethod
    def _id(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError(f"expected lower-case letters, digits and hyphens, a letter first. Received: {value!r}")
        return value

    @field_validator("parameters")
    @classmethod
    def _texts(cls, value: dict[str, Any]) -> dict[str, Any]:
        for text in value.values():
            if isinstance(text, str):
                check_text(text)
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Rule:
        given = [kind for kind in (OBJECT, MESSAGE, SCHEDULE) if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of object, message, schedule. Received: {' and '.join(given) or 'none'}")
        return self

    def means(self, event: Event) -> bool:
        """Whether this event starts the rule's pipeline."""
        if event.kind == SCHEDULE:
            return self.schedule is not None and event.subject == self.name
        rule = self.object if event.kind == OBJECT else self.message
        return rule is not None and rule.means(event)


class Rules(Section):
    """A file of rules."""

    rules: list[Rule] = Field(min_length=1)
    """An event may start the pipelines of several rules, each once."""

    @field_validator("rules")
    @classmethod
    def _names_are_taken_once(cls, value: list[Rule]) -> list[Rule]:
        names = [rule.name for rule in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"expected each rule to have a name of its own. Received: {', '.join(twice)} twice")
        return value


def load_rules(place: str) -> list[Rule]:
    """Reads and checks a file of rules; what is relative in it lies beside it.

    Args:
        place: a path, or an address that fsspec opens, such as `gs://BUCKET/rules.yaml`.

    Raises:
        RulesError: every mistake, a line each: file, line, field, what was expected, what was received.
        HeadraceError: it cannot be read.
    """
    if "://" not in place:
        file = Path(place).absolute()
        return [_beside(rule, str(file.parent)) for rule in _checked(read_yaml(file))]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_bytes(read_address(place))
        try:
            found = _checked(read_yaml(file))
        except HeadraceError as error:
            raise RulesError(str(error).replace(str(file), place)) from None
    return [_beside(rule, place.rpartition("/")[0]) for rule in found]


def read_address(address: str) -> bytes:
    """The content of a file: a path, `gs://BUCKET/NAME`, or an address that fsspec opens.

    Raises:
        HeadraceError: it cannot be read.
    """
    try:
        if address.startswith("gs://"):
            from google.cloud import storage

            return bytes(storage.Blob.from_uri(address, storage.Client()).download_as_bytes())
        import fsspec

        with fsspec.open(address, "rb") as stream:
            return bytes(stream.read())
    except Exception as error:  # noqa: BLE001 (each file system has errors of its own)
        told = f"{type(error).__name__}: {error}".splitlines()[0][:160]
        raise HeadraceError(f"{address}: expected a file that can be read. Received: {told}") from None


class RulesFile:
    """The rules of now: read again once a minute at most. A file that has a mistake changes nothing, and is told of."""

    def __init__(
        self,
        place: str,
        complain: Callable[[str], None],
        every_s: float = 60.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._complain, self._every, self._now = place, complain, every_s, now
        self._lock = threading.Lock()
        self._rules, self._read = load_rules(place), now()

    def __call__(self) -> list[Rule]:
        """The rules."""
        with self._lock:
            if self._now() - self._read >= self._every:
                self._read = self._now()
                try:
                    self._rules = load_rules(self._place)
                except HeadraceError as error:
                    self._complain(f"the rules stay as they were: {error}")
            return self._rules


def _beside(rule: Rule, folder: str) -> Rule:
    changes: dict[str, Any] = {"pipeline": _joined(folder, rule.pipeline)}
    if rule.object is not None:
        changes["object"] = rule.object.model_copy(update={"match": _joined(folder, rule.object.match)})
    return rule.model_copy(update=changes)


def _joined(folder: str, path: str) -> str:
    return path if "://" in path or path.startswith("/") else f"{folder}/{path.removeprefix('./')}"


def _checked(yaml: YamlFile) -> list[Rule]:
    try:
        return Rules.model_validate(yaml.value).rules
    except ValidationError as error:
        raise RulesError("\n".join(_message(yaml, entry) for entry in error.errors(include_url=False))) from None


def _message(yaml: YamlFile, error: Any) -> str:
    place: tuple[str | int, ...] = error["loc"]
    where = f"{yaml.file}:{yaml.line(place)}: "
    name = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        sections: dict[str, type[Section]] = {OBJECT: ObjectRule, MESSAGE: MessageRule, SCHEDULE: ScheduleRule}
        inner = [part for part in place[:-1] if isinstance(part, str)]
        section: type[Section] = sections.get(inner[-1], Rule) if len(inner) > 1 else Rule if inner else Rules
        known = list(section.known_fields())
        near = difflib.get_close_matches(str(place[-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"the fields here are {', '.join(known)}"
        return f"{where}unknown field `{place[-1]}`; {hint}"
    if error["type"] == "missing":
        return f"{where}{name}: expected this field. Received: nothing"
    if error["type"] == "value_error":
        return f"{where}{name + ': ' if name else ''}{error['ctx']['error']}"
    told = error["msg"].removeprefix("Input should be ")
    return f"{where}{name + ': ' if name else ''}expected {told}. Received: {str(error['input'])[:60]!r}"
