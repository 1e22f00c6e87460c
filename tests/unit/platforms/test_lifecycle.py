from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.artifacts.errors import HeadraceError
from headrace.platforms import lifecycle
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    CANDIDATE,
    LIVE,
    REJECTED,
    STATES,
    Approval,
    ModelVersion,
    NotAllowed,
    WaitsForApproval,
)

VERSION = ModelVersion("homes", "3", "sha256:d", "uri", "2026", "run", state=BLESSED, registered_by="root")
BO = Approval("bo", "good", "2026", "bo@desk")


def version(state: str, *approvals: Approval) -> ModelVersion:
    return replace(VERSION, state=state, approvals=approvals, endpoints=("prices",) if state == LIVE else ())


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        (REJECTED, {CANDIDATE, BLESSED, APPROVED}),
        (ARCHIVED, {CANDIDATE, BLESSED, APPROVED, REJECTED}),
        (BLESSED, {REJECTED, ARCHIVED}),
    ],
)
def test_what_a_person_may_set(target: str, allowed: set[str]) -> None:
    for state in STATES:
        if state in allowed:
            lifecycle.check_transition(version(state), target)
        else:
            with pytest.raises(NotAllowed, match="homes:3: expected "):
                lifecycle.check_transition(version(state), target)


def test_a_live_version_is_replaced_first() -> None:
    with pytest.raises(NotAllowed, match="one that is live behind prices; roll it back or promote another first"):
        lifecycle.check_transition(version(LIVE), REJECTED)


@pytest.mark.parametrize("state", [CANDIDATE, APPROVED, LIVE, "", "blessd"])
def test_other_states_are_not_set(state: str) -> None:
    with pytest.raises(HeadraceError, match="state: expected archived, blessed, rejected"):
        lifecycle.check_transition(version(BLESSED), state)


@pytest.mark.parametrize(
    ("state", "approvals", "needed", "allowed"),
    [
        (CANDIDATE, 0, 0, False),
        (BLESSED, 0, 0, True),
        (BLESSED, 0, 1, False),
        (APPROVED, 1, 1, True),
        (BLESSED, 1, 2, False),
        (LIVE, 0, 2, True),
        (REJECTED, 0, 0, False),
        (ARCHIVED, 2, 2, False),
    ],
)
def test_what_may_serve(state: str, approvals: int, needed: int, allowed: bool) -> None:
    found = version(state, *[BO] * approvals)
    if allowed:
        lifecycle.check_deployable(found, needed)
        return
    with pytest.raises(NotAllowed) as caught:
        lifecycle.check_deployable(found, needed)
    assert isinstance(caught.value, WaitsForApproval) == (state == BLESSED)


def test_what_is_lacking_is_told_with_the_command() -> None:
    with pytest.raises(WaitsForApproval) as caught:
        lifecycle.check_deployable(version(BLESSED, BO), 2)
    assert str(caught.value) == (
        "homes:3: expected approval by 2 people. Received: 1 (so far: bo). "
        "`headrace models approve homes:3 --reason ...` gives one"
    )


@pytest.mark.parametrize("who", ["root", "Root", " root", "root@desk"])
def test_nobody_approves_what_they_registered(who: str) -> None:
    with pytest.raises(NotAllowed, match="by another person than root, who registered it"):
        lifecycle.check_approval(version(BLESSED), who)


@pytest.mark.parametrize("who", ["bo", "BO", "bo@home"])
def test_nobody_approves_twice(who: str) -> None:
    with pytest.raises(NotAllowed, match="who approved it before"):
        lifecycle.check_approval(version(BLESSED, BO), who)


@pytest.mark.parametrize(
    "who", ["Jose\u0301", "JOSE\u0301", "Jose\u0301@home", "\uff2aos\u00e9", "jos\u00e9\uff20home"]
)
def test_nobody_is_two_people_by_another_way_to_write_a_letter(who: str) -> None:
    assert lifecycle.same_person("Jos\u00e9", who)
    assert not lifecycle.same_person("Jose", who)
    found = replace(version(BLESSED), registered_by="Jos\u00e9")
    with pytest.raises(NotAllowed, match="who registered it"):
        lifecycle.check_approval(found, who)


@pytest.mark.parametrize("state", [CANDIDATE, REJECTED, ARCHIVED])
def test_only_what_passed_its_gates_is_approved(state: str) -> None:
    with pytest.raises(NotAllowed):
        lifecycle.check_approval(version(state), "anna")


@pytest.mark.parametrize("text", ["", " ", "\n\t", "x" * 2001, "\x1b[31mred", "\u202eright to left"])
def test_name_and_reason_are_words(text: str) -> None:
    with pytest.raises(HeadraceError, match="expected the name of a person"):
        lifecycle.person(text)
    with pytest.raises(HeadraceError, match="reason: expected why"):
        lifecycle.motive(text)


def test_approvals_are_none_one_or_two() -> None:
    assert [lifecycle.count(value) for value in ("none", "one", "two", 0, 1, 2)] == [0, 1, 2, 0, 1, 2]
    for wrong in ("three", 3, -1, "", "1"):
        with pytest.raises(HeadraceError, match="approval: expected none, one or two"):
            lifecycle.count(wrong)


@pytest.mark.parametrize(
    ("blessed", "approvals", "needed", "state"),
    [(False, 0, 0, CANDIDATE), (True, 0, 0, BLESSED), (True, 1, 0, APPROVED), (True, 1, 2, BLESSED), (True, 2, 2, APPROVED)],
)  # fmt: skip
def test_where_blessing_and_approvals_lead(blessed: bool, approvals: int, needed: int, state: str) -> None:
    assert lifecycle.standing(blessed, [BO] * approvals, needed) == state
