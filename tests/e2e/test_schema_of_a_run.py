"""`headrace schema` with the data of a real run: held against a schema, widened by it, inferred from it."""

import json

import pytest

from headrace.artifacts.schema import read_schema_file
from tests.e2e.projects import Project


@pytest.mark.slow  # TFDV is loaded anew for each
def test_what_a_run_found_is_told_and_taken_over_only_where_it_is_named(own: Project):
    file = own.folder / "schema.pbtxt"
    own.headrace("schema", "accept", "spec.yaml").ok()
    assert own.headrace("schema", "diff", "spec.yaml", "--data", "latest").code == 0
    own.headrace("schema", "edit", "spec.yaml", "plan", "--domain", "ads,family", "--min-domain-mass", "0.99")
    own.headrace("schema", "edit", "spec.yaml", "tenure_months", "--range", "0:20")
    narrowed = file.read_text()

    told = own.headrace("schema", "diff", "spec.yaml", "--data", "latest")
    assert told.code == 1
    assert "error: plan: expected text" in told.out and "error: tenure_months" in told.out

    asked = own.headrace("schema", "update", "spec.yaml")
    assert asked.code == 1 and "--feature plan --domain: has unlisted values" in asked.err
    assert file.read_text() == narrowed, "nothing is widened without being named"

    assert own.headrace("schema", "update", "spec.yaml", "--feature", "plan", "--domain").code == 0
    told = own.headrace("schema", "diff", "spec.yaml", "--data", "latest")
    assert "plan" not in told.out and "tenure_months" in told.out
    assert own.headrace("schema", "update", "spec.yaml", "--feature", "tenure_months", "--range").code == 0
    assert own.headrace("schema", "diff", "spec.yaml", "--data", "latest").code == 0
    assert own.headrace("schema", "diff", "spec.yaml", "latest").code == 1  # the run used the old one


@pytest.mark.slow  # TFDV is loaded anew for each
def test_a_schema_inferred_from_the_source_is_that_of_a_run(own: Project):
    for name, arguments in {"run": ("--run", "latest"), "now": ()}.items():
        done = own.headrace("schema", "infer", "spec.yaml", "--output", f"{name}.pbtxt", *arguments)
        assert done.code == 0, done.err
    assert read_schema_file(own.folder / "run.pbtxt") == read_schema_file(own.folder / "now.pbtxt")
    assert own.headrace("schema", "diff", "run.pbtxt", "--data", "latest").code == 0


@pytest.mark.slow  # TFDV is loaded anew for each
def test_a_run_by_beam_gives_the_statistics_that_it_gives_without(own: Project):
    own.headrace("run", "spec.yaml", "--beam-runner", "DirectRunner").ok()
    by_beam, without = described(own, "latest"), described(own, "latest~1")
    assert not by_beam["cached"]
    assert by_beam["artifacts"][0]["digest"] == without["artifacts"][0]["digest"]
    wrong = own.headrace("run", "spec.yaml", "--beam-runner", "DirectRuner")
    assert wrong.code == 1 and "did you mean DirectRunner?" in wrong.out + wrong.err


def described(own: Project, run: str) -> dict:
    task: dict = json.loads(own.headrace("show", run, "--json").ok().out)["tasks"]["statistics"]
    return task
