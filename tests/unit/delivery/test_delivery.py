"""From a gate to a release: what is kept, what is refused, and that nothing goes further than what was tried."""

import hashlib
import json
import zipfile
from types import SimpleNamespace

import pytest

from headrace.platforms.running import Submitted, TaskState
from tests.cloud.gcs_server import storage_service
from tests.cloud.registry_server import registry_service
from tools.delivery import __main__ as delivery
from tools.delivery import dist, oci
from tools.delivery.compile_all import images_of, read_digests, specs
from tools.delivery.errors import DeliveryError
from tools.delivery.gate import judge
from tools.delivery.releases import Releases, promote, release

COMMIT, LATER = "a" * 40, "b" * 40


@pytest.fixture
def registry():
    with registry_service() as service:
        yield service


@pytest.fixture
def bucket(monkeypatch):
    with storage_service("acme-releases") as service:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", service.url)
        yield service


RELEASES = Releases("acme-releases", "")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def built(folder, registry, commit=COMMIT, manifest=b"{}"):
    """A build folder as it is after the gate, whose image is in the registry."""
    digest = registry.put("acme/components", commit, manifest)
    (folder / "pipelines").mkdir(parents=True)
    pipeline = b"ir of " + commit.encode()
    (folder / "pipelines" / "churn.training.yaml").write_bytes(pipeline)
    index = {"churn.training.yaml": {"sha256": sha(pipeline), "images": []}}
    (folder / "pipelines" / "index.json").write_text(json.dumps(index))
    images = json.dumps({"components": f"{registry.host}/acme/components@{digest}"}).encode()
    (folder / "images.json").write_bytes(images)
    digests = {"images.json": sha(images), "pipelines/churn.training.yaml": sha(pipeline)}
    (folder / "run.json").write_text(json.dumps({"id": "run-1", "commit": commit, "sha256": digests}))
    (folder / "gate.json").write_text(json.dumps({"passed": True, "commit": commit, "run": "run-1"}))
    return folder


def test_promote_keeps_all_of_it_and_moves_current(tmp_path, registry, bucket):
    build = built(tmp_path / "build", registry)
    assert promote(RELEASES, COMMIT, 100, build) is True
    promotion = json.loads(RELEASES.read("current.json")[0])
    assert promotion["commit"] == COMMIT
    kept, _ = RELEASES.read(f"commits/{COMMIT}/pipelines/churn.training.yaml")
    assert sha(kept) == promotion["files"]["pipelines/churn.training.yaml"]
    assert registry.tags["acme/components", "current"] == registry.tags["acme/components", COMMIT]
    assert promote(RELEASES, COMMIT, 100, build) is True  # again: nothing changes, nothing is refused


def test_a_build_that_ends_late_does_not_take_its_successor_s_place(tmp_path, registry, bucket):
    assert promote(RELEASES, LATER, 200, built(tmp_path / "later", registry, LATER, b'{"n": 2}')) is True
    assert promote(RELEASES, COMMIT, 100, built(tmp_path / "early", registry)) is False
    assert json.loads(RELEASES.read("current.json")[0])["commit"] == LATER
    assert registry.tags["acme/components", "current"] == registry.tags["acme/components", LATER]
    assert RELEASES.read(f"commits/{COMMIT}/promotion.json")


def test_two_at_once_the_later_commit_wins(tmp_path, registry, bucket, monkeypatch):
    """Between the look at current.json and its writing, a later commit's build gets there first."""
    early, later = built(tmp_path / "early", registry), built(tmp_path / "later", registry, LATER, b'{"n": 2}')
    read = Releases.read
    seen = []

    def slow(self, name):
        found = read(self, name)
        if name == "current.json" and not seen:
            seen.append(name)
            assert promote(RELEASES, LATER, 200, later) is True
        return found

    monkeypatch.setattr(Releases, "read", slow)
    assert promote(RELEASES, COMMIT, 100, early) is False
    assert json.loads(read(RELEASES, "current.json")[0])["commit"] == LATER


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: (b / "gate.json").unlink(), "expected the run on staging and its gate first. Received: no gate.json"),
        (lambda b: (b / "gate.json").write_text('{"passed": false}'), "expected a gate that passed"),
        (lambda b: (b / "gate.json").write_text('{"passed": "true", "run": "run-1"}'), "expected a gate that passed"),
        (
            lambda b: (b / "gate.json").write_text(json.dumps({"passed": True, "run": "run-0", "commit": COMMIT})),
            "expected a gate that passed for run run-1",
        ),
        (
            lambda b: (b / "gate.json").write_text(json.dumps({"passed": True, "run": "run-1", "commit": LATER})),
            "expected the gate of commit a",
        ),
        (lambda b: (b / "images.json").write_text('{"components": "x@sha256:1"}'), "expected the file that was run"),
        (lambda b: (b / "pipelines" / "churn.training.yaml").write_text("other"), "expected the file that was run"),
        (
            lambda b: (b / "pipelines" / "index.json").write_text('{"churn.prediction.yaml": {"sha256": "0"}}'),
            "expected what index.json says",
        ),
    ],
)  # fmt: skip
def test_what_did_not_pass_the_gate_as_it_is_is_not_promoted(tmp_path, registry, bucket, change, message):
    build = built(tmp_path / "build", registry)
    change(build)
    with pytest.raises(DeliveryError, match=message):
        promote(RELEASES, COMMIT, 100, build)
    assert RELEASES.read("current.json") is None
    assert ("acme/components", "current") not in registry.tags


