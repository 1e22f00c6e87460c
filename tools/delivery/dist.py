"""The package: its wheel and source distribution, built once the version is what tag and changelog say; its upload."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tools.delivery.asked import needed
from tools.delivery.errors import DeliveryError
from tools.delivery.oci import google_token

EPOCH = "315532800"  # 1980: the first that a ZIP file can hold, so that the same sources give the same wheel


def build_dist(root: Path, tag: str, output: Path) -> list[Path]:
    """Builds wheel and source distribution into an empty folder.

    Raises:
        DeliveryError: the tag is not the version's, the changelog has no such section, or the wheel is not whole.
    """
    needed(TAG=tag)
    check_version(root, tag)
    shutil.rmtree(output, ignore_errors=True)
    command = [
        str(Path(sys.executable).with_name("uv")),
        "build",
        "--quiet",
        "--no-build-isolation",
        "--python",
        sys.executable,
    ]
    env = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH}
    code = subprocess.run([*command, "--out-dir", str(output), str(root)], env=env).returncode
    if code:
        raise DeliveryError(f"uv build: expected exit code 0. Received: {code}")
    files = sorted(file for file in output.iterdir() if file.suffix in (".whl", ".gz"))
    check_wheel(next(file for file in files if file.suffix == ".whl"))
    return files


def check_version(root: Path, tag: str) -> str:
    """The version, where the package and the changelog agree with a tag.

    Raises:
        DeliveryError: one of them does not.
    """
    text = (root / "headrace" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    version = found[1] if found else "none"
    if tag != f"v{version}":
        raise DeliveryError(f"TAG: expected v{version}, as headrace/__init__.py has it. Received: {tag}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[?{re.escape(version)}\b.*?\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if not section or not section[1].strip():
        raise DeliveryError(f"CHANGELOG.md: expected a section `## {version}` with what changed. Received: none")
    return version


def check_wheel(wheel: Path) -> None:
    """Whether the wheel has the package's folders, which are links in the sources, and no tests.

    Raises:
        DeliveryError: it has not, or it has.
    """
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for folder in ("artifacts", "platforms", "trainer", "serving", "components", "pipelines", "emulator"):
        if not any(name.startswith(f"headrace/{folder}/") for name in names):
            raise DeliveryError(f"{wheel.name}: expected headrace/{folder}. Received: none of it")
    if odd := [name for name in names if name.startswith(("tests/", "headrace/tests/"))]:
        raise DeliveryError(f"{wheel.name}: expected no tests. Received: {odd[0]}")


def upload(dist: Path, packages: str) -> None:
    """Uploads the package to a Python repository of Artifact Registry; what is there already stays as it is.

    Raises:
        DeliveryError: the repository refuses, or has another file of the same name.
    """
    needed(PACKAGES=packages)
    files = sorted(map(str, [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]))
    if not files:
        raise DeliveryError(f"{dist}: expected what `make dist` builds. Received: nothing")
    base = packages.rstrip("/")
    env = dict(os.environ)
    if ".pkg.dev/" in base:
        env |= {"UV_PUBLISH_USERNAME": "oauth2accesstoken", "UV_PUBLISH_PASSWORD": google_token()}
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "publish", "--publish-url", f"{base}/", "--check-url", f"{base}/simple/", *files]
    code = subprocess.run(command, env=env).returncode
    if code:
        raise DeliveryError(f"uv publish: expected exit code 0. Received: {code}")
