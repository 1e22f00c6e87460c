from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.folder import MANIFEST, seal
from headrace.platforms.local import files
from headrace.platforms.local.platform import LocalPlatform
from headrace.platforms.local.registry import LocalRegistry
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle


@pytest.fixture
def registry(tmp_path: Path) -> LocalRegistry:
    return LocalPlatform(tmp_path / "home").registry


def register(registry: LocalRegistry, bundle: Path, name: str = "homes", run: str = "run-1"):  # type: ignore[no-untyped-def]
    return registry.register(bundle, name, metrics={"rmse": 1.5}, run=run, labels={"task": "regression"})


def test_a_version_holds_what_was_registered(registry: LocalRegistry, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    version = register(registry, bundle)
    assert (version.name, version.version, version.run) == ("homes", "1", "run-1")
    assert (version.metrics, version.labels, version.aliases) == ({"rmse": 1.5}, {"task": "regression"}, ())
    assert version.digest == Bundle.open(bundle).digest == Bundle.open(version.uri).digest
    assert Path(version.uri) == tmp_path / "home" / "models" / "homes" / "1"
    assert registry.get("homes", "1") == version
    assert registry.versions("homes") == [version]
    assert registry.models() == ["homes"]


def test_the_same_document_again_is_not_written_again_unless_it_was_damaged(
    registry: LocalRegistry, tmp_path: Path
) -> None:
    register(registry, write_bundle(tmp_path / "bundle"))
    first = registry.attach("homes", "1", "card.html", b"card")
    [kept] = (tmp_path / "home" / "models" / "homes" / "documents").iterdir()
    written = kept.stat()
    assert registry.attach("homes", "1", "card.html", b"card") == first
    assert (kept.stat().st_ino, kept.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    kept.chmod(0o644)
    kept.write_bytes(b"damaged")
    assert registry.attach("homes", "1", "card.html", b"card") == first
    assert registry.document("homes", "1", "card.html") == b"card"


def test_versions_count_up_per_model(registry: LocalRegistry, tmp_path: Path) -> None:
    bundles = [write_bundle(tmp_path / f"bundle-{seed}", seed) for seed in range(3)]
    assert [register(registry, bundle).version for bundle in bundles] == ["1", "2", "3"]
    assert register(registry, bundles[2], "flats").version == "1"
    assert registry.models() == ["flats", "homes"]
    assert [item.version for item in registry.versions("homes")] == ["1", "2", "3"]


def test_the_same_content_keeps_its_version(registry: LocalRegistry, tmp_path: Path) -> None:
    first = register(registry, write_bundle(tmp_path / "a"))
    again = register(registry, write_bundle(tmp_path / "b"), run="run-2")
    assert again == first
    assert [event.detail["new"] for event in registry.history()] == [True, False]
    assert [event.run for event in registry.history()] == ["run-1", "run-2"]
    assert len(list((tmp_path / "home" / "models" / "homes").iterdir())) == 1


def test_a_registered_bundle_is_a_copy_and_read_only(registry: LocalRegistry, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "stray.txt").write_text("lies there, and is no part of the bundle")
    version = register(registry, bundle)
    shutil.rmtree(bundle)
    stored = Path(version.uri)
    Bundle.open(stored)
    assert not (stored / "stray.txt").exists()
    assert {file.stat().st_mode & 0o777 for file in stored.rglob("*") if file.is_file()} == {0o444}


def test_a_changed_file_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="changed content"):
        register(registry, bundle)
    assert registry.versions("homes") == []
    assert list((tmp_path / "home" / "models" / "homes").iterdir()) == []


def test_a_changed_file_is_refused_also_where_the_content_is_registered(
    registry: LocalRegistry, tmp_path: Path
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    register(registry, bundle)
    (bundle / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ArtifactError, match="changed content"):
        register(registry, bundle)


def test_a_missing_file_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (bundle / "extra" / "notes.txt").unlink()
    with pytest.raises(ArtifactError, match="Received: no such file"):
        register(registry, bundle)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "extra/../../outside.txt", "manifest.json"])
