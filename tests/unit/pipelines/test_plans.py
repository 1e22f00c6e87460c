from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.locate import follow, locate_plan, locate_target
from headrace.pipelines.plans import Asked, asked
from headrace.platforms.interface import Blessing, Deployed
from headrace.platforms.local.platform import LocalPlatform
from headrace.serving.target import Plan
from tests.unit.platforms.bundles import write_unscorable_bundle


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with three versions of churn, of which the first serves."""
    platform = LocalPlatform(tmp_path / "home")
    for seed in range(3):
        bundle = write_unscorable_bundle(tmp_path / str(seed), seed)
        platform.registry.register(bundle, "churn", metrics={}, run="run", blessing=Blessing(None))
    platform.endpoints.deploy("churn", "churn", "1")
    return tmp_path / "home"


def shares(plan: Plan) -> dict[str | None, int]:
    return {member.target.version: member.weight for member in plan.members}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["churn"], (("churn",), (None,))),
        (["churn=100"], (("churn",), (None,))),
        (["churn:3=90", "churn:4=10"], (("churn:3", "churn:4"), (90, 10))),
        (["churn:3", "churn:4=10", "churn:5=20"], (("churn:3", "churn:4", "churn:5"), (70, 10, 20))),
    ],
)
def test_what_the_command_line_says(words: list[str], found: tuple[tuple[str, ...], tuple[int | None, ...]]) -> None:
    read = asked(words)
    assert (read.names, read.shares) == found and read.label == "churn"
    assert Asked.from_dict(read.to_dict()) == read


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["churn:3", "churn:4"], "expected NAME=PERCENT of each model, 100 in all. Received: churn:3 churn:4"),
        (["churn:3=100", "churn:4"], "expected NAME=PERCENT of each model"),
        (["churn:3=90", "churn:4=5"], r"expected 100 percent in all. Received: 95 \(churn:3=90 churn:4=5\)"),
        (["churn=50"], "expected 100 percent in all. Received: 50"),
        (
            ["churn:3=90", "churn:4=ten"],
            "expected whole percent from 1 to 100, as in churn:4=10. Received: churn:4=ten",
        ),
        (["churn:3=100", "churn:4=0"], "expected whole percent"),
        (["churn:3=150", "churn:4"], "expected whole percent"),
        (["churn:3=9.5", "churn:4"], "expected whole percent"),
    ],
)
def test_shares_that_are_none(words: list[str], told: str) -> None:
    with pytest.raises(HeadraceError, match=told):
        asked(words)


def test_names_of_headers_and_experiments() -> None:
    for key, experiment, told in (("x user", "", "key: expected"), ("", "a\r\nb", "experiment: expected")):
        with pytest.raises(HeadraceError, match=told):
            asked(["churn"], key=key, experiment=experiment)


def test_an_endpoint_says_it_all(home: Path) -> None:
    endpoints = LocalPlatform(home).endpoints
    plan = locate_plan(asked(["churn"]), home)
    assert shares(plan) == {"1": 100} and plan == Plan.of(locate_target("churn", home))
    behind = [Deployed("churn", "1", 30), Deployed("churn", "2", 70), Deployed("churn", "3", 0, shadow=True)]
    split = endpoints.split("churn", behind, key="x-user").split
    found = follow("churn", home)
    assert found is not None and split is not None
    plan = found()
    assert isinstance(plan, Plan) and shares(plan) == {"2": 70, "1": 30, "3": 0}
    assert (plan.key, plan.experiment) == ("x-user", split.experiment)
    assert [plan.members[place].target.version for place in plan.slots] == list(split.slots)
    assert locate_target("churn", home).version == "1"  # whoever wants one version gets the one that was deployed
    more = locate_plan(asked(["churn"], key="x-team"), home)
    assert more.key == "x-team" and more.slots == plan.slots


def test_versions_by_name_keep_their_slots_from_one_start_to_the_next(home: Path) -> None:
    first = locate_plan(asked(["churn:1=90", "churn:2=10"], ["churn:3"]), home)
    second = locate_plan(asked(["churn:1=40", "churn:2=60"]), home)
    assert shares(first) == {"1": 90, "2": 10, "3": 0} and shares(second) == {"2": 60, "1": 40}
    assert first.experiment == second.experiment == "churn:1+churn:2"

    def owners(plan: Plan) -> list[str | None]:
        return [plan.members[place].target.version for place in plan.slots]

    assert Counter(owners(first)) == {"1": 90, "2": 10}
    assert all(after == "2" for before, after in zip(owners(first), owners(second), strict=True) if before == "2")


def test_what_is_for_ever_is_not_followed(home: Path) -> None:
    assert follow("churn:1", home) is None and follow(asked(["churn:1=90", "churn:2"]), home) is None
    assert follow(asked(["churn:1"], ["churn:challenger"]), home) is not None
    assert follow("churn:champion", home) is not None


def test_a_shadow_that_has_gone_stops_nobody(home: Path) -> None:
    wanted = asked(["churn:champion"], ["churn:nobody"])
    with pytest.raises(HeadraceError, match="expected a registered version"):
        locate_plan(wanted, home)
    found = follow(wanted, home)
    assert found is not None
    plan = found()
    assert isinstance(plan, Plan) and shares(plan) == {"1": 100}


def test_a_version_twice(home: Path) -> None:
    with pytest.raises(HeadraceError, match="expected versions that differ. Received: version 1 more than once"):
        locate_plan(asked(["churn:1=90", "churn:champion=10"]), home)
