"""Resources on disk: kept, changed by one at a time, and not lost by a process that is killed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest

from headrace.artifacts.errors import ArtifactError
from headrace.emulator.documents import Documents, stamped
from headrace.emulator.operations import KIND, Operations
from headrace.emulator.refusals import Refusal


@pytest.fixture
def documents(tmp_path):
    return Documents(tmp_path / "state" / "emulator.db")


@contextmanager
def refused(code):
    with pytest.raises(Refusal) as found:
        yield
    assert found.value.code == code


def test_what_is_made_is_found_again(documents, tmp_path):
    documents.create("Model", "m/1", {"name": "m/1"}, parent="p")
    documents.create("Model", "m/2", {"name": "m/2", "x": float("inf")}, parent="q")
    documents.create("Endpoint", "m/1", {"name": "e"})
    again = Documents(tmp_path / "state" / "emulator.db")
    assert again.get("Model", "m/1") == {"name": "m/1"} and again.find("Model", "m/3") is None
    assert [each["name"] for each in again.list("Model")] == ["m/2", "m/1"]
    assert [each["name"] for each in again.list("Model", "p")] == ["m/1"]
    again.delete("Model", "m/1")
    with refused("NOT_FOUND"):
        documents.get("Model", "m/1")
    with refused("ALREADY_EXISTS"):
        documents.create("Model", "m/2", {})
    assert documents.get("Endpoint", "m/1") == {"name": "e"}


def test_etags(documents):
    made = documents.create("Model", "m", stamped({"name": "m"}))
    changed = documents.change("Model", "m", lambda found: stamped({**found, "n": 1}, found), etag=made["etag"])
    assert changed["createTime"] == made["createTime"] and changed["etag"] != made["etag"]
    for etag in (made["etag"], "x"):
        with refused("ABORTED"):
            documents.change("Model", "m", lambda found: found, etag=etag)
        with refused("ABORTED"):
            documents.delete("Model", "m", etag=etag)
    documents.change("Model", "m", lambda found: found, etag="")
    documents.delete("Model", "m", etag=changed["etag"])


def test_a_transaction_is_all_or_nothing(documents):
    documents.create("A", "a", {"n": 0})
    with refused("INTERNAL"), documents.transaction():
        documents.create("A", "b", {})
        documents.change("A", "a", lambda found: {"n": 1})
        with documents.transaction():
            documents.delete("A", "a")
        raise Refusal("INTERNAL", "no")
    assert documents.list("A") == [{"n": 0}]
    with documents.transaction():
        with refused("ALREADY_EXISTS"):
            documents.create("A", "a", {})
        documents.create("A", "b", {})
    assert len(documents.list("A")) == 2


def test_threads_change_one_after_the_other(documents):
    documents.create("A", "a", {"n": 0})

    def count():
        for _ in range(20):
            documents.change("A", "a", lambda found: {"n": found["n"] + 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert documents.get("A", "a") == {"n": 160}


def test_a_full_disk_loses_one_change_and_no_more(documents):
    documents.create("A", "a", {"n": 0})
    connection = documents._connection()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with refused("RESOURCE_EXHAUSTED"):
        documents.create("A", "b", {"text": "x" * 1_000_000})
    connection.execute("PRAGMA max_page_count = 1000000")
    documents.create("A", "c", {"n": 1})
    assert documents.list("A") == [{"n": 1}, {"n": 0}]


KILLED = """
import sys
from headrace.emulator.documents import Documents
documents = Documents(__import__("pathlib").Path(sys.argv[1]))
for number in range(100_000):
    with documents.transaction():
        documents.create("A", f"{number}", {"number": number}, parent="p")
        documents.create("B", f"{number}", {"number": number})
    print(number, flush=True)
"""


def test_a_kill_loses_nothing_that_was_said_to_be_done(tmp_path):
    file = tmp_path / "emulator.db"
    for round_number in range(3):
        file.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, text=True)
        lines = [process.stdout.readline() for _ in range(20 + 7 * round_number)]
        os.kill(process.pid, signal.SIGKILL)
        lines += process.stdout.readlines()
        process.wait()
        said = len([line for line in lines if line.endswith("\n")])
        documents = Documents(file)
        kept = documents.list("A", "p")
        assert said <= len(kept) <= said + 1 and len(documents.list("B")) == len(kept)
        assert [each["number"] for each in reversed(kept)] == list(range(len(kept)))
        for name in ("emulator.db-wal", "emulator.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)


@pytest.mark.parametrize("content", ["text", "database", "newer"])
def test_files_of_others_are_left_alone(tmp_path, content):
    file = tmp_path / "emulator.db"
    if content == "text":
        file.write_text("something else, and not an SQLite file at all " * 100)
    else:
        if content == "newer":
            Documents(file)
        with sqlite3.connect(file) as connection:
            connection.execute("CREATE TABLE t (x)" if content == "database" else "PRAGMA user_version = 99")
        connection.close()
    before = file.read_bytes()
    with pytest.raises(ArtifactError, match="expected an emulator's state"):
        Documents(file)
    assert file.read_bytes() == before


def test_operations(documents):
    operations = Operations(documents)
    done = operations.done("p/m", "UploadModelResponse", {"model": "p/m"}, metadata="UploadModelOperationMetadata")
    assert done["response"] == {
        "@type": "type.googleapis.com/google.cloud.aiplatform.v1.UploadModelResponse",
        "model": "p/m",
    }
    assert done["done"] and operations.unfinished() == []
    running = operations.running("p/m", metadata="DeployModelOperationMetadata", version="v1beta1")
    assert operations.unfinished() == [running] and "done" not in running
    ended = operations.finish(running["name"], "DeployModelResponse", {"deployedModel": {}})
    assert ended["response"]["@type"].endswith("aiplatform.v1beta1.DeployModelResponse")
    assert operations.fail(running["name"], Refusal("INTERNAL", "late")) == ended
    failed = operations.running("p/m", metadata="DeployModelOperationMetadata")
    operations.fail(failed["name"], Refusal("FAILED_PRECONDITION", "no"))
    kept = documents.get(KIND, failed["name"])
    assert kept["error"] == {"code": 9, "message": "no"} and kept["done"] and "response" not in kept
    assert operations.unfinished() == [] and json.dumps(kept)
