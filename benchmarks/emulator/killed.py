"""Clients of Vertex AI at work while the emulator is killed and started again: nothing it has acknowledged may be lost.

    .venv/bin/python benchmarks/emulator/killed.py --clients 10 --kills 20

Each client submits pipelines, uploads versions, deploys, labels, predicts and writes objects through Google's own
library, and writes down what it was told has been done. In the end all of that has to be there: pipelines run to their
end, versions and objects are found with their content, endpoints answer, and right. Exits with 1 where they do not.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "unit" / "serving")]

from headrace.emulator.connecting import connect  # noqa: E402
from tests.cloud.emulator_process import EmulatorProcess, emulator_process  # noqa: E402

_AGAIN_S = 120.0  # for which a client tries again, and for which the end of what goes on is waited for


@dataclass
class Acknowledged:
    """What the clients were told has been done."""

    pipelines: list[str] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)  # a model's name, and the version
    endpoints: dict[str, int] = field(default_factory=dict)  # an endpoint's name, and its latest label
    objects: dict[str, str] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    interrupted: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """One client, in a thread of its own."""

    def __init__(self, number: int, bundle: str, samples: dict[str, Any], pipeline: str, told: Acknowledged) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._name, self._bundle, self._samples, self._pipeline = f"client-{number}", bundle, samples, pipeline
        self._told, self._leave, self._round = told, threading.Event(), 0
        self._random = random.Random(number)
        self._model = self._endpoint = ""

    def finish(self) -> None:
        """Has it end with what it is about. Of its acts, those with nothing to do return False."""
        self._leave.set()

    def run(self) -> None:
        acts: Sequence[Callable[[], object]] = (
            self.put, self.upload, self.deploy, self.predict, self.submit, self.label, self.predict
        )  # fmt: skip
        while not self._leave.is_set():
            self._round += 1
            for act in acts:
                if not self._leave.is_set():
                    self._tried(act)

    def _tried(self, act: Callable[[], object]) -> None:
        from google.api_core.exceptions import GoogleAPIError

        name = act.__name__
        try:
            if act() is not False:
                self._told.done[name] += 1
        except (GoogleAPIError, OSError, RuntimeError) as error:  # requests' errors are OSErrors; a failed operation
            self._told.interrupted[name] += 1
            logging.debug("%s %s: %r", self._name, name, error)
            self._leave.wait(0.3)

    def put(self) -> None:
        """Writes an object."""
        from google.cloud import storage

        key = f"{self._name}/{self._round}"
        storage.Client(project="demo").bucket("written").blob(key).upload_from_string(key, timeout=5, retry=None)
        self._told.objects[key] = key

    def upload(self) -> bool:
        """Registers a version, of a model of the client's own."""
        from google.cloud import aiplatform

        if self._round % 3 == 1 or not self._model:
            model = aiplatform.Model.upload(
                display_name=self._name,
                **({"parent_model": self._model} if self._model else {"model_id": f"{self._name}-{self._round}"}),
                artifact_uri=self._bundle,
                serving_container_image_uri="example.com/serving:1",
                serving_container_predict_route="/predict",
                serving_container_health_route="/health",
            )
            self._model = model.resource_name
            self._told.versions.append((model.resource_name, model.version_id))
            return True
        return False

    def deploy(self) -> bool:
        """Puts the model behind an endpoint, once."""
        from google.cloud import aiplatform

        if self._endpoint or not self._model:
            return False
        endpoint = aiplatform.Endpoint.create(display_name=self._name)
        endpoint.deploy(aiplatform.Model(self._model), machine_type="n1-standard-2")
        self._told.endpoints[endpoint.resource_name] = 0
        self._endpoint = endpoint.resource_name
        return True

    def label(self) -> bool:
        """Changes the endpoint."""
        from google.cloud import aiplatform

        if self._endpoint:
            aiplatform.Endpoint(self._endpoint).update(labels={"round": str(self._round)})
            self._told.endpoints[self._endpoint] = self._round
        return bool(self._endpoint)

    def predict(self) -> bool:
        """Asks the endpoint."""
        from google.cloud import aiplatform

        if self._endpoint:
            self._check(aiplatform.Endpoint(self._endpoint))
        return bool(self._endpoint)

    def _check(self, endpoint: Any) -> None:
        if wrong := answered_wrong(endpoint, self._samples):
            self._told.wrong.append(f"{self._name}: {wrong}")

    def submit(self) -> bool:
        """Runs a pipeline, and does not wait for it."""
        from google.cloud import aiplatform

        if self._round % 4 != 1:
            return False
        id = f"{self._name}-{self._round}-{self._random.randrange(10**6)}"
        job = aiplatform.PipelineJob(
            display_name=self._name, template_path=self._pipeline, job_id=id, pipeline_root="gs://runs/root",
            parameter_values={"a": float(self._round)}, enable_caching=False,
        )  # fmt: skip
        job.submit(create_request_timeout=5)
        self._told.pipelines.append(job.resource_name)
        return True


