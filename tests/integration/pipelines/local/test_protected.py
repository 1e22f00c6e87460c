"""Garbage collection leaves alone what it is told to protect, by content: of any age, in a home that was moved too."""

import contextlib

from kfp import dsl

from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.store import gc
from headrace.pipelines.local.store.entries import entries


@dsl.component(base_image="python:3.11")
def sealed(digest: str, out: dsl.Output[dsl.Artifact]):
    import json
    from pathlib import Path

    Path(out.path).mkdir()
    (Path(out.path) / "manifest.json").write_text(json.dumps({"format": "headrace/x", "digest": digest}))


def pipeline(digest: str):
    sealed(digest=digest)


def planned(home, *protected):
    with contextlib.closing(Record(home)) as record:
        what = gc.plan(home, record, max_bytes=0, keep_last=0, protected_digests=protected)
    return {removal.path for removal in what.removals} & set(entries(home)), what.kept


def test_protected_content_stays(runner):
    for digest in ("sha256:1", "sha256:2"):
        runner.run(pipeline, parameters={"digest": digest})
    held = {entry for entry in entries(runner.home) if '"sha256:1"' in (entry / "out" / "manifest.json").read_text()}
    everything = set(entries(runner.home))
    assert len(everything) == 2 and len(held) == 1
    assert planned(runner.home) == (everything, 0)
    assert planned(runner.home, "sha256:1") == (everything - held, 1)
    assert planned(runner.home, "sha256:1", "sha256:2", "sha256:3") == (set(), 2)


def test_in_a_home_that_was_moved_where_the_record_knows_other_places(runner):
    runner.run(pipeline, parameters={"digest": "sha256:1"})
    moved = runner.home.rename(runner.folder / "moved")
    (entry,) = entries(moved)
    assert planned(moved) == ({entry}, 0)
    assert planned(moved, "sha256:1") == (set(), 1)
