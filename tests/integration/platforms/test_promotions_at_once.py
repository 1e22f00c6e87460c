"""A hundred promotions at once, and kills among them: one champion, and an audit log whose chain holds."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import Blessing, ChampionChanged, NotAllowed
from headrace.platforms.local.platform import LocalPlatform
from headrace.platforms.promotion import promote
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

FORK = multiprocessing.get_context("fork")
MANY = 100
WON, LOST, OTHER = 0, 7, 8


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion, version 1, and a hundred versions that were judged against it."""
    folder = tmp_path_factory.mktemp("registered")
    platform = LocalPlatform(folder / "home")
    against = None
    for seed in range(MANY + 1):
        bundle = write_bundle(folder / "bundles" / str(seed), seed, size=100)
        version = platform.registry.register(bundle, "homes", metrics={}, run="r", blessing=Blessing(against))
        if seed == 0:
            platform.endpoints.deploy("prices", "homes", "1")
            against = version.digest
    return folder / "home"


@pytest.fixture
def platform(registered: Path, tmp_path: Path) -> LocalPlatform:
    shutil.copytree(registered, tmp_path / "home", copy_function=os.link)
    (tmp_path / "home" / "registry.db").unlink()
    shutil.copyfile(registered / "registry.db", tmp_path / "home" / "registry.db")
    return LocalPlatform(tmp_path / "home")


def at_once(work: Any, arguments: list[tuple[Any, ...]]) -> list[Any]:
    start = FORK.Event()
    children = [FORK.Process(target=work, args=(start, *own)) for own in arguments]
    for child in children:
        child.start()
    start.set()
    return children


def one(start: Any, home: Path, version: str) -> None:
    start.wait()
    try:
        promote(LocalPlatform(home), "homes", version, who="anna", reason=f"version {version} is better")
    except ChampionChanged:
        os._exit(LOST)
    except HeadraceError:
        os._exit(OTHER)
    os._exit(WON)


def check(platform: LocalPlatform) -> str:
    """Asserts that there is one champion, which the endpoint serves, and that the log is whole; returns it."""
    live = [item for item in platform.registry.versions("homes") if item.state == "live"]
    champions = [item for item in platform.registry.versions("homes") if "champion" in item.aliases]
    assert [item.version for item in live] == [item.version for item in champions]
    assert len(champions) == 1
    assert platform.endpoints.get("prices").main.version == champions[0].version  # type: ignore[union-attr]
    audit = platform.registry.verify()
    assert audit.problems == ()
    return champions[0].version


@pytest.mark.slow
def test_of_a_hundred_promotions_judged_against_one_champion_one_wins(platform: LocalPlatform, tmp_path: Path) -> None:
    versions = [str(number + 2) for number in range(MANY)]
    began = time.monotonic()
    children = at_once(one, [(tmp_path / "home", version) for version in versions])
    for child in children:
        child.join()
    print(f"{MANY} promotions in {time.monotonic() - began:.1f} s")
    codes = [child.exitcode for child in children]
    assert sorted(codes) == [WON] + [LOST] * (MANY - 1)
    assert check(platform) == versions[codes.index(WON)]
    assert [event.action for event in platform.registry.history("prices")] == ["deploy", "deploy"]


def again_and_again(start: Any, home: Path, worker: int, done: Any) -> None:
    """Promotes and rolls back until it is killed, and says what it did after it was done."""
    platform, chance = LocalPlatform(home), random.Random(worker)
    start.wait()
    while True:
        reason = f"{worker}-{chance.getrandbits(40)}"
        try:
            if chance.random() < 0.2:
                platform.endpoints.rollback("prices", who="anna", reason=reason)
            else:
                version = str(chance.randrange(1, MANY + 2))
                if not promote(platform, "homes", version, who="anna", reason=reason, anyway=True).changed:
                    continue
        except (ChampionChanged, NotAllowed):
            continue
        done.put(reason)


@pytest.mark.slow
def test_a_hundred_killed_among_promotions_and_rollbacks(platform: LocalPlatform, tmp_path: Path) -> None:
    chance = random.Random(11)
    done = [
        FORK.SimpleQueue() for _ in range(MANY)
    ]  # one each: a process killed while it says so holds no lock of others
    children = at_once(again_and_again, [(tmp_path / "home", worker, done[worker]) for worker in range(MANY)])
    give_up = time.monotonic() + 60
    while len(platform.registry.history("prices")) < 20 and time.monotonic() < give_up:
        time.sleep(0.01)
    for child in chance.sample(children, len(children)):
        time.sleep(chance.uniform(0.0, 0.06))
        child.kill()
        child.join()
    check(platform)
    history = platform.registry.history("prices")
    logged = {str(event.detail.get("reason")) for event in history}
    said = set()
    for queue in done:
        while not queue.empty():
            said.add(queue.get())
    assert len(history) > 20
    assert said <= logged  # what was told to be done is in the log, whatever was killed
    print(f"{MANY} kills, {len(history)} changes in the log, {len(said)} of them were told")
    version = platform.registry.get("homes", "champion").version
    # Those that were killed may have rolled back, and so rejected, all that there was: so one more is put on top.
    other = next(item for item in platform.registry.versions("homes") if item.state != "live")
    if other.state == "rejected":
        platform.registry.transition("homes", other.version, "blessed", who="bo", reason="it was not its fault")
    fresh = other.version
    promote(platform, "homes", fresh, who="bo", reason="and it goes on", anyway=True)
    back = platform.endpoints.rollback("prices", who="bo", reason="and back")
    assert (back.before, back.version, check(platform)) == (fresh, version, version)
