"""Which of the loaded versions answers a request.

Where the traffic is split, a key decides: the same key is answered by the same version (see `artifacts.slots`). It is
the value of a header, `x-routing-key` or the plan's, or `parameters.key` of the body. A request without one is dealt by
its id. A client may also name the version itself, by the header `x-model-version` or a path that has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from headrace.artifacts.slots import slot_of
from headrace.serving.exchange import HttpError, Pairs, Request
from headrace.serving.served import Served
from headrace.serving.target import Plan

KEY = "x-routing-key"
VERSION = b"x-model-version"  # of a request: the version that is to answer; of an answer: the one that did
EXPERIMENT = b"x-experiment"  # of an answer: the split that its version was dealt by
_LONGEST = 512  # bytes of a key


class _Parameters(msgspec.Struct):
    key: str | int | None = None


class _Body(msgspec.Struct):
    parameters: _Parameters | None = None


_parameters = msgspec.json.Decoder(_Body).decode


class Router:
    """The versions of an endpoint."""

    def __init__(self, served: Served | Sequence[Served], plan: Plan | None = None) -> None:
        """Routes to the versions of a plan that answer.

        Args:
            served: the versions, in the plan's order.
            plan: by default all goes to the first.
        """
        self.all: tuple[Served, ...] = (served,) if isinstance(served, Served) else tuple(served)
        self.main = self.all[0]
        self.by_version = {one.version: one for one in self.all if one.version is not None}
        self.plan = plan
        self.key = (plan.key if plan else "") or KEY
        self._header = self.key.lower().encode()
        self._salt = plan.experiment.encode() if plan else b""
        self._slots = tuple(self.all[place] for place in plan.slots) if plan and len(self.all) > 1 else ()

    @property
    def shares(self) -> tuple[int, ...]:
        """Percent of each version."""
        return tuple(member.weight for member in self.plan.answering) if self.plan else (100,)

    def about(self, served: Served) -> Pairs:
        """The headers of an answer that say who gave it."""
        told = [(VERSION, served.version.encode())] if served.version else []
        return (*told, (EXPERIMENT, self._salt)) if self._slots else tuple(told)

    def variant(self, served: Served) -> str:
        """What the log calls a version: of a split its experiment and version, `churn-4-1f0c:4`."""
        return f"{self.plan.experiment}:{served.version or served.digest[:19]}" if self._slots and self.plan else ""

    def choose(self, request: Request, named: Served | None = None, by_name: bool = True) -> Served:
        """The version for this request, which has its id; leaves in it the key that decided.

        Args:
            request: the request.
            named: the version that its path names, if it does.
            by_name: whether a client may name the version.

        Raises:
            HttpError: the version that it names does not answer here, or may not be named; the key is none.
        """
        given = request.headers.get(VERSION)
        if given is not None or named is not None:
            return self._named(named, given.decode("latin-1") if given else "", by_name)
        if not self._slots:
            return self.main
        request.key = key = self._key(request)
        return self._slots[slot_of(key or request.id, self._salt)]

    def _named(self, named: Served | None, version: str, by_name: bool) -> Served:
        if not by_name:
            raise HttpError(403, "model version: expected none, here the server chooses. Received: one in the request")
        found = self.by_version.get(version, named) if version else named
        if found is None or (named is not None and found is not named):
            known = ", ".join(self.by_version) or "none, the model has no version"
            raise HttpError(
                404, f"{VERSION.decode()}: expected a version that is served ({known}). Received: {version}"
            )
        return found

    def _key(self, request: Request) -> bytes:
        key = request.headers.get(self._header, b"")
        if not key and b'"parameters"' in request.body:
            key = _in_body(request.body)
        if len(key) > _LONGEST:
            raise HttpError(400, f"{self.key}: expected a key of at most {_LONGEST} bytes. Received: {len(key)}")
        return key

    def described(self) -> dict[str, Any]:
        """What `GET /` says of more than one version."""
        if self.plan is None or len(self.plan.members) == 1:
            return {}
        found: dict[str, Any] = {}
        if self._slots:
            shares = {one.version or one.digest: share for one, share in zip(self.all, self.shares, strict=True)}
            found["split"] = {"experiment": self.plan.experiment, "key": self.key, "traffic": shares}
        if self.plan.shadows:
            found["shadows"] = [target.version or str(target) for target in self.plan.shadows]
        return found


def _in_body(body: bytes) -> bytes:
    try:
        found = _parameters(body).parameters
    except msgspec.ValidationError:
        raise HttpError(400, "parameters.key: expected a text or a whole number. Received: something else") from None
    except (ValueError, RecursionError):  # no JSON: whoever decodes it says so better
        return b""
    return str(found.key).encode() if found is not None and found.key is not None else b""
