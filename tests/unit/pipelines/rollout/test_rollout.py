from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.rollout import acting, driving, policy, starting
from headrace.pipelines.rollout.page import rollout_page
from headrace.pipelines.rollout.state import from_json, to_json
from headrace.pipelines.rollout.text import status_json, status_text
from headrace.platforms.interface import Deployed, NotAllowed
from tests.unit.pipelines.rollout.world import Behaviour, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_good_version_gets_all_of_the_traffic_step_by_step(world: World) -> None:
    world.rate = 4000
    world.start()
    assert world.behind() == {"1": 90, "2": 10}
    seen = [world.behind()]
    while not world.once().over:
        seen += [world.behind()] if world.behind() != seen[-1] else []
    assert [*seen, world.behind()] == [{"1": 90, "2": 10}, {"1": 50, "2": 50}, {"2": 100}]
    assert world.platform.registry.champion("homes").version == "2"  # type: ignore[union-attr]
    assert world.platform.registry.verify().intact
    evidence = world.platform.registry.history("prices")[-1].detail["evidence"]
    assert [one["verdict"] for one in evidence["checks"]] == ["passed"] * 3
    assert evidence["checks"][0]["candidate"]["requests"] > 300


@pytest.mark.parametrize(
    ("how", "check"),
    [(Behaviour(errors=0.1), "errors"), (Behaviour(slow=0.2), "latency"), (Behaviour(score=0.8), "drift")],
)
def test_a_bad_one_is_taken_back_and_rejected_with_the_evidence(world: World, how: Behaviour, check: str) -> None:
    world.versions["2"] = how
    for _ in range(3):
        world.pass_time()
    world.start()
    rollout = world.until_over(60)
    assert (rollout.status, world.behind(), world.state("2")) == ("rolled back", {"1": 100}, "rejected")
    assert rollout.note.startswith(f"{check}: ")
    event = next(one for one in reversed(world.platform.registry.history("prices")) if one.action == "deploy")
    (found,) = [one for one in event.detail["evidence"]["checks"] if one["check"] == check]
    assert found["verdict"] == "harm" and found["e_harm"] >= found["harm_at"]
    assert world.platform.registry.champion("homes").version == "1"  # type: ignore[union-attr]


def test_it_goes_on_after_a_kill_between_any_two_steps_of_an_action(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    world.rate = 4000

    def killed(*args: Any, **kwargs: Any) -> None:
        raise Killed

    world.start()
    for place in ("before", "after"):
        with monkeypatch.context() as patch:
            carry_out = acting.carry_out

            def dies(platform: Any, rollout: Any, now: float, place: str = place, do: Any = carry_out) -> Any:
                if place == "after":
                    do(platform, rollout, now)
                raise Killed

            patch.setattr(acting, "carry_out", dies)
            with pytest.raises(Killed):
                for _ in range(100):
                    world.once()
        kept = world.rollouts.current("prices")
        assert kept is not None and kept.action is not None
        share = kept.action.share
        world.once()
        assert world.behind()["2"] == share
    assert world.rollouts.current("prices").status == "promoted"  # type: ignore[union-attr]
    assert [event.action for event in world.platform.registry.history("prices")] == [
        "deploy",
        "split",
        "split",
        "deploy",
    ]


def test_what_is_kept_is_all_that_is_needed(world: World) -> None:
    world.start()
    for _ in range(4):
        world.once()
    rollout = world.rollouts.current("prices")
    assert rollout is not None
    again = from_json(to_json(rollout))
    assert to_json(again) == to_json(rollout)
    assert again.summaries() == rollout.summaries()


def test_a_server_that_begins_anew_is_counted_anew(world: World) -> None:
    world.start()
    world.once(), world.once()
    before = world.rollouts.current("prices").step_requests  # type: ignore[union-attr]
    world.restart()
    after = world.once().step_requests
    assert before < after < before + 100


def test_a_server_that_serves_another_model_is_not_believed(world: World) -> None:
    from headrace.pipelines.rollout.figures import read_page, require_same

    world.pass_time()
    with pytest.raises(HeadraceError, match=r"expected version 1 to be sha256:0+\. Received: .*another model serves"):
        require_same(read_page(world.page()), {"1": "sha256:" + "0" * 64})


@pytest.mark.parametrize(("field", "words"), [("silent", "no server has answered"), ("refused", "requests to reach")])
def test_without_figures_the_version_is_taken_back(world: World, field: str, words: str) -> None:
    world.seconds = 60.0
    world.start()
    setattr(world, field, True)
    rollout = world.until_over(60)
    assert (rollout.status, world.behind()) == ("rolled back", {"1": 100})
    assert words in rollout.note
    assert world.state("2") == "blessed"  # nobody knows anything against it


def test_where_nobody_asks_anything_nothing_is_decided(world: World) -> None:
    world.seconds = 60.0
    world.start(most_hours=1)
    world.traffic = False
    for _ in range(12):  # longer than it may be blind for
        rollout = world.once()
    assert (rollout.status, world.behind()) == ("running", {"1": 90, "2": 10})


@pytest.mark.parametrize(("undecided", "status"), [("pause", "paused"), ("rollback", "rolled back")])
def test_doubt_never_promotes(world: World, undecided: str, status: str) -> None:
    world.seconds = 60.0
    world.start(most_hours=0.05, errors=0.0001, undecided=undecided)
    for _ in range(30):
        rollout = world.once()
        if rollout.over or rollout.status == "paused":
            break
    assert (rollout.status, "still in doubt after 0.05 hours: errors" in rollout.note) == (status, True)


def test_paused_it_stays_and_harm_still_ends_it(world: World) -> None:
    world.start()
    starting.pause(world.driver, "prices", "a holiday", "anna")
    for _ in range(12):  # twice a step's time
        rollout = world.once()
    assert (rollout.status, world.behind()) == ("paused", {"1": 90, "2": 10})
    world.versions["2"] = Behaviour(errors=0.5)
    assert world.until_over(30).status == "rolled back"


def test_resumed_it_goes_on(world: World) -> None:
    world.rate = 4000
    world.start()
    starting.pause(world.driver, "prices", "a holiday", "anna")
    world.once()
    starting.resume(world.driver, "prices", "back at work", "anna")
    assert world.until_over().status == "promoted"


@pytest.mark.parametrize(("reject", "state"), [(True, "rejected"), (False, "blessed")])
def test_a_person_may_end_it(world: World, reject: bool, state: str) -> None:
    world.start()
    world.once()
    rollout = starting.abort(world.driver, "prices", "a complaint", "anna", reject=reject)
    assert (rollout.status, world.behind(), world.state("2")) == ("aborted", {"1": 100}, state)
    with pytest.raises(HeadraceError, match="expected a rollout that goes on. Received: none"):
        starting.pause(world.driver, "prices", "late", "anna")


def test_what_somebody_else_did_to_the_endpoint_stands(world: World) -> None:
    world.start()
    world.once()
    there = world.platform.endpoints.get("prices")
    parts = [Deployed("homes", "1", 70), Deployed("homes", "2", 30)]
    world.platform.endpoints.split("prices", parts, expected=there, who="bert", reason="faster")
    rollout = world.once()
    assert (rollout.status, world.behind()) == ("superseded", {"1": 70, "2": 30})
    assert "expected version 2 to have 10 %" in rollout.note


def test_two_cannot_drive_one(world: World) -> None:
    with world.rollouts.driving("prices"), pytest.raises(HeadraceError, match="expected nobody else to drive"):
        assert world.rollouts.driven("prices")
        with world.rollouts.driving("prices"):
            pass
    assert not world.rollouts.driven("prices")


def test_start_again_goes_on_and_refuses_another(world: World) -> None:
    first = world.start()
    assert world.start().id == first.id
    with pytest.raises(
        HeadraceError, match="expected to go on with homes:2, which is being rolled out. Received: homes:3"
    ):
        world.start("homes:3")
    with pytest.raises(HeadraceError, match="on which its error rates rest. Received: another errors"):
        world.start(errors=0.3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("homes:1", "expected another version than homes:1, which serves"),
        ("prices", "expected one new version beside homes:1. Received: none"),
        ("homes:9", "expected a registered version"),
        ("flats:1", "expected one that serves flats. Received: homes"),
    ],
)
def test_what_cannot_be_rolled_out_is_told(world: World, name: str, words: str) -> None:
    with pytest.raises(HeadraceError, match=words):
        world.start(name)
    assert world.behind() == {"1": 100}
    assert world.rollouts.current("prices") is None


