"""Sealed folders: they appear whole, say what they hold, and damage does not go unnoticed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import MANIFEST, read_json, read_manifest, write_folder, write_json, write_text

FORMAT = "headrace/thing"


def write(path, version=1, **details):
    with write_folder(path, FORMAT, version, details) as folder:
        (folder / "a.txt").write_text("alpha")
        (folder / "deep").mkdir()
        (folder / "deep" / "b.bin").write_bytes(b"\0\1")
    return path


def test_written_folder_reads_back(tmp_path):
    manifest = read_manifest(write(tmp_path / "thing", color="red"), FORMAT, 1)
    assert set(manifest.files) == {"a.txt", "deep/b.bin"}
    assert manifest.details == {"color": "red"}
    assert manifest.digest.startswith("sha256:")


def test_equal_content_has_an_equal_digest(tmp_path):
    first, second = (read_manifest(write(tmp_path / name), FORMAT, 1) for name in ("one", "two"))
    assert first.digest == second.digest
    assert read_manifest(write(tmp_path / "three", color="red"), FORMAT, 1).digest != first.digest


def test_a_manifest_further_down_is_a_file_like_others(tmp_path):
    with write_folder(tmp_path / "thing", FORMAT, 1, {}) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / MANIFEST).write_text("{}")
    assert set(read_manifest(tmp_path / "thing", FORMAT, 1).files) == {f"deep/{MANIFEST}"}


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), write_folder(tmp_path / "thing", FORMAT, 1, {}) as folder:
        (folder / "a.txt").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_filled_place_is_refused_and_kept(tmp_path):
    write(tmp_path / "thing")
    with pytest.raises(ArtifactError, match="expected a place that is still free"):
        write(tmp_path / "thing")
    read_manifest(tmp_path / "thing", FORMAT, 1)


def test_an_empty_folder_that_was_made_beforehand_is_taken(tmp_path):
    (tmp_path / "thing").mkdir()
    read_manifest(write(tmp_path / "thing"), FORMAT, 1)


def damage_content(path):
    (path / "a.txt").write_text("beta!")


def damage_missing(path):
    (path / "deep" / "b.bin").unlink()


def damage_manifest(path):
    (path / MANIFEST).write_text('{"format": ')


def damage_no_manifest(path):
    (path / MANIFEST).unlink()


def damage_details(path):
    edit(path, details={"color": "blue"})


def damage_keys(path):
    edit(path, extra=1)


def damage_extra(path):
    (path / "deep" / "weights.bin").write_bytes(b"\0")


def damage_nested_manifest(path):
    (path / "deep" / MANIFEST).write_text("{}")


def damage_link(path):
    (path / "a.txt").rename(path.parent / "a.txt")
    (path / "a.txt").symlink_to("../a.txt")


def damage_link_to_folder(path):
    (path / "more").symlink_to(path.parent)


def edit(path, **changes):
    value = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(value | changes))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_content, "a.txt: expected content with sha256"),
        (damage_missing, "b.bin: expected the file that the manifest lists"),
        (damage_manifest, "expected a JSON manifest of a headrace/thing. Received: a damaged file"),
        (damage_no_manifest, "expected a headrace/thing folder with a manifest.json. Received: none there"),
        (damage_details, "expected the digest to cover the manifest"),
        (damage_keys, "expected a JSON manifest of a headrace/thing"),
        (
            damage_extra,
            "expected only the files that the manifest lists. Received: deep/weights.bin, which it does not",
        ),
        (damage_nested_manifest, "expected only the files that the manifest lists. Received: deep/manifest.json"),
        (damage_link, "expected only the files that the manifest lists. Received: a.txt, a symbolic link"),
        (damage_link_to_folder, "expected only the files that the manifest lists. Received: more, a symbolic link"),
    ],
)
def test_damage_is_refused(tmp_path, damage, message):
    damage(write(tmp_path / "thing"))
    with pytest.raises(ArtifactError) as raised:
        read_manifest(tmp_path / "thing", FORMAT, 1)
    assert message in str(raised.value)


def test_a_newer_version_is_refused_with_what_to_do(tmp_path):
    with pytest.raises(ArtifactError, match=r"format version 1 or older. Received: version 2. Upgrade headrace"):
        read_manifest(write(tmp_path / "thing", version=2), FORMAT, 1)


def test_another_format_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="expected a headrace/other. Received: a headrace/thing"):
        read_manifest(write(tmp_path / "thing"), "headrace/other", 1)


@pytest.mark.parametrize("name", ["../a.txt", "/etc/hostname", "deep/../../a.txt", "./a.txt", MANIFEST])
def test_names_that_leave_the_folder_are_refused(tmp_path, name, monkeypatch):
    path = write(tmp_path / "thing")
    monkeypatch.setattr("headrace.artifacts.folder._digest", lambda *_: "sha256:0")
    edit(path, files={name: {"sha256": "0", "bytes": 1}}, digest="sha256:0")
    with pytest.raises(ArtifactError, match="expected names of files below the folder"):
        read_manifest(path, FORMAT, 1, verify=False)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text("abcdé", min_size=1, max_size=8), st.binary(max_size=64), max_size=4), st.data())
def test_any_changed_byte_is_noticed(tmp_path_factory, files, data):
    path = tmp_path_factory.mktemp("sealed") / "thing"
    with write_folder(path, FORMAT, 1, {}) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    read_manifest(path, FORMAT, 1)
    changed = data.draw(st.sampled_from([name for name, content in files.items() if content] or [""]))
    if changed:
        content = bytearray(files[changed])
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        (path / changed).write_bytes(content)
        with pytest.raises(ArtifactError, match="Received: changed content"):
            read_manifest(path, FORMAT, 1)


def test_text_is_replaced_at_once(tmp_path):
    write_text(tmp_path / "file", "old")
    write_text(tmp_path / "file", "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "new")]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_json_that_is_none(tmp_path):
    (tmp_path / "file").write_text("{")
    with pytest.raises(ArtifactError, match="expected JSON. Received: a damaged file"):
        read_json(tmp_path / "file")
    with pytest.raises(ArtifactError, match="Received: no such file"):
        read_json(tmp_path / "none")
