"""Every protocol gives the answers of a bundle's samples, whatever the kind of the model; over real sockets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "serving"))
from picture_bundle import write_picture_bundle

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.commands.predict import command
from headrace.serving.local import running_server
from headrace.serving.protocols.clients import PROTOCOLS, open_client
from headrace.serving.verify import TOLERANCE, difference
from tests.integration.serving.servers import ask
from tests.ports import free_port
from tests.unit.serving.test_texts import write_text_bundle

KINDS = ("binary", "multiclass", "regression", "texts", "pictures")


class Place(NamedTuple):
    bundle: Bundle
    url: str
    grpc: str

    def address(self, protocol: str) -> str:
        return self.grpc if protocol == "grpc" else self.url


@pytest.fixture(scope="module", params=KINDS)
def place(
    request: pytest.FixtureRequest, bundles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    kind = request.param
    if kind == "texts":
        folder = write_text_bundle(tmp_path_factory.mktemp("texts") / "model")
    elif kind == "pictures":
        folder = write_picture_bundle(tmp_path_factory.mktemp("pictures") / "model")
    else:
        folder = bundles[kind]
    port = free_port()
    with running_server(folder, ["--grpc-port", str(port)]) as url:
        bundle = Bundle.open(folder)
        yield Place(bundle, url, f"grpc://127.0.0.1:{port}/{bundle.name}")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_samples(place: Place, protocol: str) -> None:
    instances, expected = place.bundle.samples()
    with open_client(place.address(protocol), protocol=protocol) as client:
        together = client.predict(instances)
        alone = [client.predict([instance])[0] for instance in instances[:3]]
    for got, want in zip([*together, *alone], [*expected, *expected[:3]], strict=True):
        assert difference(want, got) <= TOLERANCE, (want, got)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_version_in_the_path(place: Place, protocol: str) -> None:
    """The paths with a version answer alike; another version is not found."""
    if place.bundle.version is None or protocol in ("vertex", "grpc"):
        pytest.skip("without versions in its paths")
    base = {"v2": "/v2/models/", "tf": "/v1/models/"}[protocol] + place.bundle.name + "/versions/"
    instances, expected = place.bundle.samples()
    with open_client(f"{place.url}{base}{place.bundle.version}", protocol=protocol) as client:
        got = client.predict(instances[:1])[0]
    if "label" in got:
        assert got["label"] == expected[0]["label"]
    else:
        assert got == pytest.approx(expected[0], rel=1e-5)
    with (
        open_client(f"{place.url}{base}77", protocol=protocol) as client,
        pytest.raises(HeadraceError, match=f"expected version {place.bundle.version}. Received: .*HTTP 404"),
    ):
        client.predict(instances[:1])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_from_the_command_line(place: Place, protocol: str) -> None:
    if place.bundle.signature.image:
        pytest.skip("pictures come as files, which test_image_server gives")
    instances, expected = place.bundle.samples()
    arguments = [place.address(protocol), "--protocol", protocol, "--json", json.dumps(instances[:2])]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    got = [json.loads(line) for line in done.output.splitlines()]
    assert max(map(difference, expected, got)) <= TOLERANCE


def test_pictures_from_the_command_line(place: Place, tmp_path: Path) -> None:
    if not place.bundle.signature.image:
        pytest.skip("of pictures")
    import base64

    instances, expected = place.bundle.samples()
    file = tmp_path / "one.png"
    file.write_bytes(base64.b64decode(instances[0]["image"]["b64"]))
    for protocol in PROTOCOLS:
        done = CliRunner().invoke(command, [place.address(protocol), "--protocol", protocol, "--image", str(file)])
        assert json.loads(done.output)["label"] == expected[0]["label"], done.output


def test_everything_that_can_be_read_is_described(place: Place) -> None:
    described = ask(place.url, "GET", "/openapi.json")[2]
    assert described["info"]["title"] == place.bundle.name
    gets = [path for path, methods in described["paths"].items() if "get" in methods]
    assert len(gets) > 8
    for path in gets:
        assert ask(place.url, "GET", path)[0] == 200, path
    for path, methods in described["paths"].items():
        if "post" in methods:
            example = methods["post"]["requestBody"]["content"]["application/json"]["example"]
            assert ask(place.url, "POST", path, json.dumps(example).encode())[0] == 200, path
    page = ask(place.url, "GET", "/docs")[2].decode()
    assert "http://" not in page.replace(place.url, "") and "https://" not in page
