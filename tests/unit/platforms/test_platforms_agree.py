"""The local registry and the one over a log in a service: whatever is done to both, they hold the same."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import ARCHIVED, BLESSED, REJECTED, Blessing, Deployed, ModelSettings, Platform
from headrace.platforms.ledger.platform import LedgerPlatform
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle
from tests.unit.platforms.memory_store import Memory

Deed = Callable[[Platform], object]
_STEPS = 48
_SHARES = {1: (100,), 2: (70, 30), 3: (60, 30, 10)}


class Deeds:
    """What people could do next, drawn by chance; much of it is refused."""

    def __init__(self, seed: int, bundles: list[Path]) -> None:
        self._draw, self._bundles, self._registered = random.Random(seed), bundles, 0

    def __call__(self, platform: Platform) -> Deed:
        draw = self._draw
        model, version = draw.choices(["homes", "flats"], [9, 1])[0], str(draw.randint(1, 5))
        endpoint, said = draw.choice(["e", "f", "homes"]), {"who": draw.choice(["ann", "bob", "cat"]), "reason": "x"}
        kinds = ["register", "approve", "state", "deploy", "again", "split", "rollback", "alias", "approvals"]
        kind = draw.choices(kinds, [2, 2, 2, 9, 9, 2, 6, 2, 1])[0]
        if kind == "register" or self._registered < 4:
            return self._register(model, said["who"])
        if kind == "approve":
            return lambda to: to.registry.approve(model, version, **said).state
        if kind == "state":
            state = draw.choice([REJECTED, ARCHIVED, BLESSED])
            return lambda to: to.registry.transition(model, version, state, **said).state
        if kind == "split":
            return self._split(endpoint, model, said)
        if kind == "rollback":
            return lambda to: _numbers(to.endpoints.rollback(endpoint, **said))
        if kind == "alias":
            alias = draw.choice(["stable", "challenger"])
            return lambda to: to.registry.set_alias(model, alias, version)
        if kind == "approvals":
            needed = draw.choice([0, 0, 1, 2])
            return lambda to: to.registry.require_approvals(model, needed, **said)
        there = platform.endpoints.get(endpoint) if kind == "again" else None
        name, number = (there.base.model, there.base.version) if there else (model, version)
        return lambda to: to.endpoints.deploy(endpoint, name, number, **said).deployed

    def _register(self, model: str, who: str) -> Deed:
        new = self._registered == 0 or self._draw.random() < 0.8
        seed = self._registered if new else self._draw.randrange(self._registered)
        self._registered = max(self._registered, seed + 1)
        blessing = Blessing(None) if self._draw.random() < 0.9 else None
        settings = ModelSettings(self._draw.choices([0, 1], [9, 1])[0])
        return lambda to: (
            to.registry.register(
                self._bundles[seed],
                model,
                metrics={"rmse": 1.0},
                run="r",
                blessing=blessing,
                settings=settings,
                who=who,
            ).version
        )

    def _split(self, endpoint: str, model: str, said: dict[str, str]) -> Deed:
        answering = self._draw.sample("1234", self._draw.randint(1, 3))
        shadows = [one for one in "12345" if one not in answering and self._draw.random() < 0.25]
        parts = [Deployed(model, one, share) for one, share in zip(answering, _SHARES[len(answering)], strict=True)]
        parts += [Deployed(model, one, 0, shadow=True) for one in shadows]
        return lambda to: to.endpoints.split(endpoint, parts, experiment="x", **said).deployed


def _numbers(done: Any) -> tuple[str, str, str]:
    return done.model, done.version, done.before


def _done(deed: Deed, platform: Platform) -> object:
    """What came of it, or how it was refused."""
    try:
        return deed(platform)
    except HeadraceError as error:
        return type(error)


def _holds(platform: Platform) -> list[object]:
    found: list[object] = [
        (one.name, one.version, one.state, one.aliases, one.endpoints, [by.who for by in one.approvals],
         one.approvals_needed, one.judged_against, one.registered_by)
        for one in platform.registry.versions()
    ]  # fmt: skip
    return [*found, *((one.name, one.deployed, one.split) for one in platform.endpoints.list())]


# In the first four a version that an endpoint serves already, and that is deployed there again, is the next champion.
@pytest.mark.parametrize("seed", [17, 39, 66, 75, 0, 1, 2, 3])
def test_both_hold_the_same_and_their_logs_lead_to_it(tmp_path: Path, seed: int) -> None:
    bundles = [write_unscorable_bundle(tmp_path / f"bundle-{one}", one, size=64) for one in range(_STEPS)]
    local, ledger = LocalPlatform(tmp_path / "home"), LedgerPlatform(Memory())
    deeds = Deeds(seed, bundles)
    for step in range(_STEPS):
        deed = deeds(local)
        assert _done(deed, local) == _done(deed, ledger), f"step {step}"
        assert _holds(local) == _holds(ledger), f"step {step}"
        assert (local.registry.verify().problems, ledger.registry.verify().problems) == ((), ()), f"step {step}"
