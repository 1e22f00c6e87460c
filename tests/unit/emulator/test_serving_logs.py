"""A server's log does not grow without bound."""

from pathlib import Path

import pytest

from headrace.emulator import serving
from headrace.emulator.serving import _cut


def test_a_long_log_keeps_its_end_and_whoever_writes_goes_on_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_MOST_LOG", 1000)
    monkeypatch.setattr(serving, "_KEPT_LOG", 100)
    log = tmp_path / "log.txt"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"".join(b"%04d\n" % number for number in range(200)))
        _cut(log)
        assert log.stat().st_size == 1000  # it is not too long yet
        writer.write(b"0200\n")
        _cut(log)
        writer.write(b"next\n")
    lines = log.read_text().splitlines()
    assert lines[-2:] == ["0200", "next"] and 15 < len(lines) < 22
    assert log.stat().st_size < 120
