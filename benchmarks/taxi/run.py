#!/usr/bin/env python3
"""Chicago taxi, from a CSV to a blessed and pushed model: TFX 1.16's LocalDagRunner beside `headrace run`.

Standard library only. Each contender runs as whole processes (interpreter start and imports are in the
time), each repetition from a cold state in an empty folder of its own, the contenders taking turns. In each
folder the same command runs three times with nothing changed: "cold", "again", and "third" (the README beside
this folder says why TFX needs a third). Prints medians and ratios, and writes every single measurement to
benchmarks/results/.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
RESULTS = PROJECT / "benchmarks" / "results"
HEADRACE = PROJECT / ".venv" / "bin" / "headrace"
TFX_PYTHON = PROJECT / ".venv-tfx" / "bin" / "python"
WHEEL = PROJECT / ".venv-tfx" / "lib" / "python3.11" / "site-packages"
TAXI = WHEEL / "tfx" / "examples" / "chicago_taxi_pipeline" / "data" / "simple" / "data.csv"
STATES = ("cold", "again", "third")


@dataclass(frozen=True)
class Contender:
    """One side: how its folder is laid out, what is run in it, and how the outcome is read afterwards."""

    name: str
    needs: Path
    warm_up: list[str]
    prepare: Callable[[Path, Path], None]
    command: Callable[[Path], list[str]]
    quality: Callable[[Path], dict[str, Any]]


@dataclass(frozen=True)
class Measurement:
    """One whole run. `largest_process_mib`: peak resident memory of its largest process, not their sum."""

    contender: str
    repetition: int
    state: str
    seconds: float
    cpu_seconds: float
    largest_process_mib: float


# --- Headrace's side ----------------------------------------------------------------------------------------


def prepare_headrace(folder: Path, data: Path) -> None:
    shutil.copy2(data, folder / "chicago_taxi.csv")
    shutil.copy2(HERE / "spec.yaml", folder / "spec.yaml")


def headrace_command(folder: Path) -> list[str]:
    return [str(HEADRACE), "run", str(folder / "spec.yaml"), "--home", str(folder / "home")]


def headrace_quality(folder: Path) -> dict[str, Any]:
    """Accuracy on the test split, as the last run's evaluation has it; `tfx_quality.py` explains the fields.

    The one place that knows how `headrace show` answers.
    """
    show = [str(HEADRACE), "show", "latest", "--home", str(folder / "home"), "--json"]
    run = json.loads(output_of(show))
    evaluation = run["evaluation"]
    return {
        "accuracy": evaluation["metrics"]["accuracy"],
        "base_rate": evaluation["baseline"]["accuracy"],
        "rows": evaluation["rows"],
        "split": "test",
        "blessed": run["passed"],
        "pushed": run["pushed"],
    }


def tfx_of_spec_command(folder: Path) -> list[str]:
    """The same spec by TFX's own components, up to our gates and registry."""
    return [str(HEADRACE), "tfx", "run", str(folder / "spec.yaml"), "--home", str(folder / "home")]


def tfx_of_spec_quality(folder: Path) -> dict[str, Any]:
    """Accuracy on our test split, which is theirs too, as our evaluation of TFX's pushed model has it."""
    [*_, newest] = sorted((folder / "home" / "tfx" / "taxi" / "judged").glob("*/outcome.json"))
    outcome = json.loads(newest.read_text())
    return {
        "accuracy": outcome["metrics"]["accuracy"],
        "base_rate": outcome["baseline"]["accuracy"],
        "rows": outcome["rows"],
        "split": "test",
        "blessed": outcome["passed"],
        "pushed": outcome["state"] is not None,
    }


# --- TFX's side ---------------------------------------------------------------------------------------------


def prepare_tfx(folder: Path, data: Path) -> None:
    (folder / "data").mkdir()
    shutil.copy2(data, folder / "data" / data.name)


def tfx_command(folder: Path) -> list[str]:
    script = str(HERE / "tfx_contender.py")
    return [str(TFX_PYTHON), script, "--data", str(folder / "data"), "--root", str(folder / "tfx")]


def tfx_command_as_it_comes(folder: Path) -> list[str]:
    return [*tfx_command(folder), "--as-it-comes"]


