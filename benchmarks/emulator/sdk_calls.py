"""Tries the client libraries' calls, and public samples, against an emulator: `sdk_calls.py [--only NAME] [--write]`.

Run it with the `main` environment's Python. google-cloud-aiplatform 2.7 is installed into benchmarks/.peers at first,
in the versions of peers/. Each program of clients/ is a process of its own, on an emulator of its own; the libraries
are as they were published. With --write the tables go to docs/emulator-calls.md.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from inputs import CLIENTS, make_inputs  # noqa: E402

from headrace.emulator.running import running  # noqa: E402

PEERS = ROOT / "benchmarks" / ".peers"
UV = ROOT / ".venv-uv" / "bin" / "uv"
TARGET = ROOT / "docs" / "emulator-calls.md"
NEWER = "aiplatform-2.7"
_LIMIT_S = 300.0
_OF_VERTEX = ("vertex_calls.py", "experiment_calls.py")
_PASSED, _REFUSED = "passed", "501"


@dataclass
class Tried:
    """What came of one library's calls and samples.

    Attributes:
        library: with its version.
        outcomes: by the call: passed, 501, or what went wrong.
        untried: public calls of a class that was to be tried whole.
        samples: those that passed.
        failed: samples that did not.
    """

    library: str = ""
    outcomes: dict[str, str] = field(default_factory=dict)
    untried: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def newer_python() -> Path:
    """The Python of the newer library's own environment, which is made if need be.

    Raises:
        RuntimeError: it cannot be installed.
    """
    folder, wanted = PEERS / f"emulator-{NEWER}", HERE / "peers" / f"{NEWER}.txt"
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted.read_text():
        return python
    for command in (
        [UV, "venv", "--quiet", "--clear", "--python", "3.11", folder],
        [UV, "pip", "install", "--quiet", "--python", python, "-r", wanted],
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{NEWER}: expected it to be installed. Received: {done.stderr.strip()[-300:]}")
    stamp.write_text(wanted.read_text())
    return python


def tried(python: Path, programs: tuple[str, ...], samples: tuple[str, ...], inputs: Path, folder: Path) -> Tried:
    """Runs programs of clients/, and some of the samples.

    Args:
        python: of the environment that has the library.
        programs: their files' names.
        samples: names of functions in samples.py.
        inputs: as `make_inputs` made them.
        folder: for the emulators' states.
    """
    found = Tried()
    for program in programs:
        result = folder / f"{program}.json"
        done = _run(python, program, inputs, folder / program, str(result))
        if not result.exists():
            raise RuntimeError(f"{program}: expected a result. Received: {done.stderr[-2000:]}")
        told = json.loads(result.read_text())
        found.library, found.untried = told["version"], found.untried + told["untried"]
        found.outcomes |= told["outcomes"]
    for sample in samples:
        done = _run(python, "samples.py", inputs, folder / sample, sample)
        if done.returncode == 0:
            found.samples.append(sample)
        else:
            found.failed.append(f"{sample}: {done.stderr.strip()[-500:]}")
    return found


def _run(python: Path, program: str, inputs: Path, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with running(state) as emulator:
        command = [str(python), str(CLIENTS / program), emulator.address, str(inputs), *arguments]
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_LIMIT_S, env=environment)


def tables(all_of: list[Tried], samples: dict[str, str]) -> str:
    """In Markdown.

    Args:
        all_of: by library.
        samples: the samples' functions -> their public paths.
    """
    heads = [one.library for one in all_of]
    lines = ["| library | calls tried | passed | answered 501 | failed |", "| --- | --- | --- | --- | --- |"]
    for one in all_of:
        kinds = list(one.outcomes.values())
        passed, refused = kinds.count(_PASSED), kinds.count(_REFUSED)
        lines.append(f"| {one.library} | {len(kinds)} | {passed} | {refused} | {len(kinds) - passed - refused} |")
    lines += ["", "| sample | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for name, path in samples.items():
        marks = [_mark(one, name) for one in all_of]
        lines.append(f"| {path} | " + " | ".join(marks) + " |")
    lines += ["", "| call | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for call in sorted({call for one in all_of for call in one.outcomes}):
        marks = [one.outcomes.get(call, "") for one in all_of]
        lines.append(f"| `{call}` | " + " | ".join(re.sub(r"[|\s]+", " ", mark) for mark in marks) + " |")
    return "\n".join(lines)


def _mark(one: Tried, sample: str) -> str:
    return "passed" if sample in one.samples else "failed" if any(f.startswith(sample) for f in one.failed) else ""


def main() -> int:
    """The exit status is 1 where a call or a sample failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("aiplatform", NEWER, "kfp"), help="one library alone")
    parser.add_argument("--write", action="store_true", help=f"write {TARGET.relative_to(ROOT)}")
    given = parser.parse_args()
    sys.path.insert(0, str(CLIENTS))
    from samples import SAMPLES

    names = {function.__name__: path for path, function in SAMPLES.items()}
    of_kfp = tuple(name for name in names if name.endswith("kubeflow_pipelines"))
    of_vertex = tuple(name for name in names if name not in of_kfp)
    own = Path(sys.executable)
    plans = {
        "aiplatform": lambda: (own, _OF_VERTEX, of_vertex),
        NEWER: lambda: (newer_python(), _OF_VERTEX, of_vertex),
        "kfp": lambda: (own, ("kfp_calls.py",), of_kfp),
    }
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder) / "inputs")
        found = []
        for name, plan in plans.items():
            if given.only in (None, name):
                found.append(tried(*plan(), inputs, Path(folder) / name))
    text = tables(found, names)
    print(text)
    for one in found:
        print(*one.failed, *(f"untried: {name}" for name in one.untried), sep="\n")
    if given.write:
        TARGET.write_text(f"{_HEAD}\n{text}\n")
    failed = [out for one in found for out in one.outcomes.values() if out not in (_PASSED, _REFUSED)]
    return 1 if failed or any(one.failed for one in found) else 0


_HEAD = """# The clients' calls that were tried against the emulator

Written by `benchmarks/emulator/sdk_calls.py --write`: the libraries are as published. A call that passed did what it is
to do; one that is answered with 501 says its name. The samples make the calls of the public ones that are named, in
their order; the project, the endpoint, and what is trained are our own, and no code of theirs is repeated.
"""

if __name__ == "__main__":
    raise SystemExit(main())
