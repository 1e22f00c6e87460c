"""Registration and deployment under kill -9, and many at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from headrace.artifacts.bundle import Bundle
from headrace.platforms.interface import Blessing
from headrace.platforms.local import files
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

FORK = multiprocessing.get_context("fork")


def check(home: Path, newest: int = 1_000_000) -> int:
    """Asserts that the registry is whole, with the `newest` bundles, and returns how many versions it has."""
    platform = LocalPlatform(home)
    versions = platform.registry.versions("homes")
    assert [item.version for item in versions] == [str(number + 1) for number in range(len(versions))]
    for item in versions[-newest:]:
        assert Bundle.open(item.uri, verify=True).digest == item.digest
    new = [event for event in platform.registry.history("homes") if event.detail.get("new")]
    assert len(new) == len(versions)
    for endpoint in platform.endpoints.list():
        assert platform.registry.champion("homes").version == endpoint.main.version  # type: ignore[union-attr]
    assert platform.registry.verify().problems == ()
    if versions:
        with sqlite3.connect(home / "registry.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
    return len(versions)


def register_and_deploy(home: Path, bundle: Path) -> None:
    platform = LocalPlatform(home)
    version = platform.registry.register(bundle, "homes", metrics={"rmse": 1.0}, run="run", blessing=Blessing(None))
    platform.endpoints.deploy("prices", "homes", version.version, run="run")


def kill_at_line(number: int, work: Callable[[], None]) -> None:
    """Runs `work`, and kills this process before the given line of the platform's code is executed."""
    left = number

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if "/platforms/local/" not in frame.f_code.co_filename:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    work()


@pytest.mark.slow
@pytest.mark.parametrize("step", [7, 1])
def test_a_kill_before_any_line_leaves_a_whole_registry(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line is too many for every day; a seventh of them is in every function that has some."""
    monkeypatch.setattr(files, "_YOUNG_S", 0.0)  # sweep at once, or each kill leaves the next one more to do
    home = tmp_path / "home"
    line, killed = 1, 0
    while True:
        bundle = write_bundle(tmp_path / "bundles" / str(line), line)
        child = FORK.Process(target=kill_at_line, args=(line, lambda: register_and_deploy(home, bundle)))  # noqa: B023
        child.start()
        child.join()
        check(home, newest=2)
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        killed += 1
        line += step
    print(f"{killed} kills")
    assert killed > 100 / step  # creating the file, copying, moving, inserting, deploying: all were reached
    count = check(home)
    assert LocalPlatform(home).endpoints.get("prices").main.version == str(count)  # type: ignore[union-attr]
    again = LocalPlatform(home).registry.register(bundle, "homes", metrics={}, run="run")
    assert again.version == str(count)


def register_many(home: Path, bundles: list[Path], start: Any = None) -> None:
    if start is not None:
        start.wait()
    for bundle in bundles:
        register_and_deploy(home, bundle)


@pytest.mark.slow
def test_kills_at_random_moments_leave_a_whole_registry(tmp_path: Path) -> None:
    home = tmp_path / "home"
    chance = random.Random(5)
    seeds = iter(range(100_000))
    register_and_deploy(home, write_bundle(tmp_path / "first", next(seeds)))  # what it imports, it need not again
    interrupted, finished = 0, 0
    longest = 1.0  # seconds until the kill; a child that was through by then says that it was too long
    while interrupted < 30:
        attempt = interrupted + finished
        bundles = [write_bundle(tmp_path / f"{attempt}-{n}", next(seeds), size=200_000) for n in range(10)]
        child = FORK.Process(target=register_many, args=(home, bundles))
        child.start()
        child.join(chance.uniform(0.0, longest))
        child.kill()
        child.join()
        assert child.exitcode in (0, -signal.SIGKILL)
        if child.exitcode == 0:
            finished += 1
            longest *= 0.7
        else:
            interrupted += 1
        check(home)
    print(f"30 were interrupted, {finished} were not")
    before = check(home)
    last = write_bundle(tmp_path / "last", next(seeds))
    register_and_deploy(home, last)
    assert check(home) == before + 1


@pytest.mark.parametrize("same", [True, False])
def test_processes_that_register_at_once_do_not_meet(tmp_path: Path, same: bool) -> None:
    home = tmp_path / "home"
    start = FORK.Event()
    children = []
    for worker in range(6):
        seeds = range(8) if same else range(worker * 8, worker * 8 + 8)
        bundles = [write_bundle(tmp_path / f"{worker}-{seed}", seed) for seed in seeds]
        children.append(FORK.Process(target=register_many, args=(home, bundles, start)))
    for child in children:
        child.start()
    start.set()
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert check(home) == (8 if same else 48)
    assert len([e for e in LocalPlatform(home).registry.history() if e.action == "deploy"]) == 48
    assert sorted(p.name for p in (home / "models" / "homes").iterdir() if p.name.startswith(".")) == []