def tfx_quality(folder: Path) -> dict[str, Any]:
    answer = output_of([str(TFX_PYTHON), str(HERE / "tfx_quality.py"), "--root", str(folder / "tfx")])
    quality: dict[str, Any] = json.loads(answer)
    return quality


def contenders(only: str | None, as_it_comes: bool, of_spec: bool) -> list[Contender]:
    tfx_warm_up = [str(TFX_PYTHON), str(HERE / "tfx_contender.py"), "--help"]
    sides = [
        Contender("tfx", TFX_PYTHON, tfx_warm_up, prepare_tfx, tfx_command, tfx_quality),
        Contender(
            "headrace",
            HEADRACE,
            [str(HEADRACE), "run", "--help"],
            prepare_headrace,
            headrace_command,
            headrace_quality,
        ),
    ]
    if as_it_comes:
        sides.insert(
            0,
            Contender("tfx as it comes", TFX_PYTHON, tfx_warm_up, prepare_tfx, tfx_command_as_it_comes, tfx_quality),
        )
    if of_spec:
        warm_up = [str(HEADRACE), "tfx", "run", "--help"]
        side = Contender(
            "tfx of the spec", HEADRACE, warm_up, prepare_headrace, tfx_of_spec_command, tfx_of_spec_quality
        )
        sides.insert(-1, side)
    return [side for side in sides if only is None or side.name.startswith(only)]


# --- Measuring ----------------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """The same for both: TFX's example is written for Keras 2, and bytecode is kept, Python's default."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "TF_USE_LEGACY_KERAS": "1"}


def output_of(command: list[str]) -> str:
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(
            f"expected `{' '.join(command)}` to succeed. Received: exit {done.returncode}\n{done.stderr[-3000:]}"
        )
    return done.stdout


def measure(command: list[str], folder: Path, log: Path) -> tuple[float, float, float]:
    """Runs the command to its end: wall seconds, CPU seconds with children, MiB of the largest process."""
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
            start_new_session=True,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = log.read_text(errors="replace")[-3000:]
        raise SystemExit(f"expected `{' '.join(command)}` to succeed. Received: exit {process.returncode}\n{tail}")
    refuse_leftovers(process.pid, command)
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def refuse_leftovers(group: int, command: list[str]) -> None:
    """A process that outlives its command would work outside the clock, and slow down the other side."""
    deadline = time.monotonic() + 1.0  # what has been told to end needs a moment for it
    while alive := living_members(group):
        if time.monotonic() > deadline:
            raise SystemExit(f"expected `{command[0]}` to leave no process behind. Received: {alive}")
        time.sleep(0.05)


def living_members(group: int) -> list[int]:
    """Process ids in that process group, without those that have ended and wait to be reaped."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, process_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):  # it ended between the listing and the reading
            continue
        if int(process_group) == group and state not in "ZX":
            members.append(int(stat.parent.name))
    return members


def measure_all(
    sides: list[Contender], data: Path, repetitions: int, work: Path
) -> tuple[list[Measurement], dict[str, list[dict[str, Any]]]]:
    measurements: list[Measurement] = []
    qualities: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for repetition in range(1, repetitions + 1):
        for side in sides:
            folder = work / f"{side.name.replace(' ', '-')}-{repetition}"
            folder.mkdir()
            side.prepare(folder, data)
            for state in STATES:
                figures = measure(side.command(folder), folder, folder / f"{state}.log")
                measurements.append(Measurement(side.name, repetition, state, *figures))
                print(f"  {repetition}  {side.name:16} {state:6} {figures[0]:7.2f} s", flush=True)
            qualities[side.name].append(side.quality(folder))
    return measurements, qualities


# --- Reporting ----------------------------------------------------------------------------------------------


def medians(measurements: list[Measurement], field: str) -> dict[str, dict[str, float]]:
    """contender -> state -> median of that field over the repetitions."""
    names = dict.fromkeys(one.contender for one in measurements)
    return {
        name: {
            state: statistics.median(
                getattr(one, field) for one in measurements if (one.contender, one.state) == (name, state)
            )
            for state in STATES
        }
        for name in names
    }


def ratios(seconds: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times longer each TFX takes than Headrace, in the same state."""
    if "headrace" not in seconds:
        return {}
    mine = seconds["headrace"]
    return {
        name: {state: theirs[state] / mine[state] for state in STATES}
        for name, theirs in seconds.items()
        if name != "headrace"
    }


