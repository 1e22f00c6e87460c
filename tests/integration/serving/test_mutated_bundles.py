"""Bundles changed at random and sealed anew: each is served with its right answers or refused in one clear line."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.bundle import FORMAT
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import seal
from headrace.serving.load_limits import limited
from headrace.serving.settings import Settings
from headrace.serving.switch import load
from headrace.serving.target import Target

MUTANTS, SECONDS, MEMORY = 1500, 20.0, 512  # of a load: far more than any needs
VALUES: tuple[Any, ...] = (None, True, -1, 0, 1e308, 10**30, "", "x" * 300, "\ud800", "\x00", [], {}, [[]], {"": None})


def bytes_changed(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(changed))
        match chance.randrange(4):
            case 0:
                changed[place] = chance.randrange(256)
            case 1:
                changed[place] ^= 1 << chance.randrange(8)
            case 2:
                del changed[place : min(place + chance.randint(1, 8), len(changed) - 1)]
            case _:
                changed[place:place] = chance.randbytes(chance.randint(1, 8))
    return bytes(changed)


def value_changed(value: Any, chance: random.Random) -> Any:
    """The same JSON value with one place in it removed, doubled or something else."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        key = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        if chance.random() < 0.15:
            del value[key]
        elif isinstance(value, list) and chance.random() < 0.1:
            value.append(value[key])
        else:
            value[key] = value_changed(value[key], chance)
        return value
    return chance.choice(VALUES)


def mutate(folder: Path, chance: random.Random) -> str:
    """Changes one of the files that decide an answer; returns its name."""
    name = chance.choice(("matrix.onnx", "matrix.onnx", "signature.json", "samples.json", "details"))
    details: Any = {"name": "tiny", "version": "3"}
    if name == "matrix.onnx":
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(bytes_changed(content, chance))
    elif name == "details":
        details = value_changed(details, chance)
    elif chance.random() < 0.5:
        (folder / name).write_bytes(bytes_changed((folder / name).read_bytes(), chance))
    else:
        (folder / name).write_text(json.dumps(value_changed(json.loads((folder / name).read_text()), chance)))
    (folder / "manifest.json").unlink()
    try:
        seal(folder, FORMAT, 1, details if isinstance(details, dict) else {"name": details})
    except UnicodeEncodeError:  # half a character: such a manifest cannot be written, and is tried elsewhere
        seal(folder, FORMAT, 1, {"name": "tiny"})
    return name


def outcome(work: Callable[[], object]) -> str:
    """What came of it in a process of its own: `served`, `refused: ...`, `fault: ...`, `signal ...` or `hangs`."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            told = "served"
        except HeadraceError as error:
            told = f"refused: {error}"
        except BaseException as error:  # noqa: BLE001 (that is what is looked for)
            told = f"fault: {type(error).__name__}: {error}"
        os.write(theirs, told.encode(errors="replace")[:60_000])
        os._exit(0)
    os.close(theirs)
    ready = select.select([ours], [], [], SECONDS)[0]
    told = os.read(ours, 65_536).decode() if ready else "hangs"
    os.close(ours)
    if not ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return told or f"signal {-os.waitstatus_to_exitcode(status)}"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_mutants_are_served_rightly_or_refused_clearly(kind: str, bundles: dict[str, Path], tmp_path: Path) -> None:
    def serve() -> None:
        with limited("model", MEMORY):
            load(Target(folder), Settings())

    counts: Counter[str] = Counter()
    wrong = []
    folder = tmp_path / "model"
    for number in range(MUTANTS // 3):
        shutil.copytree(bundles[kind], folder)
        name = mutate(folder, random.Random(f"{kind} {number}"))
        begun = time.monotonic()
        told = outcome(serve)
        counts[told.partition(":")[0]] += 1
        clear = told == "served" or (told.startswith("refused: ") and "expected" in told and "eceived" in told)
        if not clear or time.monotonic() - begun > SECONDS:
            wrong.append(f"{kind} {number}, {name}: {told[:300]}")
        shutil.rmtree(folder)
    assert not wrong, "\n".join([str(counts), *wrong])
    assert counts["refused"] > MUTANTS // 6
