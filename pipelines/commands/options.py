"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

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


def spec_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """`SPEC`: the spec's file, or a folder that has a spec.yaml."""
    return click.argument("spec", type=click.Path(path_type=Path), callback=_spec)(command)


def _spec(ctx: click.Context, parameter: click.Parameter, value: Path) -> Path:
    return value / "spec.yaml" if value.is_dir() else value
