"""Every step of the build files that needs no project really runs, in the image that it names."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.pipelines.local.docker_helpers import client_or_skip
from tools.ci import local
from tools.ci.__main__ import BUILDS, ROOT
from tools.ci.build_file import load, resolve
from tools.ci.checks import CLOUD

pytestmark = pytest.mark.slow

# What this machine's network needs, in a container too.
NETWORK = ("SSL_CERT_FILE", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "UV_DEFAULT_INDEX", "PIP_INDEX_URL")
# `make test` is the suite that this test belongs to: in the container a part of it shows that it runs there.
SOME_TESTS = "tests/unit/test_layout.py tests/unit/delivery"
# All four would take half an hour; the smallest is built as the others are.
SOME_IMAGES = "serving"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A checkout with the changelog that a release wants; the steps' environments are built into it once."""
    client_or_skip()
    if not shutil.which("docker"):
        pytest.skip("expected the command `docker`, or podman's of that name")
    folder = tmp_path_factory.mktemp("ci") / "workspace"
    local.checkout(ROOT, folder)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(f"# Changelog\n\n## {version()}\n- All of it.\n\n" + changelog.read_text())
    return folder


def version() -> str:
    return re.search(r'__version__ = "(.+)"', (ROOT / "headrace" / "__init__.py").read_text())[1]


@pytest.fixture(scope="module")
def engine():
    """An image with podman under the name of ours, where this machine's `docker` cannot build with BuildKit."""
    if subprocess.run(["docker", "buildx", "version"], capture_output=True).returncode == 0:
        return {}
    return {"CONTAINER_HOST": "unix:///var/run/docker.sock", "HEADRACE_ENGINE": "podman"}


def run(name, workspace, *ids, **env):
    given = {"PROJECT_ID": "acme", "COMMIT_SHA": "c" * 40, "TAG_NAME": f"v{version()}"}
    build = load(ROOT / name)
    if "_IMAGES" in build.substitutions:
        given["_IMAGES"] = ""  # no layers to begin with
    network = {name: os.environ[name] for name in NETWORK if os.environ.get(name)}
    volumes = []
    if cache := uv_cache():
        volumes, network["UV_CACHE_DIR"], network["UV_LINK_MODE"] = [f"{cache}:/uv"], "/uv", "copy"
    return local.run_steps(resolve(build, given), workspace, only=ids, env={**network, **env}, volumes=volumes)


def uv_cache() -> str:
    """What this machine has downloaded already."""
    uv = ROOT / ".venv" / "bin" / "uv"
    said = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True)
    return said.stdout.strip() if said.returncode == 0 and Path(said.stdout.strip()).is_dir() else ""


def test_a_failing_step_ends_the_build(workspace):
    """Exit codes come through: not a matter of course (by podman's service, `docker run --rm` always ends with 0)."""
    run("cloudbuild.yaml", workspace, "ci-image")
    (workspace / "bad.py").write_text("import  os\n")
    try:
        with pytest.raises(local.StepFailed, match="lint: expected exit code 0. Received: 2"):
            run("cloudbuild.yaml", workspace, "setup", "lint")
    finally:
        (workspace / "bad.py").unlink()


@pytest.mark.parametrize("step", ["ci-files", "lint", "types", "compile", "test"])
def test_a_step_of_a_pull_request(workspace, step):
    ran = run("cloudbuild.yaml", workspace, "ci-image", "setup", step, PYTEST_ADDOPTS=SOME_TESTS)
    assert [one.id for one in ran] == ["ci-image", "setup", step]


def test_the_pipelines_are_the_laptop_s_to_the_byte(workspace):
    run("cloudbuild.yaml", workspace, "ci-image", "setup", "compile")
    subprocess.run(["make", "--silent", "compile-all"], cwd=ROOT, check=True, capture_output=True)
    of_container = {file.name: file.read_bytes() for file in (workspace / "build" / "pipelines").iterdir()}
    assert of_container == {file.name: file.read_bytes() for file in (ROOT / "build" / "pipelines").iterdir()}
    assert len(of_container) > 8


def test_the_package(workspace):
    run("cloudbuild/release.yaml", workspace, "ci-image", "setup", "dist")
    assert {".gz", ".whl"} <= {file.suffix for file in (workspace / "dist").iterdir()}


def test_the_images(workspace, engine):
    run("cloudbuild.yaml", workspace, "ci-image")
    if engine:
        lines = "FROM headrace/ci\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends podman >/dev/null\n"
        subprocess.run(["docker", "build", "--quiet", "--tag", "headrace/ci", "-"], input=lines, text=True, check=True)
    ran = run("cloudbuild.yaml", workspace, "images", NAMES=SOME_IMAGES, **engine)
    assert [one.id for one in ran] == ["images"]
    assert (workspace / "build" / "images.json").is_file()


def test_all_steps_are_covered():
    here = {"ci-image", "setup", "ci-files", "lint", "types", "compile", "test", "dist", "images"}
    every = {step.id for name in BUILDS for step in load(ROOT / name).steps if step.target not in CLOUD}
    assert every == here
