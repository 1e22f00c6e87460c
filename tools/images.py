"""Builds the container images: `make images`, by Docker (with BuildKit) or Podman.

    python3 tools/images.py [NAME ...] [--registry HOST/PROJECT/REPOSITORY] [--push]

Prints each image's size and how long it took, and writes build/images.json: the names by which the pipelines are
compiled against these very images, by digest where they were pushed:

    HEADRACE_IMAGES=build/images.json headrace compile spec.yaml

The same files and the same base give the same layers, whoever builds them and when. Standard library only.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # also without being installed, as in an image

from tools import setup_envs

ROOT = setup_envs.ROOT
FILE = ROOT / "build" / "images.json"
# Every file of a layer has this time, so that one that did not change is the same layer: 1980, as far back as ZIP goes.
EPOCH = 315532800
BUILDER = "headrace"  # of buildx: the default one cannot set the times of files


@dataclass(frozen=True)
class Image:
    """One image: where it is described, and with which arguments."""

    dockerfile: str
    arguments: "tuple[str, ...]" = ()
    target: str = ""  # the stage; empty for the last


IMAGES = {
    "components": Image("components/Dockerfile", target="components"),
    "tfx": Image("components/Dockerfile.tfx", target="tfx"),
    "trainer": Image("trainer/Dockerfile"),
    "serving": Image("serving/Dockerfile"),
    "trainer-gpu": Image("trainer/Dockerfile", ("VARIANT=trainer-gpu",)),
    "dataflow": Image("components/Dockerfile", target="dataflow"),
    "dataflow-tfx": Image("components/Dockerfile.tfx", target="dataflow"),
}
USUAL = ("components", "tfx", "trainer", "serving")  # the others are for who has such a GPU, or Beam on Dataflow
BEAM = {"dataflow": "main", "dataflow-tfx": "tfx"}  # whose lock has the version of Beam


class ImageError(Exception):
    """A reason why an image cannot be built, with what to do about it."""


def main(arguments: "list[str] | None" = None) -> int:
    """Builds what is named; returns the process's exit code."""
    parser = argparse.ArgumentParser(description="Build the container images from the locks.")
    parser.add_argument("names", nargs="*", metavar="|".join(IMAGES), help=f"[default: {' '.join(USUAL)}]")
    parser.add_argument("--registry", default="headrace", help="what the names begin with [default: %(default)s]")
    parser.add_argument("--tag", default=version(), help="[default: %(default)s]")
    parser.add_argument("--push", action="store_true", help="to the registry, and name the images by their digests")
    parser.add_argument("--base", help="another Python 3.11 image on glibc, best by digest")
    parser.add_argument("--beam", metavar="REPOSITORY", help="a copy of docker.io/apache/beam_python3.11_sdk")
    parser.add_argument("--source", help="address of the sources, for the label of that name")
    parser.add_argument("--no-cache", action="store_true", help="build every layer anew")
    parser.add_argument(
        "--cache-from",
        action="append",
        default=[],
        metavar="REGISTRY",
        help="whose NAME:cache has layers to begin with",
    )
    parser.add_argument("--cache-to", action="append", default=[], metavar="REGISTRY", help="where to leave them")
    parser.add_argument("--engine", choices=("docker", "podman"), default=os.environ.get("HEADRACE_ENGINE"))
    parser.add_argument("--output", type=Path, default=FILE, help="the file of names [default: build/images.json]")
    given = parser.parse_args(arguments)
    if unknown := set(given.names) - set(IMAGES):
        parser.error(f"expected {', '.join(IMAGES)}. Received: {', '.join(sorted(unknown))}")
    try:
        found = {}
        engine = given.engine or find_engine()
        for name in given.names or USUAL:
            found[name] = build(engine, name, given)
        write(given.output, found, given.push)
    except (ImageError, setup_envs.SetupError, OSError) as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def build(engine: str, name: str, given: argparse.Namespace) -> str:
    """Builds one image, and pushes it if so asked; returns its name, with its digest where a registry has it."""
    tagged = full_name(f"{given.registry}/{name}:{given.tag}")
    started = time.monotonic()
    print(f"images: building {tagged}", flush=True)
    with tempfile.TemporaryDirectory(prefix="headrace-images-") as folder:
        secret = pip_secret(Path(folder))
        metadata = Path(folder) / "digest"
        run(*command(engine, name, tagged, given, secret, metadata))
        if engine == "podman" and given.push:
            run(engine, "push", "--digestfile", str(metadata), tagged)
        digest = pushed_digest(metadata) if given.push else ""
    reference = f"{tagged.rpartition(':')[0]}@{digest}" if digest else tagged
    told = describe(engine, tagged) if engine == "podman" or not given.push else ""
    print(f"images: {reference} {told}{time.monotonic() - started:.0f} s", flush=True)
    return reference


