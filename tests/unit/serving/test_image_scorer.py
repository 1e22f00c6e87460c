"""Pictures in, predictions out: every form of an instance, batches of mixed sizes, and what is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from picture_bundle import COLOURS, ITEM, b64, colour_graph, encoded, expected, picture, write_picture_bundle

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import ArtifactError, HeadraceError
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.signature import Input, Signature
from headrace.serving.app import App
from headrace.serving.exchange import Request, Response
from headrace.serving.image_scorer import ImageScorer
from headrace.serving.protocols.operations import describe
from headrace.serving.request import BadRequest
from headrace.serving.router import Router
from headrace.serving.scorer import Scorer
from headrace.serving.served import Served
from headrace.serving.settings import Settings
from headrace.serving.verify import verify_samples
from tests.unit.serving.raw_graph import OnnxModel


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_picture_bundle(tmp_path_factory.mktemp("pictures") / "colours"))


@pytest.fixture(scope="module")
def scorer(bundle: Bundle) -> ImageScorer:
    return ImageScorer(bundle, most_pixels=100_000, threads=3)


def answers(scorer: ImageScorer, *instances: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(scorer.score(json.dumps({"instances": instances}).encode()).body)[
        "predictions"
    ]
    return found


def test_every_form_of_a_picture_is_the_same_picture(scorer: ImageScorer) -> None:
    pixels = picture(1)
    text = b64(encoded(pixels))
    forms = [{"image": {"b64": text}}, {"b64": text}, {"image_bytes": {"b64": text}}, {"image": pixels.tolist()}]
    together = answers(scorer, *forms)
    assert together == [together[0]] * 4
    assert [answers(scorer, form)[0] for form in forms] == together
    assert together[0]["label"] == "green"
    np.testing.assert_allclose(list(together[0]["probabilities"].values()), expected(pixels), atol=0.01)


def test_what_is_said_beside_the_predictions(bundle: Bundle) -> None:
    body = json.dumps({"instances": [{"b64": b64(encoded(picture(0)))}], "parameters": {"a": 1}}).encode()
    scored = ImageScorer(bundle, "77").score(body)
    found = json.loads(scored.body)
    assert (scored.rows, scored.unseen) == (1, 0)
    assert found["deployedModelId"] == "77" and found["modelDisplayName"] == "colours"
    assert answers(ImageScorer(bundle)) == []


def test_many_pictures_of_mixed_sizes_are_answered_in_their_order(scorer: ImageScorer, bundle: Bundle) -> None:
    random = np.random.default_rng(5)
    sizes = [(20, 30), (1, 1), (24, 32), (300, 211), (7, 97), (20, 30)]
    colours = random.integers(0, 3, 90)
    pictures = [picture(int(c), *sizes[random.integers(len(sizes))], seed=n) for n, c in enumerate(colours)]
    found = answers(scorer, *({"b64": b64(encoded(one))} for one in pictures))
    assert [COLOURS.classes.index(one["label"]) for one in found] == colours.tolist()
    alone = [answers(scorer, {"b64": b64(encoded(one))})[0] for one in pictures]
    assert found == alone
    table = pa.table({"image": pa.array([encoded(one) for one in pictures], pa.binary())})
    wanted = np.array([list(one["probabilities"].values()) for one in found], np.float32)
    np.testing.assert_allclose(run_graph(open_graph(bundle.model), table, bundle.signature.inputs), wanted, atol=1e-6)
    np.testing.assert_allclose(OnnxModel(bundle).predict(table), wanted, atol=1e-6)


def test_it_answers_its_own_samples(scorer: ImageScorer, bundle: Bundle) -> None:
    report = verify_samples(scorer, bundle, requests=5)
    assert report.passed and report.samples == 9


GOOD = b64(encoded(picture(0)))


@pytest.mark.parametrize(
    ("instances", "message"),
    [
        ([{}], "instances[0]: expected one of the fields image, b64, image_bytes. Received: none"),
        ([{"b64": GOOD, "image": {"b64": GOOD}}], "instances[0]: expected one of the fields image, b64, image_bytes. "),
        ([{"b64": GOOD}, {"imge": 1}], "instances[1]: expected only the fields image, b64, image_bytes. Received: 'im"),
        ([{"b64": None}], "instances[0].b64: expected a file's bytes in Base64 (with + and /, padded with =). Rec"),
        ([{"image": {"b64": "a-_="}}], "instances[0].image.b64: expected a file's bytes in Base64 (with + and /, padd"),
        ([{"image": {}}], 'instances[0].image: expected the field "b64". Received: none'),
        ([{"image": 3}], 'instances[0].image: expected a picture as {"b64": "..."} with a JPEG or PNG file in Base64,'),
        ([{"image_bytes": [1]}], 'instances[0].image_bytes: expected an object {"b64": "..."}. Received: [1]'),
        ([{"image": [[[0, 0, 256]]]}], "instances[0].image: expected rows of equally many pixels [r, g, b], whole n"),
        ([{"image": [[[0, 0, 1]], []]}], "instances[0].image: expected rows of equally many pixels [r, g, b], whole n"),
        ([{"image": []}], "instances[0].image: expected rows of equally many pixels [r, g, b], whole numbers from 0 t"),
        ([{"image": [[[0, 0]]]}], "instances[0].image: expected rows of equally many pixels [r, g, b], whole numbers"),
        ([{"image": [[[0.5, 0, 0]]]}], "instances[0].image: expected rows of equally many pixels [r, g, b], whole nu"),
        (["x"], 'instances[0]: expected an object. Received: "x"'),
        ([{"b64": ""}], "instances[0]: expected the bytes of a JPEG or PNG file. Received: nothing"),
        ([{"b64": GOOD}, {"b64": b64(b"x")}], "instances[1]: expected the bytes of a JPEG or PNG file. Received: 1 b"),
        ([{"b64": GOOD}] * 9 + [{"b64": GOOD[:400]}], "instances[9]: expected a whole image file. Received: damaged"),
        ([{"b64": b64(encoded(np.zeros((400, 251, 3), np.uint8)))}], "instances[0]: expected at most 100,000 pixels. "),
    ],
)
def test_what_is_wrong_is_said(scorer: ImageScorer, instances: list[Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        answers(scorer, *instances)
    assert str(caught.value).startswith(message)
    assert "Received: " in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"{", b"\x1f\x8b", b'{"instances": 3}', b'{"instances": [], "x": 1}', b"[]"])
def test_a_body_that_is_none(scorer: ImageScorer, body: bytes) -> None:
    with pytest.raises(BadRequest, match=r"expected .*\. Received: "):
        scorer.score(body)


def test_requests_in_several_threads_do_not_disturb_one_another(scorer: ImageScorer) -> None:
    bodies = [[{"b64": b64(encoded(picture(n % 3, seed=n + k)))} for k in range(1 + n % 5)] for n in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: answers(scorer, *body), bodies))
    for number, predictions in enumerate(found):
        assert {one["label"] for one in predictions} == {COLOURS.classes[number % 3]}


def test_a_graph_that_is_not_the_signatures_is_refused(tmp_path: Path) -> None:
    graph = colour_graph()
    wrong = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["picture"], ["probabilities"])],
            "wrong",
            [helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 3])],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        ),
        opset_imports=graph.opset_import,
        ir_version=9,
    )
    path = write_picture_bundle(tmp_path / "model")
    onnx.save(wrong, path / "model.onnx")
    with pytest.raises(ArtifactError, match=r"expected the inputs .*tensor\(uint8\).* Received: .*picture"):
        ImageScorer(Bundle.open(path, verify=False))


def test_a_model_of_tables_is_none_of_images(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="matrix.onnx: expected an ONNX graph"):
        Scorer(bundle)
    table = Signature("classification", "a", (Input("b", "number"),), ("x", "y", "z"))
    with pytest.raises(ArtifactError, match="expected a model of images"):
        ImageScorer(Bundle(bundle.path, bundle.manifest, table))


def test_a_signature_has_one_image_or_none() -> None:
    with pytest.raises(ArtifactError, match="expected an image to be the only input"):
        Signature("classification", "colour", (ITEM, Input("weight", "number")), COLOURS.classes)
    with pytest.raises(ArtifactError, match=r"inputs\['image'\]\.height: expected a number of pixels\. Received: 0"):
        Input("image", "image", width=3)
    assert Signature.from_dict(COLOURS.to_dict()) == COLOURS
    assert COLOURS.to_dict()["inputs"] == [{"name": "image", "type": "image", "height": 24, "width": 32}]


def test_a_column_must_hold_files(bundle: Bundle) -> None:
    session = open_graph(bundle.model)
    for column, message in (
        (pa.array(["a.png"]), "expected image files' bytes. Received: string"),
        (
            pa.array([encoded(picture(0)), None]),
            "column `image`, row 1: expected an image file's bytes. Received: null",
        ),
    ):
        with pytest.raises(HeadraceError, match=message):
            run_graph(session, pa.table({"image": column}), bundle.signature.inputs)
    with pytest.raises(HeadraceError, match="expected a column `image`. Received: columns photo"):
        run_graph(session, pa.table({"photo": ["a"]}), bundle.signature.inputs)
    empty = pa.table({"image": pa.array([], pa.binary())})
    assert run_graph(session, empty, bundle.signature.inputs).shape == (0, 3)


def test_health_is_answered_while_pictures_are_worked_on(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    scored, asked = App._scored, threading.Event()

    def held(*arguments: Any) -> Any:
        assert asked.wait(60)
        return scored(*arguments)

    monkeypatch.setattr(App, "_scored", held)
    settings = Settings(max_body=64 << 20)
    app = App(Router(Served(bundle, settings)), settings)
    assert describe(bundle, "/predict")["inputs"] == [{"name": "image", "type": "image", "height": 24, "width": 32}]
    large = {"b64": b64(encoded(picture(2, 1_500, 1_500), "JPEG"))}
    body = json.dumps({"instances": [large] * 12}).encode()

    async def predict() -> dict[str, Any]:
        pending = app.answer(Request("POST", "/predict", body))
        assert not isinstance(pending, Response)  # it is worked on elsewhere
        answer: dict[str, Any] = json.loads((await pending).body)
        return answer

    async def both() -> dict[str, Any]:
        predicting = asyncio.create_task(predict())
        await asyncio.sleep(0.01)
        health = app.answer(Request("GET", "/health"))
        assert isinstance(health, Response) and json.loads(health.body) == {"status": "ok"}
        assert not predicting.done()
        asked.set()
        return await predicting

    predicted = asyncio.run(both())
    assert [one["label"] for one in predicted["predictions"]] == ["blue"] * 12
