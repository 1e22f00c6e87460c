"""Answers the rows of a batch prediction job: `python -m headrace.emulator.batch_program FOLDER`.

It is run again, from the beginning, where it was killed. The folder of the output appears in one step, when it is
whole.
"""

from __future__ import annotations

import contextlib
import csv
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.emulator import attached

JOB, RESULT, ERROR, MODEL = "job.json", "result.json", "error.txt", "model"
RESULTS, ERRORS = "prediction.results-00000-of-00001", "prediction.errors_stats-00000-of-00001"
_READY = b" at http://"
_PATIENCE_S = 600.0  # for an answer of a container
_END_S = 15.0  # in which a container has ended
_TRIES = 5  # while a container says that it is busy
_MOST_SHOWN = 1000  # characters of a container's error

Ask = Callable[[list[Any]], list[Any]]
"""The predictions for some instances; raises `Refused`."""


class Refused(Exception):
    """A model does not answer these instances; says why."""


class Row(NamedTuple):
    """One of the input.

    Attributes:
        told: what the output repeats of it: `{"instance": ...}` or `{"key": ...}`, and excluded fields.
        instance: what the model is sent.
    """

    told: dict[str, Any]
    instance: Any


class Counted(NamedTuple):
    """Of the rows."""

    successful: int
    failed: int


