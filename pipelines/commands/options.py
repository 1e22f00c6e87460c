"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from headrace.artifacts.csv_text import SEPARATORS

HOME = ".headrace"
PLATFORM = "HEADRACE_PLATFORM"


def _home(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    home = (value or Path(os.environ.get("HEADRACE_HOME") or HOME)).absolute()
    os.environ["HEADRACE_HOME"] = str(home)  # the local platform and the tasks find it there
    return home


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--home DIR`: where runs, models and endpoints are kept."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        callback=_home,
        help="Where runs, models and endpoints are kept. [default: $HEADRACE_HOME or ./.headrace]",
    )(command)


def platform_uri_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--platform URI`: where the registry is."""
    return click.option(
        "--platform",
        metavar="URI",
        envvar=PLATFORM,
        default="local",
        help="Where the registry is: local, mlflow:URL, vertex:PROJECT/LOCATION, kubeflow:NAMESPACE. "
        f"[default: ${PLATFORM} or local]",
    )(command)


def _separator(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    value = "\t" if value == "\\t" else value
    if value is not None and value not in SEPARATORS:
        raise click.BadParameter(f"expected one character, such as a semicolon, or \\t for a tab. Received: {value!r}")
    return value


def separator_option(of: str) -> Callable[..., Any]:
    """`--separator CHAR`: what stands between the fields of what is read."""
    return click.option(
        "--separator",
        metavar="CHAR",
        callback=_separator,
        help=f"Between the fields of {of}; \\t is a tab. [default: as in training]",
    )


def decimal_option(of: str) -> Callable[..., Any]:
    """`--decimal [.|,]`: what stands before a number's fraction in what is read."""
    return click.option(
        "--decimal", type=click.Choice([".", ","]), help=f"Before a fraction in {of}. [default: as in training]"
    )


def spec_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """`SPEC`: the spec's file, or a folder that has a spec.yaml."""
    return click.argument("spec", type=click.Path(path_type=Path), callback=_spec)(command)


def _spec(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    return value / "spec.yaml" if value.is_dir() else value
