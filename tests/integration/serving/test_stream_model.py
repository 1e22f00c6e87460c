"""The model of a stream follows what a name means; what cannot be loaded never answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.serving.streaming.counted import Counted
from headrace.serving.streaming.model import Model, tried
from headrace.serving.target import Target
from tests.integration.serving.servers import wait_until


def test_another_version_takes_over_and_a_damaged_one_does_not(
    bundles: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = shutil.copytree(bundles["multiclass"], tmp_path / "damaged")
    (damaged / "matrix.onnx").write_bytes(b"nothing")
    wanted = [Target(bundles["binary"], "1")]
    counted = Counted()
    model = Model(wanted[0], counted, lambda: wanted[0])
    first = model.current()
    wanted[0] = Target(damaged, "2")
    wait_until(lambda: counted.refused)
    assert model.current() is first
    assert "version 2 is not taken up: " in capsys.readouterr().err
    wanted[0] = Target(bundles["multiclass"], "3")
    wait_until(lambda: model.current() is not first)
    assert model.current().served.version == "3"
    assert (counted.swaps, counted.refused) == (1, False)
    assert "headrace: now answering with tiny 3" in capsys.readouterr().err


def test_a_model_that_hangs_is_ended(bundles: dict[str, Path]) -> None:
    with pytest.raises(HeadraceError, match="Received: nothing for 0.01 seconds"):
        tried(Target(bundles["binary"]), 0.01)


def test_a_damaged_model_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(HeadraceError, match="expected a headrace/bundle folder"):
        Model(Target(tmp_path), Counted())
