"""The protocol's messages: read from the .proto as protoc would, and turned into rows and answers."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from picture_bundle import encoded, picture, write_picture_bundle
from surfaces import answer_of, post, surface
from test_v2 import ROWS, TYPES, tensors

from headrace.artifacts.bundle import Bundle
from headrace.serving.app import App
from headrace.serving.exchange import Request
from headrace.serving.observe import Observed
from headrace.serving.protocols.grpc.codec import SERVICE, Call
from headrace.serving.protocols.grpc.messages import PROTO, file_descriptor, message
from headrace.serving.protocols.v2_json import HEADER
from headrace.serving.router import Router
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.target import Member, Plan, Target

CONTENTS = {"FP64": "fp64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}


@pytest.fixture(scope="module")
def app(binary: Bundle) -> App:
    return surface(binary, grpc_port=0)


def call(app: App, name: str, body: Any = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else body.SerializeToString() if body is not None else b""
    answer = answer_of(app, Call(f"/{SERVICE}/{name}", data, {}))
    if answer.status != 200:
        return answer.status, answer.body.decode()
    return 200, message(f"{name}Response").FromString(answer.body)


def infer(raw: bool = False, **fields: Any) -> Any:
    request = message("ModelInferRequest")(**{"model_name": "tiny", "id": "a", **fields})
    for name, kind in TYPES.items():
        kind = "FP64" if kind == "BOOL" else kind
        values = [row[name] for row in ROWS]
        tensor = request.inputs.add(name=name, datatype=kind, shape=[len(values), 1])
        if kind == "BYTES":
            cells: list[Any] = [(value or "").encode() for value in values]
            packed = b"".join(len(cell).to_bytes(4, "little") + cell for cell in cells)
        else:
            cells = [np.nan if value is None else value for value in values]
            packed = np.array(cells, "<f8").tobytes()
        if raw:
            request.raw_input_contents.append(packed)
        else:
            getattr(tensor.contents, CONTENTS[kind]).extend(cells)
    return request


@pytest.mark.parametrize("raw", [False, True])
def test_an_answer(app: App, raw: bool) -> None:
    expected = post(app, "/predict", {"instances": ROWS})[1]["predictions"]
    status, answer = call(app, "ModelInfer", infer(raw, model_version="3"))
    assert (status, answer.model_name, answer.model_version, answer.id) == (200, "tiny", "3", "a")
    first, label = answer.outputs
    assert (first.name, first.datatype, list(first.shape)) == ("probabilities", "FP32", [2, 2])
    assert (label.name, label.datatype, list(label.shape)) == ("label", "BYTES", [2, 1])
    wanted = [value for one in expected for value in one["probabilities"].values()]
    if raw:
        assert np.frombuffer(answer.raw_output_contents[0], "<f4").tolist() == wanted
        assert answer.raw_output_contents[1] == b"".join(b"\1\0\0\0" + one["label"].encode() for one in expected)
    else:
        assert list(first.contents.fp32_contents) == wanted
        assert [text.decode() for text in label.contents.bytes_contents] == [one["label"] for one in expected]


def test_the_other_calls(app: App) -> None:
    assert call(app, "ServerLive")[1].live and call(app, "ServerReady")[1].ready
    assert list(call(app, "ServerMetadata")[1].extensions) == ["binary_tensor_data"]
    assert call(app, "ModelReady", message("ModelReadyRequest")(name="tiny"))[1].ready
    about = call(app, "ModelMetadata", message("ModelMetadataRequest")(name="tiny", version="3"))[1]
    assert {one.name: one.datatype for one in about.inputs} == TYPES
    assert (about.properties["classes"], list(about.versions)) == ('["0","1"]', ["3"])


def test_what_is_refused(app: App) -> None:
    request = infer()
    request.inputs[0].contents.fp64_contents.pop()
    mixed = infer(raw=True)
    mixed.inputs[0].contents.fp64_contents.append(1)
    short = infer(raw=True)
    short.raw_input_contents[0] = short.raw_input_contents[0][:-1]
    few = infer(raw=True)
    few.raw_input_contents.pop()
    half = infer()
    half.inputs[0].datatype = "FP16"
    broken = infer()
    broken.inputs[3].contents.bytes_contents[0] = b"\xff"
    infinite = infer()
    infinite.inputs[0].contents.fp64_contents[0] = np.inf
    for asked, status, told in (
        (request, 400, "inputs.tenure.data: expected 2 values, as the shape says. Received: 1"),
        (mixed, 400, "inputs.tenure: expected either contents or raw_input_contents. Received: both"),
        (short, 400, "inputs.tenure: expected 16 bytes (2 of FP64). Received: 15 bytes"),
        (few, 400, "raw_input_contents: expected one for each of 5 inputs. Received: 4"),
        (half, 400, "FP16 as raw_input_contents. Received: 'FP16'"),
        (broken, 400, "inputs.plan.data[0]: expected text in UTF-8. Received: other bytes"),
        (
            infinite,
            400,
            "inputs.tenure.data[0]: expected a finite number; whole ones from -2^53 to 2^53. Received: inf",
        ),
        (infer(model_name="tony"), 404, "model: expected tiny. Received: 'tony'"),
        (infer(model_version="4"), 404, "version: expected 3. Received: '4'"),
        (infer(outputs=[{"name": "x"}]), 400, "outputs: expected probabilities or label. Received: 'x'"),
        (b"\xff\xff", 400, "expected a ModelInferRequest. Received: 2 bytes that are none"),
    ):
        found = call(app, "ModelInfer", asked)
        assert found[0] == status and told in found[1], found


@given(st.binary(max_size=200), st.integers(0, 300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_answered_and_no_fault(app: App, noise: bytes, place: int) -> None:
    good = infer(raw=True).SerializeToString()
    assert call(app, "ModelInfer", noise)[0] in (400, 404)
    assert call(app, "ModelInfer", good[:place] + noise + good[place + len(noise) :])[0] in (200, 400, 404)


def test_no_client_over_http_reaches_it(app: App) -> None:
    path = f"/{SERVICE}/ModelInfer"
    assert answer_of(app, Request("POST", path, infer().SerializeToString())).status == 405


def test_a_copy_of_a_request_is_read_from_its_bytes(app: App) -> None:
    """A shadow sees the bytes alone."""
    from headrace.serving.protocols.grpc.codec import GrpcCodec

    codec = app.router.main.codec(GrpcCodec)
    request = Request("GRPC", f"/{SERVICE}/ModelInfer", infer().SerializeToString())
    assert len(codec.decode(request)[0].matrix) == 2


def test_pictures(tmp_path: Path) -> None:
    app = surface(write_picture_bundle(tmp_path / "model"), grpc_port=0)
    files = [encoded(picture(colour)) for colour in range(3)]
    pixels = np.stack([picture(colour) for colour in range(3)])

    def labels(**tensor: Any) -> list[bytes]:
        raw = tensor.pop("raw", [])
        request = message("ModelInferRequest")(model_name="colours", raw_input_contents=raw)
        request.inputs.add(name="image", **tensor)
        answer = call(app, "ModelInfer", request)[1]
        return (
            answer.raw_output_contents[1].split(b"\0\0\0")[1:]
            if raw
            else list(answer.outputs[1].contents.bytes_contents)
        )

    everything = [b"red", b"green", b"blue"]
    assert labels(datatype="BYTES", shape=[3], contents={"bytes_contents": files}) == everything
    contents = {"uint_contents": pixels.ravel().tolist()}
    assert labels(datatype="UINT8", shape=pixels.shape, contents=contents) == everything
    got = labels(datatype="UINT8", shape=pixels.shape, raw=[pixels.tobytes()])
    assert [one.rstrip(b"\4\5") for one in got] == everything


def test_the_file_is_read_as_protoc_reads_it() -> None:
    """By what protoc made of it: names, numbers, labels and types, with a map's entries."""
    file = file_descriptor(PROTO.read_text())
    request = next(one for one in file.message_type if one.name == "ModelInferRequest")
    fields = {field.name: (field.number, field.label, field.type_name) for field in request.field}
    assert fields["parameters"] == (4, 3, ".inference.ModelInferRequest.ParametersEntry")
    assert fields["raw_input_contents"] == (7, 3, "")
    assert fields["inputs"] == (5, 3, ".inference.ModelInferRequest.InferInputTensor")
    assert [(m.name, m.input_type) for m in file.service[0].method][-1] == (
        "ModelInfer",
        ".inference.ModelInferRequest",
    )


