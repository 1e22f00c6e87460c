"""Bundles that a registry can keep but nobody can score: sealed, with bytes in place of graphs."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.bundle import MATRIX, MODEL, SAMPLES, SIGNATURE, write_bundle
from headrace.artifacts.folder import write_json
from headrace.artifacts.signature import Input, Signature


def write_unscorable_bundle(path: Path, seed: int = 0, size: int = 1000) -> Path:
    """Writes a bundle whose digest depends on `seed` alone."""
    signature = Signature(task="regression", label="price", inputs=(Input("rooms", "number"),))
    with write_bundle(path, {"name": "homes"}) as folder:
        (folder / MODEL).write_bytes(b"%08d" % seed * (size // 8))
        (folder / MATRIX).write_bytes(b"matrix")
        (folder / "extra").mkdir()
        (folder / "extra" / "notes.txt").write_text(f"seed {seed}")
        signature.write(folder / SIGNATURE)
        write_json(folder / SAMPLES, {"instances": [{"rooms": 3}], "predictions": [{"value": 1.0}]})
    return path