def main(folder: str) -> int:
    """Does the job that is described in a folder."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a container is ended first
    place = Path(folder)
    job = json.loads((place / JOB).read_text())
    try:
        run(job, place)
    except (HeadraceError, OSError, UnicodeDecodeError, csv.Error) as error:
        (place / ERROR).write_text(str(error))
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        if (place / ERROR).exists() or (place / RESULT).exists():  # else it is run again
            shutil.rmtree(place / MODEL, ignore_errors=True)
    return 0


def run(job: dict[str, Any], place: Path) -> None:
    """Answers all rows, and puts the output where it belongs.

    Raises:
        HeadraceError: a source cannot be read, or the model cannot be started.
    """
    output, partial = Path(job["output"]), place / "partial"
    if output.is_dir() and (place / RESULT).exists():
        return  # it was killed behind its last step
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with _model(job) as ask, (partial / RESULTS).open("w") as results, (partial / ERRORS).open("w") as errors:
        counted = _write(ask, _rows(job), int(job["rows"]), results, errors)
        for file in (results, errors):
            file.flush()
            os.fsync(file.fileno())
    (place / RESULT).write_text(json.dumps(counted._asdict()))
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        partial.rename(output)
    except OSError:  # another disk
        near = output.with_name(f".{output.name}")
        shutil.rmtree(near, ignore_errors=True)
        shutil.copytree(partial, near)
        near.rename(output)
        shutil.rmtree(partial)


def _write(ask: Ask, rows: Iterator[Row], at_once: int, results: IO[str], errors: IO[str]) -> Counted:
    successful = failed = 0
    while some := list(islice(rows, at_once)):
        for row, answer, problem in _answers(ask, some):
            if problem:
                failed += 1
                errors.write(json.dumps({**row.told, "error": {"code": 3, "message": problem}}) + "\n")
            else:
                successful += 1
                results.write(json.dumps({**row.told, "prediction": answer}) + "\n")
    return Counted(successful, failed)


def _answers(ask: Ask, rows: list[Row]) -> Iterator[tuple[Row, Any, str]]:
    """Each with its answer, or what is wrong with it."""
    try:
        answers = ask([row.instance for row in rows])
    except Refused as error:
        if len(rows) == 1:
            yield rows[0], None, str(error)
            return
        for one in rows:
            yield from _answers(ask, [one])
        return
    for row, answer in zip(rows, answers, strict=True):
        yield row, answer, ""


@contextlib.contextmanager
def _model(job: dict[str, Any]) -> Iterator[Ask]:
    """What answers: a bundle in this process, or a container while the block runs."""
    if job.get("bundle"):
        yield _of_bundle(Path(job["bundle"]))
        return
    wrapper = str(attached.__file__)
    driver = [sys.executable, "-m", "headrace.emulator.container_program", job["container"]]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", wrapper, str(int(signal.SIGTERM)), str(os.getpid()), *driver],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if _READY not in line:
            raise HeadraceError("expected a container that gets ready. Received: see the log")
        address = urlsplit("http://" + line.rpartition(_READY)[2].decode().strip())
        yield _of_container(str(address.hostname), int(address.port or 0), job)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
        process.kill()
        process.wait()


def _of_bundle(folder: Path) -> Ask:
    from headrace.serving.request import BadRequest
    from headrace.serving.served import Served
    from headrace.serving.settings import Settings

    served = Served(Bundle.open(folder), Settings())

    def ask(instances: list[Any]) -> list[Any]:
        try:
            answer = served.scorer.score(json.dumps({"instances": instances}).encode())
        except BadRequest as error:
            raise Refused(str(error)) from None
        return list(json.loads(answer.body)["predictions"])

    return ask


def _of_container(host: str, port: int, job: dict[str, Any]) -> Ask:
    route, parameters = str(job["route"]), job.get("parameters")

    def ask(instances: list[Any]) -> list[Any]:
        body = json.dumps({"instances": instances, **({"parameters": parameters} if parameters is not None else {})})
        for left in reversed(range(_TRIES)):
            connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE_S)
            try:
                connection.request("POST", route, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise HeadraceError(f"expected an answer of the container. Received: {error!r}") from None
            finally:
                connection.close()
            if answer.status not in (429, 503) or not left:
                break
            time.sleep(1.0)
        shown = said[:_MOST_SHOWN].decode(errors="replace")
        if answer.status != 200:
            raise Refused(f"the container answered with HTTP status {answer.status}: {shown}")
        try:
            found = json.loads(said)["predictions"]
        except (ValueError, LookupError, TypeError):
            found = None
        if not isinstance(found, list) or len(found) != len(instances):
            raise Refused(f'expected {{"predictions": [...]}} with one for each of {len(instances)} instances: {shown}')
        return found

    return ask


def _rows(job: dict[str, Any]) -> Iterator[Row]:
    config = job.get("instances") or {}
    for source in job["sources"]:
        lines = _lines(Path(source)) if job["format"] == "jsonl" else _table(Path(source), config.get("keyField", ""))
        for told, instance in lines:
            if job["format"] == "jsonl" and config:
                yield _transformed(instance, config)
            else:
                yield Row(told, instance)


def _transformed(line: Any, config: dict[str, Any]) -> Row:
    """A line of JSON as `instanceConfig` has it.

    https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.batchPredictionJobs#InstanceConfig
    """
    key, included = config.get("keyField"), config.get("includedFields") or []
    excluded = config.get("excludedFields") or []
    if not isinstance(line, dict):
        raise HeadraceError(f"instance_config: expected an object on each line. Received: {line!r:.200}")
    if missing := [name for name in [*included, *([key] if key else [])] if name not in line]:
        raise HeadraceError(f"instance_config: expected {', '.join(missing)} on each line. Received: {line!r:.200}")
    names = included or [name for name in line if name not in excluded]
    fields = {name: line[name] for name in names if name != key}
    instance = list(fields.values()) if config.get("instanceType") == "array" else fields
    if key:
        return Row({"key": line[key]}, instance)
    return Row({"instance": instance, **{name: line[name] for name in excluded if name in line}}, instance)


def _lines(file: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    with file.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise HeadraceError(f"{file.name}, line {number}: expected JSON. Received: {error}") from None
                yield {"instance": found}, found


def _table(file: Path, key: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Rows of a CSV file as arrays: what stands in double quotes is a text, anything else a number.

    https://cloud.google.com/vertex-ai/docs/predictions/get-batch-predictions#csv
    """
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = next(csv.reader(stream), [])
        if key and key not in header:
            raise HeadraceError(f"{file.name}: expected the key_field {key} in its header. Received: {header}")
        place = header.index(key) if key else -1
        rows = csv.reader(stream, quoting=csv.QUOTE_NONNUMERIC)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except ValueError as error:
                raise HeadraceError(
                    f"{file.name}, line {rows.line_num + 1}: expected numbers, and texts in double quotes. "
                    f"Received: {error}"
                ) from None
            if not row:
                continue
            if len(row) != len(header):
                raise HeadraceError(
                    f"{file.name}, line {rows.line_num + 1}: expected {len(header)} values, as the header has. "
                    f"Received: {len(row)}"
                )
            instance = [value for at, value in enumerate(row) if at != place]
            yield {"key": row[place]} if key else {"instance": instance}, instance


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
