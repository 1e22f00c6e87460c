"""Dataflow's worker image does what a runner of Beam asks of it, with a stand-in for Beam's own launcher in it."""

import base64
import contextlib
import shutil
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.integration.pipelines.local import docker_helpers as engine
from tools import images as tool
from tools import setup_envs

pytestmark = pytest.mark.slow
LAUNCHER = Path(__file__).with_name("beam_launcher.py")
BEAM = "headrace-test/beam_python3.11_sdk"


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The image; built on that of the steps, which takes minutes where the engine has not built it before."""
    client = engine.client_or_skip()
    if not shutil.which("docker") or tool.find_engine() != "podman":
        pytest.skip("expected podman with a command `docker`: BuildKit sees no image that no registry has")
    from headrace.components import images

    if not client.images(images.MAIN):
        pytest.skip(f"the engine has no {images.MAIN}: make images")
    beam = f"{BEAM}:{setup_envs.pinned('apache-beam')[0]}"
    text = base64.b64encode(LAUNCHER.read_bytes()).decode()
    file = "/opt/apache/beam/boot"
    with engine.removed(client, beam):
        engine.build(
            client, beam, f"RUN mkdir -p /opt/apache/beam && echo {text} | base64 -d > {file} && chmod 755 {file}"
        )
        output = tmp_path_factory.mktemp("images") / "images.json"
        built = ["dataflow", "--beam", f"docker.io/{BEAM}", "--tag", "test", "--output", str(output)]
        assert tool.main(built) == 0
        name = "docker.io/headrace/dataflow:test"
        yield client, name
        with contextlib.suppress(Exception):
            client.remove_image(name, force=True)


def test_it_differs_from_the_step_s_image_by_the_launcher_alone(worker: Any) -> None:
    from headrace.components import images

    client, name = worker
    of, own = client.inspect_image(images.MAIN), client.inspect_image(name)
    config = own["Config"]
    assert config["Entrypoint"] == ["/opt/apache/beam/boot"] and not config["Cmd"]
    assert config["User"] == "0:0" and "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in config["Env"]
    assert config["Labels"]["org.opencontainers.image.title"] == "headrace/dataflow"
    shared = of["RootFS"]["Layers"][:-1]  # the last is our code, of which that image may hold an earlier state
    assert own["RootFS"]["Layers"][: len(shared)] == shared, "pulled once for both"
    assert own["Size"] - of["Size"] < 30e6


def test_a_runner_s_work_is_done_in_it_with_the_lock_s_libraries(worker: Any) -> None:
    import apache_beam as beam
    from apache_beam.runners.portability.fn_api_runner import FnApiRunner
    from apache_beam.testing.util import assert_that, equal_to
    from apache_beam.transforms.environments import DockerEnvironment

    _, name = worker
    locked = [(one, setup_envs.pinned(one)[0], "/opt/headrace") for one in ("apache-beam", "onnxruntime", "lightgbm")]
    runner = FnApiRunner(default_environment=DockerEnvironment(container_image=name))
    with beam.Pipeline(runner=runner) as pipeline:
        said = (
            pipeline
            | beam.Create([one for one, _, _ in locked])
            | beam.Map(lambda one: (one, version(one), sys.prefix))
        )
        assert_that(said, equal_to(locked))  # in the worker, too: what differs fails the pipeline
