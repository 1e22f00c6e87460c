"""What must not be counted twice, or for more than it is, and what a pause keeps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.rollout import acting, checks, driving, starting
from headrace.pipelines.rollout.driving import with_outcomes
from headrace.pipelines.rollout.figures import Figures, read_page, since
from headrace.pipelines.rollout.outcomes import joined
from headrace.pipelines.rollout.state import PAUSED, ROLLED_BACK, Rollout
from headrace.platforms.interface import REJECTED, Deployed
from tests.unit.pipelines.rollout.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_outcomes_that_are_just_written_anew_are_not_counted_twice(world: World) -> None:
    rollout = world.start(outcomes=0.02)
    for sums in ((10.0, 100.0, 10.0, 100.0), (1.0, 9.0, 2.0, 11.0), (10.0, 100.0, 10.0, 100.0)):
        rollout = with_outcomes(rollout, {"0": sums})
    check = rollout.check("outcomes")
    assert check is not None
    assert float(check.totals.candidate_units.max()) == 100.0
    rollout = with_outcomes(rollout, {"0": (11.0, 103.0, 10.0, 100.0)})
    assert float(rollout.check("outcomes").totals.candidate_units.max()) == 103.0  # type: ignore[union-attr]


def test_an_address_of_several_servers_is_told_and_not_counted(world: World) -> None:
    world.start()
    world.once(), world.once()
    before = world.rollouts.current("prices").step_requests  # type: ignore[union-attr]
    mine, other = world.began, world.began - 500  # behind a load balancer, that began before the rollout did
    for number in range(4):
        world.began = other if number % 2 == 0 else mine
        rollout = world.once()
    assert rollout.step_requests == before
    assert "http://here: expected one server behind it. Received: pages of several" in rollout.note


def test_what_a_person_pauses_after_it_was_decided_stays_where_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.start()
    monkeypatch.setattr(driving, "act", lambda driver, endpoint: driver.rollouts.current(endpoint))  # killed before
    while world.once().action is None:
        pass
    monkeypatch.undo()
    starting.pause(world.driver, "prices", "a holiday", "anna")
    rollout = world.once()
    assert (rollout.status, rollout.share, world.behind()) == (PAUSED, 10, {"1": 90, "2": 10})
    assert world.once().note.startswith("paused, else: ")
    starting.resume(world.driver, "prices", "back", "anna")
    assert world.once().share == 50


def test_what_was_promoted_just_before_a_kill_is_not_aborted_but_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rate = 4000
    world.start()
    carry_out = acting.carry_out

    def killed(platform: Any, rollout: Any, now: float) -> Any:
        done = carry_out(platform, rollout, now)
        if done.over:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(acting, "carry_out", killed)
    with pytest.raises(KeyboardInterrupt):
        world.until_over()
    monkeypatch.undo()
    words = "Received: one that has just been promoted; `headrace models rollback prices --reason"
    with pytest.raises(HeadraceError, match=words):
        starting.abort(world.driver, "prices", "a complaint", "anna")
    assert (world.rollouts.current("prices").status, world.behind()) == ("promoted", {"2": 100})  # type: ignore[union-attr]


def test_where_a_key_deals_the_traffic_it_is_asked_how_many_requests_are_alike(world: World) -> None:
    parts = [Deployed("homes", "1", 90), Deployed("homes", "2", 10)]
    world.platform.endpoints.split("prices", parts, key="x-user-id")
    starting.start(world.driver, "prices", "prices", {"steps": [10, 100], "outcomes": None})
    assert "dealt by the header x-user-id" in world.said[0] and "--requests-per-key" in world.said[0]


def test_a_person_may_pause_for_longer_than_doubt_may_last(world: World) -> None:
    world.start(most_hours=0.01, undecided="rollback", errors=0.0001)
    starting.pause(world.driver, "prices", "a holiday", "anna")
    for _ in range(8):
        rollout = world.once()
    assert (rollout.status, world.behind()) == (PAUSED, {"1": 90, "2": 10})


def test_a_time_in_which_nobody_looked_is_no_time_without_an_answer(world: World) -> None:
    world.seconds = 60.0
    world.start()
    world.once()
    world.silent = True
    world.once()
    world.now += 3600  # the process that drives it was not there
    assert world.once().status == "running"
    for _ in range(4):
        rollout = world.once()
    assert (rollout.status, world.once().status) == ("running", "rolled back")


def test_a_step_has_to_be_passed_for_itself(world: World) -> None:
    world.rate = 4000
    world.start()
    while world.once().share == 10:
        pass
    rollout = world.rollouts.current("prices")
    assert rollout is not None
    assert {found["e_health"] for found in rollout.summaries()} == {1.0}
    errors = rollout.check("errors")
    assert errors is not None
    assert abs(errors.harm.logs).max() > 0  # evidence of harm stays, and what was counted
    assert errors.totals.candidate_units.max() > 300


def page(rows: dict[int, int], below: int) -> str:
    """What a server has counted: requests by their number of rows, and how many rows were below one half."""
    requests, every = sum(rows.values()), sum(size * count for size, count in rows.items())
    found = [f'headrace_requests_total{{version="2",route="/predict",status="200"}} {requests}']
    found += [f'headrace_latency_seconds_bucket{{version="2",le="+Inf"}} {requests}']
    for bound in (1, 2, 4, 8, 16, 32):
        upto = sum(count for size, count in rows.items() if size <= bound)
        found += [f'headrace_request_rows_bucket{{version="2",le="{bound}"}} {upto}']
    found += [f'headrace_request_rows_bucket{{version="2",le="+Inf"}} {requests}']
    found += [f'headrace_predictions_bucket{{version="2",le="{bound}"}} {count}' for bound, count in
              (("0.5", below), ("+Inf", every))]  # fmt: skip
    return "\n".join(found)


@pytest.mark.parametrize(
    ("rows", "units"),
    [({1: 300}, 300.0), ({32: 300}, 300.0), ({20: 320}, 200.0), ({1: 320, 32: 10}, 20.0), ({1: 100, 10_000: 1}, 1.0)],
)
def test_no_request_counts_as_more_than_one(rows: dict[int, int], units: float) -> None:
    figures = since(None, read_page(page(rows, 100)))["2"]
    check = checks.look(checks.new_check("drift", 0.1, ("le 0.5",)), figures, figures, None)
    check = checks.look(check, figures, figures, None)
    assert float(check.totals.candidate_units.max()) == pytest.approx(2 * units)


def test_all_labels_that_a_server_counts_are_compared() -> None:
    names = [f"label {number:02}" for number in range(64)]
    even = dict.fromkeys(names, 10.0)
    moved = {**even, "label 62": 0.0, "label 63": 20.0}
    new, old = (Figures(640.0, 0.0, {}, found) for found in (moved, even))
    assert checks.drift_keys(new, old) == tuple(names)


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\r", "\x0b", "\x0c", "\x1c", "\x1f"])
def test_a_label_may_hold_what_ends_lines_elsewhere(end: str) -> None:
    first, then = (
        f'process_start_time_seconds 7\nheadrace_predictions_total{{version="2",label="cat{end}dog"}} {count}\n'
        f'headrace_requests_total{{version="2",status="200"}} {count}\n'
        for count in (3, 10)
    )
    grown = since(read_page(first), read_page(then))
    assert grown["2"].predictions == {f"label cat{end}dog": 7.0}
    assert grown["2"].requests == 7.0


def test_what_is_wrong_with_the_outcomes_is_said_once_until_it_is_over(world: World) -> None:
    answers: list[Any] = ["none joins", "none joins", "no column", {}, "no column"]

    def bring(rollout: Rollout) -> driving.Sums:
        found = answers.pop(0)
        if isinstance(found, str):
            raise HeadraceError(found)
        return {}

    world.start(outcomes=0.02)
    driver = replace(world.driver, outcomes=bring)
    while answers:
        world.pass_time()
        driving.once(driver, "prices")
    told = [line for line in world.said if line.startswith("outcomes: ")]
    assert told == ["outcomes: none joins", "outcomes: no column", "outcomes: no column"]


def test_a_version_that_predicts_what_is_no_number_is_taken_back(world: World) -> None:
    rollout = world.start(outcomes=0.02, errors=None, latency=None, drift=None)
    digests, times = rollout.subject.digests, rollout.boundaries[0][0] + 1
    driver = replace(world.driver, outcomes=joined(str(world.folder / "logs"), [str(world.folder / "o.csv")], "brier"))
    (world.folder / "logs").mkdir()
    for size in range(200, 4001, 200):  # outcomes come piece by piece
        odd = [number % 2 for number in range(size)]
        table = {
            "request_id": [str(number) for number in range(size)],
            "row": pa.array([0] * size, pa.int32()),
            "time": pa.array([round(times * 1e6)] * size, pa.timestamp("us", tz="UTC")),
            "version": ["12"[one] for one in odd],
            "digest": [digests["12"[one]] for one in odd],
            "shadow": [False] * size,
            "prediction": ["no"] * size,
            "probabilities": [{"no": math.nan if one else 0.9, "yes": math.nan if one else 0.1} for one in odd],
        }
        pq.write_table(pa.table(table), world.folder / "logs" / "requests.parquet")
        ids = "".join(f"{number},no\n" for number in range(size))
        (world.folder / "o.csv").write_text(f"request_id,outcome\n{ids}")
        world.pass_time()
        rollout = driving.once(driver, "prices")
        if rollout.over:
            break
    assert rollout.status == ROLLED_BACK
    assert world.state("2") == REJECTED
