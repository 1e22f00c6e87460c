"""The Dockerfiles, their locks and what is copied: read here, built in tests/integration/images."""

import fnmatch
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.pipelines.local.store.closure import Closures
from tools import image_env, setup_envs
from tools import images as tool

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILES = sorted({image.dockerfile for image in tool.IMAGES.values()})
# How what is imported is called by who packages it.
PACKAGES = {
    "PIL": "pillow", "google.cloud": "google-cloud-bigquery", "google.protobuf": "protobuf", "grpc": "grpcio",
    "opentelemetry.context": "opentelemetry-sdk", "opentelemetry.sdk": "opentelemetry-sdk",
    "opentelemetry.trace": "opentelemetry-sdk", "opentelemetry.exporter": "opentelemetry-exporter-otlp-proto-http",
    "pydantic_core": "pydantic", "sklearn": "scikit-learn", "tensorflow_metadata": "tensorflow-metadata",
}  # fmt: skip
# Not imported by name: what fsspec opens buckets with, Keras's other backend, and what starts a step.
BY_NAME = {"serving": {"gcsfs", "s3fs"}, "trainer": {"jax", "kfp"}}
ENTRY = {
    "serving": "import headrace.serving.__main__, headrace.serving.health",
    "trainer": """
import headrace.trainer.task, headrace.trainer.images.train, headrace.trainer.network.summaries
import headrace.components.train.component, headrace.components.tune.component
""",
}


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE))


def asked(name: str) -> set[str]:
    lines = (ROOT / "requirements" / f"{name}.in").read_text().splitlines()
    return {line.split("#")[0].strip() for line in lines if line.split("#")[0].strip() and not line.startswith("-")}


def reached(name: str) -> tuple[list[Path], set[str]]:
    """Our files that an image's programs come to, and the packages of others."""
    closures = Closures({"headrace": ROOT / "headrace"})
    modules, outside, choices = closures._reach(
        tuple((module, (), True) for module in re.findall(r"headrace[\w.]+", ENTRY[name])), always=False
    )
    todo = list(choices)
    while todo:
        more, others, again = closures._reach(((todo.pop(), (), True),), always=False)
        todo += [one for one in again if one not in choices]
        choices |= again
        modules |= more
        outside |= others
    files = [path.resolve().relative_to(ROOT) for path in modules.values() if path.suffix == ".py"]
    found = set()
    for module in outside:
        first, two = module.split(".")[0], ".".join(module.split(".")[:2])
        package = PACKAGES.get(two) or PACKAGES.get(first)
        if package is None and first in ("google", "opentelemetry"):
            raise AssertionError(f"{module}: expected the name of its package in PACKAGES")
        found.add(package or first)
    return files, found


def copied(dockerfile: str) -> tuple[list[str], list[str]]:
    """The folders that become the package of an image, and what of them does not."""
    words = re.search(r"image_env\.py package (.+)", (ROOT / dockerfile).read_text())[1].split()
    return [word for word in words if word[0] != "-"], [word[1:] for word in words if word[0] == "-"]


@pytest.mark.parametrize("lock", ["serving", "trainer", "trainer-gpu"])
def test_an_image_s_lock_has_the_versions_of_main(lock):
    main, own = pins("main"), pins(lock)
    more = {name for name in own if main.get(name) != own[name]}
    assert all(name.startswith(("nvidia-", "jax-cuda12-")) for name in more), more
    assert bool(more) == (lock == "trainer-gpu")


@pytest.mark.parametrize("name", ["serving", "trainer"])
def test_an_image_has_what_its_programs_import_and_no_more(name):
    files, outside = reached(name)
    assert outside | BY_NAME[name] == asked(name)
    folders, left_out = copied(f"{name}/Dockerfile")
    for file in files:
        assert file.parts[0] in folders or str(file) == "headrace/__init__.py", f"{file} is not in the image"
        assert not any(str(file).startswith(f"{one}/") for one in left_out), f"{file} is left out of the image"


def stages(dockerfile: str) -> dict[str, str]:
    """A Dockerfile's stages by their names; a last one without has none."""
    parts = re.split(r"^(?=FROM )", (ROOT / dockerfile).read_text(), flags=re.MULTILINE)[1:]
    return {(re.match(r"FROM \S+ AS (\S+)", part) or ["", ""])[1]: part for part in parts}


