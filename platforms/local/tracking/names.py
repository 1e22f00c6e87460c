"""What we keep as MLflow takes it: it refuses a whole batch for one name that it does not like."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from headrace.platforms.tracking import DATA, SOURCE, TrackedRun

# What kind of experiment it is, in MLflow's words, so that its pages need not guess it.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
CONTEXT = ("mlflow.data.context", "training")  # what the data was to a run

_LONGEST_NAME = 250
_LONGEST_VALUE = 6_000  # of a parameter; a tag may have 8,000
_FOREIGN = re.compile(r"[^/\w.\- :]")


class Data(NamedTuple):
    """A version of the data as MLflow's column of data sets shows it."""

    name: str
    digest: str
    source_type: str
    source: str


def data_of(run: TrackedRun) -> Data | None:
    """The data that a run learned from; of its digest the 36 hexadecimal digits that MLflow has room for."""
    if DATA not in run.tags:
        return None
    digest, source = run.tags[DATA], run.tags.get(SOURCE) or run.experiment
    return Data(source[:500], digest.removeprefix("sha256:")[:36], "headrace", json.dumps({"digest": digest}))


def names(given: Mapping[str, object]) -> dict[str, str]:
    """Each name as MLflow takes it: letters, digits and `/_.- :`, a clean path, not too long, and no two the same."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in given:
        clean = "/".join(part for part in _FOREIGN.sub("_", name).split("/") if part not in ("", ".", "..")) or "_"
        clean = f"_{clean}" if clean.startswith("..") else clean  # would lead out of a folder
        if len(clean) > _LONGEST_NAME or clean in taken:
            clean = f"{clean[: _LONGEST_NAME - 9]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        taken.add(clean)
        found[name] = clean
    return found


def short(value: str) -> str:
    """A value that fits; what is cut off is told by three dots."""
    return value if len(value) <= _LONGEST_VALUE else value[: _LONGEST_VALUE - 3] + "..."
