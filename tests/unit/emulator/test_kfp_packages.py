"""Packages of pipelines, as they are uploaded to Kubeflow Pipelines; and lists of what is kept."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.emulator.documents import Documents
from headrace.emulator.kfp.packages import check_parameters, given_spec, keep, read_package, shown_spec
from headrace.emulator.kfp.resources import listed
from headrace.emulator.refusals import Refusal
from headrace.emulator.routing import Call

IR: dict[str, Any] = {
    "pipelineInfo": {"name": "p"},
    "root": {"dag": {}},
    "deploymentSpec": {},
    "schemaVersion": "2.1.0",
}
PLATFORM = {"platforms": {"kubernetes": {}}}


# The time of day stands in no archive: its bytes become the tests' names, and two workers have to find the same ones.
def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name.replace("_", ".")), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def tarred(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


TEXT = yaml.safe_dump(IR).encode()


@pytest.mark.parametrize(
    "data",
    [
        TEXT,
        b"\xef\xbb\xbf" + TEXT,
        json.dumps(IR).encode(),
        zipped(pipeline_yaml=TEXT, other_yaml=b"x"),
        zipped(mine_yaml=TEXT, read_me=b"x"),
        tarred(pipeline_yaml=TEXT, other_yaml=b"x"),
        tarred(mine_yaml=TEXT, read_me=b"x"),
    ],
)
def test_packages(data: bytes) -> None:
    assert read_package(data, "Failed") == IR


def test_a_package_with_a_platform_spec() -> None:
    found = read_package(TEXT + b"---\n" + yaml.safe_dump(PLATFORM).encode(), "Failed")
    assert found == {"pipelineSpec": IR, "platformSpec": PLATFORM}
    assert given_spec({"pipeline_spec": IR, "platform_spec": PLATFORM}, "Failed") == found
    assert given_spec(IR, "Failed") == IR


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "expected a compiled pipeline"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"a: [", "cannot be read"),
        (b"PK\x03\x04 and nothing more", "not a zip file"),
        (gzip.compress(b"no archive", mtime=0), "cannot be read"),
        (b"\x1f\x8b\x08\x00broken", "cannot be read"),
        (zipped(a_yaml=TEXT, b_yaml=TEXT), "expected a pipeline.yaml, or one YAML file. Received: a.yaml, b.yaml"),
        (zipped(read_me=b"x"), "Received: none"),
        (tarred(), "Received: none"),
        (zipped(a_yaml=b" " * (33 * 2**20)), "more than 32 MiB"),
        (tarred(a_yaml=b" " * (33 * 2**20)), "more than 32 MiB"),
    ],
)
def test_what_is_no_package_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(Refusal, match=told) as refused:
        read_package(data, "Failed")
    assert refused.value.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("spec", [None, [], "x", {}, {"pipeline_spec": {}}, {"pipeline_spec": 3}])
def test_what_is_no_spec_is_refused(spec: Any) -> None:
    with pytest.raises(Refusal):
        given_spec(spec, "Failed")


def test_types_of_parameters() -> None:
    names = {"s": "STRING", "n": "NUMBER_INTEGER", "b": "BOOLEAN", "l": "LIST", "d": "STRUCT"}
    declared = {name: {"parameterType": kind, "isOptional": True} for name, kind in names.items()}
    spec = {**IR, "root": {"inputDefinitions": {"parameters": declared}}}
    right = {"s": "", "n": 1, "b": True, "l": [], "d": {}}
    check_parameters(spec, right, "Failed")
    check_parameters(spec, dict.fromkeys(right), "Failed")
    for name in right:
        for other, value in right.items():
            if other != name:
                with pytest.raises(Refusal, match=f"input parameter {name} requires type {names[name]}"):
                    check_parameters(spec, {name: value}, "Failed")


def test_a_spec_is_kept_once(tmp_path: Path) -> None:
    documents = Documents(tmp_path / "emulator.db")
    both = {"pipelineSpec": IR, "platformSpec": PLATFORM}
    assert keep(documents, IR) == keep(documents, dict(reversed(IR.items()))) != keep(documents, both)
    assert len(documents.list("KfpSpec")) == 2
    assert shown_spec(documents, keep(documents, both)) == {"pipeline_spec": IR, "platform_spec": PLATFORM}


def test_lists() -> None:
    kept = [{"display_name": name, "created_at": f"2026-11-22T00:00:0{n}Z", "x": n} for n, name in enumerate("cab")][
        ::-1
    ]

    def ask(**query: str) -> Any:
        call = Call("GET", "/", {}, {name: [value] for name, value in query.items()}, {})
        found = listed(call, kept, "all", {"x": "x"})
        return "".join(one["display_name"] for one in found.get("all", [])), found["total_size"]

    assert ask() == ("cab", 3)
    assert ask(sort_by="created_at desc") == ("bac", 3)
    assert ask(sort_by="name asc", page_size="2") == ("ab", 3)
    assert ask(filter='{"predicates": [{"operation": "GREATER_THAN", "key": "x", "int_value": 0}]}') == ("ab", 2)
    assert ask(filter="%7B%22predicates%22%3A+%5B%5D%7D") == ("cab", 3)  # escaped twice, as some clients do
    for wrong in ({"sort_by": "x up"}, {"sort_by": "y"}, {"page_size": "-1"}, {"page_token": "?"}, {"filter": "{"}):
        with pytest.raises(Refusal):
            ask(**wrong)