def command(
    engine: str, name: str, tagged: str, given: argparse.Namespace, secret: "Path | None", metadata: Path
) -> "list[str]":
    """The command line that builds an image."""
    image = IMAGES[name]
    words = ["--file", image.dockerfile, "--tag", tagged]
    words += ["--target", image.target] if image.target else []
    arguments = image.arguments + ((f"BASE={given.base}",) if given.base else ())
    if given.beam and name in BEAM:
        arguments += (f"BEAM={given.beam}:{setup_envs.pinned('apache-beam', BEAM[name])[0]}",)
    for argument in arguments:
        words += ["--build-arg", argument]
    for key, value in labels(given).items():
        words += ["--label", f"org.opencontainers.image.{key}={value}"]
    words += ["--no-cache"] if given.no_cache else []
    words += ["--secret", f"id=pip,src={secret}"] if secret else []
    if engine == "podman":
        # The format of Docker: OCI's has no health checks.
        caches = [f"--cache-from={one}/{name}" for one in given.cache_from]
        caches += [f"--cache-to={one}/{name}" for one in given.cache_to]
        return ["podman", "build", "--format", "docker", "--timestamp", str(EPOCH), *words, *caches, "."]
    for one in given.cache_from:
        words += ["--cache-from", f"type=registry,ref={one}/{name}:cache"]
    for one in given.cache_to:
        words += ["--cache-to", f"type=registry,ref={one}/{name}:cache,mode=max"]
    kind = "registry" if given.push else "docker"
    words += ["--output", f"type={kind},rewrite-timestamp=true", "--provenance=false"]
    words += ["--metadata-file", str(metadata), "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
    return ["docker", "buildx", "build", "--builder", BUILDER, *words, "."]


def labels(given: argparse.Namespace) -> "dict[str, str]":
    """What is said of this very build; the same for the same commit."""
    found = {"version": version(), "revision": git("rev-parse", "HEAD"), "source": given.source or ""}
    found["created"] = git("log", "-1", "--format=%cI")
    found["base.name"] = given.base or default_base()
    if git("status", "--porcelain", "--untracked-files=no"):
        found["revision"] += "-dirty"
    return {key: value for key, value in found.items() if value}


def find_engine() -> str:
    """Docker where it has BuildKit, else Podman.

    Raises:
        ImageError: there is neither.
    """
    if shutil.which("docker") and succeeds("docker", "buildx", "version"):
        if not succeeds("docker", "buildx", "inspect", BUILDER):
            run("docker", "buildx", "create", "--name", BUILDER, "--driver", "docker-container")
        return "docker"
    if shutil.which("podman"):
        return "podman"
    raise ImageError("expected docker with buildx, or podman. Received: neither. Install one of the two")


def full_name(name: str) -> str:
    """With its registry: Podman's command line would take a short name for one of this machine alone."""
    host, slash, _ = name.partition("/")
    return name if slash and re.search(r"[.:]|^localhost$", host) else f"docker.io/{name}"


def pip_secret(folder: Path) -> "Path | None":
    """The package index of this machine's settings, as pip's settings in a file; None for Python's own."""
    index = os.environ.get("UV_DEFAULT_INDEX") or setup_envs.pip_setting("index-url")
    if not index:
        return None
    trusted = setup_envs.pip_setting("trusted-host")
    file = folder / "pip.conf"
    file.write_text(f"[global]\nindex-url = {index}\n" + (f"trusted-host = {trusted}\n" if trusted else ""))
    return file


def pushed_digest(metadata: Path) -> str:
    """What the engine says that it has pushed."""
    text = metadata.read_text().strip()
    digest = str(json.loads(text).get("containerimage.digest", "")) if text.startswith("{") else text
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise ImageError(f"expected the digest of what was pushed. Received: {digest or 'none'}")
    return digest


def describe(engine: str, tagged: str) -> str:
    """The image's id and size, for people."""
    text = subprocess.run([engine, "image", "inspect", tagged], capture_output=True, text=True, check=True).stdout
    about = json.loads(text)[0]
    return f"{about['Id'].removeprefix('sha256:')[:12]}, {about['Size'] / 1e6:,.0f} MB, "


def write(file: Path, found: "dict[str, str]", pushed: bool) -> None:
    """Adds the names of these images to the file; those of others stay."""
    known = {}
    with contextlib.suppress(FileNotFoundError):
        known = json.loads(file.read_text())
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps({**known, **found}, indent=2, sort_keys=True) + "\n")
    partial.replace(file)
    print(f"images: {file}" + ("" if pushed else ", by tag: only what is pushed has a digest that others can use"))


def version() -> str:
    """Headrace's own."""
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / "headrace" / "__init__.py").read_text(), re.MULTILINE)
    assert found, "headrace/__init__.py says no version"
    return found.group(1)


def default_base() -> str:
    """What the Dockerfiles begin with, without the registry that goes without saying."""
    found = re.search(r"^ARG BASE=(\S+)$", (ROOT / "components" / "Dockerfile").read_text(), re.MULTILINE)
    assert found, "components/Dockerfile names no base"
    return found.group(1)


def git(*words: str) -> str:
    """What git says; empty outside of a repository."""
    try:
        said = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True)
    except OSError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""


def succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True).returncode == 0


def run(*words: str) -> None:
    """Runs a command to its success; it says itself what went wrong."""
    code = subprocess.run(words, cwd=ROOT).returncode
    if code:
        raise ImageError(f"`{' '.join(words[:3])} ...` failed with exit code {code}; its message is above")


if __name__ == "__main__":
    sys.exit(main())
