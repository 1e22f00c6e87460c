"""What the service is told by its environment; docs/events.md has the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.pipelines.events.callers import IAM, Callers

_PREFIX = "HEADRACE_EVENTS_"


@dataclass(frozen=True)
class Settings:
    """Of the service that takes events by HTTP.

    Attributes:
        rules: where the rules are.
        ledger: where it is kept that something was started.
        on: where pipelines run: `vertex:PROJECT/LOCATION`, `kubeflow:URL`, or `local`.
        root: the folder of the runs' outputs.
        service_account: in whose name tasks work.
        registry: the registry's URI, for pipelines that take one.
        auth: how callers are known: `iam`, `oidc`, `token`, `none`.
        audience: whom their tokens are for.
        callers: accounts that may call.
        token: the one that callers have to know, for `token`.
        lease_s: how long a claim holds.
        attempts: how often an event is tried.
    """

    rules: str
    ledger: str
    on: str
    root: str = ""
    service_account: str = ""
    registry: str = ""
    auth: str = IAM
    audience: str = ""
    callers: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    lease_s: float = 240.0
    attempts: int = 5

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """From environment variables.

        Raises:
            HeadraceError: one is missing or has no such value.
        """

        def value(name: str, default: str | None = None) -> str:
            found = environment.get(_PREFIX + name, "").strip() or default
            if found is None:
                raise HeadraceError(f"{_PREFIX}{name}: expected this variable; see docs/events.md. Received: none")
            return found

        return cls(
            rules=value("RULES"),
            ledger=value("LEDGER"),
            on=value("ON"),
            root=value("ROOT", ""),
            service_account=value("SERVICE_ACCOUNT", ""),
            registry=environment.get("HEADRACE_PLATFORM", ""),
            auth=value("AUTH", IAM),
            audience=value("AUDIENCE", ""),
            callers=tuple(one.strip() for one in value("CALLERS", "").split(",") if one.strip()),
            token=_secret(value("TOKEN_FILE", "")),
            lease_s=_number("LEASE_S", value("LEASE_S", "240"), 1, 3600),
            attempts=int(_number("ATTEMPTS", value("ATTEMPTS", "5"), 1, 100)),
        )

    def known_callers(self) -> Callers:
        """Who may call.

        Raises:
            HeadraceError: what is set does not say it.
        """
        return Callers(self.auth, self.callers, self.audience, self.token)


def _secret(file: str) -> str:
    """The first line of a file, which is how clusters hand secrets over; none where no file is named."""
    try:
        return Path(file).read_text(encoding="utf-8").strip() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise HeadraceError(f"{_PREFIX}TOKEN_FILE: expected a file with a secret. Received: {error}") from None


def _number(name: str, text: str, least: int, most: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise HeadraceError(f"{_PREFIX}{name}: expected a number from {least} to {most}. Received: {text!r}")
    return number
