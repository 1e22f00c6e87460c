"""What is served, in words."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.bundle import MATRIX, MODEL, SAMPLES, SIGNATURE, Bundle, write_bundle
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature
from headrace.serving.target import Target, changed_inputs, titled
from tests.unit.platforms.bundles import write_unscorable_bundle


def bundle_of(path: Path, *inputs: Input) -> Bundle:
    with write_bundle(path, {"name": "homes"}) as folder:
        (folder / MODEL).write_bytes(b"model")
        (folder / MATRIX).write_bytes(b"matrix")
        Signature(task="regression", label="price", inputs=inputs).write(folder / SIGNATURE)
        write_json(folder / SAMPLES, {"instances": [{}], "predictions": [{"value": 1.0}]})
    return Bundle.open(path)


def test_a_registered_bundle_says_its_version_and_stays_what_it_is(tmp_path: Path) -> None:
    path = write_unscorable_bundle(tmp_path / "b")
    plain, registered = Target(path).open(), Target(path, "7").open()
    assert (plain.version, registered.version) == (None, "7")
    assert registered.digest == plain.digest == Bundle.open(path).digest
    assert titled(registered) == f"homes 7 ({plain.digest[:19]})" and titled(plain) == f"homes ({plain.digest[:19]})"
    assert str(Target(path, "7")) == "version 7" and str(Target(path)) == str(path)


def test_what_requests_have_to_say_otherwise(tmp_path: Path) -> None:
    first = bundle_of(tmp_path / "1", Input("rooms", "number"), Input("city", "category", vocabulary=("x",)))
    second = bundle_of(tmp_path / "2", Input("rooms", "category", vocabulary=("3",)), Input("sold", "date"))
    assert changed_inputs(first, first) == ""
    assert changed_inputs(first, second) == "without city; with sold, a date; with rooms as a category"