def test_another_build_of_the_same_commit_is_refused(tmp_path, registry, bucket):
    promote(RELEASES, COMMIT, 100, built(tmp_path / "first", registry))
    with pytest.raises(DeliveryError, match="expected what was promoted before. Received: other content"):
        promote(RELEASES, COMMIT, 100, built(tmp_path / "second", registry, COMMIT, b'{"n": 2}'))


def test_release_names_what_was_promoted(tmp_path, registry, bucket):
    with pytest.raises(DeliveryError, match="expected a commit that passed staging. Received: none"):
        release(RELEASES, "v1.2.3", COMMIT)
    promote(RELEASES, COMMIT, 100, built(tmp_path / "build", registry))
    release(RELEASES, "v1.2.3", COMMIT)
    assert registry.tags["acme/components", "v1.2.3"] == registry.tags["acme/components", COMMIT]
    release(RELEASES, "v1.2.3", COMMIT)  # a second try, after one that broke off
    promote(RELEASES, LATER, 200, built(tmp_path / "later", registry, LATER, b'{"n": 2}'))
    with pytest.raises(DeliveryError, match=r"v1.2.3.json: expected what was promoted before"):
        release(RELEASES, "v1.2.3", LATER)
    with pytest.raises(DeliveryError, match="TAG: expected vX.Y.Z. Received: 'latest'"):
        release(RELEASES, "latest", COMMIT)


def test_a_tag_is_moved_only_where_that_is_meant(registry):
    first = registry.put("acme/tfx", "one", b'{"n": 1}')
    second = registry.put("acme/tfx", "two", b'{"n": 2}')
    repository = f"{registry.host}/acme/tfx"
    assert oci.digest(repository, "one") == first
    assert oci.digest(repository, "none") is None
    assert oci.tag(f"{repository}@{first}", "v1.0.0") is True
    assert oci.tag(f"{repository}@{first}", "v1.0.0") is False
    with pytest.raises(DeliveryError, match=rf"v1.0.0: expected {second}, or no such tag. Received: {first}"):
        oci.tag(f"{repository}@{second}", "v1.0.0")
    assert oci.tag(f"{repository}@{second}", "v1.0.0", move=True) is True
    with pytest.raises(DeliveryError, match="Received: 404; was it pushed"):
        oci.tag(f"{repository}@sha256:{'0' * 64}", "v2.0.0")
    assert not any("Authorization" in headers for headers in registry.headers)  # no token for a stranger
    registry.refuse = 403
    with pytest.raises(DeliveryError, match="lacks roles/artifactregistry.writer"):
        oci.digest(repository, "one")


def fake_runs(state="SUCCEEDED", **changed):
    states = dict.fromkeys(("ingest", "evaluate", "gate", "passed/register", "passed/push"), "SUCCEEDED") | changed
    tasks = [TaskState(name, state) for name, state in states.items() if state] + [
        TaskState("passed", "SKIPPED", group=True)
    ]
    return SimpleNamespace(get=lambda run: Submitted(run, "https://page", state), tasks=lambda run: tasks)


