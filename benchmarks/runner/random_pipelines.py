"""Random pipelines, compiled by KFP: what `kills.py` kills. The same seed gives the same pipeline.

What a task puts out depends on its label and its inputs alone. Each notes in a file outside of Headrace's home
when it begins and when it has written all: so one can count what was done twice.
"""

# What stands in components is what users write: one function that holds all it needs.
# ruff: noqa: PTH103, PTH118, PTH120, PTH123

import functools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl
from kfp.dsl import Dataset, Input, Output

LEDGER = "ledger"  # beside the home

component = functools.partial(dsl.component, base_image="registry/headrace-main:1", install_kfp_package=False)


@component
def work(label: str, seconds: float, number: int, out: Output[Dataset]) -> int:
    import hashlib
    import os
    import time

    def note(word: str) -> None:
        ledger = os.path.join(os.path.dirname(os.environ["HEADRACE_HOME"]), "ledger")
        descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{word} {os.environ['HEADRACE_TASK']}\n".encode())
        os.close(descriptor)

    note("begin")
    found = hashlib.sha256(f"{label} {number}".encode())
    os.makedirs(out.path)
    for part in range(3):
        time.sleep(seconds / 3)
        with open(os.path.join(out.path, f"part-{part}"), "wb") as stream:
            stream.write(found.digest() * 100 * part)
    out.metadata["sum"] = found.hexdigest()
    note("end")
    return int(found.hexdigest()[:4], 16) % 100


@component
def join(
    label: str, seconds: float, number: int, left: Input[Dataset], right: Input[Dataset], out: Output[Dataset]
) -> int:
    import hashlib
    import os
    import time

    def note(word: str) -> None:
        ledger = os.path.join(os.path.dirname(os.environ["HEADRACE_HOME"]), "ledger")
        descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, f"{word} {os.environ['HEADRACE_TASK']}\n".encode())
        os.close(descriptor)

    note("begin")
    found = hashlib.sha256(f"{label} {number}".encode())
    for one in (left, right):
        for base, folders, names in os.walk(one.path):
            folders.sort()
            for name in sorted(names):
                with open(os.path.join(base, name), "rb") as stream:
                    found.update(stream.read())
    os.makedirs(os.path.join(out.path, "inner"))
    time.sleep(seconds)
    for place in ("inner/a", "b"):
        with open(os.path.join(out.path, place), "wb") as stream:
            stream.write(found.digest() * 1000)
    note("end")
    return int(found.hexdigest()[:4], 16) % 100


@component
def add_up(label: str, numbers: list) -> int:
    import os

    ledger = os.path.join(os.path.dirname(os.environ["HEADRACE_HOME"]), "ledger")
    descriptor = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"begin {os.environ['HEADRACE_TASK']}\n".encode())
    total = sum(place * number for place, number in enumerate(numbers, 1)) % 100
    os.write(descriptor, f"end {os.environ['HEADRACE_TASK']}\n".encode())
    os.close(descriptor)
    return total


@component
def fail(label: str, number: int) -> int:
    raise ValueError(f"{label} fails, as it is meant to")


@dsl.pipeline
def pair(label: str, seconds: float, number: int) -> int:
    first = work(label=f"{label}/first", seconds=seconds, number=number)
    second = work(label=f"{label}/second", seconds=seconds, number=first.outputs["Output"])
    return second.outputs["Output"]  # type: ignore[no-any-return]


class Builder:
    """Adds random tasks to a pipeline that is being defined."""

    def __init__(self, rng: random.Random, failing: bool) -> None:
        self.rng, self.failing = rng, failing
        self.numbers: list[Any] = [7]  # constants and output parameters
        self.artifacts: list[Any] = []
        self.count = 0

    def add(self) -> None:
        self.count += 1
        kinds: list[Callable[[], None]] = [self._work, self._work, self._loop, self._pair, self._condition]
        kinds += [self._join] * 3 if len(self.artifacts) > 1 else []
        kinds += [self._fail] if self.failing else []
        self.rng.choice(kinds)()

    def _common(self) -> dict[str, Any]:
        return {"label": f"t{self.count}", "seconds": self.rng.choice((0.0, 0.01, 0.1)), "number": self._number()}

    def _number(self) -> Any:
        return self.rng.choice(self.numbers)

    def _kept(self, task: Any) -> Any:
        """Half of the tasks may not be taken from the cache: only the record of the run itself can keep them."""
        task.set_caching_options(self.rng.random() < 0.5)
        return task

    def _note(self, task: Any) -> None:
        self._kept(task)
        self.numbers.append(task.outputs["Output"])
        self.artifacts.append(task.outputs["out"])

    def _work(self) -> None:
        self._note(work(**self._common()))

    def _join(self) -> None:
        left, right = self.rng.sample(self.artifacts, 2)
        self._note(join(**self._common(), left=left, right=right))

    def _pair(self) -> None:
        self.numbers.append(pair(**self._common()).output)

    def _loop(self) -> None:
        with dsl.ParallelFor(list(range(self.rng.randint(2, 5))), parallelism=self.rng.randint(0, 2)) as item:
            inner = self._kept(work(**{**self._common(), "number": item}))
        self.numbers.append(
            self._kept(add_up(label=f"t{self.count}", numbers=dsl.Collected(inner.outputs["Output"]))).output
        )

    def _condition(self) -> None:
        number = self._number()
        if isinstance(number, int):
            self._work()
            return
        with dsl.If(number < self.rng.randint(0, 100)):
            self._kept(work(**self._common()))

    def _fail(self) -> None:
        self.numbers.append(fail(label=f"t{self.count}", number=self._number()).output)
        self.failing = False


def random_pipeline(seed: int) -> dict[str, Any]:
    """The IR of a pipeline of some ten tasks; in one of four pipelines a task fails."""
    rng = random.Random(seed)

    def pipeline() -> None:
        builder = Builder(rng, failing=rng.random() < 0.25)
        for _ in range(rng.randint(4, 8)):
            builder.add()

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "pipeline.yaml")
        compiler.Compiler().compile(dsl.pipeline(pipeline, name=f"random-{seed}"), str(file))
        ir: dict[str, Any] = next(iter(yaml.safe_load_all(file.read_text())))
    return ir
