"""The real server of a model of images: from the command line, by workers, and as the release checks it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "serving"))
from picture_bundle import COLOURS, b64, encoded, picture, write_picture_bundle

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.components.infra_validate.validate import examine
from headrace.pipelines.commands.predict import command
from headrace.serving.client import predict, predict_images
from headrace.serving.local import running_server
from headrace.serving.verify import verify_samples


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_picture_bundle(tmp_path_factory.mktemp("pictures") / "colours")


@pytest.fixture(scope="module")
def pictures_url(folder: Path) -> Iterator[str]:
    with running_server(folder, ["--workers", "2", "--max-pixels", "250000"]) as url:
        yield url


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    made = []
    for number in range(70):  # more than one request holds
        file = tmp_path / f"{number}.{'png' if number % 2 else 'jpg'}"
        file.write_bytes(encoded(picture(number % 3, 10 + number % 7, 20), "PNG" if number % 2 else "JPEG"))
        made.append(file)
    return made


def test_files_are_answered_from_the_command_line(pictures_url: str, files: list[Path]) -> None:
    done = CliRunner().invoke(command, [pictures_url, "--image", *map(str, files)])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.output.splitlines()]
    assert [line["image"] for line in lines] == [str(file) for file in files]
    assert [line["label"] for line in lines] == [COLOURS.classes[number % 3] for number in range(70)]


def test_what_the_command_line_refuses(pictures_url: str, files: list[Path], tmp_path: Path) -> None:
    for arguments, message in (
        (["--image", str(tmp_path / "none.png")], "none.png: expected an image file. Received: No such file"),
        (["--csv", str(files[0])], "expected a model of tables. Received: one of images; give it --image FILE"),
        ([str(files[0])], "expected one of --json, --csv and --image"),
        (["--json", "{}", str(files[0])], "expected files behind --image only"),
    ):
        done = CliRunner().invoke(command, [pictures_url, *arguments])
        assert done.exit_code != 0
        assert message in done.output + str(done.exception)


def test_a_model_of_tables_takes_no_files(url: str, files: list[Path]) -> None:
    with pytest.raises(HeadraceError, match="expected a model of images. Received: one of the columns tenure, "):
        list(predict_images(url, files))


def test_large_and_damaged_pictures_get_an_answer_that_says_so(pictures_url: str) -> None:
    large = encoded(np.zeros((501, 500, 3), np.uint8))
    for content, message in (
        (large, "expected at most 250,000 pixels. Received: 500 x 501"),
        (b"GIF89a", "of another kind"),
    ):
        with pytest.raises(HeadraceError, match=message + r".*HTTP 400"):
            predict(pictures_url, [{"b64": b64(content)}])
    assert predict(pictures_url, [{"b64": b64(encoded(picture(1)))}])[0]["label"] == "green"


def test_many_clients_at_once(pictures_url: str) -> None:
    def ask(number: int) -> list[str]:
        own = [{"image": {"b64": b64(encoded(picture(number % 3, seed=n)))}} for n in range(1 + number % 4)]
        return [one["label"] for one in predict(pictures_url, own)]

    with ThreadPoolExecutor(8) as pool:
        for number, labels in enumerate(pool.map(ask, range(60))):
            assert set(labels) == {COLOURS.classes[number % 3]}


def test_the_release_tries_it(folder: Path) -> None:
    infra = examine(Bundle.open(folder))
    assert {check.name: check.passed for check in infra.checks} == dict.fromkeys(
        ("starts", "model", "answers", "refuses", "healthy"), True
    )
    assert "bytes of no image, half an image" in next(c.message for c in infra.checks if c.name == "refuses")


def test_the_release_finds_other_answers(tmp_path: Path) -> None:
    path = write_picture_bundle(tmp_path / "model")
    samples = json.loads((path / "samples.json").read_text())
    samples["instances"].reverse()
    (path / "samples.json").write_text(json.dumps(samples))
    with running_server(write_picture_bundle(tmp_path / "served")) as url:
        report = verify_samples(url, Bundle.open(path, verify=False), requests=5)
    assert not report.passed and len(report.mismatches) >= 9