def answered_wrong(endpoint: Any, samples: dict[str, Any]) -> str:
    """What is wrong with an answer; empty where it is as the bundle's own samples say."""
    answer = endpoint.predict(instances=samples["instances"][:2], timeout=10)
    for given, expected in zip(answer.predictions, samples["predictions"], strict=False):
        for name, value in expected["probabilities"].items():
            if abs(given["probabilities"][name] - value) > 1e-4:
                return f"expected {expected}. Received: {given}"
    return "" if len(answer.predictions) == 2 else f"expected 2 predictions. Received: {answer.predictions}"


def lost(told: Acknowledged, samples: dict[str, Any]) -> list[str]:
    """What was acknowledged, and is not as it was said to be."""
    from google.cloud import aiplatform, storage

    found = list(told.wrong)
    for name in told.pipelines:
        found += _within(lambda name=name: _succeeded(aiplatform.PipelineJob.get(name)), name)
    there: dict[str, set[str]] = {}
    for model, version in told.versions:
        if model not in there:
            listed = aiplatform.models.ModelRegistry(model).list_versions()
            there[model] = {one.version_id for one in listed}
        if version not in there[model]:
            found.append(f"{model}: expected version {version}. Received: {sorted(there[model])}")
    for name, label in told.endpoints.items():
        endpoint = aiplatform.Endpoint(name)
        if int(endpoint.labels.get("round", 0)) < label:
            found.append(f"{name}: expected label {label}. Received: {dict(endpoint.labels)}")
        found += _within(lambda endpoint=endpoint: answered_wrong(endpoint, samples), name)
    bucket = storage.Client(project="demo").bucket("written")
    for key, text in told.objects.items():
        if bucket.blob(key).download_as_text() != text:
            found.append(f"gs://written/{key}: expected {text}")
    return found


def _succeeded(job: Any) -> str:
    return "" if job.state.name == "PIPELINE_STATE_SUCCEEDED" else f"{job.state.name} {job.error}"


def _within(ask: Callable[[], str], what: str) -> list[str]:
    """Asks until there is nothing to say, for a while."""
    late = time.monotonic() + _AGAIN_S
    while True:
        try:
            told = ask()
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what a client sees)
            told = repr(error)
        if not told:
            return []
        if "FAILED" in told or time.monotonic() > late:
            return [f"{what}: {told}"]
        time.sleep(0.5)


def trial(folder: Path, clients: int, kills: int, every_s: float) -> tuple[Acknowledged, list[str]]:
    """Has clients work through kills; returns what they were told, and what of it is lost."""
    from tiny_bundle import write_tiny_bundle

    bundle = write_tiny_bundle(folder / "bundle", "binary")
    samples = json.loads((bundle / "samples.json").read_text())
    pipeline = _compiled(folder / "pipeline.json")
    told = Acknowledged()
    with emulator_process(folder / "state") as emulator:
        shutil.copytree(bundle, folder / "state" / "gcs" / "bundles" / "tiny")
        (folder / "state" / "gcs" / "written").mkdir()
        connect(emulator.address, staging_bucket="gs://runs")
        working = [Client(number, "gs://bundles/tiny", samples, pipeline, told) for number in range(clients)]
        for one in working:
            one.start()
        _kill(emulator, kills, every_s)
        for one in working:
            one.finish()
        for one in working:
            one.join(_AGAIN_S)
        return told, lost(told, samples)


def _kill(emulator: EmulatorProcess, kills: int, every_s: float) -> None:
    moments = random.Random(1)
    for number in range(kills):
        time.sleep(every_s * moments.uniform(0.5, 1.5))
        emulator.end(signal.SIGKILL)
        began = time.monotonic()
        emulator.start()
        print(f"kill {number + 1}: answers again after {time.monotonic() - began:.2f} s", flush=True)
    time.sleep(every_s)


def _compiled(file: Path) -> str:
    from kfp import compiler

    from tests.integration.emulator.vertex_pipelines import adding

    compiler.Compiler().compile(adding, str(file.with_suffix(".yaml")))
    return str(file.with_suffix(".yaml"))


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument(
        "--every", type=float, default=8.0, help="seconds between kills, half as much to half as much again"
    )
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG)
    if not given.verbose:
        logging.disable(logging.ERROR)  # the library says of each pipeline that it cannot find out the bucket's project
    with tempfile.TemporaryDirectory() as folder:
        told, missing = trial(Path(folder), given.clients, given.kills, given.every)
    counted = {name: len(getattr(told, name)) for name in ("pipelines", "versions", "endpoints", "objects")}
    print(f"acknowledged: {counted}")
    print(f"calls that were answered: {dict(told.done)}; that were not: {dict(told.interrupted)}")
    for one in missing:
        print(f"lost: {one}")
    if not missing:
        print("lost: nothing")
    enough = told.pipelines and told.versions and told.endpoints and told.objects
    return 0 if enough and not missing else 1


if __name__ == "__main__":
    sys.exit(main())
