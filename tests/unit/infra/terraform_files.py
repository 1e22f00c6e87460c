"""What infra/*.tf say, read by python-hcl2: blocks as plain values, expressions as text."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2
from hcl2.utils import SerializationOptions

ROOT = Path(__file__).parents[3]
INFRA = ROOT / "infra"
_PLAIN = SerializationOptions(with_comments=False, strip_string_quotes=True)
_REFERENCE = re.compile(
    r"(?<![\w.\"/@-])(?P<head>var|local|data|each|google_[a-z0-9_]+)"
    r"\.(?P<first>[a-zA-Z_][\w-]*)(?P<rest>(?:\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)?\])?(?:\.[a-z_][\w]*)*)"
)


@dataclass
class Module:
    """A folder of Terraform files."""

    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    locals: dict[str, Any] = field(default_factory=dict)
    resources: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    data: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def of(self, suffix: str) -> dict[tuple[str, str], dict[str, Any]]:
        """The resources of which the type ends so."""
        return {key: body for key, body in self.resources.items() if key[0].endswith(suffix)}


def load(texts: dict[str, str] | None = None) -> Module:
    """Reads the files; or given texts by their names.

    Raises:
        ValueError: two blocks have one name.
        lark.exceptions.LarkError: a text is no HCL.
    """
    module = Module()
    for name, text in (texts or {file.name: file.read_text() for file in sorted(INFRA.glob("*.tf"))}).items():
        document = hcl2.loads(text, serialization_options=_PLAIN)
        for kind, target in (("variable", module.variables), ("output", module.outputs)):
            for block in document.get(kind, []):
                _put(target, _without_marks(block), name)
        for block in document.get("locals", []):
            _put(module.locals, _without_marks(block), name)
        for kind, typed in (("resource", module.resources), ("data", module.data)):
            for block in document.get(kind, []):
                for type, named in _without_marks(block).items():
                    _put(typed, {(type, label): body for label, body in _without_marks(named).items()}, name)
    return module


def _put(target: dict[Any, Any], found: dict[Any, Any], file: str) -> None:
    if twice := set(found) & set(target):
        raise ValueError(f"{file}: expected a name once. Received again: {sorted(map(str, twice))}")
    target.update(found)


def _without_marks(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if not key.startswith("__")}


def body(block: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """A block's arguments and blocks: the name, the value (of blocks a list of bodies), and whether it is a block.

    `dynamic "x" { content {...} }` counts as the block x.
    """
    for name, value in _without_marks(block).items():
        if name == "dynamic":
            for dynamic in value:
                for inner, settings in _without_marks(dynamic).items():
                    yield inner, settings["content"], True
        elif (
            isinstance(value, list)
            and value
            and all(isinstance(one, dict) and one.get("__is_block__") for one in value)
        ):
            yield name, value, True
        else:
            yield name, value, False


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, keys too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def references(value: Any) -> Iterator[re.Match[str]]:
    """`var.x`, `local.x`, `data.T.N.attr`, `google_T.N[...].attr` in the expressions of a value."""
    for text in texts(value):
        yield from _REFERENCE.finditer(text)


@functools.cache
def infra() -> Module:
    """infra/ itself."""
    return load()


@dataclass(frozen=True)
class Grant:
    """That an account has a role on something, and which calls need it."""

    account: str
    role: str
    on: str
    because: str

    @property
    def row(self) -> str:
        """Of the table in docs/infrastructure.md."""
        role = self.role.removeprefix("roles/")
        return f"| `{self.account}` | `{role}` | {self.on} | {self.because} |"


def grants() -> list[Grant]:
    """The accounts' grants, as access.tf lists them."""
    named = infra().locals
    found = [
        Grant(account, role, "the project", because)
        for account, roles in _items(named["project_grants"])
        for role, because in _items(roles)
    ]
    for table, kind in (
        ("bucket_grants", "bucket"),
        ("dataset_grants", "data set"),
        ("repository_grants", "repository"),
    ):
        found += [
            Grant(account, role, f"{kind} `{place}`", because)
            for place, accounts in _items(named[table])
            for account, roles in _items(accounts)
            for role, because in _items(roles)
        ]
    found += [
        Grant(user, "roles/iam.serviceAccountUser", f"account `{used}`", because)
        for used, users in _items(named["acting_grants"])
        for user, because in _items(users)
    ]
    folder = "folder `models/` of bucket `main`"
    found.append(
        Grant(
            "headrace-serving",
            "roles/storage.objectViewer",
            folder,
            "the container loads its bundle (objects.get, list)",
        )
    )
    invoked = "service `headrace-events`"
    found.append(Grant("headrace-events-invoker", "roles/run.invoker", invoked, "POST /pubsub and /schedule/NAME"))
    return found


def _items(table: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in table.items() if not key.startswith("__")]
