"""The store's entries: named by their content, whole or not there, and proven on use."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifacts.folder import seal
from headrace.pipelines.local.record.results import ArtifactRecord
from headrace.pipelines.local.store import digests, entries

NAMES = st.text(alphabet="abc.-_é", min_size=1, max_size=4).filter(lambda n: n not in (".", ".."))
TREES = st.dictionaries(st.tuples(NAMES, NAMES) | st.tuples(NAMES), st.binary(max_size=20), max_size=6)


def make(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    folder.mkdir(exist_ok=True, parents=True)
    return folder


def kept(home: Path, files: dict[str, str], name: str = "outputs") -> Path:
    folder = make(home / "tmp" / name, files)
    return entries.keep(home, folder, digests.contents(folder), durable=True)


def artifact(path: Path, digest: str | None = None) -> ArtifactRecord:
    return ArtifactRecord("x", "system.Artifact", str(path), digest or digests.artifact_digest(path))


def test_an_entry_is_named_by_what_it_holds(tmp_path):
    entry = kept(tmp_path, {"model/a": "1", "report": "2"})
    assert entry == entries.place_of(tmp_path, digests.contents(entry).digest)
    assert (entry / "model" / "a").read_text() == "1"
    assert not (tmp_path / "tmp" / "outputs").exists()
    assert list(entries.entries(tmp_path)) == [entry]


def test_the_same_content_is_kept_once(tmp_path):
    first = kept(tmp_path, {"model": "1"})
    inode = (first / "model").stat().st_ino
    assert kept(tmp_path, {"model": "1"}) == first
    assert (first / "model").stat().st_ino == inode
    assert kept(tmp_path, {"model": "2"}, "other") != first


def test_what_was_damaged_makes_way_for_the_same_content(tmp_path):
    entry = kept(tmp_path, {"model": "right"})
    (entry / "model").write_text("wrong")
    assert kept(tmp_path, {"model": "right"}) == entry
    assert (entry / "model").read_text() == "right"
    assert [p.name for p in entry.parent.iterdir()] == [entry.name]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "model").write_text("0"),  # as long as before
        lambda entry: (entry / "model").write_text(""),
        lambda entry: (entry / "model").unlink(),
        lambda entry: (entry / "more").write_text(""),
        lambda entry: (entry / "more").mkdir(),
        lambda entry: (entry / "model").rename(entry / "renamed"),
        lambda entry: entry.rename(entry.with_name("gone")),
        lambda entry: ((entry / "model").unlink(), (entry / "model").symlink_to("/etc/hostname")),
    ],
)
def test_any_damage_is_noticed_also_with_the_time_stamps_of_before(tmp_path, damage):
    entry = kept(tmp_path, {"model": "1"})
    item, times = artifact(entry / "model"), (entry / "model").stat()
    assert entries.Prover(tmp_path).damage(item) == ""
    damage(entry)
    for place in (entry / "model", entry):
        if place.exists() and not place.is_symlink():
            os.utime(place, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert entries.Prover(tmp_path).damage(item) in ("was changed", "is gone")


def test_a_change_after_the_proof_is_noticed_by_the_same_prover(tmp_path):
    entry = kept(tmp_path, {"model": "1"})
    prover, item = entries.Prover(tmp_path), artifact(entry / "model")
    assert prover.damage(item) == prover.damage(item) == ""
    (entry / "model").write_text("22")
    assert prover.damage(item) == "was changed"


def test_a_remote_artifact_is_not_proven(tmp_path):
    item = ArtifactRecord("x", "system.Artifact", "gs://bucket/x", None)
    assert entries.Prover(tmp_path).damage(item) == "its content is not known"


def test_outside_of_the_store_the_digest_of_the_artifact_counts(tmp_path):
    sealed = make(tmp_path / "sealed", {"a": "1"})
    seal(sealed, "headrace/test", 1, {})
    item = artifact(sealed)
    assert entries.Prover(tmp_path / "home").damage(item) == ""
    (sealed / "a").write_text("2")  # the manifest still says what it said
    assert "changed content" in entries.Prover(tmp_path / "home").damage(item)


@settings(max_examples=60, deadline=None)
@given(TREES, TREES)
def test_digests_are_equal_exactly_when_the_trees_are(tmp_path_factory, one, other):
    def digest(tree):
        folder = tmp_path_factory.mktemp("tree")
        files = {}
        for parts, content in tree.items():
            place = folder.joinpath(*parts)
            if not any(p.is_file() for p in place.parents) and not place.exists():
                place.parent.mkdir(exist_ok=True)
                place.write_bytes(content)
                files["/".join(parts)] = content
        return digests.contents(folder).digest, files

    (first, files), (second, others) = digest(one), digest(other)
    assert (first == second) == (files == others)


def test_pipes_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert digests.contents(tmp_path).hashes == {"pipe": "special"}


def test_big_files_have_the_same_digest(tmp_path, monkeypatch):
    make(tmp_path, {f"f{i}": str(i) for i in range(20)})
    alone = digests.contents(tmp_path)
    monkeypatch.setattr(digests, "MUCH", 1)
    assert digests.contents(tmp_path) == alone
