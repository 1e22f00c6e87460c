"""Who serves the model, how each is started, and what its requests look like."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ROOT / "benchmarks" / ".peers"
UV = ROOT / ".venv-uv" / "bin" / "uv"

Rows = list[dict[str, Any]]


def _instances(rows: Rows) -> Any:
    return {"instances": rows}


def _records(rows: Rows) -> Any:
    return {"dataframe_records": rows}


def _tensors(rows: Rows) -> Any:
    """The Open Inference Protocol: a tensor per column."""

    def kind(name: str) -> str:
        return "BYTES" if name.startswith("category") else "BOOL" if name.startswith("is_") else "FP64"

    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": kind(name), "data": [row[name] for row in rows]}
        for name in rows[0]
    ]
    return {"inputs": inputs}


@dataclass(frozen=True)
class Contender:
    """One server with one form of the model."""

    name: str
    kind: str  # sklearn | onnx
    path: str = "/predict"
    form: Callable[[Rows], Any] = _instances

    @property
    def title(self) -> str:
        """As it stands in the table."""
        return self.name if self.name == "headrace" else f"{self.name} + {self.kind}"

    def body(self, rows: Rows) -> bytes:
        """A request for these rows."""
        return json.dumps(self.form(rows), separators=(",", ":")).encode()

    def command(self, port: int, folder: Path) -> list[str]:
        """What starts it."""
        if self.name == "headrace":
            bundle = str(folder / "bundle")
            return [sys.executable, "-m", "headrace.serving", bundle, "--port", str(port)]
        script = HERE / "peers" / f"{self.name}_server.py"
        return [str(_python(self.name)), str(script), str(port), str(folder), self.kind]


_FORMS: dict[str, tuple[str, Callable[[Rows], Any]]] = {
    "fastapi": ("/predict", _instances),
    "vertex": ("/predict", _instances),
    "kserve": ("/v1/models/churn:predict", _instances),
    "mlserver": ("/v2/models/churn/infer", _tensors),
    "bentoml": ("/predict", _instances),
    "litserve": ("/predict", _instances),
    "mlflow": ("/invocations", _records),
    "ray": ("/predict", _instances),
}

CONTENDERS = (
    Contender("headrace", "onnx"),
    *(Contender(name, kind, *form) for kind in ("sklearn", "onnx") for name, form in _FORMS.items()),
)


def install(name: str) -> str:
    """Makes a peer's environment where it is not there yet; a text says why it cannot be had."""
    if name == "headrace":
        return ""
    wanted = HERE / "peers" / f"{name}.txt"
    stamp = _folder(name) / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return ""
    for command in (
        [UV, "venv", "--quiet", "--clear", "--python", "3.11", _folder(name)],
        [UV, "pip", "install", "--quiet", "--python", _python(name), "-r", wanted],
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            return f"not installed: {said[-1][:200] if said else 'no reason given'}"
    stamp.write_text(wanted.read_text())
    return ""


def version(name: str) -> str:
    """A peer's own version, as its requirement pins it; ours is that of the working tree."""
    if name == "headrace":
        commit = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        return subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    lines = (HERE / "peers" / f"{name}.txt").read_text().splitlines()
    return next(line for line in lines if not line.startswith("#"))


def _folder(name: str) -> Path:
    return PEERS / f"serving-{name}"


def _python(name: str) -> Path:
    return _folder(name) / "bin" / "python"