def report(measurements: list[Measurement], qualities: dict[str, list[dict[str, Any]]]) -> str:
    seconds, memory = medians(measurements, "seconds"), medians(measurements, "largest_process_mib")
    lines = [f"{'median':28}" + "".join(f"{state:>10}" for state in STATES) + f"{'largest process':>18}"]
    for name, row in seconds.items():
        cells = "".join(f"{row[state]:8.2f} s" for state in STATES)
        lines.append(f"{name:28}{cells}{memory[name]['cold']:14.0f} MiB")
    for name, row in ratios(seconds).items():
        lines.append(f"{name + ' / headrace':28}" + "".join(f"{row[state]:9.1f}x" for state in STATES))
    lines += ["", *(quality_line(name, outcomes) for name, outcomes in qualities.items())]
    return "\n".join(lines)


def quality_line(name: str, outcomes: list[dict[str, Any]]) -> str:
    accuracy = ", ".join(f"{one['accuracy']:.4f}" for one in outcomes)
    split, rows, base_rate = (outcomes[-1][key] for key in ("split", "rows", "base_rate"))
    blessed, pushed = (all(one[key] for one in outcomes) for key in ("blessed", "pushed"))
    return (
        f"{name:28}accuracy {accuracy} on {split} ({rows} rows, base rate {base_rate:.4f}); "
        f"blessed {blessed}, pushed {pushed}"
    )


def machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "platform": platform.platform(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "load_before": os.getloadavg()[0],
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=TAXI)
    parser.add_argument("--repetitions", "-n", type=int, default=3)
    parser.add_argument("--as-it-comes", action="store_true", help="also TFX with its example's own Beam options")
    parser.add_argument("--of-spec", action="store_true", help="also TFX on our spec: `headrace tfx run`")
    parser.add_argument("--only", choices=("headrace", "tfx"), help="one side, without ratios")
    parser.add_argument("--keep", action="store_true", help="keep the contenders' folders and logs")
    args = parser.parse_args()
    if args.repetitions < 1:
        parser.error(f"expected --repetitions of at least 1. Received: {args.repetitions}")
    if not args.data.is_file():
        parser.error(f"expected --data to be the taxi CSV (benchmarks/README.md). Received: {args.data}")
    return args


def write_results(
    before: dict[str, Any],
    data: Path,
    measurements: list[Measurement],
    qualities: dict[str, list[dict[str, Any]]],
) -> Path:
    now = datetime.now(UTC)
    seconds = medians(measurements, "seconds")
    results = {
        "time": now.isoformat(timespec="seconds"),
        "machine": before,
        "data_sha256": hashlib.sha256(data.read_bytes()).hexdigest(),
        "median_seconds": seconds,
        "ratios": ratios(seconds),
        "quality": qualities,
        "measurements": [asdict(one) for one in measurements],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"taxi-{now:%Y%m%dT%H%M%SZ}.json"
    target.write_text(json.dumps(results, indent=2) + "\n")
    return target


def main() -> None:
    args = arguments()
    before = machine()
    print(f"{before['cpus']} cores, {before['memory_gib']} GiB, load before {before['load_before']:.2f}")
    sides = contenders(args.only, args.as_it_comes, args.of_spec)
    for side in sides:
        if not side.needs.exists():
            raise SystemExit(f"expected an environment with {side.needs}. Received: no such file")
        output_of(side.warm_up)  # page cache and bytecode, so that neither pays for being first
    work = Path(tempfile.mkdtemp(prefix="headrace-taxi-"))
    print(f"folders and logs: {work}")
    measurements, qualities = measure_all(sides, args.data.resolve(), args.repetitions, work)
    print("\n" + report(measurements, qualities))
    print(f"\nall measurements: {write_results(before, args.data, measurements, qualities)}")
    if not args.keep:  # after an error they stay in any case, to be looked at
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
