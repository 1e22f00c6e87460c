"""Events that start pipelines on Vertex AI, by Google's own clients: the ledger in Cloud Storage, the runs in Vertex."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events import app as service
from headrace.pipelines.events.callers import Callers
from headrace.pipelines.events.event import Event
from headrace.pipelines.events.ledger import BUSY, CLAIMED, DONE, Ledger
from headrace.pipelines.events.settings import Settings
from headrace.pipelines.events.store import StoreError, open_store
from tests.cloud.gcs_server import storage_service
from tests.cloud.vertex_server import vertex_service
from tests.integration.platforms.test_vertex_runs import IR
from tests.unit.pipelines.events.test_event_reading import notification
from tests.unit.pipelines.events.test_event_service import outcomes, post, serving

RULES = """
rules:
  - name: new-month
    object: {match: "gs://raw/in/*.csv"}
    pipeline: pipeline.yaml
    parameters: {source: "{uri}", n: "7"}
"""


@pytest.fixture
def storage(monkeypatch):
    with storage_service("ops", "raw") as found:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", found.url)
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "demo")
        yield found


@pytest.fixture
def ledger(storage):
    return Ledger(open_store("gs://ops/events/ledger"))


def event(generation=1):
    return Event("object", f"e{generation}", "gs://raw", "gs://raw/in/may.csv", generation)


def test_the_bucket_compares_and_sets(storage):
    store = open_store("gs://ops/events/ledger/")
    assert store.read("starts/a.json") is None and store.names("starts/") == []
    assert store.write("starts/a.json", b"1", 0)
    content, version = store.read("starts/a.json")
    assert (content, version) == (b"1", storage.buckets["ops"]["events/ledger/starts/a.json"].generation)
    assert not store.write("starts/a.json", b"2", 0)
    assert store.write("starts/a.json", b"2", version)
    assert not store.write("starts/a.json", b"3", version)
    assert store.names("starts/") == ["starts/a.json"]
    assert not store.remove("starts/a.json", version)
    assert store.remove("starts/a.json", store.read("starts/a.json")[1])
    assert not store.remove("starts/a.json", 1)


def test_of_many_instances_one_claims_an_event(storage):
    barrier = threading.Barrier(6)

    def ask(_):
        mine = Ledger(open_store("gs://ops/ledger"))
        barrier.wait()
        return mine.claim("r", event()).state

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(ask, range(6))) == [BUSY] * 5 + [CLAIMED]


def test_the_ledger_holds_across_processes_and_dead_letters(ledger, storage):
    claim = ledger.claim("r", event())
    ledger.started(claim, "run-1")
    assert Ledger(open_store("gs://ops/events/ledger")).claim("r", event()).state == DONE
    newer = ledger.claim("r", event(2))
    key = ledger.buried(newer, event(2), "no such field")
    assert [letter["error"] for _, letter in ledger.dead()] == ["no such field"]
    assert ledger.revive(key) == ("r", event(2))
    assert ledger.claim("r", event(2)).state == CLAIMED


def test_a_bucket_that_is_not_there_is_an_error_and_no_empty_ledger(storage):
    with pytest.raises(StoreError, match="expected Cloud Storage to answer"):
        Ledger(open_store("gs://nowhere/ledger")).claim("r", event())


def test_a_storage_that_stumbles_is_asked_again(ledger, storage):
    storage.fail = 1
    assert ledger.claim("r", event()).state == CLAIMED


def test_an_object_starts_one_pipeline_job(storage, monkeypatch):
    storage.put("gs://ops/events/rules.yaml", RULES.encode())
    storage.put("gs://ops/events/pipeline.yaml", yaml.safe_dump(IR).encode())
    with vertex_service() as vertex:
        settings = Settings.of(
            {
                "HEADRACE_EVENTS_RULES": "gs://ops/events/rules.yaml",
                "HEADRACE_EVENTS_LEDGER": "gs://ops/events/ledger",
                "HEADRACE_EVENTS_ON": f"vertex:demo/us-central1?endpoint={vertex.url}",
                "HEADRACE_EVENTS_ROOT": "gs://ops/runs",
                "HEADRACE_EVENTS_SERVICE_ACCOUNT": "runner@demo.iam.gserviceaccount.com",
                "HEADRACE_EVENTS_AUTH": "none",
            }
        )
        handler = service.open_handler(settings, None)
        with serving(handler, Callers("none")) as url:
            status, said = post(url, *notification())
            assert (status, said["outcomes"][0]["state"]) == (200, "started")
            assert outcomes(post(url, *notification(id="again"))) == (200, ["done"])
            [(id, job)] = vertex.kept["pipelineJobs"].items()
            assert id == said["outcomes"][0]["run"] == f"new-month-{said['outcomes'][0]['key']}"
            assert job["runtimeConfig"]["parameterValues"] == {"source": "gs://raw/in/may.csv", "n": 7}
            assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://ops/runs"
            assert job["serviceAccount"] == "runner@demo.iam.gserviceaccount.com"
            assert job["labels"]["headrace-rule"] == "new-month"

            # killed between the start and the ledger: the job is there, and is found instead of made again
            for name in [name for name in storage.buckets["ops"] if "/starts/" in name]:
                del storage.buckets["ops"][name]
            assert outcomes(post(url, *notification(id="third"))) == (200, ["started"])
            assert list(vertex.kept["pipelineJobs"]) == [id]

            vertex.refuse["POST /v1/projects/demo/locations/us-central1/pipelineJobs"] = (
                403, "Permission 'aiplatform.pipelineJobs.create' denied",
            )  # fmt: skip
            status, said = post(url, *notification("1700000000000002"))
            assert (status, said["outcomes"][0]["state"]) == (503, "failed")
            assert "roles/aiplatform.user" in said["outcomes"][0]["error"]
            vertex.refuse.clear()
            assert outcomes(post(url, *notification("1700000000000002"))) == (200, ["started"])
            assert len(vertex.kept["pipelineJobs"]) == 2


def test_a_pipeline_that_is_none_is_tried_again_until_it_is_there(storage):
    storage.put("gs://ops/events/rules.yaml", RULES.encode())
    with vertex_service() as vertex:
        settings = Settings(
            "gs://ops/events/rules.yaml",
            "gs://ops/ledger",
            f"vertex:demo/us-central1?endpoint={vertex.url}",
            "gs://ops/runs",
        )
        handler = service.open_handler(settings, None)
        from headrace.pipelines.events.reading import read_request

        told = read_request(*notification())
        [first] = handler.handle(told)
        assert first.state == "failed" and "gs://ops/events/pipeline.yaml: expected a file" in first.error
        storage.put("gs://ops/events/pipeline.yaml", b"name: churn")
        assert "expected a compiled pipeline" in handler.handle(told)[0].error
        storage.put("gs://ops/events/pipeline.yaml", yaml.safe_dump(IR).encode())
        assert handler.handle(told)[0].state == "started"


def test_a_function_has_its_event_delivered_again_by_an_error(storage, monkeypatch):
    from headrace.pipelines.events import function
    from tests.unit.pipelines.events.test_event_reading import finalized

    storage.put("gs://ops/events/rules.yaml", RULES.encode())
    with vertex_service() as vertex:
        monkeypatch.setenv("HEADRACE_EVENTS_RULES", "gs://ops/events/rules.yaml")
        monkeypatch.setenv("HEADRACE_EVENTS_LEDGER", "gs://ops/ledger")
        monkeypatch.setenv("HEADRACE_EVENTS_ON", f"vertex:demo/us-central1?endpoint={vertex.url}")
        function._handler.cache_clear()
        with pytest.raises(HeadraceError, match="HEADRACE_EVENTS_ROOT: expected gs://"):
            function.on_event(finalized())
        monkeypatch.setenv("HEADRACE_EVENTS_ROOT", "gs://ops/runs")
        with pytest.raises(function.Again, match="expected a file that can be read"):
            function.on_event(finalized())
        storage.put("gs://ops/events/pipeline.yaml", yaml.safe_dump(IR).encode())
        function.on_event(finalized())
        function.on_event(finalized())
        assert len(vertex.kept["pipelineJobs"]) == 1
        function.on_event(finalized(generation="none"))  # cannot be read: logged, and not repeated

        class Request:
            headers, body = notification()

            def get_data(self):
                return self.body

        said, status = function.on_request(Request())
        assert (status, said["outcomes"][0]["state"]) == (200, "done")
        assert json.dumps(said)
        function._handler.cache_clear()