def test_the_gate_passes_a_whole_run(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"id": "run-1", "commit": COMMIT}))
    judgement = judge(fake_runs(), tmp_path / "run.json", COMMIT, tmp_path / "gate.json")
    assert json.loads((tmp_path / "gate.json").read_text()) == judgement
    assert judgement["passed"] is True and len(judgement["tasks"]) == 5


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (fake_runs("FAILED"), "expected it to have succeeded. Received: FAILED"),
        (fake_runs("RUNNING"), "Received: RUNNING"),
        (fake_runs(**{"passed/push": "SKIPPED"}), "passed/push: expected it to have succeeded. Received: SKIPPED"),
        (fake_runs(**{"passed/push": None}), "push: expected this step. Received: none; its model did not pass"),
        (fake_runs(gate=None), "gate: expected this step. Received: none"),
        (fake_runs(ingest="FAILED"), "ingest: expected it to have succeeded"),
    ],
)
def test_the_gate_fails_closed(tmp_path, runs, message):
    (tmp_path / "run.json").write_text(json.dumps({"id": "run-1", "commit": COMMIT}))
    (tmp_path / "gate.json").write_text('{"passed": true}')  # of an earlier try
    with pytest.raises(DeliveryError, match=message):
        judge(runs, tmp_path / "run.json", COMMIT, tmp_path / "gate.json")
    assert not (tmp_path / "gate.json").exists()


def test_the_gate_judges_this_commit_s_run(tmp_path):
    with pytest.raises(DeliveryError, match="expected what `make submit-e2e` writes"):
        judge(fake_runs(), tmp_path / "run.json", COMMIT, tmp_path / "gate.json")
    (tmp_path / "run.json").write_text(json.dumps({"id": "run-1", "commit": LATER}))
    with pytest.raises(DeliveryError, match=f"expected a run of commit {COMMIT}"):
        judge(fake_runs(), tmp_path / "run.json", COMMIT, tmp_path / "gate.json")


def test_digests_are_digests(tmp_path):
    file = tmp_path / "images.json"
    with pytest.raises(DeliveryError, match="expected what `make push-images` writes"):
        read_digests(file)
    file.write_text('{"tfx": "acme/tfx:1"}')
    with pytest.raises(DeliveryError, match="tfx: expected an image by its digest. Received: acme/tfx:1"):
        read_digests(file)
    file.write_text("{}")
    with pytest.raises(DeliveryError, match="Received: none"):
        read_digests(file)


def test_every_example_is_compiled():
    names = set(specs(delivery.ROOT))
    assert {path.parent.name for path in delivery.ROOT.glob("examples/*/spec.yaml")} <= names
    assert "churn-own_model" in names


def test_images_of_a_pipeline():
    text = "deploymentSpec:\n  executors:\n    a: {container: {image: x@sha256:1}}\n    b: {importer: {}}\n---\nplatforms: {}\n"
    assert images_of(text) == {"x@sha256:1"}


def test_tag_version_and_changelog_have_to_agree(tmp_path):
    (tmp_path / "headrace").mkdir()
    (tmp_path / "headrace" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n- x\n\n## 1.2.30\n- y\n")
    with pytest.raises(DeliveryError, match="TAG: expected v1.2.3, .* Received: v1.2.4"):
        dist.check_version(tmp_path, "v1.2.4")
    with pytest.raises(DeliveryError, match="expected a section `## 1.2.3` with what changed. Received: none"):
        dist.check_version(tmp_path, "v1.2.3")
    changelog.write_text("## 1.2.3\n\n## 1.2.2\n- y\n")
    with pytest.raises(DeliveryError, match="expected a section"):
        dist.check_version(tmp_path, "v1.2.3")
    changelog.write_text("## [1.2.3] - 2026-11-22\n- x\n\n## 1.2.2\n")
    assert dist.check_version(tmp_path, "v1.2.3") == "1.2.3"


def test_a_wheel_has_to_be_whole(tmp_path):
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("headrace/artifacts/__init__.py", "")
    with pytest.raises(DeliveryError, match="expected headrace/platforms. Received: none of it"):
        dist.check_wheel(wheel)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["submit-e2e"], "submit-e2e: expected SPEC and PROJECT and REGION and BUCKET and COMMIT: `make ... SPEC=...`"),
        (["gate"], "gate: expected PROJECT and REGION and COMMIT"),
        (["promote", "--commit", COMMIT], "promote: expected RELEASES"),
        (["promote", "--commit", COMMIT, "--releases", "s3://x"], "promote: RELEASES: expected gs://BUCKET"),
        (["dist"], "dist: expected TAG"),
        (["release", "--tag", "v1.2.3"], "release: expected COMMIT and RELEASES and PACKAGES"),
        (["compile-all", "--digests", "/nowhere/images.json"], "compile-all: /nowhere/images.json: expected what"),
    ],
)
def test_what_needs_a_project_says_so(capsys, arguments, message):
    assert delivery.main(arguments) == 1
    assert capsys.readouterr().err.startswith(message)
