"""From a spec to what is sent: where to, with which parameters, and what is refused before anything is sent."""

import dataclasses
import json

import pytest
import yaml

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.compile import compile_spec, training_ir
from headrace.pipelines.spec import load_spec
from headrace.pipelines.submission import Asked, plan, prepare
from headrace.platforms.running import Where
from headrace.platforms.vertex.monitoring import watched
from headrace.platforms.vertex.settings import Monitoring, Serving
from headrace.platforms.vertex.store import VertexPlace

SPEC = "name: m\ntask: classification\ndata:\n  source: t.csv\n  label: y\n"
VERTEX = "submit: {vertex: {project: acme, location: europe-west4, root: 'gs://acme/runs/', image: img}}\n"
KUBEFLOW = """
submit:
  labels: {team: growth}
  caching: true
  failure_policy: fast
  kubeflow:
    endpoint: https://kf.example/pipeline
    namespace: team
    root: minio://ml/runs
    platform: mlflow:http://mlflow:5000
    service_account: runner
    token_file: secrets/token
"""


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in (
        "GOOGLE_CLOUD_PROJECT",
        "CLOUDSDK_CORE_PROJECT",
        "KFP_ENDPOINT",
        "HEADRACE_PLATFORM",
        "HEADRACE_COMMIT",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def spec(tmp_path):
    def write(more=""):
        file = tmp_path / "spec.yaml"
        file.write_text(SPEC + more)
        (tmp_path / "t.csv").write_text("a,y\n1,0\n")
        return file

    return write


EMULATED = {"endpoint": "http://127.0.0.1:1"}


def test_vertex_gets_its_own_registry_and_the_source_in_its_bucket(spec, monkeypatch):
    monkeypatch.setenv("HEADRACE_COMMIT", "0a1b2c-dirty")
    file = spec(VERTEX)
    submission = prepare(plan(file, Asked(**EMULATED)), dry=True)
    assert submission.text == training_ir(load_spec(file), ""), "to the byte what `headrace compile` writes"
    assert submission.root == "gs://acme/runs"
    assert submission.parameters["source"].startswith("gs://acme/runs/sources/")
    assert submission.parameters["source"].endswith("/t.csv")
    assert submission.parameters["platform"] == (
        "vertex:acme/europe-west4?bucket=gs%3A%2F%2Facme%2Fruns%2Fmodels&image=img&endpoint=http%3A%2F%2F127.0.0.1%3A1"
    )
    assert submission.labels == {"headrace-pipeline": "m", "headrace-commit": "0a1b2c-dirty"}
    assert submission.experiment == "m-runs" and submission.id.startswith("m-2")
    assert prepare(plan(file, Asked(**EMULATED)), dry=True).id != submission.id


def test_kubeflow_is_told_what_the_spec_says_and_the_command_goes_first(spec, tmp_path):
    planned = plan(spec(KUBEFLOW), Asked())
    assert planned.where == Where(
        "kubeflow",
        endpoint="https://kf.example/pipeline",
        namespace="team",
        token_file=str(tmp_path / "secrets/token"),
    )
    said = []
    submission = prepare(planned, said.append, dry=True)
    assert submission.parameters["source"].startswith("s3://ml/runs/sources/"), "minio:// is KFP's name alone"
    assert submission.parameters["platform"] == "mlflow:http://mlflow:5000"
    assert (submission.root, submission.caching, submission.failure_policy) == ("minio://ml/runs", True, "fast")
    assert submission.service_account == "runner" and submission.labels["team"] == "growth"
    assert said == [line for line in said if "must be on the cluster's nodes" in line] != []
    other = Asked(
        namespace="mine", root="s3://b/r", labels={"team": "x"}, caching=False, id="event-1",
        parameters={"platform": "mlflow:http://other", "source": "gs://b/rows.csv"},
    )  # fmt: skip
    submission = prepare(plan(spec(KUBEFLOW), other), dry=True)
    assert submission.parameters == {"platform": "mlflow:http://other", "source": "gs://b/rows.csv"}
    assert (submission.root, submission.caching, submission.id) == ("s3://b/r", False, "event-1")
    assert submission.labels["team"] == "x"


def test_a_compiled_pipeline_is_sent_as_it_stands(spec, tmp_path):
    compile_spec(spec(), tmp_path / "p.yaml")
    asked = Asked(
        on="vertex", project="acme", location="l", root="gs://b/r", **EMULATED,
        parameters={"source": "gs://b/x.csv", "platform": "mlflow:http://m"},
    )  # fmt: skip
    submission = prepare(plan(tmp_path / "p.yaml", asked))
    assert submission.text == (tmp_path / "p.yaml").read_text()
    with pytest.raises(HeadraceError, match="expected the source, by --param source"):
        prepare(plan(tmp_path / "p.yaml", dataclasses.replace(asked, parameters={"platform": "mlflow:http://m"})))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"deploymentSpec: {}\nroot: {}\n", "expected a compiled pipeline .*Received: a part of one"),
        (b"deploymentSpec: {}\npipelineInfo: {name: m}\n", "expected a compiled pipeline"),
        ("deploymentSpec: {}\nname: Müller".encode("latin-1"), "expected text in UTF-8"),
    ],
)
def test_half_of_a_compiled_pipeline_is_said_to_be_that(tmp_path, content, words):
    (tmp_path / "p.yaml").write_bytes(content)
    with pytest.raises(HeadraceError, match=words):
        prepare(plan(tmp_path / "p.yaml", Asked(on="vertex", project="a", location="l", root="gs://b/r", **EMULATED)))


