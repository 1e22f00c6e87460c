"""One spec, a model for each segment: good ones go live, a bad one and a broken one stop no other."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from headrace.platforms.local.platform import LocalPlatform
from headrace.serving.client import Client
from tests.e2e.projects import Project, serving, write_csv

SPEC = """
name: churn
task: classification
data: {source: data.csv, label: churned, id: id}
features: {drop: [note]}
for_each: {segment: region, least_rows: 100}
train: {gbdt: {n_estimators: 20}}
evaluate: {gates: [{metric: auc, at_least: 0.75}]}
track: {mlflow: none}
"""


def table(folder: Path, seed: int = 0) -> None:
    """Three regions: one that can be predicted, one that cannot, and one whose label never varies."""
    chance = random.Random(seed)
    rows: list[list[object]] = [["id", "region", "size", "note", "churned"]]
    for number in range(1500):
        region = ["North", "South East", "Flat"][number % 3]
        size = chance.random()
        label = {"North": size > 0.5, "South East": chance.random() > 0.5, "Flat": False}[region]
        rows.append([number, region, f"{size:.4f}", f"n{number}", int(label)])
    rows += [[2000 + number, "Tiny", "0.5", "n", 0] for number in range(12)]
    write_csv(folder / "data.csv", rows)


@pytest.mark.slow
def test_the_life_of_segments(tmp_path: Path) -> None:
    table(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    project = Project(tmp_path)

    said = project.headrace("run", "spec.yaml")
    assert said.code == 3, said
    lines = [line.strip() for line in said.out.splitlines()]
    assert "4 segments by region: 2 not passed, 1 live, 1 left out" in lines
    [flat] = [line for line in lines if line.startswith("Flat")]
    assert "auc at least 0.75: the model has no auc: all rows are of class 0" in flat
    [tiny] = [line for line in lines if line.startswith("Tiny")]
    assert "12 rows, and for_each.least_rows is 100" in tiny
    assert states(project) == {"Flat": "not passed", "North": "live", "South East": "not passed", "Tiny": "left out"}
    index = next((project.home / "reports").glob("*/index.html"))
    assert 'href="segments/churn-north/evaluate.html"' in index.read_text()
    models = project.headrace("models").ok().out
    assert "churn-north" in models and "churn-south-east" not in models and "churn-flat" not in models

    assert LocalPlatform(project.home).registry.get("churn-north", "1").labels["segment"] == "North"

    with serving(project, "churn-north") as url:
        high, low = Client(url).predict([{"size": 0.9}, {"size": 0.1}])  # the segment's column is no input
    assert high["probabilities"]["1"] > 0.5 > low["probabilities"]["1"]

    next(project.home.glob("models/churn-north/1/model.onnx")).write_bytes(b"damaged")
    again = project.headrace("run", "spec.yaml")
    assert again.code == 3, again
    assert states(project)["North"] == "failed"
    assert states(project)["Flat"] == "not passed"  # what failed has stopped no other
    [north] = [line.strip() for line in again.out.splitlines() if line.strip().startswith("North")]
    assert "for-loop-1[1]/champion: " in north
    assert {"ingest", "split-segments", "for-loop-1[1]/segment", "for-loop-1[1]/train"} <= project.cached()


def states(project: Project) -> dict[str, str]:
    """Where the latest run's segments got to."""
    return {one["segment"]: one["state"] for one in project.show()["segments"]["results"]}
