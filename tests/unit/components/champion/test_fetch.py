from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from headrace.artifacts.absent import is_absent
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import read_manifest
from headrace.components.champion.fetch import fetch_champion
from headrace.platforms.interface import Blessing
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle


@pytest.fixture
def platform(tmp_path: Path) -> LocalPlatform:
    return LocalPlatform(tmp_path / "home")


def test_the_champion_is_placed_as_it_was_registered(platform: LocalPlatform, tmp_path: Path) -> None:
    for seed in range(2):
        platform.registry.register(
            write_bundle(tmp_path / str(seed), seed), "homes", metrics={}, run="r", blessing=Blessing(None)
        )
    platform.endpoints.deploy("prices", "homes", "1")
    assert fetch_champion(platform, "homes", tmp_path / "out") is True
    assert Bundle.open(tmp_path / "out").digest == Bundle.open(tmp_path / "0").digest
    assert not is_absent(tmp_path / "out")


@pytest.mark.parametrize("registered", [True, False])
def test_no_champion_is_stated(platform: LocalPlatform, tmp_path: Path, registered: bool) -> None:
    if registered:
        platform.registry.register(
            write_bundle(tmp_path / "bundle"), "homes", metrics={}, run="r", blessing=Blessing(None)
        )
    (tmp_path / "out").mkdir()
    assert fetch_champion(platform, "homes", tmp_path / "out") is False
    assert is_absent(tmp_path / "out")
    fetch_champion(platform, "homes", tmp_path / "again")
    digests = [read_manifest(tmp_path / name, "headrace/absent", 1).digest for name in ("out", "again")]
    assert digests[0] == digests[1]  # what depends on it stays cached until there is a champion


def test_a_registry_that_cannot_be_read_is_no_absence(platform: LocalPlatform, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "registry.db").write_bytes(b"damage" * 1000)
    with pytest.raises(ArtifactError, match="expected a model registry"):
        fetch_champion(platform, "homes", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_registry_without_its_table_is_no_absence(platform: LocalPlatform, tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match="homes"):  # there is none; what writes makes the file
        platform.registry.set_alias("homes", "stable", "1")
    connection = sqlite3.connect(tmp_path / "home" / "registry.db")
    connection.execute("DROP TABLE alias")
    connection.close()
    with pytest.raises(HeadraceError, match="no such table: alias"):
        fetch_champion(platform, "homes", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_champion_whose_bundle_is_gone_is_no_absence(platform: LocalPlatform, tmp_path: Path) -> None:
    version = platform.registry.register(
        write_bundle(tmp_path / "bundle"), "homes", metrics={}, run="r", blessing=Blessing(None)
    )
    platform.endpoints.deploy("prices", "homes", "1")
    Path(version.uri).rename(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="Received: none there"):
        fetch_champion(platform, "homes", tmp_path / "out")
    assert not (tmp_path / "out").exists()
