"""The settings as options of a command line, each said once: in `Settings`."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple, get_type_hints

from headrace.serving.settings import Settings


class Option(NamedTuple):
    """One setting that a user may give."""

    name: str  # the field's
    flag: str  # --max-body
    type: type  # int, float, str or bool; a bool takes no value
    default: Any
    help: str
    metavar: str


def options() -> Iterator[Option]:
    """All of them, in the order of the fields."""
    types = get_type_hints(Settings)
    for item in dataclasses.fields(Settings):
        if about := item.metadata:
            kind = types[item.name]
            plain = kind if isinstance(kind, type) else next(one for one in kind.__args__ if one is not type(None))
            flag = "--" + item.name.replace("_", "-")
            yield Option(item.name, flag, plain, item.default, about["help"], about["metavar"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Gives a parser all options. What is not given is absent from its result: `Settings` has the defaults."""
    for one in options():
        if one.type is bool:
            parser.add_argument(one.flag, action="store_true", default=argparse.SUPPRESS, help=one.help)
            continue
        told = one.help if one.default is None else f"{one.help} (default {one.default})"
        parser.add_argument(one.flag, type=one.type, metavar=one.metavar, default=argparse.SUPPRESS, help=told)
