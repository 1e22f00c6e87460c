"""Batch prediction as a pipeline's step: what its parameters mean, and where its outputs go."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import write_json
from headrace.components.batch_predict.batch_predict import batch_predict
from headrace.components.batch_predict.check import check_sources
from headrace.components.batch_predict.job import Job, Reading, content_digest, data_spec
from headrace.components.batch_predict.parts import Work
from headrace.components.batch_predict.report import write_report
from headrace.components.batch_predict.rows import open_rows
from headrace.components.batch_predict.score import REJECTS
from headrace.components.fingerprint.url import sources_of
from headrace.components.statistics.spec import runner_of
from headrace.platforms.interface import ModelVersion
from headrace.platforms.meant import meant
from headrace.platforms.open import open_platform

_MANIFEST = "_manifest.json"  # in the folder of the answers: readers of such folders skip what begins with a line


class Ran(NamedTuple):
    """What a step did."""

    rows: int
    rejected: int
    model: str  # the bundle's digest


def run(
    model: Path,
    source: str,
    predictions: Path,
    rejects: Path,
    report: Path,
    *,
    version: str,
    options: Mapping[str, Any],
    reading: Mapping[str, Any],
    beam_runner: str,
    beam_options: Mapping[str, Any],
) -> Ran:
    """Makes the answers in a folder beside `predictions`, and moves them there; see the component for the parameters.

    Raises:
        HeadraceError: the source does not fit the model, or too many rows have no answer.
    """
    bundle = Bundle.open(model)
    if version:
        bundle = bundle.registered(version)
    beam = runner_of(None, beam_runner, beam_options) if beam_runner else None
    predictions.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".batch-", dir=predictions.parent) as folder:
        output = Path(folder) / "predictions"
        job = Job(tuple(sources_of(source)), output, reading=_reading(reading), beam=beam, **options)
        try:
            found = batch_predict(job, bundle)
        except BaseException:
            Work(job, bundle.signature).forget()  # without this folder nobody would find what Beam's workers shared
            raise
        for place in (report, rejects):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_report(report, found, bundle)
        if found.files.rejects is not None:
            found.files.rejects.replace(rejects)
        else:
            pq.write_table(REJECTS.empty_table(), rejects)
        found.files.manifest.replace(output / _MANIFEST)
        output.replace(predictions)
    for note in found.notes:
        print(note)
    print(f"{found.rows:,} rows have an answer, {found.rejected:,} have none")
    return Ran(found.rows, found.rejected, bundle.digest)


def check(model: Path, source: str, reading: Mapping[str, Any], key: str, keep: Sequence[str], output: Path) -> str:
    """Opens the sources, compares them with the model, and writes down the columns.

    Returns:
        the digest of the sources' content.

    Raises:
        HeadraceError: with all that does not fit.
    """
    bundle = Bundle.open(model)
    rows = Path("rows.jsonl")  # the format that takes most: which it will be is not known here
    job = Job(tuple(sources_of(source)), rows, key=key or None, keep=tuple(keep), reading=_reading(reading))
    data = data_spec(job, bundle)
    sources = open_rows(job.sources, data)
    check_sources(job, bundle, sources)
    columns = {one.opened.name: {field.name: str(field.type) for field in one.schema} for one in sources}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, columns)
    print(f"{len(sources)} files or tables have the {len(bundle.signature.inputs)} columns of {bundle.name}")
    return content_digest(job, data)


def fetch(platform: str, name: str, output: Path) -> ModelVersion:
    """Writes the bundle that a name means to `output`.

    Raises:
        HeadraceError: nothing has that name, or the bundle is damaged.
    """
    opened = open_platform(platform)
    found = meant(opened, name, f"in {platform}")
    opened.registry.download(found.name, found.version, output)
    print(f"{name}: version {found.version} of {found.name} ({found.digest[:19]})")
    return found


def _reading(given: Mapping[str, Any]) -> Reading:
    known = {field.name for field in fields(Reading)}
    if unknown := sorted(set(given) - known):
        raise HeadraceError(f"reading: expected {', '.join(sorted(known))}. Received: {', '.join(unknown)}")
    nulls = given.get("null_values")
    values = {name: value for name, value in json.loads(json.dumps(dict(given))).items() if value is not None}
    return Reading(**{**values, **({} if nulls is None else {"null_values": tuple(nulls)})})
