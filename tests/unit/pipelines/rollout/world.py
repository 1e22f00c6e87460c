"""A registry with three versions, and servers whose traffic is drawn instead of answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headrace.components.push.canary import Canary, canary
from headrace.pipelines.rollout import driving, starting
from headrace.pipelines.rollout.driving import Driver
from headrace.pipelines.rollout.figures import read_page
from headrace.pipelines.rollout.reading import Pages
from headrace.pipelines.rollout.state import Rollout
from headrace.pipelines.rollout.store import Rollouts
from headrace.platforms.interface import Blessing
from headrace.platforms.local.platform import LocalPlatform
from tests.unit.platforms.bundles import write_unscorable_bundle as write_bundle

BOUNDS = (0.001, 0.01, 0.1, 1.0)
LEVELS = (0.25, 0.5, 0.75, 1.0)
FAST: dict[str, Any] = {"steps": [10, 50, 100], "step_minutes": 1, "step_requests": 100, "outcomes": None}


@dataclass
class Behaviour:
    """How a version answers."""

    errors: float = 0.002
    slow: float = 0.005  # share above 0.1 s
    score: float = 0.5  # the mean of the scores, spread evenly around


@dataclass
class World:
    """One endpoint, `prices`, that serves version 1 of `homes`; time passes when one looks."""

    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    now: float = 1_700_000_000.0
    seconds: float = 10.0  # between looks
    rate: int = 400  # requests between looks
    silent: bool = False  # no server answers
    refused: bool = False  # the server does not take up the candidate
    traffic: bool = True
    said: list[str] = field(default_factory=list)
    versions: dict[str, Behaviour] = field(default_factory=lambda: {v: Behaviour() for v in "123"})
    counts: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.platform = LocalPlatform(self.folder / "home")
        for seed in (1, 2, 3):
            bundle = write_bundle(self.folder / str(seed), seed)
            self.platform.registry.register(bundle, "homes", metrics={}, run="r", blessing=Blessing(None))
        self.platform.endpoints.deploy("prices", "homes", "1")
        self.rollouts = Rollouts(self.folder / "home")
        self.began = self.now - 1000

    @property
    def driver(self) -> Driver:
        return Driver(self.platform, self.rollouts, self.look, None, self.said.append, lambda: self.now)

    def start(self, name: str = "homes:2", **settings: Any) -> Rollout:
        asked = {**FAST, **settings}
        return starting.start(self.driver, name, "prices", asked, reason="new data", who="anna")[0]

    def until_over(self, looks: int = 500) -> Rollout:
        for _ in range(looks):
            rollout = self.once()
            if rollout.over:
                return rollout
        raise AssertionError(f"still {rollout.status}: {rollout.note}")

    def once(self) -> Rollout:
        self.pass_time()
        return driving.once(self.driver, "prices")

    def pass_time(self) -> None:
        self.now += self.seconds
        if not self.traffic:
            return
        endpoint = self.platform.endpoints.get("prices")
        assert endpoint is not None
        shares = {one.version: one.traffic / 100 for one in endpoint.deployed if not one.shadow}
        if self.refused:
            shares = {"1": 1.0}
        dealt = self.rng.multinomial(self.rate, list(shares.values()))
        for version, count in zip(shares, dealt, strict=True):
            self._answer(version, int(count))

    def _answer(self, version: str, count: int) -> None:
        how, kept = self.versions[version], self.counts.setdefault(version, {})
        failed = int(self.rng.binomial(count, how.errors))
        fine = count - failed
        times = np.where(self.rng.random(fine) < how.slow, 0.5, 0.005)
        scores = np.clip(how.score + self.rng.uniform(-0.5, 0.5, fine), 0, 1)
        kept["status 500"] = kept.get("status 500", 0) + failed
        kept["status 200"] = kept.get("status 200", 0) + fine
        for bound in (*BOUNDS, "+Inf"):
            kept[f"latency {bound}"] = kept.get(f"latency {bound}", 0) + float((times <= float(bound)).sum())
        for bound in (*LEVELS, "+Inf"):
            kept[f"score {bound}"] = kept.get(f"score {bound}", 0) + float((scores <= float(bound)).sum())

    def page(self) -> str:
        lines = [f"process_start_time_seconds {self.began}"]
        for version, kept in self.counts.items():
            digest = self.platform.registry.get("homes", version).digest
            lines.append(f'headrace_model_info{{model="homes",version="{version}",digest="{digest}",shadow="false"}} 1')
            for key, value in kept.items():
                kind, _, label = key.partition(" ")
                name, extra = {
                    "status": ("headrace_requests_total", f'route="/predict",status="{label}"'),
                    "latency": ("headrace_latency_seconds_bucket", f'le="{label}"'),
                    "score": ("headrace_predictions_bucket", f'le="{label}"'),
                }[kind]
                lines.append(f'{name}{{model="homes",version="{version}",{extra}}} {value}')
        return "\n".join([*lines, "# TYPE headrace_requests_total counter", ""])

    def look(self, rollout: Rollout) -> Pages:
        if self.silent:
            return Pages(failed={"http://here": "http://here: refused"})
        return Pages({"http://here": read_page(self.page())})

    def restart(self) -> None:
        """The server begins anew, with all counts at 0."""
        self.counts, self.began = {}, self.now

    def settings(self, **settings: Any) -> Canary:
        return canary({**FAST, **settings})

    def behind(self) -> dict[str, int]:
        endpoint = self.platform.endpoints.get("prices")
        assert endpoint is not None
        return {one.version: one.traffic for one in endpoint.deployed}

    def state(self, version: str) -> str:
        return self.platform.registry.get("homes", version).state