def test_a_manifest_that_leads_out_of_the_folder_is_refused(registry: LocalRegistry, tmp_path: Path, name: str) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    (tmp_path / "outside.txt").write_text("not the bundle's")
    manifest = json.loads((bundle / MANIFEST).read_text())
    manifest["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    sealed = seal_as(tmp_path / "other", manifest)
    with pytest.raises(ArtifactError, match="expected names of files below the folder"):
        register(registry, sealed)


def seal_as(folder: Path, manifest: dict) -> Path:  # type: ignore[type-arg]
    """A folder whose manifest is consistent in itself, whatever files it lists."""
    from headrace.artifacts import folder as sealed

    write_bundle(folder)
    covered = manifest["format"], manifest["format_version"], manifest["files"], manifest["details"]
    manifest["digest"] = sealed._digest(*covered)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_folder_of_another_kind_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    seal(tmp_path / "folder", "headrace/absent", 1, {})
    with pytest.raises(ArtifactError, match=r"expected a headrace/bundle\. Received: a headrace/absent"):
        register(registry, tmp_path / "folder")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", ".hidden", "ä", "x" * 129, "a\n", "a b"])
def test_a_name_that_is_no_folder_is_refused(registry: LocalRegistry, tmp_path: Path, name: str) -> None:
    with pytest.raises(HeadraceError, match="model name: expected"):
        register(registry, write_bundle(tmp_path / "bundle"), name)
    assert not (tmp_path / "home").exists()


def test_a_name_that_differs_by_case_alone_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    register(registry, write_bundle(tmp_path / "a", 1))
    with pytest.raises(HeadraceError, match=r"expected 'homes', which is registered\. Received: 'Homes'"):
        register(registry, write_bundle(tmp_path / "b", 2), "Homes")


def test_a_metric_that_is_not_finite_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match=r"expected finite numbers\. Received: auc=nan"):
        registry.register(write_bundle(tmp_path / "a"), "homes", metrics={"auc": float("nan")}, run="r")


def test_aliases_move(registry: LocalRegistry, tmp_path: Path) -> None:
    for seed in range(2):
        register(registry, write_bundle(tmp_path / str(seed), seed))
    registry.set_alias("homes", "stable", "1", run="run-7")
    registry.set_alias("homes", "newest", "2")
    assert registry.get("homes", "stable").version == "1"
    registry.set_alias("homes", "stable", "newest")
    assert (registry.get("homes", "stable").version, registry.get("homes", "2").aliases) == ("2", ("newest", "stable"))
    assert registry.get("homes", "1").aliases == ()
    moved = [event for event in registry.history("homes") if event.action == "alias"]
    assert [(event.detail["before"], event.detail["version"]) for event in moved] == [
        (None, 1),
        (None, 2),
        (1, 2),
    ]
    assert moved[0].run == "run-7"
    assert moved[0].actor.endswith("@" + os.uname().nodename)


def test_the_champion_is_moved_by_deploying_alone(registry: LocalRegistry, tmp_path: Path) -> None:
    register(registry, write_bundle(tmp_path / "bundle"))
    with pytest.raises(HeadraceError, match="expected another than champion, which deploying moves"):
        registry.set_alias("homes", "champion", "1")
    assert registry.champion("homes") is None


@pytest.mark.parametrize("alias", ["", "1", "2nd", "Champion", "a/b", "a b"])
def test_an_alias_that_could_be_a_version_is_refused(registry: LocalRegistry, tmp_path: Path, alias: str) -> None:
    register(registry, write_bundle(tmp_path / "bundle"))
    with pytest.raises(HeadraceError, match="alias: expected"):
        registry.set_alias("homes", alias, "1")


@pytest.mark.parametrize(
    ("version", "shown"),
    [("3", "'3'"), ("0", "'0'"), ("newest", "'newest'"), ("", "''"), ("²", "'²'"), ("9" * 40, "'999")],
)
def test_a_version_that_is_not_there_is_refused_with_those_that_are(
    registry: LocalRegistry, tmp_path: Path, version: str, shown: str
) -> None:
    for seed in range(2):
        register(registry, write_bundle(tmp_path / str(seed), seed))
    registry.set_alias("homes", "stable", "1")
    with pytest.raises(HeadraceError) as caught:
        registry.get("homes", version)
    expected = f"model homes: expected a registered version (1 to 2, stable). Received: {shown}"
    assert str(caught.value).startswith(expected)


