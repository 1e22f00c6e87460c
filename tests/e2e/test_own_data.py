"""Tables of one's own through `init` and `run` without editing, and a prediction from the server in the end."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace.serving.csv_rows import read_csv
from tests.e2e.projects import Project, headrace, serving, write_csv


def from_scikit_learn(name: str, file: Path) -> None:
    """One of scikit-learn's tables as a CSV file with the column `target`."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    columns = [*found.feature_names, "target"]
    table = np.column_stack([found.data, found.target]).tolist()
    whole = name != "diabetes"
    write_csv(file, [columns, *([*row[:-1], int(row[-1]) if whole else row[-1]] for row in table)])


def ask_about_first_row(project: Project, file: Path) -> tuple[Any, Any]:
    """Serves the model; its answers about the first row through --json, and about the whole file through --csv."""
    import http.client
    from urllib.parse import urlsplit

    with serving(project, "mine") as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
        connection.request("GET", "/")
        inputs = json.loads(connection.getresponse().read())["inputs"]
        connection.close()
        instance = next(read_csv(file, inputs))
        (one,) = project.headrace("predict", "mine", "--json", json.dumps(instance)).ok().out.splitlines()
        every = project.headrace("predict", url, "--csv", file).ok().out.splitlines()
        samples = json.loads((project.home / "models" / "mine" / "1" / "samples.json").read_text())
        answers = project.headrace("predict", "mine", "--json", json.dumps(samples["instances"])).ok().out.splitlines()
    for found, expected in zip(map(json.loads, answers), samples["predictions"], strict=True):
        for field, value in expected.items():
            assert found[field] == (pytest.approx(value, abs=1e-5) if field != "label" else value)
    assert len(every) == sum(1 for _ in file.open()) - 1
    assert json.loads(every[0]) == json.loads(one)
    return json.loads(one), project.show()["evaluation"]["metrics"]


@pytest.mark.parametrize(
    ("name", "least", "classes"),
    [
        pytest.param(
            "breast_cancer", {"auc": 0.95}, ["0", "1"], marks=pytest.mark.slow
        ),  # as the README's in test_readme
        pytest.param("wine", {"accuracy": 0.85}, ["0", "1", "2"], marks=pytest.mark.slow),
        pytest.param("diabetes", {"r2": 0.2}, None, marks=pytest.mark.slow),
    ],
)
def test_scikit_learns_tables(name: str, least: dict[str, float], classes: list[str] | None, tmp_path: Path) -> None:
    from_scikit_learn(name, tmp_path / "table.csv")
    headrace("init", "mine", "--from", "table.csv", "--label", "target", cwd=tmp_path).ok()
    done = headrace("run", "mine", cwd=tmp_path).ok()
    assert "Pushed: version 1 of mine is the champion now." in done.out
    answer, metrics = ask_about_first_row(Project(tmp_path), tmp_path / "table.csv")
    for metric, value in least.items():
        assert metrics[metric] >= value
    if classes is None:
        assert set(answer) == {"value"}
        assert 25 < answer["value"] < 346
    else:
        assert answer["label"] == "0"  # as the table says of its first row
        assert list(answer["probabilities"]) == classes
        assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_a_hundred_thousand_names_and_a_date(tmp_path: Path) -> None:
    chance = random.Random(1)
    table: list[list[object]] = [["customer", "size", "since", "label"]]
    for number in range(100_000):
        size = chance.gauss(0, 1)
        since = datetime.date(2020, 1, 1) + datetime.timedelta(days=chance.randrange(1000))
        label = int(size + since.year - 2020 + chance.gauss(0, 0.5) > 0.8)
        table.append([f"name {number * 7919 % 100_000:06d}", f"{size:.3f}", since, label])
    file = write_csv(tmp_path / "table.csv", table)
    spec = headrace("init", "mine", "--from", "table.csv", "--label", "label", cwd=tmp_path).ok().out
    reason = "100,000 different texts in 100,000 rows: it names the row (features.keep overrules)"
    assert f"  drop: [customer]\n  #   customer: {reason}\n" in spec
    assert "  #   since: date, 2020-01-01 to 2022-09-26\n" in spec
    headrace("run", "mine", cwd=tmp_path).ok()
    project = Project(tmp_path)
    assert project.show()["evaluation"]["metrics"]["auc"] > 0.9
    with serving(project, "mine") as url:
        for since, label in (("2022-09-01", "1"), ("2022-09-01T12:30:00Z", "1"), ("2020-01-02", "0"), (None, None)):
            said = project.headrace("predict", url, "--json", json.dumps({"size": 0.0, "since": since})).ok()
            answer = json.loads(said.out)
            assert label in (answer["label"], None)
        refused = project.headrace("predict", url, "--json", '{"size": 0, "since": "01.09.2022"}')
        first = project.headrace("predict", "mine", "--csv", file).ok().out.splitlines()[0]
    assert refused.code == 1
    assert refused.err == (
        f"headrace: {url}/predict: instances[0].since: expected a date such as 2024-03-01 or 2024-03-01T10:20:30Z. "
        'Received: "01.09.2022" (HTTP 400)\n'
    )
    assert set(json.loads(first)["probabilities"]) == {"0", "1"}
    (tmp_path / "mine" / "spec.yaml").write_text(spec.replace("drop: [customer]", "drop: []"))
    done = headrace("run", "mine", cwd=tmp_path).ok()
    assert "`customer` is no feature: " in done.out
    assert "it names the row (features.keep overrules)" in done.out
    lineage = json.loads((tmp_path / ".headrace/models/mine/1/lineage.json").read_text())
    assert "customer" in lineage["transform"]["excluded"]
