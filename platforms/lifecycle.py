"""The rules of a version's life, the same on every platform: states, approvals, and who may say yes.

    candidate -> blessed -> approved -> live
    any of them but live -> rejected | archived -> (restored) blessed, or candidate

`live` follows from the endpoints and is never set. A version that another one replaces is blessed or approved again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    APPROVED,
    ARCHIVED,
    BLESSED,
    CANDIDATE,
    LIVE,
    REJECTED,
    Approval,
    ModelVersion,
    NotAllowed,
    WaitsForApproval,
)

APPROVALS = {"none": 0, "one": 1, "two": 2}  # as the spec writes it
_TRANSITIONS = {
    REJECTED: (CANDIDATE, BLESSED, APPROVED),
    ARCHIVED: (CANDIDATE, BLESSED, APPROVED, REJECTED),
    BLESSED: (REJECTED, ARCHIVED),
}
_WORDS = {REJECTED: "rejected", ARCHIVED: "archived", BLESSED: "restored"}


def label(version: ModelVersion) -> str:
    """A version as the command line takes it, `churn:3`."""
    return f"{version.name}:{version.version}"


def person(name: str) -> str:
    """Who does something: a name that is not blank, on one line.

    Raises:
        HeadraceError: it is blank or too long, or has characters that cannot be shown.
    """
    text = " ".join(name.split())
    if not text or len(text) > 128 or not text.isprintable():
        raise HeadraceError(f"who: expected the name of a person, up to 128 characters. Received: {name[:60]!r}")
    return text


def motive(reason: str) -> str:
    """Why something is done: words that are not blank.

    Raises:
        HeadraceError: it is blank or too long, or has characters that cannot be shown.
    """
    text = " ".join(reason.split())
    if not text or len(text) > 2000 or not text.isprintable():  # it is shown in terminals
        raise HeadraceError(f"reason: expected why, in up to 2,000 characters. Received: {reason[:60]!r}")
    return text


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's: letters' case and what follows an `@` on the same name do not count.

    Nor does how Unicode writes the same letters: an é is one character on one keyboard, and two on another.
    """
    return _bare(one) == _bare(other)


def _bare(name: str) -> str:
    return unicodedata.normalize("NFKC", name).partition("@")[0].strip().casefold()


def count(approvals: int | str) -> int:
    """How many approvals are asked for, from a number or as a spec writes it.

    Raises:
        HeadraceError: it is not 0, 1 or 2.
    """
    found = APPROVALS.get(approvals) if isinstance(approvals, str) else approvals
    if found is None or found not in APPROVALS.values():
        raise HeadraceError(f"approval: expected none, one or two. Received: {approvals!r}")
    return int(found)


def check_approval(version: ModelVersion, who: str) -> None:
    """Refuses an approval that the version cannot have, or not from this person.

    Raises:
        NotAllowed: with what stands against it.
    """
    if version.state == CANDIDATE:
        raise NotAllowed(f"{label(version)}: expected a version that passed its gates. Received: a candidate")
    if version.state not in (BLESSED, APPROVED, LIVE):
        raise NotAllowed(
            f"{label(version)}: expected a version that waits for approval. Received: one that is {version.state}; "
            f"`headrace models restore {label(version)} --reason ...` takes that back"
        )
    if version.registered_by and same_person(version.registered_by, who):
        raise NotAllowed(
            f"{label(version)}: expected approval by another person than {version.registered_by}, who registered it. "
            f"Received: {who}"
        )
    if any(same_person(approval.who, who) for approval in version.approvals):
        raise NotAllowed(
            f"{label(version)}: expected approval by another person. Received: {who}, who approved it before"
        )


def standing(blessed: bool, approvals: Sequence[Approval], needed: int) -> str:
    """The state of a version that is neither live nor put away: candidate, blessed or approved."""
    if not blessed:
        return CANDIDATE
    return APPROVED if len(approvals) >= max(needed, 1) else BLESSED


def check_transition(version: ModelVersion, state: str) -> None:
    """Refuses a state that a person cannot set, or that cannot be reached.

    Raises:
        NotAllowed: with what to do first.
        HeadraceError: no such state, or not one that is set.
    """
    if state not in _TRANSITIONS:
        raise HeadraceError(f"state: expected {', '.join(sorted(_TRANSITIONS))}. Received: {state!r}")
    if version.state == LIVE:
        raise NotAllowed(
            f"{label(version)}: expected a version that does not serve. Received: one that is live behind "
            f"{', '.join(version.endpoints)}; roll it back or promote another first"
        )
    if version.state not in _TRANSITIONS[state]:
        expected = " or ".join(_TRANSITIONS[state])
        raise NotAllowed(
            f"{label(version)}: expected {expected}, to be {_WORDS[state]}. Received: one that is {version.state}"
        )


def check_deployable(version: ModelVersion, needed: int) -> None:
    """Refuses a version that may not serve. One that is live may also serve behind another endpoint.

    Raises:
        WaitsForApproval: approvals are lacking; it says which command gives one.
        NotAllowed: it did not pass its gates, or was put away.
    """
    if version.state in (REJECTED, ARCHIVED):
        raise NotAllowed(
            f"{label(version)}: expected a version that may serve. Received: one that is {version.state}; "
            f"`headrace models show {label(version)}` tells why, `headrace models restore` takes it back"
        )
    if version.state == CANDIDATE:
        raise NotAllowed(f"{label(version)}: expected a version that passed its gates. Received: a candidate")
    if version.state == LIVE or len(version.approvals) >= needed:
        return
    given = f" (so far: {', '.join(item.who for item in version.approvals)})" if version.approvals else ""
    raise WaitsForApproval(
        f"{label(version)}: expected approval by {needed} {'person' if needed == 1 else 'people'}. "
        f"Received: {len(version.approvals)}{given}. "
        f"`headrace models approve {label(version)} --reason ...` gives one"
    )
