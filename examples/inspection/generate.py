"""Writes photographs of widgets with the labels that inspectors gave them, and aside from them the truth.

    python examples/inspection/generate.py                     6,000 photographs into data/ beside this file
    python examples/inspection/generate.py --count 800 --output DIR --seed 3

    data/photos/*.jpg     224 x 224; some cannot be read, some show a widget that another one shows too
    data/labels.csv       path, label, widget, camera: what a training may use; 3 % of the labels are wrong
    data/truth.csv        path, truth, severity, fault: what only this script knows; models are measured
                          against it, and never see it

A photograph follows from the seed and its number alone: a small set is the head of a large one.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from camera import jpeg, photograph
from defects import CLASSES

COUNT, SEED = 6_000, 11
OUTPUT = Path(__file__).parent / "data"
SHARES = (
    0.44,
    0.15,
    0.13,
    0.14,
    0.14,
)  # of the classes; a real line's are rarer, and it would collect them for training
MISLABELLED = 0.03
UNREADABLE = 0.005
SEEN_TWICE = 0.02  # photographed again where it lies: another noise, light and focus, the same widget
COPIED = 0.005  # the very same file under another name
CONFUSED = {  # what an inspector writes by mistake, most often
    "pass": ("scratch", "crack", "misalignment"), "scratch": ("pass", "crack"), "discoloration": ("pass",),
    "misalignment": ("pass",), "crack": ("scratch", "pass"),
}  # fmt: skip


@dataclass(frozen=True)
class Photo:
    """One file.

    Attributes:
        number: of the photograph, from 0.
        widget: number of the photograph that showed this widget first.
        truth: the class.
        severity: of its defect.
        label: the class as an inspector wrote it.
        fault: `copied`, `seen_twice`, `truncated`, `empty`, `not_an_image`, or nothing.
    """

    number: int
    widget: int
    truth: str
    severity: float
    label: str
    fault: str

    @property
    def path(self) -> str:
        """Below data/."""
        return f"photos/{(self.number * 2_654_435_761) % (1 << 32):08x}.jpg"


def plan(number: int, seed: int) -> Photo:
    """What the photograph of this number is of."""
    random = np.random.default_rng([seed, number, 0])
    chance, again = random.random(), random.integers(0, max(1, number))
    if number and chance < SEEN_TWICE + COPIED:
        first = plan(int(again), seed)
        if not first.fault:
            fault = "copied" if chance < COPIED else "seen_twice"
            return Photo(number, first.widget, first.truth, first.severity, first.label, fault)
    truth = str(random.choice(CLASSES, p=SHARES))
    severity = float(random.beta(1.6, 1.1))
    label = str(random.choice(CONFUSED[truth])) if random.random() < MISLABELLED else truth
    faults = ("truncated", "empty", "not_an_image")
    fault = str(random.choice(faults)) if random.random() < UNREADABLE else ""
    return Photo(number, number, truth, severity, label, fault)


def content(photo: Photo, seed: int) -> bytes:
    """The file's bytes."""
    if photo.fault == "empty":
        return b""
    if photo.fault == "not_an_image":
        return b"<html><body>502 Bad Gateway</body></html>\n"
    shown = photo.number if photo.fault == "seen_twice" else photo.widget
    drawn = np.random.default_rng([seed, photo.widget, 1])
    taken = np.random.default_rng([seed, shown, 2])
    picture = photograph(drawn, taken, photo.truth, photo.severity)
    data = jpeg(picture, int(taken.integers(82, 95)))
    return data[: len(data) // 3] if photo.fault == "truncated" else data


def write(count: int, seed: int, output: Path, workers: int) -> list[Photo]:
    """Writes the photographs and both tables; what was there before is replaced when all is done."""
    photos = [plan(number, seed) for number in range(count)]
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as folder:
        made = Path(folder) / "data"
        (made / "photos").mkdir(parents=True)
        with ProcessPoolExecutor(workers) as pool:
            parts = [(photos[start : start + 50], seed, made) for start in range(0, count, 50)]
            for done, _ in enumerate(pool.map(_write_part, parts), 1):
                if sys.stderr.isatty():
                    print(f"\r{min(count, done * 50):,} of {count:,} photographs", end="", file=sys.stderr)
        _table(made / "labels.csv", ("path", "label", "widget", "camera"), _labels(photos))
        _table(made / "truth.csv", ("path", "truth", "severity", "fault"), _truths(photos))
        if output.exists():
            shutil.rmtree(output)
        made.rename(output)
    return photos


def _write_part(part: tuple[list[Photo], int, Path]) -> None:
    photos, seed, folder = part
    for photo in photos:
        (folder / photo.path).write_bytes(content(photo, seed))


def _labels(photos: list[Photo]) -> Iterator[tuple[str, ...]]:
    return ((p.path, p.label, f"W{p.widget:06d}", f"line-{1 + p.widget % 3}") for p in photos)


def _truths(photos: list[Photo]) -> Iterator[tuple[str, ...]]:
    return ((p.path, p.truth, "" if p.truth == "pass" else f"{p.severity:.3f}", p.fault) for p in photos)


def _table(file: Path, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if given.count < 1:
        parser.error(f"expected --count of at least 1. Received: {given.count}")
    photos = write(given.count, given.seed, given.output, given.workers)
    of_class = ", ".join(f"{sum(p.truth == name for p in photos):,} {name}" for name in CLASSES)
    wrong, faulty = sum(p.label != p.truth for p in photos), sum(bool(p.fault) for p in photos)
    print(
        f"{given.output}: {len(photos):,} photographs ({of_class}); "
        f"{wrong} mislabelled, {faulty} unreadable or repeated"
    )


if __name__ == "__main__":
    main()
