"""What a task leaves behind is read, or refused by name: nothing of it may end anything but the task."""

import json
import os

import pytest

from headrace.pipelines.local.ir.graph import Artifact, Component
from headrace.pipelines.local.record.record import Record
from headrace.pipelines.local.record.results import TaskResult
from headrace.pipelines.local.store import attempts

DATA = Artifact({"schemaTitle": "system.Dataset"})
NO_UTF8 = os.fsdecode(b"caf\xe9.csv")


def component(*, artifacts=None, **parameters):
    return Component("comp-odd", {}, {}, parameters, artifacts or {}, None, None)


def left(tmp_path, said=None, files=(), **parameters):
    """What is made of an attempt that has left this executor output, and these files of parameters."""
    made = component(artifacts={"out": DATA}, **(parameters or {"text": "STRING"}))
    attempt = attempts.prepare(tmp_path, "run", "odd", 1, made, {})
    if said is not None:
        content = said if isinstance(said, bytes) else json.dumps(said).encode()
        (attempt.outputs / "executor_output.json").write_bytes(content)
    for name, content in files:
        attempt.parameter(name).write_bytes(content)
    return attempts.publish(tmp_path, "odd", attempt, made)


@pytest.mark.parametrize(
    "said",
    [
        {"parameterValues": None, "artifacts": None},
        {"artifacts": {"out": None}},
        {"artifacts": {"out": {"artifacts": None}}},
        {"artifacts": {"out": {"artifacts": [{"metadata": None, "uri": None}]}}},
    ],
)
def test_null_says_nothing(tmp_path, said):
    parameters, artifacts = left(tmp_path, said, [("text", "é\n".encode())])
    assert parameters == {"text": "é\n"}
    [item] = artifacts["out"]
    assert (item.digest, item.metadata) == ("absent", {})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"caf\xe9", "odd: expected JSON in the executor's output file"),
        (b"[" * 200_000, "odd: expected JSON in the executor's output file"),
        ([1], "odd: expected a mapping in the executor's output file. Received: list"),
        ({"parameterValues": [1]}, "odd: parameterValues in the executor's output file: expected a mapping. Received: [1]"),
        ({"artifacts": "x"}, "artifacts in the executor's output file: expected a mapping. Received: 'x'"),
        ({"artifacts": {"out": [1]}}, "odd: output `out`: expected a mapping. Received: [1]"),
        ({"artifacts": {"out": {"artifacts": {"a": 1}}}}, "odd: output `out`: expected a list of artifacts"),
        ({"artifacts": {"out": {"artifacts": ["x"]}}}, "odd: output `out`: expected an artifact as a mapping. Received: 'x'"),
        ({"artifacts": {"out": {"artifacts": [{"metadata": [1]}]}}}, "odd: output `out`: metadata: expected a mapping"),
        ({"artifacts": {"out": {"artifacts": [{"metadata": {"file": NO_UTF8}}]}}}, "odd: output `out`: expected Unicode text"),
        ({"artifacts": {"out": {"artifacts": [{"uri": NO_UTF8}]}}}, "odd: output `out`: expected Unicode text"),
        ({"parameterValues": {"text": NO_UTF8}}, "odd: output `text`: expected Unicode text"),
        ({"parameterValues": {"text": {"a": [NO_UTF8]}}}, "odd: output `text`: expected Unicode text"),
    ],
)  # fmt: skip
def test_another_executor_output_is_refused_by_name(tmp_path, said, told):
    with pytest.raises(attempts.OutputError) as error:
        left(tmp_path, said)
    assert told in str(error.value)
    str(error.value).encode()  # it is shown, and kept in the record


@pytest.mark.parametrize(
    ("kind", "content", "told"),
    [
        ("STRING", b"caf\xe9", "expected UTF-8 text in its file. Received: 'utf-8' codec can't decode byte 0xe9"),
        ("NUMBER_INTEGER", b"\xff\xfe", "expected UTF-8 text in its file"),
        ("NUMBER_INTEGER", b"many", "expected an integer (NUMBER_INTEGER). Received: 'many'"),
        ("LIST", rb'["caf\udce9"]', "expected Unicode text"),
        ("STRUCT", rb'{"caf\udce9": 1}', "expected Unicode text"),
        ("LIST", b"[" * 200_000, "expected a value that can be read. Received: one nested too deeply"),
    ],
)
def test_another_file_of_a_parameter_is_refused_by_name(tmp_path, kind, content, told):
    with pytest.raises(attempts.OutputError) as error:
        left(tmp_path, None, [("text", content)], text=kind)
    assert f"odd: output `text`: {told}" in str(error.value)


def test_the_record_keeps_what_is_no_unicode_as_it_was(tmp_path):
    record = Record(tmp_path)
    record.save_task(
        "run", 1, TaskResult("t", "t", "c", "FAILED", parameters={"é": NO_UTF8, "two": ["é"]}, key="k"), False
    )
    record.save_task("run", 2, TaskResult("u", "u", "c", "SUCCEEDED", outputs={"folder": NO_UTF8}, key="l"), True)
    assert record.cached("l") == (True, {"folder": NO_UTF8}, {})
    record.close()
