"""The images, as `make images` leaves them in the engine: what they hold, and that the pipeline and the server run in them.

Skipped where no engine answers, or has not built them for this version.
"""

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from headrace.components import images
from headrace.pipelines.local.record.record import list_runs, load_run
from tests.integration.pipelines.local import docker_helpers as engine
from tests.unit.serving.tiny_bundle import write_tiny_bundle
from tools import images as tool

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
NAMES = {"components": images.MAIN, "tfx": images.TFX, "trainer": images.TRAINER, "serving": images.SERVING}
# Run by the image's own Python; prints what should not be there.
LOOK = """
import json, os, re, shutil, sys, sysconfig
site = sysconfig.get_path("purelib")
tools = [one for one in ("gcc", "g++", "cc", "ld", "make", "git", "uv", "curl", "ruff", "pytest") if shutil.which(one)]
packages = {re.split("-[0-9]", one)[0].lower() for one in os.listdir(site) if one.endswith(".dist-info")}
files = [os.path.join(folder, one) for folder, _, names in os.walk(site) for one in names]
left = [one for one in files if "/tests/" in one or one.endswith((".h", ".a", ".pyx"))]
source = {one for one in files if one.endswith(".py") and "/site-packages/headrace/" in one}
made = {os.path.join(os.path.dirname(os.path.dirname(one)), os.path.basename(one).split(".")[0] + ".py")
        for one in files if one.endswith(".pyc")}
caches = [one for one in ("/root/.cache", "/build", "/home/headrace/.cache") if os.path.isdir(one) and os.listdir(one)]
print(json.dumps({"uid": os.getuid(), "tools": tools, "left": left[:5], "caches": caches, "prefix": sys.prefix,
                  "packages": sorted(packages & {"uv", "docker", "pytest", "mypy", "ruff", "libclang", "hypothesis"}),
                  "not compiled": sorted(source - made)[:5]}))
"""


# Run by the image's own Python; prints the digest of each of our modules.
MODULES = """
import hashlib, json, pathlib, headrace
root = pathlib.Path(headrace.__file__).parent
print(json.dumps({str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.py")}))
"""


@pytest.fixture(scope="module")
def client() -> Any:
    return engine.client_or_skip()


def skip_unless_built(client: Any, *names: str) -> None:
    import docker

    for name in names:
        try:
            client.inspect_image(NAMES[name])
        except docker.errors.ImageNotFound:
            pytest.skip(f"the engine has no {NAMES[name]}: make images")


def skip_unless_of_this_tree(client: Any, name: str) -> None:
    code, said = in_image(client, NAMES[name], ["python", "-c", MODULES])
    assert code == 0, said
    there = json.loads(said.splitlines()[-1])
    folders = {module.split("/")[0] for module in there if "/" in module}
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")] + [ROOT / "headrace" / "__init__.py"]
    here = {
        str(file.relative_to(ROOT)).removeprefix("headrace/"): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }
    if odd := sorted(module for module in here.keys() | there.keys() if here.get(module) != there.get(module)):
        pytest.skip(
            f"{NAMES[name]} was built of other files than these ({odd[0]} and {len(odd) - 1} more): make images"
        )


def health_check(client: Any, name: str) -> list[str]:
    """The command that an image is asked by."""
    check = client.inspect_image(name)["Config"].get("Healthcheck")
    if check is None:  # Podman's Docker API passes over it; its own does not
        said = subprocess.run(["podman", "image", "inspect", tool.full_name(name)], capture_output=True, check=True)
        check = json.loads(said.stdout)[0]["Healthcheck"]
    assert check["Test"][0] == "CMD"
    return list(check["Test"][1:])