def test_the_prediction_pipeline_wants_a_source_and_types_are_the_pipelines(spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = spec(VERTEX)
    asked = {"source": "t.csv", "max_rejects": "3", "keep": '["a"]', "platform": "mlflow:http://m"}
    submission = prepare(plan(file, Asked(pipeline="prediction", parameters=asked, **EMULATED)), dry=True)
    assert submission.parameters["max_rejects"] == 3 and submission.parameters["keep"] == ["a"]
    assert submission.parameters["source"].startswith("gs://acme/runs/sources/")
    assert submission.name == "m-prediction"
    with pytest.raises(HeadraceError, match="max_rejects: expected a whole number. Received: 'few'"):
        prepare(plan(file, Asked(pipeline="prediction", parameters={**asked, "max_rejects": "few"}, **EMULATED)))


def test_joined_tables_are_sent_beside_each_other(spec, tmp_path):
    (tmp_path / "plans.csv").write_text("p,q\n1,2\n")
    file = spec(VERTEX)
    file.write_text(file.read_text().replace("  label: y\n", "  label: y\n  join: [{source: plans.csv, on: [p]}]\n"))
    submission = prepare(plan(file, Asked(**EMULATED)), dry=True)
    assert submission.parameters["folder"].startswith("gs://acme/runs/sources/")


@pytest.mark.parametrize(
    ("more", "asked", "words"),
    [
        ("", {}, "expected the place to run on"),
        ("", {"on": "vertex"}, "vertex: expected project: submit.vertex.project, --project"),
        ("", {"on": "kubeflow"}, "kubeflow: expected endpoint: submit.kubeflow.endpoint"),
        (VERTEX, {}, "expected images in a registry that can be pulled from there"),
        (VERTEX, {**EMULATED, "parameters": {"sorce": "x"}}, "Received: sorce; did you mean `source`"),
        (VERTEX, {**EMULATED, "parameters": {"platform": "local"}}, None),
        (VERTEX, {**EMULATED, "id": "Not A Name"}, "--id: expected small letters"),
        (VERTEX, {**EMULATED, "id": "a" * 200}, "127 at most"),
        (VERTEX, {"endpoint": "localhost:8080"}, "endpoint: expected an address as http://HOST:PORT"),
        ("", {"on": "kubeflow", "endpoint": "localhost"}, "endpoint: expected an address as http://HOST:PORT"),
        (
            VERTEX,
            {**EMULATED, "parameters": {"source": "postgresql://app:hunter2@h/db"}},
            "expected no password in a parameter",
        ),
        ("submit: {to: kubeflow, kubeflow: {endpoint: 'http://h', root: 's3://b/r'}}\n", {}, "expected a registry"),
        ("submit: {kubeflow: {endpoint: 'https://u:pw@h'}}\n", {}, "without user, password and parameters"),
        ("submit: {vertex: {root: 's3://b'}}\n", {}, "submit.vertex.root: "),
        ("submit: {schedule: {cron: '0 25 * * *'}}\n", {}, "submit.schedule.cron: expected five fields"),
        ("submit: {schedule: {cron: '0 5 * * *', timezone: Mars}}\n", {}, "such as Europe/Berlin"),
        ("submit: {vertex: {monitoring: {}}}\n", {}, "monitoring: expected `serving` beside it"),
        ("submit: {vertx: {}}\n", {}, "unknown field `vertx`; did you mean `vertex`?"),
        ("submit: {labels: {Team: x}}\n", {}, "small letters"),
    ],
)
def test_mistakes_are_named_before_anything_is_sent(spec, more, asked, words):
    file = spec(more)
    if words is None:
        assert prepare(plan(file, Asked(**asked)), dry=True).parameters["platform"] == "local"
        return
    with pytest.raises(HeadraceError) as caught:
        prepare(plan(file, Asked(**asked)))
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_local_needs_a_home_for_all_tasks(spec):
    more = "submit: {to: kubeflow, kubeflow: {endpoint: 'http://h', root: 's3://b/r'}}\n"
    home = "resources: {all: {environment: {HEADRACE_HOME: /home}, volumes: {headrace: /home}}}\n"
    assert prepare(plan(spec(more + home), Asked()), dry=True).parameters["platform"] == "local"


def test_dataflow_comes_with_its_options(spec):
    more = VERTEX.replace("image: img", "image: img, dataflow: {max_workers: 3}")
    submission = prepare(plan(spec(more), Asked(**EMULATED)), dry=True)
    assert submission.parameters["beam_runner"] == "DataflowRunner"
    submission = prepare(plan(spec(more), Asked(parameters={"beam_runner": "none"}, **EMULATED)), dry=True)
    assert submission.parameters["beam_runner"] == "none"


def test_dataflows_workers_have_the_steps_images_and_runs_share_their_options(spec):
    more = VERTEX.replace("image: img", "image: img, dataflow: {options: {experiments: [use_runner_v2]}}")
    first, second = (prepare(plan(spec(more), Asked(**EMULATED)), dry=True) for _ in range(2))
    options = first.parameters["beam_options"]
    assert first.id != second.id and second.parameters["beam_options"] == options, (
        "or no run took anything from a cache"
    )
    assert options["labels"] == ["headrace=m"]
    executors = first.ir["deploymentSpec"]["executors"]
    assert options["images"] == {
        "tfx": executors["exec-statistics"]["container"]["image"],
        "main": executors["exec-evaluate"]["container"]["image"],
    }
    assert options["experiments"] == ["use_runner_v2"]


def test_what_vertex_serves_on_and_watches_is_in_the_registrys_address(spec, monkeypatch):
    serving = "serving: {machine: n1-standard-4, min_replicas: 2, max_replicas: 3, spot: true}"
    watching = "monitoring: {emails: [ml@example.com], thresholds: {plan: 0.1}}"
    more = VERTEX.replace("image: img", f"image: img, {serving}, {watching}")

    def place(**asked):
        submission = prepare(plan(spec(more), Asked(**EMULATED, **asked)), dry=True)
        return VertexPlace.of(submission.parameters["platform"])

    found = place()
    assert found.serving == Serving("n1-standard-4", 2, 3, spot=True)
    assert found.bucket == "gs://acme/runs/models" and found.endpoint == EMULATED["endpoint"]
    assert watched(found) == Monitoring(emails=("ml@example.com",), thresholds={"plan": 0.1})
    monkeypatch.setenv("HEADRACE_PLATFORM", "vertex:acme/r?bucket=gs://b&image=i&machine=e2-standard-8")
    assert place().machine == "e2-standard-8", "what the address says goes first"
    monkeypatch.setenv("HEADRACE_PLATFORM", "mlflow:http://m")
    with pytest.raises(HeadraceError, match="serving: expected the registry of Vertex AI.* Received: mlflow:http://m"):
        place()
    monkeypatch.delenv("HEADRACE_PLATFORM")
    assert (
        VertexPlace.of(prepare(plan(spec(VERTEX), Asked(**EMULATED)), dry=True).parameters["platform"]).machine == ""
    ), "without the section the endpoint is nobody's but our servers'"


def test_the_spec_and_vertex_have_the_same_defaults():
    from headrace.pipelines import submit_spec
    from headrace.platforms.vertex import settings

    for name in ("Serving", "Dataflow", "Monitoring"):
        section = getattr(submit_spec, f"{name}Spec")()
        plain = dataclasses.asdict(getattr(settings, name)())
        assert json.loads(json.dumps(plain)) == section.model_dump(mode="json"), name


def test_a_file_of_weights_on_this_machine_is_not_left_behind(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.png").write_bytes(b"x")
    (tmp_path / "w.h5").write_bytes(b"weights")
    file = tmp_path / "spec.yaml"

    def planned(weights, more=""):
        train = f"train: {{model: cnn, cnn: {{backbone: resnet50, weights: '{weights}'}}}}\n"
        file.write_text(f"name: m\ntask: image_classification\ndata: {{source: gs://b/photos}}\n{train}{VERTEX}{more}")
        return plan(file, Asked(**EMULATED))

    with pytest.raises(HeadraceError, match=r"weights: expected gs://BUCKET/FILE.* Received: w.h5, which lies on this"):
        prepare(planned("w.h5"), dry=True)
    assert prepare(planned("gs://b/w.h5"), dry=True).id
    mounted = f"resources: {{train: {{volumes: {{claim: {tmp_path}}}}}}}\n"
    assert prepare(planned("w.h5", mounted), dry=True).id, "a volume is there at the same path"


def test_what_is_tracked_in_vertex_ai_is_in_no_experiment_that_is_called_as_the_pipeline(spec):
    tracked = spec("track: {vertex: {project: acme, location: europe-west4}}\n" + VERTEX)
    ir = yaml.safe_load(training_ir(load_spec(tracked), ""))
    inputs = ir["root"]["dag"]["tasks"]["track"]["inputs"]["parameters"]
    assert inputs["experiment"] == {"runtimeValue": {"constant": "m-runs"}}


def test_the_emulators_own_home_is_a_registry_that_its_tasks_reach(spec, monkeypatch):
    monkeypatch.setattr("headrace.pipelines.submitted_parameters.is_emulator", lambda endpoint: endpoint.endswith(":1"))
    file = spec(KUBEFLOW.replace("platform: mlflow:http://mlflow:5000", "platform: local"))
    assert prepare(plan(file, Asked(endpoint="http://127.0.0.1:1")), dry=True).parameters["platform"] == "local"
    with pytest.raises(HeadraceError, match="expected a registry that the tasks can reach"):
        prepare(plan(file, Asked(endpoint="http://127.0.0.1:2")), dry=True)
