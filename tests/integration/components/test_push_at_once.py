"""Two runs judged against the same champion push at once: one wins, the other must be judged again."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from headrace.components.push.push import Evidence, push
from headrace.platforms.interface import Blessing, ChampionChanged
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.components.evidence import write_decision, write_infra_report
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

FORK = multiprocessing.get_context("fork")
WON, LOST = 0, 7


def run(home: Path, version: str, evidence: Evidence, start: Any) -> None:
    start.wait()
    try:
        push(LocalPlatform(home), "homes", version, evidence, "prices", run=version)
    except ChampionChanged:
        raise SystemExit(LOST) from None


@pytest.mark.parametrize("with_champion", [False, True])
@pytest.mark.parametrize("attempt", range(5))
def test_one_of_two_wins(tmp_path: Path, with_champion: bool, attempt: int) -> None:
    home = tmp_path / "home"
    platform = LocalPlatform(home)
    before = None
    if with_champion:
        first = platform.registry.register(
            write_bundle(tmp_path / "first", 1), "homes", metrics={}, run="r", blessing=Blessing(None)
        )
        platform.endpoints.deploy("prices", "homes", first.version)
        before = first.digest
    start = FORK.Barrier(2)
    children = {}
    for seed in (2, 3):
        bundle = write_bundle(tmp_path / str(seed), seed)
        made = platform.registry.register(bundle, "homes", metrics={}, run="r", blessing=Blessing(None))
        evidence = Evidence(tmp_path / f"decision-{seed}", tmp_path / f"infra-{seed}")
        write_decision(evidence.decision, made.digest, champion=before)
        write_infra_report(evidence.infra, made.digest)
        children[made.version] = FORK.Process(target=run, args=(home, made.version, evidence, start))
    for child in children.values():
        child.start()
    for child in children.values():
        child.join()
    assert sorted(child.exitcode for child in children.values()) == [WON, LOST]
    (winner,) = [version for version, child in children.items() if child.exitcode == WON]
    assert platform.registry.get("homes", "champion").version == winner
    assert platform.endpoints.get("prices").main.version == winner  # type: ignore[union-attr]
    deploys = [event for event in platform.registry.history("prices") if event.run]
    assert [event.run for event in deploys] == [winner]
