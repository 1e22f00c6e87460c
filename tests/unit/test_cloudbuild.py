"""The build files parse, their references hold, and each rule notices what it is for."""

import re
from pathlib import Path

import pytest
import yaml

from tools.ci import checks, workflow
from tools.ci.__main__ import BUILDS
from tools.ci.build_file import BuildFileError, fill, load, references, resolve
from tools.ci.makefile import read_makefile

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yaml"
EVENT = {"PROJECT_ID": "acme", "COMMIT_SHA": "c" * 40, "TAG_NAME": "v1.2.3"}


@pytest.mark.parametrize("name", BUILDS)
def test_a_build_file_has_no_problems(name):
    assert checks.problems(load(ROOT / name), ROOT) == []


def test_a_workflow_has_no_problems():
    assert workflow.problems(WORKFLOW, ROOT) == []


def test_substitutions_are_resolved():
    build = resolve(load(ROOT / "cloudbuild/main.yaml"), EVENT)
    assert build.step("push-images").variables == {
        "REPOSITORY": "us-central1-docker.pkg.dev/acme/headrace",
        "TAG": "c" * 40,
    }
    submit = build.step("submit-e2e").variables
    assert submit["BUCKET"] == "gs://acme-headrace-staging"
    assert submit["SERVICE_ACCOUNT"] == "headrace-pipelines@acme.iam.gserviceaccount.com"
    elsewhere = resolve(load(ROOT / "cloudbuild/main.yaml"), {**EVENT, "_STAGING_PROJECT": "other"})
    assert elsewhere.step("submit-e2e").variables["BUCKET"] == "gs://other-headrace-staging"
    assert not any(references(arg) for step in build.steps for arg in step.args)


def test_dollars_circles_and_unknown_names():
    assert fill("$$HOME $_A ${_A}b", {"_A": "x"}) == "$HOME x xb"
    assert fill("[$TAG_NAME]", {}) == "[]"  # the service's own, of a build without a trigger
    with pytest.raises(BuildFileError, match=r"expected a substitution that is defined. Received: \$_B"):
        fill("$_B", {"_A": "x"})
    build = load(ROOT / "cloudbuild/main.yaml")
    with pytest.raises(BuildFileError, match="expected no circle. Received: _REGION -> _IMAGES -> _REGION"):
        resolve(build, {"_REGION": "$_IMAGES"})
    with pytest.raises(BuildFileError, match="expected substitutions that it has. Received: _REGOIN"):
        resolve(build, {"_REGOIN": "x"})


DAMAGES = [
    ("cloudbuild.yaml", "waitFor: [ci-image]", "waitFor: [ci-imag]", "waitFor: expected steps that stand above"),
    ("cloudbuild.yaml", "args: [types]", "args: [typos]", "expected a target of the Makefile. Received: typos"),
    ("cloudbuild.yaml", "args: [lint]", "args: [lint, types]", "expected one target a step"),
    ("cloudbuild.yaml", "args: [lint]", "args: [lint, FAST=1]", "expected variables that `make lint` reads"),
    ("cloudbuild.yaml", "entrypoint: make\n    args: [lint]", "args: [ruff, check]", "expected a step that calls `make`"),
    ("cloudbuild.yaml", "id: types", "id: lint", "expected ids that are there once"),
    ("cloudbuild.yaml", "name: headrace/ci\n", "name: python:3.11\n", "expected an image that a step builds"),
    ("cloudbuild.yaml", "waitFor: [ci-image]", 'waitFor: ["-"]', "expected it to wait for what builds headrace/ci"),
    ("cloudbuild.yaml", "cloudbuild/Dockerfile", "cloudbuild/Dokerfile", "--file: expected a file of the repository"),
    ("cloudbuild.yaml", "--tag, headrace/ci,", "--pull, --tag, headrace/ci,", "expected the command of `make ci-image`"),
    ("cloudbuild.yaml", "$_IMAGES", "$_IMAGE", "expected a default for what is used. Received: none for _IMAGE"),
    ("cloudbuild.yaml", "  _REGION:", "  _OTHER: x\n  _REGION:", "expected what is used; the service refuses the rest"),
    ("cloudbuild.yaml", "  dynamicSubstitutions: true\n", "", "expected dynamicSubstitutions"),
    ("cloudbuild.yaml", "CLOUD_LOGGING_ONLY", "LEGACY", "expected logging: CLOUD_LOGGING_ONLY"),
    ("cloudbuild.yaml", "E2_HIGHCPU_8", "E2_HIGHCPU_9", "machineType: expected one of"),
    ("cloudbuild.yaml", "3600s", "1h", "timeout: expected seconds"),
    ("cloudbuild/main.yaml", "waitFor: [images, test]", "waitFor: [images]", "expected it to wait for lint, test, types"),
    ("cloudbuild/main.yaml", "waitFor: [gate]", "waitFor: [submit-e2e]", "promote: expected it to wait for gate"),
    ("cloudbuild/main.yaml", "SPEC=$_SPEC", "SPEC=examples/none.yaml", "SPEC: expected a file of the repository"),
    ("cloudbuild/release.yaml", "waitFor: [dist]", "waitFor: [setup]", "release: expected it to wait for dist"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "there", "instead", "message"), DAMAGES, ids=[d[3][:40] for d in DAMAGES])
