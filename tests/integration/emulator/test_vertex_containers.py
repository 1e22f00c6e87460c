"""Models whose images are not ours, served as containers. Skipped where no container engine answers."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError

from headrace.emulator.running import RunningEmulator, running
from headrace.pipelines.local.containers.docker_engine import HOME
from tests.integration.pipelines.local import docker_helpers as engine

pytestmark = pytest.mark.slow

IMAGE = "headrace-test/fastapi-model:1"
APP = """
import json, os, urllib.request
from fastapi import FastAPI, HTTPException, Request

app = FastAPI()
uri = os.environ["AIP_STORAGE_URI"]
if uri.startswith("gs://"):  # as google-cloud-storage asks for it
    bucket, _, name = (uri[5:].rstrip("/") + "/model.json").partition("/")
    place = f"{os.environ['STORAGE_EMULATOR_HOST']}/storage/v1/b/{bucket}/o/{name.replace('/', '%2F')}?alt=media"
    factor = json.load(urllib.request.urlopen(place))["factor"]
else:
    factor = json.load(open(f"{uri}/model.json"))["factor"]

@app.get(os.environ["AIP_HEALTH_ROUTE"])
def health():
    return {}

@app.post(os.environ["AIP_PREDICT_ROUTE"])
async def predict(request: Request):
    body = await request.json()
    instances = body["instances"]
    if any("die" in str(one) for one in instances):
        os._exit(3)
    if any(not isinstance(one, (int, float, list)) for one in instances):
        raise HTTPException(422, "expected numbers")
    offset = (body.get("parameters") or {}).get("offset", 0) + int(os.environ["OFFSET"])
    told = {name: value for name, value in os.environ.items() if name.startswith("AIP_") or name == "PLACE"}
    answer = {"predictions": [(sum(one) if isinstance(one, list) else one) * factor + offset for one in instances]}
    return {**answer, "metadata": told}
