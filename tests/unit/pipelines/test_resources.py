"""The section `resources`: what each step is given, in the compiled file that is the same everywhere."""

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.compile import prediction_ir, training_ir
from headrace.pipelines.local.ir.platform_spec import read_pods
from headrace.pipelines.pipeline_file import parse_pipeline
from headrace.pipelines.resources import step_of
from headrace.pipelines.resources_spec import STEPS
from headrace.pipelines.spec import load_spec

SPEC = "name: m\ntask: classification\ndata:\n  source: t.csv\n  label: y\n"
GIVEN = """
resources:
  all:
    environment: {AWS_ENDPOINT_URL: "http://minio:9000", REGION: eu}
    secrets: {AWS_SECRET_ACCESS_KEY: s3/secret}
    tolerations: [{key: batch}]
  train:
    machine: n1-standard-8
    gpu: nvidia-tesla-t4
    spot: true
    disk_gb: 200
    timeout_minutes: 90
    environment: {REGION: us}
    tolerations: [{key: gpu, operator: Equal, value: "yes"}]
  infra_validate: {cpu: 0.5, memory: 512Mi}
"""


def spec_of(tmp_path, text):
    (tmp_path / "spec.yaml").write_text(SPEC + text)
    return load_spec(tmp_path / "spec.yaml")


def compiled(tmp_path, text):
    """(the executors' containers, the platform spec) of a spec's training pipeline."""
    found = parse_pipeline(training_ir(spec_of(tmp_path, text), ""), "x")
    executors = found.get("pipelineSpec", found)["deploymentSpec"]["executors"]
    return {label: one["container"] for label, one in executors.items()}, found.get("platformSpec")


def environment(container):
    return {item["name"]: item["value"] for item in container.get("env", ())}


def test_each_step_is_given_what_the_spec_says(tmp_path):
    containers, platforms = compiled(tmp_path, GIVEN)
    train = containers["exec-train"]
    assert train["resources"]["accelerator"] == {
        "type": "NVIDIA_TESLA_T4",  # which Vertex AI reads
        "count": "1",
        "resourceType": "nvidia.com/gpu",  # which KFP reads first
        "resourceCount": "1",
    }
    assert train["resources"]["resourceCpuLimit"] == "8" and train["resources"]["cpuLimit"] == 8
    assert train["resources"]["resourceMemoryLimit"] == "30720Mi"
    assert train["resources"]["memoryLimit"] == pytest.approx(30 * 2**30 / 1e9)
    assert train["resources"]["cpuRequest"] < 8, "no node of that machine has all of it for pods"
    assert environment(train) == {"AWS_ENDPOINT_URL": "http://minio:9000", "REGION": "us"}
    assert environment(containers["exec-push"])["REGION"] == "eu"
    small = containers["exec-infra-validate"]["resources"]
    assert small == {
        "resourceCpuLimit": "0.5",
        "cpuLimit": 0.5,
        "resourceMemoryLimit": "512Mi",
        "memoryLimit": pytest.approx(0.536870912),
    }
    assert "resources" not in containers["exec-push"]
    vertex = platforms["platforms"]["vertex"]["deploymentSpec"]["executors"]
    assert vertex == {
        "exec-train": {
            "machine": "n1-standard-8",
            "accelerator": "NVIDIA_TESLA_T4",
            "accelerators": 1,
            "spot": True,
            "disk_gb": 200,
            "timeout_hours": 1.5,
        }
    }
    kubernetes = platforms["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    keys = {one["key"] for one in kubernetes["exec-train"]["tolerations"]}
    assert {"batch", "gpu"} <= keys
    assert {one["key"] for one in kubernetes["exec-push"]["tolerations"]} == {"batch"}


def test_the_runner_on_this_machine_reads_the_same_file(tmp_path):
    _, platforms = compiled(tmp_path, GIVEN)
    pods = read_pods(platforms)
    assert pods["exec-train"].timeout == 90 * 60
    assert {secret.variable for secret in pods["exec-card"].secrets} == {"AWS_SECRET_ACCESS_KEY"}


def test_the_same_spec_gives_the_same_bytes_and_where_it_runs_is_not_in_them(tmp_path):
    plain = training_ir(spec_of(tmp_path, ""), "")
    assert (
        training_ir(spec_of(tmp_path, "submit: {to: vertex, vertex: {project: acme, location: here}}\n"), "") == plain
    )
    given = training_ir(spec_of(tmp_path, GIVEN), "")
    assert training_ir(spec_of(tmp_path, GIVEN), "") == given != plain
    assert "resources" not in str(parse_pipeline(plain, "x")["root"])


def test_vertex_alone_leaves_kubernetes_an_empty_platform(tmp_path):
    _, platforms = compiled(tmp_path, "resources: {train: {disk_gb: 100}}\n")
    assert set(platforms["platforms"]) == {"kubernetes", "vertex"}, "KFP's API refuses a platform spec without it"


def test_the_steps_are_those_of_the_pipelines(tmp_path):
    more = {
        "": "",
        "segments": "for_each: {segment: s}\n",
        "shards": "train: {model: gbdt, tune: {trials: 4, shards: 2}}\n",
        "requests": "validate: {requests: logs}\n",
    }
    found = set()
    for text in more.values():
        found |= {step_of(label) for label in compiled(tmp_path, text)[0]}
    prediction = parse_pipeline(prediction_ir(spec_of(tmp_path, "resources: {batch_predict: {memory: 4Gi}}\n")), "x")
    executors = prediction["deploymentSpec"]["executors"]
    assert executors["exec-batch-predict"]["container"]["resources"]["resourceMemoryLimit"] == "4Gi"
    assert found | {step_of(label) for label in executors} == set(STEPS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{trian: {cpu: 1}}", "expected a step, or `all`. Received: 'trian'; did you mean `train`?"),
        ("{train: {cpus: 1}}", "unknown field `cpus`; did you mean `cpu`?"),
        ("{train: {memory: lots}}", "expected a number of bytes, such as 16Gi"),
        ("{train: {gpu: t4}}", "expected a name such as nvidia-tesla-t4"),
        ("{train: {gpus: 2}}", "expected a `gpu` beside it"),
        ("{train: {secrets: {TOKEN: abc}}}", "expected NAME/KEY"),
        ("{train: {volumes: {models: ../m}}}", "expected a whole path"),
        ("{train: {secrets: {A: b/c}, environment: {A: x}}}", "Received: A in two"),
        ("{train: {}, Train: {}}", "Received: 'Train'"),
        ("{infra-validate: {}, infra_validate: {}}", "expected each step once"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, text, words):
    with pytest.raises(HeadraceError) as caught:
        spec_of(tmp_path, f"resources: {text}\n")
    assert words in str(caught.value)
    assert "spec.yaml:6: " in str(caught.value)