@pytest.mark.parametrize("name", [name for name in tool.IMAGES if name not in tool.BEAM])
def test_a_dockerfile_keeps_the_rules(name):
    dockerfile = tool.IMAGES[name].dockerfile
    text = (ROOT / dockerfile).read_text()
    last = stages(dockerfile)[tool.IMAGES[name].target]
    before = text[: text.index(last)] + last
    assert set(re.findall(r"^FROM (\S+)", before, re.MULTILINE)) == {"${BASE}"}
    assert tool.default_base() == re.search(r"^ARG BASE=(\S+)$", text, re.MULTILINE)[1]
    assert re.findall(r"^USER (\S+)$", last, re.MULTILINE) == ["65532:65532"]
    assert "\nHEALTHCHECK " in last
    assert {"title", "description", "licenses"} <= set(re.findall(r"org\.opencontainers\.image\.(\w+)=", last))
    assert not re.search(r"apt-get|pip install|curl|wget|ADD ", text), "everything comes from the lock"
    assert re.search(r"image_env\.py libraries (\S+)", text)[1] in ("main", "tfx", "serving", "${VARIANT}")


@pytest.mark.parametrize(("name", "lock"), tool.BEAM.items())
def test_a_worker_is_the_step_s_image_with_the_launcher_of_its_beam(name, lock):
    image = tool.IMAGES[name]
    (of,) = [one.target for one in tool.IMAGES.values() if one.dockerfile == image.dockerfile and one != image]
    found = stages(image.dockerfile)
    worker = found[image.target]
    assert list(found).index(of) < list(found).index("beam"), "else the step's image would need Beam's, too"
    assert worker.startswith(f"FROM {of} AS ") and "COPY --from=beam /opt/apache/beam /opt/apache/beam\n" in worker
    assert 'ENTRYPOINT ["/opt/apache/beam/boot"]\nCMD []\n' in worker
    assert "ENV RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1\n" in worker and "USER 0:0\n" in worker
    text = (ROOT / image.dockerfile).read_text()
    assert re.search(r"^ARG BEAM=(\S+)$", text, re.MULTILINE)[1] == f"{SDK}:{pins(lock)['apache-beam']}"
    assert ("pip" in pins(lock)) != ("COPY --from=pip /opt/pip " in worker), "the launcher calls `python -m pip show`"


SDK = "docker.io/apache/beam_python3.11_sdk"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_all_that_is_copied_is_there_and_sent_to_the_engine(dockerfile):
    text = (ROOT / dockerfile).read_text().replace("${VARIANT}", "trainer")
    sources = [word for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE) for word in line.split()[:-1]]
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, one) or one.startswith(f"{source}/") for one in sent), source


def test_nothing_is_sent_that_no_image_copies():
    text = "".join((ROOT / one).read_text() for one in DOCKERFILES)
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!") and "*" not in line:
            assert re.search(rf"^COPY .*\b{line[1:].split('/')[0]}", text, re.MULTILINE), line


def test_the_package_is_the_same_bytes_each_time_and_starts(tmp_path):
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    found = []
    for _ in range(2):
        shutil.rmtree(site, ignore_errors=True)
        image_env.package(ROOT, site, ["artifacts", "serving", "-serving/batch"])
        found.append({str(p.relative_to(site)): p.read_bytes() for p in site.rglob("*") if p.is_file()})
    one, two = found
    assert one == two
    assert "headrace/serving/page.py" in one and "headrace/serving/__pycache__/page.cpython-311.pyc" in one
    assert not any(name.startswith("headrace/serving/batch/") or "Dockerfile" in name for name in one)
    code = "import headrace.serving.settings as s; print(s.__cached__ is not None, s.Settings().port)"
    said = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == ["True", "8080"]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(setup_envs.SetupError, match="expected a folder of the package. Received: nonsense"):
        image_env.package(ROOT, tmp_path / "lib" / "python3.11" / "site-packages", ["nonsense"])


def test_tests_and_headers_are_taken_out(tmp_path):
    stay = ["a/core.py", "a/testing/help.py", "a/data.json", "a/lib.so", "a/_trend_test.py"]
    go = ["a/tests/test_core.py", "a/core_test.py", "a/include/a.h", "a/core.pyx", "a/lib.a", "a/core.pyi"]
    for name in stay + go:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a/core_test.py").write_text("import os\nimport unittest\n")
    (tmp_path / "a/_trend_test.py").write_text('"""A statistical test, which its package imports."""\nimport numpy\n')
    image_env.prune(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == sorted(stay)
