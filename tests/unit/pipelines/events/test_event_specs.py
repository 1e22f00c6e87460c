"""A rule that names a spec, where pipelines run elsewhere: what it starts is what `headrace submit` would."""

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.compile import training_ir
from headrace.pipelines.events.rules import Rule
from headrace.pipelines.events.starting import PlatformStarter
from headrace.pipelines.spec import load_spec
from headrace.platforms.running import PENDING, Submitted, Where

SPEC = """
name: churn
task: classification
data: {source: gs://raw/x.csv, label: y}
submit:
  labels: {team: growth}
  caching: false
  failure_policy: fast
  vertex:
    root: gs://of/the/spec
    image: img
    network: projects/7/global/networks/ours
    encryption_key: projects/p/locations/l/keyRings/r/cryptoKeys/k
    serving: {machine: n1-standard-4}
"""


class Kept:
    """A place that keeps what it is sent."""

    def __init__(self):
        self.where = Where("vertex", "http://127.0.0.1:1", "demo", "us-central1")
        self.sent = []

    def submit(self, submission):
        self.sent.append(submission)
        return Submitted(submission.id, "", PENDING)


@pytest.fixture
def rule(tmp_path, monkeypatch):
    for name in ("HEADRACE_PLATFORM", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return Rule(name="new-file", message={}, pipeline=str(tmp_path / "spec.yaml"))


def test_a_spec_is_started_as_its_section_says(rule):
    runs = Kept()
    starter = PlatformStarter(runs, root="gs://ops/runs", service_account="runner@demo.iam.gserviceaccount.com")
    started = starter.start(rule, {"source": "gs://raw/may.csv"}, "a1b2c3d4e5", lambda state: None)
    [sent] = runs.sent
    assert started.id == sent.id == "new-file-a1b2c3d4e5" and sent.name == "churn-a1b2c3d4"
    assert sent.text == training_ir(load_spec(rule.pipeline), "")
    assert sent.labels["team"] == "growth" and sent.labels["headrace-rule"] == "new-file"
    assert (sent.caching, sent.failure_policy, sent.experiment) == (False, "fast", "churn-runs")
    assert sent.network == "projects/7/global/networks/ours" and sent.encryption_key.endswith("/k")
    assert (sent.root, sent.service_account) == ("gs://ops/runs", "runner@demo.iam.gserviceaccount.com")
    assert sent.parameters["source"] == "gs://raw/may.csv"
    assert "machine=n1-standard-4" in sent.parameters["platform"]


def test_a_spec_with_a_mistake_starts_nothing(rule):
    runs = Kept()
    with pytest.raises(HeadraceError, match="Received: sorce; did you mean `source`"):
        PlatformStarter(runs).start(rule, {"sorce": "x"}, "a1", lambda state: None)
    missing = rule.model_copy(update={"pipeline": rule.pipeline + "x"})
    with pytest.raises(HeadraceError, match="expected a file that can be read"):
        PlatformStarter(runs).start(missing, {}, "a1", lambda state: None)
    assert runs.sent == []