def test_a_model_that_is_not_there_is_refused_with_those_that_are(registry: LocalRegistry, tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match=r"expected a registered one \(none yet\). Received: 'homs'"):
        registry.get("homs", "1")
    register(registry, write_bundle(tmp_path / "bundle"))
    with pytest.raises(HeadraceError, match=r"expected a registered one \(homes\). Received: 'homs'"):
        registry.set_alias("homs", "stable", "1")
    assert registry.versions("homs") == []


def test_a_version_can_be_downloaded(registry: LocalRegistry, tmp_path: Path) -> None:
    version = register(registry, write_bundle(tmp_path / "bundle"))
    (tmp_path / "empty").mkdir()
    registry.download("homes", "1", tmp_path / "empty")
    registry.download("homes", "1", tmp_path / "new" / "place")
    for place in (tmp_path / "empty", tmp_path / "new" / "place"):
        assert Bundle.open(place).digest == version.digest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "empty", "home", "new"]


def test_what_becomes_of_a_download_does_not_touch_the_version(registry: LocalRegistry, tmp_path: Path) -> None:
    version = register(registry, write_bundle(tmp_path / "bundle"))
    registry.download("homes", "1", tmp_path / "mine")
    for file in (path for path in (tmp_path / "mine").rglob("*") if path.is_file()):
        file.chmod(0o644)  # root may write without
        with file.open("ab") as stream:
            stream.write(b"x")
    registry.download("homes", "1", tmp_path / "again")
    assert Bundle.open(tmp_path / "again").digest == version.digest


def test_a_download_onto_something_is_refused(registry: LocalRegistry, tmp_path: Path) -> None:
    register(registry, write_bundle(tmp_path / "bundle"))
    with pytest.raises(ArtifactError, match="expected a place that is still free"):
        registry.download("homes", "1", tmp_path / "bundle")
    with pytest.raises(ArtifactError, match="expected a place that is still free"):
        registry.download("homes", "1", tmp_path / "bundle" / "model.onnx")


def test_a_stored_bundle_that_was_damaged_is_not_handed_out(registry: LocalRegistry, tmp_path: Path) -> None:
    version = register(registry, write_bundle(tmp_path / "bundle"))
    stored = Path(version.uri) / "model.onnx"
    stored.chmod(0o644)
    stored.write_bytes(b"damage")
    with pytest.raises(ArtifactError, match="changed content"):
        registry.download("homes", "1", tmp_path / "place")
    assert not (tmp_path / "place").exists()


def test_a_stored_bundle_that_was_exchanged_is_not_handed_out(registry: LocalRegistry, tmp_path: Path) -> None:
    version = register(registry, write_bundle(tmp_path / "bundle", 1))
    shutil.rmtree(version.uri)
    write_bundle(Path(version.uri), 2)
    with pytest.raises(ArtifactError, match=f"expected the bundle {version.digest}"):
        registry.download("homes", "1", tmp_path / "place")


def test_rows_of_versions_cannot_be_changed(registry: LocalRegistry, tmp_path: Path) -> None:
    register(registry, write_bundle(tmp_path / "bundle"))
    connection = sqlite3.connect(tmp_path / "home" / "registry.db")
    for statement in ("UPDATE model_version SET digest = 'x'", "DELETE FROM model_version"):
        with pytest.raises(sqlite3.IntegrityError, match="a registered version is"):
            connection.execute(statement)
    connection.close()


def test_what_killed_processes_left_is_swept_and_what_is_in_use_is_not(registry: LocalRegistry, tmp_path: Path) -> None:
    models = tmp_path / "home" / "models" / "homes"
    (models / ".partial-dead").mkdir(parents=True)
    (models / ".partial-young").mkdir()
    os.utime(models / ".partial-dead", (0, 0))
    with files.partial_folder(models) as living:
        os.utime(living, (0, 0))
        register(registry, write_bundle(tmp_path / "bundle"))
        left = {path.name for path in models.iterdir()}
        assert left == {".partial-young", living.name, "1"}
    assert {path.name for path in models.iterdir()} == {".partial-young", "1"}


def test_a_full_disk_leaves_nothing(registry: LocalRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    bundle = write_bundle(tmp_path / "bundle")
    monkeypatch.setattr(files.shutil, "copyfile", full)
    with pytest.raises(HeadraceError, match="No space left on device"):
        register(registry, bundle)
    assert registry.versions("homes") == []
    assert list((tmp_path / "home" / "models" / "homes").iterdir()) == []
