"""A running `headrace serve` does what push, promote and rollback say, within a second or two."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.cli import cli
from headrace.pipelines.watching import Watch
from headrace.platforms.interface import Blessing, Platform
from headrace.platforms.open import open_platform
from headrace.serving.client import Client
from tests.unit.serving.tiny_bundle import write_tiny_bundle


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def platform(home: Path, tmp_path: Path) -> Platform:
    """Two versions of a model, of which the first serves."""
    platform = open_platform("local", home)
    for trees in (5, 20):
        bundle = write_tiny_bundle(tmp_path / str(trees), trees=trees, details={"name": "tiny"})
        platform.registry.register(bundle, "tiny", metrics={}, run="", blessing=Blessing(None), who="Ann")
    platform.endpoints.deploy("front", "tiny", "1")
    return platform


@contextmanager
def serving(name: str, home: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    words = ["-m", "headrace.pipelines.cli", "serve", name, "--port", "0", "--home", str(home)]
    with subprocess.Popen(
        [sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout is not None
        try:
            yield started, started.stdout.readline().rpartition(" at ")[2].strip()
        finally:
            started.terminate()
            started.wait(20)


def wait_until(url: str, version: str) -> None:
    begun = time.monotonic()
    with Client(url) as client:
        while client.describe()["version"] != version:
            assert time.monotonic() - begun < 60, "waited in vain"
            time.sleep(0.02)


@pytest.mark.parametrize("name", ["front", "tiny:champion"])
def test_push_promote_and_rollback_reach_a_running_server(platform: Platform, home: Path, name: str) -> None:
    with serving(name, home) as (started, url):
        wait_until(url, "1")
        platform.endpoints.deploy("front", "tiny", "2")
        wait_until(url, "2")
        done = CliRunner().invoke(
            cli, ["models", "rollback", "tiny", "--reason", "slow", "--by", "Ben", "--home", str(home)]
        )
        assert done.exit_code == 0, done.output
        wait_until(url, "1")
        started.terminate()
        out, err = started.communicate(timeout=20)
        assert err == "" and out.count("now serving tiny") == 2


def test_a_registry_in_a_service_is_watched_by_a_process_of_its_own(platform: Platform, home: Path) -> None:
    """Any registry can be watched so; this one is here."""
    watch = Watch("front", "local", home)
    try:
        first = watch.first().main
        assert (first.version, first.path.parent) == ("1", home / "served")
        assert first.open().version == "1"
        platform.endpoints.deploy("front", "tiny", "2")
        deadline = time.monotonic() + 20
        while watch().main.version != "2":
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.05)
        watch._process.kill()
        watch._process.wait()
        with pytest.raises(HeadraceError, match="Received: the end of the process that does"):
            watch()
    finally:
        watch.stop()
    for name, uri, told in (
        ("fornt", "local", "expected an endpoint"),
        ("x", "nowhere:", "platform: expected `local`"),
    ):
        watch = Watch(name, uri, home)
        try:
            with pytest.raises(HeadraceError, match=told):
                watch.first()
        finally:
            watch.stop()


def test_a_version_that_is_named_by_its_number_is_not_followed(platform: Platform, home: Path) -> None:
    with serving("tiny:1", home) as (started, url):
        platform.endpoints.deploy("front", "tiny", "2")
        time.sleep(2)
        with Client(url) as client:
            assert client.describe()["version"] == "1"
        assert json.loads((home / "servers" / "tiny%3A1.json").read_text())["pid"] == started.pid
