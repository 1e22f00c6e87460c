"""Answers the rows of a batch prediction job: `python -m headrace.emulator.batch_program FOLDER`.

It is run again, from the beginning, where it was killed: the output appears in one step, when it is whole.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.signature import Signature
from headrace.serving.request import BadRequest
from headrace.serving.served import Served
from headrace.serving.settings import Settings

JOB, RESULT, ERROR = "job.json", "result.json", "error.txt"
RESULTS, ERRORS = "prediction.results-00000-of-00001", "prediction.errors_stats-00000-of-00001"
_ROWS = 256  # that are scored at a time


class Counted(NamedTuple):
    """Of the rows."""

    successful: int
    failed: int


def main(folder: str) -> int:
    """Does the job that is described in a folder."""
    place = Path(folder)
    job = json.loads((place / JOB).read_text())
    try:
        counted = run(Bundle.open(job["bundle"]), job, place / "partial")
    except (HeadraceError, OSError, UnicodeDecodeError, csv.Error) as error:
        (place / ERROR).write_text(str(error))
        print(f"error: {error}", file=sys.stderr)
        return 1
    (place / RESULT).write_text(json.dumps(counted._asdict()))
    return 0


def run(bundle: Bundle, job: dict[str, Any], partial: Path) -> Counted:
    """Answers all rows.

    Raises:
        HeadraceError: a source cannot be read.
    """
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    served = Served(bundle, Settings())
    successful = failed = 0
    with (partial / RESULTS).open("w") as results, (partial / ERRORS).open("w") as errors:
        rows = _instances(job, bundle.signature)
        while some := list(islice(rows, _ROWS)):
            for instance, answer, problem in _answers(served, some):
                if problem:
                    failed += 1
                    told = {"instance": instance, "error": {"code": 3, "message": problem}}
                    errors.write(json.dumps(told) + "\n")
                else:
                    successful += 1
                    results.write(json.dumps({"instance": instance, "prediction": answer}) + "\n")
    output = Path(job["output"])
    output.mkdir(parents=True, exist_ok=True)
    for file in (partial / RESULTS, partial / ERRORS):
        moved = output.with_name(f".{output.name}.{file.name}")
        shutil.copyfile(file, moved)  # the folder may be on another disk
        moved.replace(output / file.name)
    shutil.rmtree(partial)
    return Counted(successful, failed)


def _answers(served: Served, instances: list[Any]) -> Iterator[tuple[Any, Any, str]]:
    """Each with its answer, or what is wrong with it."""
    try:
        body = json.dumps({"instances": instances}).encode()
        answers = json.loads(served.scorer.score(body).body)["predictions"]
    except BadRequest as error:
        if len(instances) == 1:
            yield instances[0], None, str(error)
            return
        for one in instances:
            yield from _answers(served, [one])
        return
    for instance, answer in zip(instances, answers, strict=True):
        yield instance, answer, ""


def _instances(job: dict[str, Any], signature: Signature) -> Iterator[Any]:
    for source in job["sources"]:
        if job["format"] == "jsonl":
            yield from _lines(Path(source))
        else:
            yield from _rows(Path(source), signature)


def _lines(file: Path) -> Iterator[Any]:
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise HeadraceError(f"{file.name}, line {number}: expected JSON. Received: {error}") from None


def _rows(file: Path, signature: Signature) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file with a header, as objects of the types that the model takes."""
    types = {item.name: item.type for item in signature.inputs}
    with file.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            yield {
                str(name): _cell(value, types.get(str(name), "text")) for name, value in row.items() if name is not None
            }


def _cell(text: str | None, kind: str) -> Any:
    if not text:
        return None
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind == "number":
        try:
            return float(text)
        except ValueError:
            return text  # which the model refuses, and says so
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
