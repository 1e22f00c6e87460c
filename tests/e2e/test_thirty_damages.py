"""Ways to damage a table: what the run says, that training does not start, and that the last good model still serves.

What no check of the data can see is caught at the gates, and is listed as such: shuffled labels leave every column
as it was, and only a model that learned nothing from them shows it.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.damages import DAMAGES, Damage, as_csv, good_rows
from tests.e2e.projects import Project, Said, serving

SPEC = """name: customers
task: classification
data: {source: table.csv, label: label, id: id}
validate:
  duplicates: error
  split_overlap: error
  label_conflicts: error
  constant: error
  missing_tells_label: error
  volume: {level: error, fell_by: 0.3, rose_by: 0.5}
  label_change: error
  drift: {level: error, categories: 0.2, numbers: 0.3}
  freshness: {column: seen_at, max_age: 7d, ahead: 3h}
  checks:
    - {name: ages, sql: SELECT id FROM data WHERE age NOT BETWEEN 16 AND 110}
evaluate:
  gates:
    - {metric: auc, at_least: 0.7}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose first run pushed version 1, with its schema accepted."""
    folder = tmp_path_factory.mktemp("customers")
    (folder / "spec.yaml").write_text(SPEC)
    (folder / "table.csv").write_bytes(as_csv(good_rows()))
    project = Project(folder)
    done = project.headrace("run", "spec.yaml")
    assert done.code == 0, done
    project.headrace("schema", "accept", "spec.yaml").ok()
    project.headrace("run", "spec.yaml").ok()
    assert project.versions() == [1]
    return project


@pytest.fixture(scope="module")
def endpoint(project: Project) -> Iterator[str]:
    with serving(project, "customers") as url:
        yield url


def answers(url: str, rows: list[dict[str, str]]) -> Any:
    """What the endpoint says of a few customers."""
    numbers = ("age", "price", "usage")
    instances = [
        {
            name: float(value) if name in numbers else value == "true" if name == "active" else value
            for name, value in row.items()
            if name not in ("id", "label")
        }
        for row in rows
    ]
    body = json.dumps({"instances": instances}).encode()
    request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)["predictions"]


def damaged(project: Project, damage: Damage) -> Said:
    result = damage.to(good_rows())
    (project.folder / "table.csv").write_bytes(result if isinstance(result, bytes) else as_csv(result))
    return project.headrace("run", "spec.yaml")


def test_there_are_thirty_and_the_quick_ones_are_of_different_kinds() -> None:
    assert len({damage.name for damage in DAMAGES}) == len(DAMAGES) >= 30
    assert sum(damage.stops == "gate" for damage in DAMAGES) == 1


@pytest.mark.parametrize(
    "damage",
    [pytest.param(d, id=d.name, marks=() if d.quick else pytest.mark.slow) for d in DAMAGES],
)
def test_a_damaged_table_stops_the_run_and_the_last_good_model_serves(
    damage: Damage, project: Project, endpoint: str
) -> None:
    customers = good_rows(20, seed=9)
    before = answers(endpoint, customers)
    assert len(before) == 20
    done = damaged(project, damage)
    states = {name: task["state"] for name, task in project.show()["tasks"].items()}
    said = done.out if damage.stops == "gate" else done.err
    for part in damage.says:
        assert part in said, done
    if damage.stops == "gate":
        assert done.code == 3, done
        assert (states["gate"], states["condition-1/push"]) == ("SUCCEEDED", "SKIPPED")
    else:
        assert done.code == 1, done
        assert said.startswith(f"{damage.stops}: "), done
        assert "Traceback" not in said
        assert states[damage.stops] == "FAILED"
        assert {name: states[name] for name in ("transform", "train", "evaluate")} == dict.fromkeys(
            ("transform", "train", "evaluate"), "SKIPPED"
        )
    assert project.versions() == [1]
    assert answers(endpoint, customers) == before


def test_good_data_of_another_day_passes(project: Project, endpoint: str) -> None:
    before = answers(endpoint, good_rows(20, seed=9))
    (project.folder / "table.csv").write_bytes(as_csv(good_rows(seed=77)))
    done = project.headrace("run", "spec.yaml").ok()
    assert "Pushed: version 2 of customers" in done.out
    found = project.show()
    assert found["tasks"]["validate"]["state"] == "SUCCEEDED"
    assert Path(found["reports"]["examine/report"]).is_file()
    assert len(before) == 20