def test_a_rejected_version_is_not_begun(world: World) -> None:
    world.platform.registry.transition("homes", "2", "rejected", who="anna", reason="no")
    with pytest.raises(NotAllowed, match="Received: one that is rejected"):
        world.start()
    assert world.rollouts.current("prices").status == "aborted"  # type: ignore[union-attr]
    assert world.start("homes:3").subject.candidate == "3"


def test_it_takes_up_what_a_push_began_with_its_settings(world: World) -> None:
    world.rate = 4000
    told = {"candidate": "2", "settings": world.settings(errors=0.2).to_json()}
    parts = [Deployed("homes", "1", 90), Deployed("homes", "2", 10)]
    world.platform.endpoints.split("prices", parts, run="run-7", evidence=told)
    rollout, how = starting.start(world.driver, "prices", "prices", {"outcomes": None})
    assert (how, rollout.share, rollout.settings.errors) == ("begun", 10, 0.2)
    assert world.until_over().status == "promoted"


def test_it_is_told_to_people_and_machines(world: World) -> None:
    world.start()
    for _ in range(8):
        world.once()
    rollout = world.rollouts.current("prices")
    assert rollout is not None
    text = status_text(rollout, world.now, False)
    assert "prices: homes:2 beside homes:1, running at" in text
    assert "nobody drives it: `headrace rollout start prices` goes on" in text
    assert status_json(rollout)["checks"][0]["check"] == "errors"
    page = rollout_page(rollout, world.platform.registry.history("prices"))
    assert "Failed requests" in page and "<script" not in page
    assert "is passed when its evidence of health does" in page and "the interval ends" not in page
    assert "The interval in brackets holds" in page and "the largest of many differences" in page


def test_what_a_step_waits_for_is_counted_in_words(world: World) -> None:
    rollout = replace(world.start(), step_since=world.now, step_requests=99)
    assert policy.decide(rollout, world.now + 59).reason == "1 second and 1 request"
    assert policy.decide(rollout, world.now + 58).reason == "2 seconds and 1 request"
    assert policy.decide(replace(rollout, step_requests=98.5), world.now + 61).reason == "2 requests"
    blind = replace(rollout, blind_since=world.now, settings=world.settings(blind_minutes=1))
    assert policy.decide(blind, world.now + 60).reason == "no server has answered for 1 minute"


def test_a_look_at_the_same_time_as_another_counts_once(world: World) -> None:
    world.start()
    world.once()
    world.pass_time()
    slow = world.look(world.rollouts.current("prices"))  # type: ignore[arg-type]
    inner = world.driver

    def late(rollout: Any) -> Any:
        driving.once(inner, "prices")
        return slow

    before = world.rollouts.current("prices").step_requests  # type: ignore[union-attr]
    driving.once(driving.Driver(world.platform, world.rollouts, late, None, print, lambda: world.now), "prices")
    assert world.rollouts.current("prices").step_requests < before + 100  # type: ignore[union-attr]
