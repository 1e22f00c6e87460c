"""The TFX pipeline of a spec on this machine: its data, its run in the `tfx` environment, its compiled form."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.dataset import Dataset
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import write_text
from headrace.pipelines.compiled import resolve_source
from headrace.pipelines.local.workers.environments import default_environments
from headrace.pipelines.spec import Spec, load_spec
from headrace.pipelines.tfx_plan import plan_of
from headrace.trainer.tfx.plan import Plan


class TfxFailed(HeadraceError):
    """TFX itself has failed; its log says why."""


@dataclass(frozen=True)
class Places:
    """Where what belongs to a model's TFX pipeline lies: in the home, in `tfx/NAME`."""

    folder: Path

    @property
    def root(self) -> Path:
        """TFX's artifacts."""
        return self.folder / "artifacts"

    @property
    def serving(self) -> Path:
        """What its Pusher pushes: a SavedModel in a folder of a growing number."""
        return self.folder / "serving"

    @property
    def metadata(self) -> Path:
        """TFX's metadata store."""
        return self.folder / "metadata.db"

    @property
    def plan(self) -> Path:
        """What its components are told."""
        return self.folder / "plan.json"

    @property
    def log(self) -> Path:
        """What TFX has printed."""
        return self.folder / "tfx.log"

    def snapshot(self, digest: str) -> Path:
        """The data, of one version."""
        return self.folder / "data" / digest.removeprefix("sha256:")[:16]


@dataclass(frozen=True)
class Prepared:
    """A spec's TFX pipeline, ready to run."""

    spec: Spec
    plan: Plan
    snapshot: Dataset
    places: Places
    schema: Path | None


def prepare(file: Path, home: Path, beam: Sequence[str] = ()) -> Prepared:
    """Reads the spec and its data; the same data is read once.

    Raises:
        HeadraceError: the spec has a mistake, its data cannot be read, or TFX's side cannot do what it asks for.
    """
    from headrace.components.fingerprint.digest import fingerprint
    from headrace.components.fingerprint.url import in_folder, sources_of
    from headrace.components.ingest.ingest import ingest
    from headrace.components.ingest.spec import DataSpec
    from headrace.pipelines.tfx_plan import refuse

    spec = load_spec(file)
    refuse(spec)
    source, folder = sources_of(resolve_source(spec.data.source, file)), str(file.resolve().parent)
    data = in_folder(spec.data.model_dump(mode="json", by_alias=True, exclude_none=True), folder)
    digest = fingerprint(source, data)
    places = Places((home / "tfx" / spec.name).absolute())
    place = places.snapshot(_both(digest, data, spec.predicted))
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        ingest(source, digest, spec.predicted, DataSpec(**data), place)
    snapshot = Dataset.open(place)
    schema = file.parent / spec.validation.schema_file
    plan = plan_of(spec, snapshot, tuple(beam))
    write_text(places.plan, plan.to_json())
    return Prepared(spec, plan, snapshot, places, schema if schema.exists() else None)


def run_tfx(prepared: Prepared, infra: str = "") -> Path | None:
    """Runs the pipeline by TFX's LocalDagRunner; the SavedModel that it pushed, or None where it was not blessed.

    Raises:
        TfxFailed: with the end of its log.
    """
    places = prepared.places
    started = time.time()
    known = _pushed(places)
    _tfx(prepared, "run", ["--root", str(places.root), "--serving", str(places.serving)], infra)
    new = [folder for folder in _pushed(places) if folder not in known]
    if new:
        return new[-1]
    return known[-1] if known and _last_blessed(places, started) else None


def compile_tfx(prepared: Prepared, output: Path, *, snapshot: str, root: str, serving: str, infra: str = "") -> None:
    """Writes the pipeline as KFP's IR by TFX's KubeflowV2DagRunner.

    Args:
        prepared: the pipeline.
        output: where to.
        snapshot, root, serving: where data lies, artifacts are written and models are pushed, as the tasks see it.
        infra: the image of TensorFlow Serving for InfraValidator.
    """
    _tfx(prepared, "compile", ["--root", root, "--serving", serving, "-o", str(output)], infra, snapshot)


def _tfx(prepared: Prepared, what: str, arguments: list[str], infra: str, snapshot: str = "") -> None:
    places = prepared.places
    prefix = default_environments().prefix("tfx")
    given = ["--plan", str(places.plan), "--snapshot", snapshot or str(prepared.snapshot.path)]
    given += ["--metadata", str(places.metadata)]
    if prepared.schema is not None:
        place = places.folder / "schema" / "schema.pbtxt"
        given += ["--schema", str(prepared.schema), "--schema-place", str(place)]
    if infra:
        given += ["--infra", infra]
    command = [str(prefix / "bin" / "python"), "-m", "headrace.pipelines.tfx", what, *given, *arguments]
    with places.log.open("wb") as log:
        done = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        tail = places.log.read_text(errors="replace")[-3_000:]
        raise TfxFailed(f"expected TFX to succeed. Received: exit {done.returncode}; {places.log} ends so:\n{tail}")


def environment() -> dict[str, str]:
    """The environment of TFX's processes: what it logs without end is left out."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR", **os.environ}


def _pushed(places: Places) -> list[Path]:
    found = places.serving.glob("*/saved_model.pb") if places.serving.exists() else ()
    return sorted((file.parent for file in found), key=lambda folder: int(folder.name))


def _last_blessed(places: Places, started: float) -> bool:
    """Whether nothing was judged anew, so that what was pushed before is still what was blessed."""
    found = sorted((places.root / "Evaluator" / "blessing").glob("*"), key=lambda folder: int(folder.name))
    return bool(found) and (found[-1] / "BLESSED").exists() and found[-1].stat().st_mtime < started


def _both(digest: str, data: dict[str, Any], task: str) -> str:
    return hashlib.sha256(json.dumps([digest, data, task], sort_keys=True).encode()).hexdigest()
