"""From the first run to a replaced champion: what is cached, what is registered, what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.projects import Project, headrace, subscribers

ALWAYS_RUN = {"champion", "fingerprint", "track", "condition-1/register", "condition-1/push"}


def edit_cells(file: Path, column: str, values: dict[str, str]) -> None:
    """Replaces values of one column of a CSV file."""
    with file.open(newline="") as stream:
        header, *table = csv.reader(stream)
    place = header.index(column)
    for row in table:
        row[place] = values.get(row[place], row[place])
    with file.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *table])


def test_the_first_run_pushes(trained: Project) -> None:
    _, first = trained.headrace("runs").ok().out.splitlines()
    run, state, *_, name = first.split()
    assert (state, name) == ("SUCCEEDED", "churn")
    found = trained.show()
    assert (found["run"], found["name"], found["state"]) == (run, "churn", "SUCCEEDED")
    assert (found["passed"], found["pushed"], found["version"]) == (True, True, "1")
    assert found["evaluation"]["split"] == "test"
    assert 0.7 < found["evaluation"]["metrics"]["auc"] < 0.9
    low, high = found["evaluation"]["intervals"]["auc"]
    assert low < found["evaluation"]["metrics"]["auc"] < high
    assert found["evaluation"]["baseline"]["auc"] == 0.5
    assert len(found["gates"]) == 6
    assert all(gate["passed"] and gate["reason"] for gate in found["gates"])
    assert all(task["state"] == "SUCCEEDED" for task in found["tasks"].values())
    assert all(Path(report).is_file() for report in found["reports"].values())
    assert not trained.cached()
    text = trained.headrace("show", run).ok().out
    assert "Pushed: version 1 of churn is the champion now." in text
    index = Path(text.splitlines()[-1].removeprefix("Reports: "))
    assert index.name == "index.html"
    for report in ("examine.html", "train.html", "evaluate.html", "gate.html"):
        assert f'href="{report}"' in index.read_text()
        assert (index.parent / report).read_text().startswith("<!doctype html>")
    _, model = trained.headrace("models").ok().out.splitlines()
    assert model.startswith("churn  1       1 live  auc 0.")
    _, version = trained.headrace("models", "churn").ok().out.splitlines()
    assert version.startswith("churn:1  live at churn  champion")
    assert version.endswith(f"  {run}")
    assert trained.headrace("logs", "latest", "train").ok() == trained.headrace("logs", run, "train").ok()
    refused = trained.headrace("logs", run, "trane")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("headrace: expected one of the tasks champion, fingerprint, ")
    assert refused.err.endswith("Received: trane\n")


def test_nothing_changed_so_nothing_is_done(own: Project) -> None:
    own.headrace("run", "spec.yaml").ok()  # the copy's data lies elsewhere: from here on nothing changes
    before = own.show()
    done = own.headrace("run", "spec.yaml").ok()
    after = own.show()
    assert after["run"] != before["run"]
    assert set(after["tasks"]) - own.cached() <= ALWAYS_RUN | {"gate"}
    assert "Pushed: version 1 of churn is the champion now." in done.out
    assert after["evaluation"] == before["evaluation"]
    assert own.versions() == [1]
    _, version = own.headrace("models", "churn").ok().out.splitlines()
    assert version.startswith("churn:1  live at churn  champion")
    # It is on record too.
    last, one, _ = map(json.loads, own.headrace("experiments", "list", "--json").ok().out.splitlines())
    assert (last["run"], one["run"]) == (after["run"], before["run"])
    assert last["tags"]["headrace.model"] == one["tags"]["headrace.model"]
    compared = own.headrace("experiments", "compare").ok().out
    assert "Parameters: the same" in compared and "Origin: the same" in compared


def test_changed_data_makes_a_new_version(own: Project) -> None:
    subscribers(own.folder / "data" / "subscribers.csv", 2_400)
    own.edit("by: hash, eval: 0.15", "by: hash, eval: 0.25")
    own.edit("versus: champion, no_worse_than: 0.002", "versus: champion, no_worse_than: 0.2")
    done = own.headrace("run", "spec.yaml").ok()
    assert "Pushed: version 2 of churn is the champion now." in done.out
    assert own.versions() == [1, 2]
    assert own.digest(1) != own.digest(2)
    _, newest, oldest = own.headrace("models", "churn").ok().out.splitlines()
    assert newest.startswith("churn:2  live at churn  champion")
    assert oldest.startswith("churn:1  blessed  ")
    assert "champion" not in oldest
    said = own.headrace("data", "diff", "churn:1", "--html", "diff.html").ok().out
    assert "400 added, such as SF-" in said
    assert "query.split.eval: 0.15 -> 0.25" in said
    assert "error: expected rows of train to stay in train. Received: " in said
    assert (own.folder / "diff.html").read_text().startswith("<!doctype html>")
    found = json.loads(own.headrace("data", "diff", "churn:1", "latest", "--json").ok().out)
    assert found["rows"]["added"] == 400 and found["rows"]["by"] == "subscriber_id"
    assert {(m["before"], m["after"]) for m in found["rows"]["moved"]} == {("train", "eval")}
    rolled = own.headrace("models", "rollback", "churn", "--reason", "too slow", "--by", "anna").ok()
    assert rolled.out == "endpoint churn serves churn:1 again; churn:2 is rejected, by anna\n"
    again = own.headrace("run", "spec.yaml")  # the same data makes the same version, which a person took out of service
    assert again.code == 1
    assert "churn:2: expected a version that may serve. Received: one that is rejected" in again.err
    assert own.headrace("models", "audit", "--verify", "--bundles").ok().out.startswith("1")


def test_a_gate_that_does_not_pass(own: Project) -> None:
    own.edit("{metric: auc, at_least: 0.6}", "{metric: auc, at_least: 0.99}")
    done = own.headrace("run", "spec.yaml")
    assert done.code == 3
    assert "FAILED  auc at least 0.99: auc is 0." in done.out
    assert "Not every gate passed: nothing was registered, nothing was pushed." in done.out
    assert "Serve it" not in done.out
    assert done.err == ""
    found = own.show()
    assert (found["state"], found["passed"], found["pushed"], found["version"]) == ("SUCCEEDED", False, False, None)
    assert [gate["gate"] for gate in found["gates"] if not gate["passed"]] == ["auc at least 0.99"]
    assert found["tasks"]["condition-1/push"]["state"] == "SKIPPED"
    assert own.versions() == [1]


def test_a_challenger_that_is_worse_than_the_champion_is_not_pushed(own: Project) -> None:
    own.edit("drop: [email]", "drop: [email, hours_per_week, hours_trend_percent, last_active_date, survey_score]")
    done = own.headrace("run", "spec.yaml")
    assert done.code == 3, done
    failed = [gate for gate in own.show()["gates"] if not gate["passed"]]
    assert [gate["gate"] for gate in failed] == ["auc versus champion: no worse than 0.002"]
    assert "worse" in failed[0]["reason"]
    assert own.versions() == [1]
    _, version = own.headrace("models", "churn").ok().out.splitlines()
    assert version.startswith("churn:1  live at churn  champion")


def test_an_accepted_schema_refuses_data_that_breaks_it(own: Project) -> None:
    done = own.headrace("schema", "accept", "spec.yaml").ok()
    assert done.out.startswith("schema.pbtxt: the schema of run ")
    assert 'name: "plan"' in (own.folder / "schema.pbtxt").read_text()
    again = own.headrace("schema", "accept", "spec.yaml")
    assert (again.code, again.out) == (1, "")
    assert again.err == "headrace: schema.pbtxt: expected no schema there yet. Received: one; --force replaces it\n"

    data = own.folder / "data" / "subscribers.csv"  # as they were they pass: `project` of test_thirty_damages
    edit_cells(data, "plan", {"ads": "adverts"})
    done = own.headrace("run", "spec.yaml")
    assert done.code == 1
    assert "Traceback" not in done.err
    assert done.err.startswith("validate: ")
    assert "plan" in done.err
    assert "adverts" in done.err
    found = own.show()
    assert found["tasks"]["validate"]["state"] == "FAILED"
    assert found["tasks"]["train"]["state"] == "SKIPPED"
    assert found["pushed"] is False
    assert own.versions() == [1]


def test_a_damaged_schema_is_refused_before_a_run(own: Project) -> None:
    (own.folder / "schema.pbtxt").write_text("feature { name: }\n")
    runs = own.headrace("runs").out
    for command in ("validate", "compile", "run"):
        done = own.headrace(command, "spec.yaml")
        assert done.code == 1
        assert done.err.startswith("headrace: schema.pbtxt")
        assert done.err.count("\n") == 1
    assert own.headrace("runs").out == runs


def test_a_compiled_pipeline_runs_with_its_source_as_a_parameter(own: Project, tmp_path: Path) -> None:
    own.headrace("compile", "spec.yaml", "-o", tmp_path / "pipeline.yaml").ok()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = own.folder / "data" / "subscribers.csv"
    done = headrace("run", tmp_path / "pipeline.yaml", "-p", f"source={source}", "--home", own.home, cwd=elsewhere).ok()
    assert "Pushed: version 1 of churn is the champion now." in done.out
    assert "train" in own.cached()
    assert list(elsewhere.iterdir()) == []
    wrong = headrace("run", tmp_path / "pipeline.yaml", "-p", f"sauce={source}", "--home", own.home, cwd=elsewhere)
    assert (wrong.code, wrong.out) == (1, "")
    assert wrong.err.startswith("headrace: ")
    assert "sauce" in wrong.err
    assert wrong.err.count("\n") == 1
    (usage,) = headrace("run", "x", "-p", "source", cwd=elsewhere).err.splitlines()[-1:]
    assert usage == "Error: --param: expected NAME=VALUE. Received: source"


def test_the_compiled_pipeline_is_the_same_wherever_it_is_compiled(own: Project, tmp_path: Path) -> None:
    files = [own.folder / "pipeline.yaml", tmp_path / "other.yaml", tmp_path / "third.yaml"]
    own.headrace("compile", ".").ok()
    headrace("compile", own.spec, "-o", files[1], cwd=tmp_path, PYTHONHASHSEED="1").ok()
    other = own.copy(tmp_path / "another folder")
    (other.folder / "pipeline.yaml").unlink()
    headrace("compile", "another folder", "-o", files[2], cwd=tmp_path, PYTHONHASHSEED="2").ok()
    first = files[0].read_bytes()
    assert [file.read_bytes() == first for file in files] == [True, True, True]
    assert b"pip install" not in first
    assert str(own.folder).encode() not in first
    executors = yaml.safe_load(first)["deploymentSpec"]["executors"].values()
    images = {executor["container"]["image"].split(":")[0] for executor in executors}
    assert images == {"headrace/components", "headrace/tfx"}


@pytest.mark.slow
def test_images_are_a_setting(own: Project) -> None:
    digests = {
        name: f"registry.test/headrace/{name}@sha256:{digit * 64}" for name, digit in (("main", "1"), ("tfx", "2"))
    }
    variables = {f"HEADRACE_IMAGE_{name.upper()}": image for name, image in digests.items()}
    own.headrace("compile", "spec.yaml", **variables).ok()
    executors = yaml.safe_load((own.folder / "pipeline.yaml").read_text())["deploymentSpec"]["executors"].values()
    images = [executor["container"]["image"] for executor in executors]
    assert set(images) == set(digests.values())
    assert images.count(digests["tfx"]) == 2
    own.headrace("run", "spec.yaml", **variables).ok()
    refused = own.headrace("run", "spec.yaml", HEADRACE_IMAGE_MAIN="alpine:3")
    assert refused.code == 1
    assert "expected an image that a local environment stands in for" in refused.err
    assert refused.err.count("\n") == 1


def test_show_of_a_certain_run(own: Project) -> None:
    run = own.show()["run"]
    other = own.headrace("show", "20000101-000000-abcdef")
    assert (other.code, other.out) == (1, "")
    assert other.err.startswith("headrace: ")
    assert other.err.count("\n") == 1
    assert json.loads(own.headrace("show", run, "--json").ok().out)["run"] == run


@pytest.mark.parametrize("command", ["show", "logs latest train", "schema accept spec.yaml"])
def test_nothing_ran_yet(command: str, trained: Project, tmp_path: Path) -> None:
    done = trained.headrace(*command.split(), "--home", tmp_path / "home")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"headrace: {tmp_path / 'home'}: expected a run")
    assert done.err.count("\n") == 1


def test_the_models_lineage_names_its_data_and_its_environment(trained: Project) -> None:
    lineage = json.loads((trained.home / "models" / "churn" / "1" / "lineage.json").read_text())
    assert lineage["origin"]["environment"].startswith("sha256:")
    assert lineage["data"]["digest"].startswith("sha256:")
    assert lineage["training"]["seed"] == 0
