"""Which data version is meant by what was typed: a digest, a run, a model's version, or a folder."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import MANIFEST
from headrace.pipelines.data_versions.inventory import DataVersion, from_folder, placed, snapshots
from headrace.pipelines.data_versions.of_models import Trained
from headrace.pipelines.local.record.finding import find_run
from headrace.pipelines.local.record.record import Record, RecordError

REPRODUCES = "reproduces"  # the label of a run that trains a registered model again
SHORTEST = 8  # digits of a digest
_DIGITS = re.compile(rf"(?:sha256:)?([0-9a-f]{{{SHORTEST},64}})")
_SHOWN = 5
LISTED = "`headrace data list` lists them"


def find_version(
    text: str, versions: Sequence[DataVersion], record: Record | None, models: Sequence[Trained] = ()
) -> DataVersion:
    """The data version that a text means.

    That is a digest or its beginning (8 digits or more, with or without `sha256:`), a run (an id, its beginning,
    `latest`, `latest~1`, a pipeline's name) for the snapshot which that run used, `MODEL:VERSION` for the one which
    that model was trained from, or the folder of a snapshot.

    Raises:
        HeadraceError: no version, or several.
    """
    if (Path(text) / MANIFEST).is_file():
        return from_folder(Path(text), models)
    if ":" in text and not text.startswith("sha256:"):
        return _of_model(text, versions, models)
    if match := _DIGITS.fullmatch(text):
        found = [version for version in versions if version.digest.startswith(f"sha256:{match[1]}")]
        if len(found) > 1:
            raise HeadraceError(f"expected the beginning of one digest. Received: {text}, which begins {_some(found)}")
        if found:
            return found[0]
    if record is not None and not text.startswith("sha256:"):
        try:
            return _of_run(_latest(record) if text == "latest" else find_run(record, text), versions, record)
        except RecordError as error:
            if "expected one run" in str(error):  # several: that says more than that it is no digest
                raise
    raise HeadraceError(
        f"expected a data version: a digest of {SHORTEST} digits or more, a run, or MODEL:VERSION"
        f"{_near(text, versions, models)}. Received: {text}; {LISTED if versions else 'there is none yet'}"
    )


def _of_model(text: str, versions: Sequence[DataVersion], models: Sequence[Trained]) -> DataVersion:
    name, _, number = text.partition(":")
    for trained in models:
        if trained.model.name == name and number in (trained.model.version, *trained.model.aliases):
            if len(trained.data) != 1:
                said = "none" if not trained.data else f"different ones: {', '.join(trained.data)}"
                raise HeadraceError(f"{text}: expected one snapshot that it was trained from. Received: {said}")
            return next(version for version in versions if version.digest == trained.data[0])
    known = [trained.label for trained in models]
    raise HeadraceError(
        f"expected a registered version{_hint(text, known)}. Received: {text}; "
        f"there is {', '.join(known[-_SHOWN:]) or 'none yet'}"
    )


def _latest(record: Record) -> str:
    """The latest run that was not made to reproduce a model: that one used the data of long ago."""
    return next((run.id for run in record.runs() if REPRODUCES not in run.labels), "") or find_run(record, "latest")


def _of_run(run_id: str, versions: Sequence[DataVersion], record: Record) -> DataVersion:
    tasks = record.run(run_id).tasks.values()
    used = snapshots(placed(record.home, i) for task in tasks for items in task.artifacts.values() for i in items)
    found = [version for version in versions if version.digest in {item.digest for item in used}]
    extended = {version.open(verify=False).info.extends for version in found if version.there} if len(found) > 1 else ()
    found = [version for version in found if version.digest not in extended]  # read only to be added to
    if len(found) != 1:
        said = f"{len(found)}: {_some(found)}" if found else "none"
        raise HeadraceError(f"expected a run that used one snapshot. Received: {run_id}, which used {said}")
    return found[0]


def _some(versions: Sequence[DataVersion]) -> str:
    more = f" and {len(versions) - _SHOWN} more" if len(versions) > _SHOWN else ""
    return ", ".join(version.digest for version in versions[:_SHOWN]) + more


def _near(text: str, versions: Sequence[DataVersion], models: Sequence[Trained]) -> str:
    digits = [version.digest.removeprefix("sha256:")[: max(SHORTEST, len(text))] for version in versions]
    return _hint(text.removeprefix("sha256:"), [*(trained.label for trained in models), *digits])


def _hint(text: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, names, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
