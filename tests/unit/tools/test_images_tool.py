"""`make images`: the command lines, the digests and the file of names."""

import argparse
import json
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.components import images
from tools import images as tool

DIGEST = "sha256:" + "0123456789abcdef" * 4


def given(**settings):
    usual = {
        "base": None,
        "source": None,
        "no_cache": False,
        "cache_from": [],
        "cache_to": [],
        "push": False,
        "beam": None,
    }
    return argparse.Namespace(**(usual | settings))


def test_podman_keeps_health_checks_and_times():
    words = tool.command("podman", "trainer-gpu", "docker.io/h/t:1", given(), Path("/pip"), Path("/digest"))
    assert words[:6] == ["podman", "build", "--format", "docker", "--timestamp", str(tool.EPOCH)]
    assert words[words.index("--build-arg") :][:2] == ["--build-arg", "VARIANT=trainer-gpu"]
    assert "id=pip,src=/pip" in words and words[-1] == "."


def test_docker_pushes_what_it_builds_with_its_cache():
    settings = given(push=True, cache_from=["r/p"], cache_to=["r/p"], base="python@" + DIGEST)
    words = tool.command("docker", "serving", "r/p/serving:1", settings, None, Path("/m"))
    assert "type=registry,rewrite-timestamp=true" in words and f"SOURCE_DATE_EPOCH={tool.EPOCH}" in words
    assert "type=registry,ref=r/p/serving:cache" in words and "type=registry,ref=r/p/serving:cache,mode=max" in words
    assert f"BASE=python@{DIGEST}" in words and "--secret" not in words


def test_a_worker_is_a_stage_of_the_step_s_file():
    words = tool.command("podman", "components", "h/c:1", given(beam="r.test/beam"), None, Path("/m"))
    assert words[words.index("--target") + 1] == "components" and not any("BEAM=" in word for word in words)
    words = tool.command("podman", "dataflow-tfx", "h/d:1", given(beam="r.test/beam"), None, Path("/m"))
    assert words[words.index("--target") + 1] == "dataflow" and "components/Dockerfile.tfx" in words
    version, _ = tool.setup_envs.pinned("apache-beam", "tfx")
    assert f"BEAM=r.test/beam:{version}" in words
    assert "--target" not in tool.command("podman", "serving", "h/s:1", given(), None, Path("/m"))


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("headrace/a:1", "docker.io/headrace/a:1"),
        ("r.test/p/a:1", "r.test/p/a:1"),
        ("localhost:5000/a", "localhost:5000/a"),
    ],
)
def test_a_name_has_its_registry(name, full):
    assert tool.full_name(name) == full


def test_the_digest_is_that_of_what_was_pushed(tmp_path):
    file = tmp_path / "digest"
    file.write_text(DIGEST)
    assert tool.pushed_digest(file) == DIGEST
    file.write_text(json.dumps({"containerimage.digest": DIGEST}))
    assert tool.pushed_digest(file) == DIGEST
    file.write_text("{}")
    with pytest.raises(tool.ImageError, match="expected the digest of what was pushed. Received: none"):
        tool.pushed_digest(file)


def test_the_index_goes_as_a_secret(tmp_path, monkeypatch):
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://user:word@index.test/simple")
    assert "https://user:word@index.test/simple" in tool.pip_secret(tmp_path).read_text()


def test_pipelines_are_compiled_against_the_file(tmp_path, monkeypatch, capsys):
    for variable in ("HEADRACE_IMAGE_MAIN", "HEADRACE_IMAGE_TFX"):
        monkeypatch.delenv(variable, raising=False)
    file = tmp_path / "build" / "images.json"
    tool.write(file, {"components": "r.test/components@" + DIGEST}, pushed=True)
    tool.write(file, {"tfx": "r.test/tfx:1"}, pushed=False)
    monkeypatch.setenv("HEADRACE_IMAGES", str(file))
    named = images.named()
    assert named["components"] == "r.test/components@" + DIGEST and named["tfx"] == "r.test/tfx:1"
    assert named["serving"].startswith("headrace/serving:")
    monkeypatch.setenv("HEADRACE_IMAGE_TFX", "other:2")
    assert images.named()["tfx"] == "other:2"


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "as `make images` writes it. Received: "), ("[1]", r"an object of names in .* Received: \[1\]"),
     ('{"component": "a"}', "expected components, tfx.*Received: component")],
)  # fmt: skip
def test_another_file_is_refused(tmp_path, monkeypatch, text, message):
    file = tmp_path / "images.json"
    file.write_text(text)
    monkeypatch.setenv("HEADRACE_IMAGES", str(file))
    with pytest.raises(HeadraceError, match=message):
        images.named()


def test_workers_are_those_that_are_named(tmp_path, monkeypatch):
    for variable in ("HEADRACE_IMAGES", "HEADRACE_IMAGE_DATAFLOW", "HEADRACE_IMAGE_DATAFLOW_TFX"):
        monkeypatch.delenv(variable, raising=False)
    assert images.workers() == {}
    file = tmp_path / "images.json"
    tool.write(file, {"dataflow": "r.test/dataflow@" + DIGEST, "components": "r.test/components:1"}, pushed=True)
    monkeypatch.setenv("HEADRACE_IMAGES", str(file))
    monkeypatch.setenv("HEADRACE_IMAGE_DATAFLOW_TFX", "mine:1")
    assert images.workers() == {"main": "r.test/dataflow@" + DIGEST, "tfx": "mine:1"}
    assert set(images.named()) == {"components", "tfx", "trainer", "trainer-gpu", "serving"}


def test_only_steps_that_use_a_gpu_get_its_image():
    assert images.on_gpu("train", images.MAIN) == images.TRAINER_GPU
    assert images.on_gpu("ingest", images.MAIN) == images.MAIN
    assert images.on_gpu("train", "mine:1") == "mine:1"