"""


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    found = engine.client_or_skip()
    yield found
    found.close()


@pytest.fixture(scope="module")
def image(client: Any) -> str:
    written = f'RUN python3 -c \'import base64; open("/app.py", "w").write(base64.b64decode("{_coded()}").decode())\''
    try:
        return engine.build(
            client,
            IMAGE,
            "RUN python3 -m pip install --quiet --no-cache-dir fastapi uvicorn",
            written,
            'CMD ["sh", "-c", "exec python3 -m uvicorn app:app --app-dir / --host 0.0.0.0 --port $AIP_HTTP_PORT"]',
        )
    except RuntimeError as error:
        pytest.skip(f"FastAPI cannot be installed in an image here: {error}")


def _coded() -> str:
    return base64.b64encode(APP.encode()).decode()


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    with running(tmp_path_factory.mktemp("containers") / "state") as found:
        yield found


@pytest.fixture(autouse=True)
def connected(emulator: RunningEmulator) -> None:
    """Another test may have had another emulator."""
    emulator.connect(project="demo", location="us-central1", staging_bucket="gs://staging")


def containers(client: Any, emulator: RunningEmulator) -> list[str]:
    found = client.containers(all=True, filters={"label": [f"{HOME}={emulator.folder.absolute()}"]})
    return [one["Id"] for one in found]


def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    give_up = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def uploaded(emulator: RunningEmulator, image: str, name: str, factor: int, **more: Any) -> Any:
    from google.cloud import aiplatform

    folder = emulator.folder / "gcs" / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps({"factor": factor}))
    return aiplatform.Model.upload(
        display_name=name,
        artifact_uri=f"gs://models/{name}",
        serving_container_image_uri=image,
        serving_container_predict_route="/ask",
        serving_container_health_route="/alive",
        serving_container_environment_variables={"OFFSET": "1", "PLACE": "$(AIP_STORAGE_URI)/x"},
        **more,
    )


def test_two_containers_behind_one_endpoint_die_and_come_back(
    client: Any, image: str, emulator: RunningEmulator
) -> None:
    from google.cloud import aiplatform

    double, triple = (uploaded(emulator, image, f"times-{factor}", factor) for factor in (2, 3))
    endpoint = aiplatform.Endpoint.create(display_name="containers")
    endpoint.deploy(double, machine_type="n1-standard-4")
    answer = endpoint.predict(instances=[1, 5], parameters={"offset": 10})
    assert answer.predictions == [13, 21]
    told = answer.metadata
    assert told["AIP_STORAGE_URI"] == "gs://models/times-2" and told["PLACE"] == "gs://models/times-2/x"
    assert told["AIP_MACHINE_TYPE"] == "n1-standard-4" and told["AIP_ENDPOINT_ID"] == endpoint.name
    assert told["AIP_MODE"] == "PREDICTION" and told["AIP_DEPLOYED_MODEL_ID"] == answer.deployed_model_id
    endpoint.deploy(triple, traffic_percentage=50)  # both want port 8080
    assert {endpoint.predict(instances=[1]).predictions[0] for _ in range(30)} == {3, 4}
    with pytest.raises(GoogleAPICallError, match="expected numbers"):
        endpoint.predict(instances=["x"])
    first, second = (one.id for one in endpoint.list_models())
    endpoint.update(traffic_split={first: 0, second: 100})
    for container in containers(client, emulator):
        client.kill(container)
    until(lambda: len(containers(client, emulator)) == 2)
    assert endpoint.predict(instances=[1]).predictions == [4]
    endpoint.undeploy_all()
    until(lambda: containers(client, emulator) == [])
    endpoint.delete()


def test_the_emulator_killed_leaves_no_container_and_serves_again(client: Any, image: str, tmp_path: Path) -> None:

    from tests.cloud.emulator_process import emulator_process

    with emulator_process(tmp_path / "state") as process:
        emulator = RunningEmulator(process.address, process.folder)
        emulator.connect(project="demo", location="us-central1", staging_bucket="gs://staging")
        endpoint = uploaded(emulator, image, "killed", 7).deploy()
        process.end(signal.SIGKILL)
        until(lambda: containers(client, emulator) == [])
        process.start()
        assert endpoint.predict(instances=[1]).predictions == [8]
        # The container's driver is killed as well, and cannot tidy up.
        for driver in drivers(emulator):
            os.kill(driver, signal.SIGKILL)
        assert endpoint.predict(instances=[1]).predictions == [8]
        assert len(containers(client, emulator)) == 1
    until(lambda: containers(client, emulator) == [])


def drivers(emulator: RunningEmulator) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if b"headrace.emulator.container_program" in words and bytes(emulator.folder) in words:
                found.append(int(folder.name))
    return found


def test_what_does_not_get_ready_is_told(client: Any, image: str, emulator: RunningEmulator) -> None:
    from google.cloud import aiplatform

    endpoint = aiplatform.Endpoint.create(display_name="broken")
    broken = uploaded(
        emulator, image, "broken", 1, serving_container_command=["sh", "-c", "echo $(AIP_HTTP_PORT) is mine; exit 4"]
    )
    with pytest.raises(GoogleAPICallError, match=r"(?s)\d+ is mine.*ended before it answered /alive"):
        endpoint.deploy(broken)
    silent = uploaded(
        emulator, image, "silent", 1, serving_container_command=["sleep", "100"], serving_container_deployment_timeout=2
    )
    with pytest.raises(GoogleAPICallError, match=r"/alive to answer with 200 at port \d+"):
        endpoint.deploy(silent)
    nowhere = uploaded(emulator, "localhost:1/nobody/has-this:1", "nowhere", 1)
    with pytest.raises(GoogleAPICallError, match="expected the image localhost:1/nobody/has-this:1"):
        endpoint.deploy(nowhere)
    until(lambda: containers(client, emulator) == [])
    assert endpoint.list_models() == []


def test_batch_predictions_of_a_container(client: Any, image: str, emulator: RunningEmulator) -> None:
    model = uploaded(emulator, image, "in-batches", 2)
    rows = emulator.folder / "gcs" / "models" / "rows.csv"
    rows.write_text('"a","b"\n1,2\n"x",1\n3,4\n')
    job = model.batch_predict(
        job_display_name="b",
        gcs_source="gs://models/rows.csv",
        instances_format="csv",
        gcs_destination_prefix="gs://models/out",
        model_parameters={"offset": 100},
        machine_type="n1-standard-2",
        batch_size=2,
        sync=False,
    )
    job.wait_for_resource_creation()
    model.delete()  # the job has the model's files
    job.wait()
    lines = {
        blob.name.rpartition("/")[2]: [json.loads(line) for line in blob.download_as_text().splitlines()]
        for blob in job.iter_outputs()
    }
    assert lines["prediction.results-00000-of-00001"] == [
        {"instance": [1.0, 2.0], "prediction": 107.0},
        {"instance": [3.0, 4.0], "prediction": 115.0},
    ]
    [error] = lines["prediction.errors_stats-00000-of-00001"]
    assert error["instance"] == ["x", 1.0] and "500" in error["error"]["message"]
    assert containers(client, emulator) == []
