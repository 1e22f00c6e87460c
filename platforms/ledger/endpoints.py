"""Endpoints over a log in a service: which version each name serves. Servers read this; nothing is started here."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.artifacts.errors import HeadraceError
from headrace.platforms.interface import (
    ANY_CHAMPION,
    ARCHIVED,
    CANDIDATE,
    CHAMPION,
    REJECTED,
    ChampionChanged,
    Deployed,
    Endpoint,
    NotAllowed,
    RolledBack,
)
from headrace.platforms.ledger.ledger import Ledger
from headrace.platforms.ledger.showing import show, versions_of
from headrace.platforms.ledger.state import Held, Served, State, served_last
from headrace.platforms.ledger.store import Store
from headrace.platforms.lifecycle import check_deployable, motive, person
from headrace.platforms.local.account import who_asks
from headrace.platforms.local.rows import check_name
from headrace.platforms.splitting import (
    asked,
    check_shadow,
    make_split,
    require_expected,
    split_detail,
    taken_out,
    told,
    words_of,
)

_Entry = tuple[str, str, str, dict[str, Any]]  # action, subject, run and detail of the audit log's next line


class LedgerEndpoints:
    """Implements `platforms.interface.Endpoints` on a `Store`."""

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    def deploy(
        self,
        endpoint: str,
        name: str,
        version: str,
        *,
        traffic: int = 100,
        run: str = "",
        expected_champion: str | None = ANY_CHAMPION,
        who: str = "",
        reason: str = "",
    ) -> Endpoint:
        """Puts a version behind an endpoint and makes it the champion; see `Endpoints.deploy`."""
        check_name("endpoint", endpoint)
        if traffic != 100:
            raise HeadraceError(f"endpoint {endpoint}: expected 100 percent of the traffic. Received: {traffic}")
        words = words_of(who_asks(who), reason, None)

        def decide(state: State) -> _Entry:
            held = state.find(name, version)
            _require_champion(state, name, held, expected_champion)
            check_deployable(state.version(name, held), state.kept(name).approvals)
            return "deploy", endpoint, run, {**_deployment(state, endpoint, name, held.number), **words}

        return self._change(endpoint, decide)

    def split(
        self,
        endpoint: str,
        deployed: Sequence[Deployed],
        *,
        key: str = "",
        expected: Endpoint | None = None,
        experiment: str = "",
        who: str = "",
        reason: str = "",
        run: str = "",
        evidence: Mapping[str, Any] | None = None,
    ) -> Endpoint:
        """Deals an endpoint's traffic to several versions; see `Endpoints.split`."""
        check_name("endpoint", endpoint)
        words = words_of(who_asks(who), reason, evidence)

        def decide(state: State) -> _Entry:
            there = state.endpoint(endpoint)
            before = there.deployed if there else ()
            require_expected(endpoint, before, expected)
            what = asked(endpoint, _checked(state, deployed), key, experiment)
            if what.alone is not None:
                detail = _deployment(state, endpoint, what.model, int(what.alone.version))
                more = {"shadows": [int(one.version) for one in what.shadows]} if what.shadows else {}
                return "deploy", endpoint, run, {**detail, **more, **words}
            pile = state.piles.get(endpoint, [])
            base = (pile[-1].model, str(pile[-1].version)) if pile else None
            made = make_split(what, base, there.split if there else None, key, experiment, endpoint)
            return "split", endpoint, run, {**split_detail(what, made, before), **words}

        return self._change(endpoint, decide)

    def rollback(
        self,
        endpoint: str,
        *,
        who: str,
        reason: str,
        run: str = "",
        expected_version: str = "",
        expected_model: str = "",
    ) -> RolledBack:
        """Serves again what served before; see `Endpoints.rollback`."""
        words = {"who": person(who), "reason": motive(reason)}
        decided: dict[str, Any] = {}

        def decide(state: State) -> _Entry:
            pile = state.piles.get(endpoint, [])
            if not pile:
                known = ", ".join(sorted(state.deployed)) or "none yet"
                raise HeadraceError(f"endpoint: expected one that serves ({known}). Received: {endpoint!r}")
            there = state.endpoint(endpoint)
            if there is not None and there.split is not None:
                versions = taken_out(endpoint, there, expected_version, expected_model)
                decided.update(_out_of_split(state, endpoint, there.base, [int(one) for one in versions]))
                return "rollback", endpoint, run, {**decided, **words}
            name, taken, _ = pile[-1]
            if (expected_version or str(taken), expected_model or name) != (str(taken), name):
                raise ChampionChanged(
                    f"endpoint {endpoint}: expected version {expected_version or taken} of {expected_model or name} "
                    f"to serve. Received: version {taken} of {name}; nothing was changed"
                )
            back, undone = _earlier(state, endpoint, pile)
            tops = {**state.tops(), endpoint: pile[-1 - undone]}.values()  # as they are then
            rejected = not _serves_elsewhere(state, endpoint, name, taken)
            champion = state.aliases.get(name, {}).get(CHAMPION)
            # What another endpoint serves stays the champion, where it is: it may be newer than what serves again here.
            moves = champion is None or (champion == taken and rejected)
            decided.update(
                model=name,
                version=back,
                before=taken,
                champion=champion,
                champion_after=served_last(name, tops) if moves else champion,
                rejected=rejected,
                undone=undone,
            )
            return "rollback", endpoint, run, {**decided, **words}

        after = self._change(endpoint, decide)
        return RolledBack(after, decided["model"], str(decided["version"]), str(decided["before"]))

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint, or None; see `Endpoints.get`."""
        return self._ledger.refresh().endpoint(endpoint)

    def list(self) -> list[Endpoint]:
        """All endpoints, by name."""
        state = self._ledger.refresh()
        return [found for name in sorted(state.deployed) if (found := state.endpoint(name)) is not None]

    def _change(self, endpoint: str, decide: Any) -> Endpoint:
        """Does it, and shows it on the versions of the model that serves now, and of the one that did before."""
        state = self._ledger.refresh()
        was = state.deployed.get(endpoint)
        before = versions_of(state)
        state = self._ledger.change(decide)
        found = state.endpoint(endpoint)
        assert found is not None  # something was put behind it
        show(self._store, self._ledger, before, {found.main.model, *([was[0]] if was else [])})
        return found


def _deployment(state: State, endpoint: str, name: str, number: int) -> dict[str, Any]:
    there = state.endpoint(endpoint)
    return {
        "model": name,
        "version": number,
        "traffic": 100,
        "before": [told(one) for one in there.deployed] if there else [],
        "champion": state.aliases.get(name, {}).get(CHAMPION),
    }


def _checked(state: State, deployed: Sequence[Deployed]) -> builtins.list[Deployed]:
    """The same versions by their numbers, each of which may be where it is to be."""
    found = []
    for one in deployed:
        version = state.version(one.model, state.find(one.model, one.version))
        if one.shadow:
            check_shadow(version)
        else:
            check_deployable(version, state.kept(one.model).approvals)
        found.append(Deployed(one.model, version.version, one.traffic, one.shadow))
    return found


def _serves_elsewhere(state: State, endpoint: str, name: str, number: int) -> bool:
    return any((name, number) in state.answering(other) for other in state.deployed if other != endpoint)


def _out_of_split(state: State, endpoint: str, base: Deployed, taken: Sequence[int]) -> dict[str, Any]:
    """What a rollback of a split does: what was deployed gets everything again."""
    name = base.model
    rejected = [number for number in taken if not _serves_elsewhere(state, endpoint, name, number)]
    champion = state.aliases.get(name, {}).get(CHAMPION)
    also = [number for number in rejected if number != taken[0]]
    return {
        "model": name,
        "version": int(base.version),
        "before": taken[0],
        "champion": champion,
        "champion_after": served_last(name, state.tops().values())
        if champion is None or champion in rejected
        else champion,
        "rejected": taken[0] in rejected,
        "undone": 0,
        **({"also": also} if also else {}),
    }


def _require_champion(state: State, name: str, held: Held, expected: str | None) -> None:
    """Compares the champion with the expected one."""
    number = state.aliases.get(name, {}).get(CHAMPION)
    now = state.models[name][number] if number is not None else None
    if expected == ANY_CHAMPION or (now is None and expected is None):
        return
    if now is not None and (now.number == held.number or now.digest == expected):
        return
    received = "none" if now is None else f"version {now.number} ({now.digest[:19]})"
    raise ChampionChanged(
        f"the champion of {name} changed while this run was judged; run again. "
        f"expected: {'none' if expected is None else expected[:19]}. Received: {received}"
    )


def _earlier(state: State, endpoint: str, pile: list[Served]) -> tuple[int, int]:
    """The version that served before and may serve again, and how many entries of the pile end with that."""
    name, taken, _ = pile[-1]
    seen = []
    for undone, (model, number, _) in enumerate(reversed(pile[:-1]), start=1):
        if model != name:
            seen.append(f"version {number} of the model {model}")
            break
        if number == taken:
            continue
        found = state.version(name, state.models[name][number])
        if found.state not in (CANDIDATE, REJECTED, ARCHIVED):
            return number, undone
        seen.append(f"version {number}, which is {found.state}")
    raise NotAllowed(
        f"endpoint {endpoint}: expected a version of {name} that served before version {taken}, to go back to. "
        f"Received: {', '.join(seen) or 'none, it was the first'}; "
        f"`headrace models promote {name}:VERSION --reason ...` serves another"
    )
