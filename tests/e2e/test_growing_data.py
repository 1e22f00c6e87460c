"""Data that grows: several files, joined with another, read incrementally; each run adds what is new."""

import csv
import json
import random

import pyarrow.parquet as pq

from tests.e2e.projects import Project, headrace

SPEC = """\
name: growing
task: classification
data:
  source: [january.csv, february.csv]
  label: churned
  id: id
  join: [{source: plans.csv, on: plan}]
  watermark: {column: seen}
evaluate: {gates: [{metric: auc, at_least: 0.6}]}
"""


def write(file, rows, mode="w"):
    with file.open(mode, newline="") as stream:
        writer = csv.writer(stream)
        if mode == "w":
            writer.writerow(["id", "seen", "plan", "use", "churned"])
        writer.writerows(rows)


def rows(first, last, month, seed):
    random.seed(seed)
    for number in range(first, last):
        use = random.random() * 100
        plan = random.choice(["ads", "plain", "plus"])
        yield [number, f"2026-{month:02d}-{1 + number % 28:02d}", plan, f"{use:.2f}", int(random.random() < use / 100)]


def snapshot(project):
    shown = json.loads(headrace("show", "--json", cwd=project.folder).ok().out)
    [ingest] = [task for path, task in shown["tasks"].items() if path == "ingest"]
    [found] = ingest["artifacts"]
    splits = {}
    for split in ("train", "eval", "test"):
        for row in pq.read_table(f"{found['uri']}/{split}/data.parquet").to_pylist():
            splits[row["id"]] = (split, row["use"], row["price"])
    return found["digest"], splits


def test_each_run_adds_what_is_new(tmp_path):
    project = Project(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "plans.csv").write_text("plan,price\nads,5\nplain,10\nplus,15\n")
    write(tmp_path / "january.csv", rows(0, 400, 1, 1))
    write(tmp_path / "february.csv", rows(400, 800, 2, 2))
    assert "columns of january.csv, february.csv" in headrace("validate", ".", cwd=tmp_path).ok().out
    headrace("run", ".", cwd=tmp_path).ok()
    first_digest, first = snapshot(project)
    assert len(first) == 800

    # The old file is gone, as when only what is new is delivered; one row of before comes again, changed.
    write(tmp_path / "january.csv", [[5, "2026-03-02", "plus", "99.5", 1]])
    write(tmp_path / "february.csv", rows(800, 1000, 3, 3))
    headrace("run", ".", cwd=tmp_path).ok()
    second_digest, second = snapshot(project)
    assert len(second) == 1000
    assert second_digest != first_digest
    assert second[5][1:] == (99.5, 15)
    assert {id: found for id, found in second.items() if id < 800 and id != 5} == {
        id: found for id, found in first.items() if id != 5
    }
    assert all(second[id][0] == first[id][0] for id in first), "a row moved to another split"
    assert first_digest[7:19] in headrace("data", "show", second_digest[7:19], cwd=tmp_path).ok().out
