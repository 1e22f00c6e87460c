"""The real server, on real bundles and on bundles that are wrong in ways a gate must hear of."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.artifacts.bundle import FORMAT, FORMAT_VERSION, SAMPLES, Bundle
from headrace.artifacts.errors import ArtifactError
from headrace.artifacts.folder import MANIFEST, seal, write_json
from headrace.artifacts.infra import FIGURES, Infra, read_infra
from headrace.components.infra_validate.figures import LEAST_REQUESTS, REQUESTS, ROUNDS, server_mib
from headrace.components.infra_validate.validate import infra_validate, last_line
from tests.unit.platforms.bundles import write_unscorable_bundle
from tests.unit.serving.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "model")


def resealed(bundle: Path, folder: Path, samples: dict) -> Path:  # type: ignore[type-arg]
    """The bundle with other samples, and a manifest that fits them."""
    shutil.copytree(bundle, folder)
    (folder / SAMPLES).unlink()
    write_json(folder / SAMPLES, samples)
    (folder / MANIFEST).unlink()
    seal(folder, FORMAT, FORMAT_VERSION, {"name": "tiny"})
    return folder


def outcome(infra: Infra) -> dict[str, bool]:
    return {check.name: check.passed for check in infra.checks}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_a_sound_bundle_passes(tmp_path: Path, kind: str) -> None:
    model = write_tiny_bundle(tmp_path / "model", kind)
    infra = infra_validate(model, tmp_path / "infra")
    assert infra.passed
    assert outcome(infra) == dict.fromkeys(["starts", "model", "answers", "refuses", "healthy"], True)
    assert infra.model_digest == Bundle.open(model).digest
    assert 0 < infra.latency_ms["p50"] <= infra.latency_ms["p99"] < 1000
    assert set(infra.figures) == set(FIGURES)
    assert infra.figures["latency_p99_ms"] == infra.latency_ms["p99"]
    assert ROUNDS * LEAST_REQUESTS <= infra.requests <= ROUNDS * REQUESTS
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file())
    assert infra.figures["bundle_mib"] == size / 2**20
    assert 10 < infra.figures["server_mib"] < 300  # an interpreter with ONNX Runtime
    assert 0.05 < infra.figures["cold_start_s"] < 60
    assert read_infra(tmp_path / "infra") == infra


def test_answers_that_differ_from_the_samples_are_a_finding(bundle: Path, tmp_path: Path) -> None:
    samples = json.loads((bundle / SAMPLES).read_text())
    probabilities = samples["predictions"][4]["probabilities"]
    probabilities["0"], probabilities["1"] = probabilities["1"] + 0.01, probabilities["0"] - 0.01
    infra = infra_validate(resealed(bundle, tmp_path / "model", samples), tmp_path / "infra")
    assert not read_infra(tmp_path / "infra").passed
    assert outcome(infra) == {"serves": False}  # a server does not start with a model that answers otherwise
    told = "expected the answers to its 20 samples. Received: 2 others; samples[4], together: expected "
    assert told in infra.checks[0].message


def test_samples_that_the_server_refuses_are_a_finding(bundle: Path, tmp_path: Path) -> None:
    samples = json.loads((bundle / SAMPLES).read_text())
    samples["instances"][0]["tenure"] = "twelve"
    infra = infra_validate(resealed(bundle, tmp_path / "model", samples), tmp_path / "infra")
    assert outcome(infra) == {"serves": False}
    assert infra.latency_ms == {} and infra.requests == 0
    assert set(infra.figures) == {"bundle_mib"}  # nothing is said of a server that does not answer
    assert "tenure: expected a number or null" in "".join(check.message for check in infra.checks)


def test_memory_is_that_of_the_process_and_those_below_it() -> None:
    code = (
        "import os, sys; held = bytearray(os.urandom(1 << 20) * 64); below = os.fork();"
        "held = held if below else bytearray(os.urandom(1 << 20) * 64);"
        "print('ready', flush=True) if not below else None; sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        found = server_mib(process.pid)
        process.terminate()
    assert found is not None and 128 <= found < 220
    assert server_mib(process.pid) is None  # it is gone


def test_a_bundle_that_does_not_load_is_a_finding(tmp_path: Path) -> None:
    model = write_unscorable_bundle(tmp_path / "model")
    infra = infra_validate(model, tmp_path / "infra")
    assert not read_infra(tmp_path / "infra").passed
    assert outcome(infra) == {"serves": False}
    assert "expected it to start" in infra.checks[0].message


def test_a_file_that_changed_is_a_finding(bundle: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(bundle, model)
    (model / "model.onnx").write_bytes(b"damage")
    infra = infra_validate(model, tmp_path / "infra")
    assert not infra.passed
    assert "changed content" in infra.checks[0].message
    assert infra.model_digest == Bundle.open(bundle).digest


def test_what_is_no_bundle_is_an_error_and_leaves_no_report(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(ArtifactError, match="expected a headrace/bundle folder"):
        infra_validate(tmp_path / "model", tmp_path / "infra")
    assert not (tmp_path / "infra").exists()


def test_a_server_that_ends_in_a_traceback_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "raise ValueError('no such name')"
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    fake.chmod(0o755)
    model = write_tiny_bundle(tmp_path / "model")
    monkeypatch.setattr(sys, "executable", str(fake))
    infra = infra_validate(model, tmp_path / "infra")
    assert [check.message for check in infra.checks] == [
        "server: expected it to start. Received: ValueError: no such name"
    ]
    assert "Traceback" in capsys.readouterr().out  # all of it is in the log


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("expected a. Received: b", "expected a. Received: b"),
        ("expected a. Received: Traceback:\n  File x\nerror: c\n", "expected a. Received: c"),
        ("one\ntwo", "two"),
        ("", ""),
    ],
)
def test_a_message_of_many_lines_becomes_one(message: str, line: str) -> None:
    assert last_line(message) == line
