"""The TFX pipeline of a spec on this machine: its data, its run in the `tfx` environment, its compiled form."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    def schema(self) -> Path:
        """The committed schema, with its numbers as floats."""
        return self.folder / "schema" / "schema.pbtxt"

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


@dataclass(frozen=True)
class Outcome:
    """What came of a run by TFX.

    Attributes:
        pushed: the SavedModel that it pushed, now or earlier; None where it was not blessed.
        failures: the limits of TFX's Evaluator that do not hold, a line for each.
        cached: the components that TFX answered from its cache.
    """

    pushed: Path | None
    failures: tuple[str, ...]
    cached: tuple[str, ...]


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


def run_tfx(prepared: Prepared, infra: str = "", tell: Callable[[str], None] = lambda line: None) -> Outcome:
    """Runs the pipeline by TFX's LocalDagRunner.

    Args:
        prepared: the pipeline.
        infra: the image of TensorFlow Serving for InfraValidator.
        tell: is called with a line when a component starts, and when it has ended.

    Raises:
        TfxFailed: with the end of its log; or another run is at work in the same place.
    """
    places = prepared.places
    with _alone(places), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcome.json"
        given = ["--root", str(places.root), "--serving", str(places.serving), "--outcome", str(file)]
        _tfx(prepared, "run", given, infra, tell=tell)
        found = json.loads(file.read_text())
        pushed = None if found["pushed"] is None else Path(found["pushed"])
        if pushed is not None and not (pushed / "saved_model.pb").exists():
            _push_again(Path(found["kept"]), pushed)
    return Outcome(pushed, tuple(found["failures"]), tuple(found["cached"]))


def _push_again(kept: Path, pushed: Path) -> None:
    """A Pusher that is answered from the cache does not look whether what it pushed is still there."""
    shutil.rmtree(pushed, ignore_errors=True)
    pushed.parent.mkdir(parents=True, exist_ok=True)
    partial = pushed.with_name(f".{pushed.name}")  # TensorFlow Serving looks at numbers alone
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(kept, partial, copy_function=shutil.copyfile)
    partial.rename(pushed)


@contextmanager
def _alone(places: Places) -> Iterator[None]:
    """TFX's metadata store in a file is one process's."""
    places.folder.mkdir(parents=True, exist_ok=True)
    with (places.folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TfxFailed(f"expected one run at a time in {places.folder}. Received: a second one") from None
        yield


def compile_tfx(prepared: Prepared, output: Path, *, snapshot: str, root: str, serving: str, infra: str = "") -> None:
    """Writes the pipeline as KFP's IR by TFX's KubeflowV2DagRunner.

    Args:
        prepared: the pipeline.
        output: where to.
        snapshot, root, serving: where data lies, artifacts are written and models are pushed, as the tasks see it.
        infra: the image of TensorFlow Serving for InfraValidator.
    """
    _tfx(prepared, "compile", ["--root", root, "--serving", serving, "-o", str(output)], infra, snapshot)


def _tfx(
    prepared: Prepared,
    what: str,
    arguments: list[str],
    infra: str,
    snapshot: str = "",
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    places = prepared.places
    prefix = default_environments().prefix("tfx")
    given = ["--plan", str(places.plan), "--snapshot", snapshot or str(prepared.snapshot.path)]
    given += ["--metadata", str(places.metadata)]
    if prepared.schema is not None:
        given += ["--schema", str(prepared.schema), "--schema-place", str(places.schema)]
    if infra:
        given += ["--infra", infra]
    command = [str(prefix / "bin" / "python"), "-m", "headrace.pipelines.tfx", what, *given, *arguments]
    reading, writing = os.pipe()
    with places.log.open("wb") as log, os.fdopen(reading) as told:
        try:
            process = subprocess.Popen(
                [*command, "--progress", str(writing)],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[writing],
            )
        finally:
            os.close(writing)
        try:
            for line in told:
                tell(line.rstrip())
            code = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
    if code != 0:
        tail = places.log.read_text(errors="replace")[-3_000:]
        raise TfxFailed(f"expected TFX to succeed. Received: exit {code}; {places.log} ends so:\n{tail}")


def environment() -> dict[str, str]:
    """The environment of TFX's processes: what it logs without end is left out."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", "GRPC_VERBOSITY": "ERROR", **os.environ}


def _both(digest: str, data: dict[str, Any], task: str) -> str:
    return hashlib.sha256(json.dumps([digest, data, task], sort_keys=True).encode()).hexdigest()