def test_a_rule_notices(tmp_path, name, there, instead, message):
    text = (ROOT / name).read_text()
    assert there in text
    file = tmp_path / "build.yaml"
    file.write_text(text.replace(there, instead))
    found = checks.problems(load(file), ROOT)
    assert any(message in line for line in found), found


@pytest.mark.parametrize(
    ("there", "instead", "message"),
    [
        (
            "timeout: 3600s",
            "timeout: 3600s\nsubstitution: {}",
            "expected fields of Cloud Build's. Received: substitution",
        ),
        ("waitFor: [setup]", "wait_for: [setup]", r"steps\[2\]: expected fields of Cloud Build's. Received: wait_for"),
        ("args: [lint]", "args: lint", "args: expected a list of texts. Received: 'lint'"),
        ("_REGION: us", "region: us", "expected a name such as _REGION with a text"),
        ("dynamicSubstitutions: true", "dynamic: true", "options: expected fields of Cloud Build's. Received: dynamic"),
        ("- id: lint\n", "- id: 7\n", "id: expected a text. Received: 7"),
    ],
)
def test_a_file_that_the_service_would_refuse(tmp_path, there, instead, message):
    text = (ROOT / "cloudbuild.yaml").read_text()
    assert there in text
    file = tmp_path / "build.yaml"
    file.write_text(text.replace(there, instead, 1))
    with pytest.raises(BuildFileError, match=message):
        load(file)


@pytest.mark.parametrize(
    ("there", "instead", "message"),
    [
        ("needs: [check, images]", "needs: [check]", "push-images: expected it after images"),
        ("needs: [check, images]", "needs: [check, image]", "needs: expected jobs that there are. Received: image"),
        ("run: make lint", "run: ruff check", "expected a `make` target. Received: ruff check"),
        ("run: make lint", "run: make linn", "expected a target of the Makefile. Received: linn"),
        ('TAG="$GITHUB_SHA"', 'TAGS="$GITHUB_SHA"', "expected variables that `make push-images` reads. Received: TAGS"),
        ("      - run: make gate", "      # - run: make gate", "promote: expected it after gate"),
        ("      id-token: write", "      id-token: none", "expected permissions: id-token: write"),
        ("permissions:\n  contents: read\n", "permissions:\n  contents: write\n", "expected permissions: {contents: read}"),
        ("docker/setup-buildx-action@v3", "docker/setup-buildx-action@main", "expected an action with a version"),
        ("    timeout-minutes: 60\n", "", "expected timeout-minutes"),
    ],
)  # fmt: skip
def test_a_workflow_s_rule_notices(tmp_path, there, instead, message):
    text = WORKFLOW.read_text()
    assert there in text
    file = tmp_path / "ci.yaml"
    file.write_text(text.replace(there, instead))
    found = workflow.problems(file, ROOT)
    assert any(message in line for line in found), found


def test_github_and_cloud_build_do_the_same():
    jobs = workflow.jobs(WORKFLOW)
    of_github = {target for job in jobs.values() for target in job.targets}
    of_cloud_build = {step.target for name in BUILDS for step in load(ROOT / name).steps if step.target}
    assert of_github == of_cloud_build


def test_only_what_is_said_to_needs_a_project():
    targets = {step.target for name in BUILDS for step in load(ROOT / name).steps}
    assert targets >= checks.CLOUD
    assert not {step.target for step in load(ROOT / "cloudbuild.yaml").steps} & checks.CLOUD  # a pull request's


def test_the_makefile_s_variables_are_found():
    makefile = read_makefile(ROOT / "Makefile")
    assert makefile.variables["promote"] >= {"RELEASES", "COMMIT"}
    assert makefile.variables["check"] >= makefile.variables["lint"]
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    assert makefile.targets <= {*declared[1].split()}


def test_the_documentation_has_every_substitution():
    text = (ROOT / "docs" / "ci.md").read_text()
    for name in BUILDS:
        for substitution, default in load(ROOT / name).substitutions.items():
            assert f"| `{substitution}` | `{default}` |" in text, f"docs/ci.md: {name}: {substitution}"
    for build in BUILDS:
        for step in yaml.safe_load((ROOT / build).read_text())["steps"]:
            assert f"`{step['id']}`" in text, f"docs/ci.md: {build}: {step['id']}"