def test_it_is_what_protoc_makes_of_the_file() -> None:
    """The digest is of protoc's own descriptor: `python -m grpc_tools.protoc -I. --descriptor_set_out=OUT inference.proto`,
    its first file serialized deterministically. Who changes the file takes it anew (comments do not matter).
    """
    found = file_descriptor(PROTO.read_text()).SerializeToString(deterministic=True)
    assert hashlib.sha256(found).hexdigest() == "f64bd44137e525991d76cdea064e47176c703acb867eb5c42ce21e7ea5b1fce3"


class Eyes:
    """An observer that keeps what it sees."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str]] = []

    def wants(self, request_id: bytes) -> bool:
        return True

    def see(self, observed: Observed) -> None:
        self.keys.append((observed.route, observed.key))

    def close(self) -> None:
        pass


def test_the_key_of_a_split_reaches_the_log_in_every_protocol(bundles: dict[str, Path]) -> None:
    made, eyes = Settings(grpc_port=0), Eyes()
    served = [Served(Bundle.open(bundles["binary"]).registered(version), made) for version in ("3", "4")]
    members = tuple(Member(Target(bundles["binary"], one.version), 50) for one in served)
    split = App(Router(served, Plan(members, "", "e", (0, 1) * 50)), made, observer=eyes)
    parameters = {"key": "ann"}
    vertex, v2 = {"instances": ROWS, "parameters": parameters}, {"inputs": tensors(), "parameters": parameters}
    bodies = {"/predict": vertex, "/v1/models/tiny:predict": vertex, "/v2/models/tiny/infer": v2}
    for path, body in bodies.items():
        assert post(split, path, body)[0] == 200
    binary = json.dumps(v2).encode()
    assert post(split, "/v2/models/tiny/infer", binary, {HEADER: b"%d" % len(binary)})[0] == 200
    assert post(split, "/predict", {"instances": ROWS}, {b"x-routing-key": b"ann"})[0] == 200
    asked = infer()
    asked.parameters["key"].string_param = "ann"
    assert call(split, "ModelInfer", asked)[0] == 200
    routes = [*bodies, "/v2/models/tiny/infer", "/predict", f"/{SERVICE}/ModelInfer"]
    assert eyes.keys == [(route, "ann") for route in routes]
