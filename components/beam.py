"""Apache Beam as every step runs it: its runner, its options, and a folder that its workers share."""

from __future__ import annotations

import difflib
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions, SetupOptions, WorkerOptions

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST
from headrace.components.statistics.spec import BeamSpec


def runner(name: str) -> Any:
    """The runner of this name. `DirectRunner` is the one in this process: Beam's own would download another first."""
    if name == "DirectRunner":
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        return FnApiRunner()
    return name


def pipeline_options(settings: BeamSpec, section: str) -> PipelineOptions:
    """Beam's options; `section` of the spec is what messages name.

    Raises:
        HeadraceError: an option that Beam does not have, or one missing that the runner needs.
    """
    named = {**settings.options, **({} if settings.runner == "DirectRunner" else {"runner": settings.runner})}
    options = PipelineOptions.from_dictionary(named)
    known = set(options.get_all_options())
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else "Beam's documentation lists them"
            raise HeadraceError(
                f"{section}.options: expected options of Beam {beam.__version__}. Received: `{name}`; {hint}"
            )
    if settings.runner == "DataflowRunner":
        _check_dataflow(options, section)
    return options


def _check_dataflow(options: PipelineOptions, section: str) -> None:
    cloud = options.view_as(GoogleCloudOptions)
    missing = [name for name in ("project", "region", "temp_location") if not getattr(cloud, name)]
    if missing:
        raise HeadraceError(f"{section}.options: expected {', '.join(missing)} for DataflowRunner. Received: nothing")
    if not (options.view_as(WorkerOptions).sdk_container_image or options.view_as(SetupOptions).setup_file):
        raise HeadraceError(
            f"{section}.options: expected sdk_container_image, an image with the step's environment, for "
            "DataflowRunner. Received: nothing. setup_file: ./setup.py puts this version of headrace into it"
        )


def temporary(options: PipelineOptions, runner: str, section: str) -> str:
    """A folder that the workers can write to, and this process can read."""
    folder = options.view_as(GoogleCloudOptions).temp_location
    if folder:
        return str(folder).rstrip("/")
    if runner != "DirectRunner":
        raise HeadraceError(
            f"{section}.options: expected temp_location, a folder that workers and this machine share, "
            f"for {runner}. Received: nothing"
        )
    return tempfile.gettempdir()


def upload_bundle(bundle: Path, place: str) -> None:
    """Puts a bundle where workers can read it."""
    for file in sorted(bundle.rglob("*")):
        if file.is_file():
            with FileSystems.create(f"{place}/{file.relative_to(bundle).as_posix()}") as written:
                written.write(file.read_bytes())


@functools.lru_cache(maxsize=1)
def fetched_bundle(place: str) -> Bundle:
    """The bundle that was put there, brought to this worker once, and checked."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-model-")) / "bundle"
    with FileSystems.open(f"{place}/{MANIFEST}") as file:
        names = [MANIFEST, *json.loads(file.read())["files"]]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with FileSystems.open(f"{place}/{name}") as file:
            (folder / name).write_bytes(file.read())
    return Bundle.open(folder)