def in_image(client: Any, image: str, command: list[str], **settings: Any) -> tuple[int, str]:
    """What a command ends with and prints, in a container without a network, that may write nowhere but in /tmp."""
    host = client.create_host_config(read_only=True, network_mode="none", tmpfs={"/tmp": ""}, cap_drop=["ALL"])
    container = client.create_container(
        image, entrypoint=command[:1], command=command[1:], host_config=host, healthcheck={"test": ["NONE"]}, **settings
    )
    try:
        client.start(container)
        code = client.wait(container, timeout=300)["StatusCode"]
        return code, client.logs(container).decode()
    finally:
        client.remove_container(container, force=True)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_holds_nothing_that_it_does_not_need(client: Any, name: str) -> None:
    skip_unless_built(client, name)
    code, said = in_image(client, NAMES[name], ["python", "-c", LOOK])
    assert code == 0, said
    found = json.loads(said.splitlines()[-1])
    assert found == {
        "uid": 65532, "tools": [], "left": [], "caches": [], "prefix": "/opt/headrace", "packages": [], "not compiled": [],
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_an_image_says_what_it_is_and_how_to_ask_it(client: Any, name: str) -> None:
    skip_unless_built(client, name)
    config = client.inspect_image(NAMES[name])["Config"]
    assert config["User"] == "65532:65532"
    wanted = {"title", "description", "licenses", "version", "revision", "created", "base.name"}
    assert wanted <= {label.removeprefix("org.opencontainers.image.") for label in config["Labels"]}
    check = health_check(client, NAMES[name])
    if name != "serving":  # asks a server, which is another test's
        code, said = in_image(client, NAMES[name], check)
        assert code == 0, said


def test_the_server_answers_without_rights_and_with_nowhere_to_write(client: Any, tmp_path: Path) -> None:
    skip_unless_built(client, "serving")
    bundle = write_tiny_bundle(tmp_path / "bundle")
    for path in [tmp_path, bundle, *bundle.rglob("*")]:
        path.chmod(0o755)
    host = client.create_host_config(
        binds={str(bundle): {"bind": "/mnt/models", "mode": "ro"}}, port_bindings={8080: None}, read_only=True,
        cap_drop=["ALL"], security_opt=["no-new-privileges"],
    )  # fmt: skip
    container = client.create_container(
        images.SERVING, command=["/mnt/models"], host_config=host, ports=[8080], healthcheck={"test": ["NONE"]}
    )
    try:
        client.start(container)
        port = client.inspect_container(container)["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"]
        sample = json.loads((bundle / "samples.json").read_text())
        answer = asked(f"http://127.0.0.1:{port}/predict", {"instances": sample["instances"][:1]})
        assert len(answer["predictions"]) == 1
        health = client.exec_create(container, health_check(client, images.SERVING))
        assert client.exec_start(health) == b"" and client.exec_inspect(health)["ExitCode"] == 0
        client.stop(container, timeout=10)
        assert client.inspect_container(container)["State"]["ExitCode"] == 0
    finally:
        client.remove_container(container, force=True)


def asked(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except (ConnectionError, urllib.error.URLError):
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_churn_in_its_images_gives_what_it_gives_on_a_laptop(client: Any, tmp_path: Path) -> None:
    skip_unless_built(client, "components", "tfx")
    for name in ("components", "tfx"):
        skip_unless_of_this_tree(client, name)
    project = tmp_path / "churn"
    shutil.copytree(ROOT / "examples" / "churn", project, ignore=shutil.ignore_patterns(".headrace"))
    if not (project / "data").is_dir():
        subprocess.run([sys.executable, "generate.py"], cwd=project, check=True)
    runs = {}
    for runner in ("local", "docker"):
        home = tmp_path / runner
        command = [
            sys.executable,
            "-m",
            "headrace.pipelines.cli",
            "run",
            "spec.yaml",
            "--runner",
            runner,
            "--home",
            home,
        ]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        tasks = load_run(home, list_runs(home)[0].id).tasks
        runs[runner] = {f"{t}/{name}": one for t in tasks for name, [one] in tasks[t].artifacts.items()}
    local, docker = runs["local"], runs["docker"]
    assert set(local) == set(docker)
    same = {name for name in local if local[name].digest == docker[name].digest}
    assert {name for name in local if name.split("/")[0] in MADE_OF_DATA} <= same
    assert local["evaluate/metrics"].metadata == docker["evaluate/metrics"].metadata
    here, there = (files(run["train/model"].path) for run in (local, docker))
    assert set(here) == set(there)
    assert {name for name in here if here[name] != there[name]} <= NAMES_ITS_ENVIRONMENT
    one, two = (without_environment(json.loads(found["lineage.json"])) for found in (here, there))
    assert one == two


# What a model is made of and what is said of the data: no word of when, where or in what it was made.
MADE_OF_DATA = {"ingest", "statistics", "examine", "check", "validate", "transform", "champion"}
NAMES_ITS_ENVIRONMENT = {"lineage.json", "manifest.json", "card.json", "card.md", "card.html"}


def files(folder: Path | None) -> dict[str, bytes]:
    assert folder is not None
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_environment(value: Any) -> Any:
    """The lock's digest on a laptop, the image's in a container."""
    if isinstance(value, dict):
        return {name: without_environment(one) for name, one in value.items() if name != "environment"}
    return value


@pytest.mark.parametrize("name", ["serving"])
def test_built_twice_an_image_has_the_same_layers(client: Any, name: str, tmp_path: Path) -> None:
    def layers(tag: str) -> list[str]:
        done = tool.main([name, "--tag", tag, "--no-cache", "--output", str(tmp_path / "images.json")])
        assert done == 0
        tagged = tool.full_name(f"headrace/{name}:{tag}")
        try:
            return list(client.inspect_image(tagged)["RootFS"]["Layers"])
        finally:
            with contextlib.suppress(Exception):
                client.remove_image(tagged)

    assert layers("test-one") == layers("test-two")
