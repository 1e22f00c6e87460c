"""What a platform offers to the steps of a pipeline and to the command line.

Versions are strings ("1", "2", ...), as everywhere that such a registry exists; an alias is a name that is
moved from version to version. `champion` is the one that serves, `challenger` the newest that passed its gates and
does not serve. The rules that hold on every platform stand in `lifecycle.py` (states, approvals) and `audit_chain.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from headrace.artifacts.decision import UNRECORDED
from headrace.artifacts.errors import HeadraceError
from headrace.platforms.endpoint import Deployed as Deployed
from headrace.platforms.endpoint import Endpoint as Endpoint
from headrace.platforms.endpoint import RolledBack as RolledBack
from headrace.platforms.endpoint import Split as Split

CHAMPION = "champion"
CHALLENGER = "challenger"
ANY_CHAMPION = "any"  # as the champion that is expected: whichever it is. Never a digest.
NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"  # of models and endpoints: a folder's name, a part of a URL

CANDIDATE = "candidate"  # registered, and no more is known
BLESSED = "blessed"  # passed its gates
APPROVED = "approved"  # and so many people said yes as the model asks for
LIVE = "live"  # behind an endpoint
ARCHIVED = "archived"  # put away: not served again unless it is restored
REJECTED = "rejected"  # a person said no, or it was rolled back
STATES = (CANDIDATE, BLESSED, APPROVED, LIVE, ARCHIVED, REJECTED)


class ChampionChanged(HeadraceError):
    """Another version became the champion, or serves, than the one that was expected."""


class NotAllowed(HeadraceError):
    """The version's state does not allow what was asked for; nothing was changed."""


class WaitsForApproval(NotAllowed):
    """The version passed its gates, and people still have to say yes before it serves; nothing was changed."""


@dataclass(frozen=True)
class Blessing:
    """That a version passed its gates, and which champion it was held against."""

    champion: str | None  # the champion's digest; None: the registry answered, and there was none


@dataclass(frozen=True)
class Approval:
    """A person's yes to one version, which holds until the version is rejected, archived or restored."""

    who: str
    reason: str
    time: str  # ISO 8601, UTC
    actor: str  # user@host: the account that it was typed in


@dataclass(frozen=True)
class ModelVersion:
    """One registered version of a model. Its bundle never changes; its aliases, state and approvals may.

    `state` is what the version may be used for: `live` while an endpoint serves it, else where its blessing and its
    approvals have brought it. `judged_against` is the digest of the champion that its gates last held it against, None
    where there was none, `UNRECORDED` where nobody said.
    """

    name: str
    version: str  # "1", "2", ... in the order of registration
    digest: str  # of the bundle, "sha256:<hex>": the identity of the content
    uri: str  # where the bundle lies; a folder's path on the local platform
    created: str  # ISO 8601, UTC
    run: str  # the pipeline run that registered it
    metrics: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    state: str = CANDIDATE
    registered_by: str = ""  # the person, or the service's account; empty where nobody recorded it
    approvals: tuple[Approval, ...] = ()  # those that hold now, the oldest first
    approvals_needed: int = 0  # that its model asks for: `ModelSettings.approvals`
    judged_against: str | None = UNRECORDED
    endpoints: tuple[str, ...] = ()  # that serve it, by name


@dataclass(frozen=True)
class ModelSettings:
    """What a registry keeps of a model as a whole."""

    approvals: int = 0  # how many people have to say yes before a version serves: 0, 1 or 2
    endpoint: str = ""  # where its versions are meant to be served; empty: nobody said


@dataclass(frozen=True)
class Document:
    """One file beside a version's bundle, such as its model card; a later one of the same name takes its place."""

    file: str
    digest: str  # of the content, "sha256:<hex>"
    bytes: int
    created: str  # ISO 8601, UTC


@dataclass(frozen=True)
class Event:
    """One line of the audit log: who did what to which model or endpoint, when, and in which run.

    `hash` covers the line and `before`, the hash of the line before it: see `audit_chain.py`.
    """

    time: str  # ISO 8601, UTC
    actor: str  # user@host
    action: str  # register | state | approve | alias | deploy | split | rollback | settings | attach | migrate
    subject: str  # a model's name, or an endpoint's
    run: str  # empty when no run did it
    detail: Mapping[str, Any]
    before: str = ""
    hash: str = ""


@dataclass(frozen=True)
class Audit:
    """What became of verifying the audit log."""

    entries: int
    head: str  # the hash of the last entry, worth writing down elsewhere; empty where there is none
    problems: tuple[str, ...] = ()  # where the chain is broken, or the registry is not as the log says

    @property
    def intact(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


class ModelRegistry(Protocol):
    """Models by name, and their numbered, immutable versions.

    Every change is one transaction with its line in the audit log. `who` is the person who asks for it; where it is
    empty, the account that runs the process is meant.
    """

    def register(
        self,
        bundle: Path,
        name: str,
        *,
        metrics: Mapping[str, float],
        run: str,
        labels: Mapping[str, str] | None = None,
        blessing: Blessing | None = None,
        settings: ModelSettings | None = None,
        who: str = "",
    ) -> ModelVersion:
        """Stores a bundle as the next version of a model; content that is there already keeps its version.

        Args:
            bundle: the bundle's folder.
            name: the model's name.
            metrics: kept with the version.
            run: the pipeline run.
            labels: kept with the version.
            blessing: that the gates are passed. Without one the version is a candidate, and cannot serve. A candidate
                that is registered again with one becomes blessed; a version in any other state stays as it is, but
                that `judged_against` is the champion of the latest blessing.
            settings: of the model. Approvals can be raised here and not lowered: a spec that asks for fewer than the
                registry does changes nothing.
            who: who registers. The same person cannot approve.

        Raises:
            ArtifactError: the bundle is damaged, incomplete, or written by a newer version.
            HeadraceError: the name is not one, or the registry cannot be written.
        """

    def models(self) -> list[str]:
        """The names of all models, sorted."""

    def versions(self, name: str | None = None) -> list[ModelVersion]:
        """The versions of a model, oldest first, or those of all models, by name; none for a name that is not there."""

    def get(self, name: str, version: str) -> ModelVersion:
        """One version, by its number or by an alias such as `champion`.

        Raises:
            HeadraceError: there is no such model, version or alias.
        """

    def champion(self, name: str) -> ModelVersion | None:
        """The version that serves, or None: the registry answered, and there is none."""

    def set_alias(self, name: str, alias: str, version: str, *, run: str = "") -> None:
        """Points an alias at a version.

        Raises:
            HeadraceError: there is no such model or version, the alias is not a name, or it is `champion`, which only
                deploying moves.
        """

    def settings(self, name: str) -> ModelSettings:
        """What is kept of a model; the defaults for one that was never registered."""

    def require_approvals(self, name: str, approvals: int, *, who: str, reason: str) -> None:
        """Sets how many people have to say yes before a version of a model serves: more, or fewer.

        What is live stays live. An approved version that now lacks approvals is blessed again.

        Raises:
            HeadraceError: there is no such model, the number is not 0, 1 or 2, or name or reason are empty.
        """

    def approve(self, name: str, version: str, *, who: str, reason: str) -> ModelVersion:
        """Records a person's yes. With as many as the model asks for (at least this one), the version is approved.

        Raises:
            NotAllowed: the version is not blessed or approved; this person registered it, or said yes before.
            HeadraceError: there is no such version, or name or reason are empty.
        """

    def transition(self, name: str, version: str, state: str, *, who: str, reason: str) -> ModelVersion:
        """Moves a version to a state that a person may set: `rejected`, `archived`, or out of these back to `blessed`.

        Approvals end with it, and the alias `challenger`. The alias `champion` of what is rejected or archived goes to
        the live version of the model that was deployed last, or away where there is none: nobody is to be served what
        was put away. A version that never was blessed goes back to `candidate`.

        Raises:
            NotAllowed: the state cannot be reached from where the version is; a live one has to be replaced first.
            HeadraceError: there is no such version, or name or reason are empty.
        """

    def download(self, name: str, version: str, path: Path) -> None:
        """Places the bundle of a version at `path`, checked, all at once or not at all.

        Raises:
            ArtifactError: the stored bundle was damaged, or `path` is taken.
            HeadraceError: there is no such model, version or alias.
        """

    def attach(self, name: str, version: str, file: str, content: bytes, *, run: str = "") -> Document:
        """Keeps a file beside a version's bundle, such as `card.html`; one of the same name is replaced.

        The log keeps the digests of all that ever were there.

        Raises:
            HeadraceError: there is no such version, the name is not one of a file, or it cannot be written.
        """

    def documents(self, name: str, version: str) -> list[Document]:
        """What is kept beside a version's bundle, by name."""

    def document(self, name: str, version: str, file: str) -> bytes:
        """The content of a document, checked.

        Raises:
            ArtifactError: it was damaged.
            HeadraceError: there is no such version or document.
        """

    def history(self, subject: str | None = None) -> list[Event]:
        """The audit log, oldest first: all of it, or that of one model or endpoint."""

    def verify(self, head: str = "") -> Audit:
        """Follows the audit log's chain, and holds what the registry says now against what the log says.

        Args:
            head: a hash that was written down before. The chain has to contain it: so a log that was made anew as a
                whole, or cut at its end, is found out too.
        """


class Endpoints(Protocol):
    """Names that answer predictions."""

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
        """Puts a version behind an endpoint with `traffic` percent, and makes it the champion, in one step.

        Args:
            endpoint: the endpoint's name.
            name: the model's name.
            version: the version's number or alias.
            traffic: its share, in percent.
            run: the pipeline run, for the audit log.
            expected_champion: the digest that the model's champion must have now, None for no champion. It is
                compared in the transaction that writes, so of two that expect the same champion one wins. A
                version that is the champion already is deployed whatever was expected.
            who: who asks for it.
            reason: why, in words.

        Raises:
            ChampionChanged: the champion is not the expected one; nothing was changed.
            WaitsForApproval: the version is blessed, and the model asks for approvals that it does not have.
            NotAllowed: the version is a candidate, archived or rejected.
            HeadraceError: there is no such model or version, or `traffic` is not 100: see `split`.
        """

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
        """Deals an endpoint's traffic to several versions of one model, and sets who sees copies, in one step.

        The version that was deployed last has to be among those that answer; it stays the champion, and a rollback
        gives it everything again. One version alone with 100 percent is deployed: it becomes the champion, as `deploy`
        would have it, and the log has it as that; so a split ends. While a split goes on its experiment's name stays,
        and keys stay with versions whose shares do not shrink.

        Args:
            endpoint: the endpoint's name.
            deployed: all that is to be behind it. The shares of those that answer add up to 100. A shadow has passed
                its gates; approvals it does not need.
            key: the header whose value decides who answers; empty: the server's own.
            expected: what has to be behind the endpoint now, compared in the transaction that writes.
            experiment: the split's name; empty: that of the split that goes on, or one is made.
            who: who asks for it.
            reason: why, in words.
            run: the pipeline run, for the audit log.
            evidence: what it was decided on, for the audit log: what JSON can hold.

        Raises:
            ChampionChanged: something else is behind the endpoint than expected; nothing was changed.
            WaitsForApproval: a version that is to answer lacks approvals.
            NotAllowed: a version is a candidate, archived or rejected.
            HeadraceError: there is no such version, or the versions or shares do not make a split.
        """

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
        """Takes out the version that an endpoint serves, and serves again the one of that model that did before it.

        While the traffic is split, those that answer beside the version that was deployed are taken out, and it gets
        everything again. Shadows go as well.

        The version that is taken out is rejected, unless another endpoint serves it too: else the next run with the
        same data would push it again. Versions that were rejected or archived since are passed over. A second rollback
        goes back one further. The champion moves only if it was the version that is taken out and serves nowhere any
        more: to the live version of the model that was deployed last.

        Args:
            endpoint: the endpoint's name.
            who: who asks for it.
            reason: why.
            run: the pipeline run, for the audit log.
            expected_version: the version that is to be taken out, of a split one of them, so that of two who do it at
                once one is told.
            expected_model: the model that this is a version of; without it a version of the same number is taken out,
                whatever model it belongs to.

        Raises:
            ChampionChanged: another version serves than the expected one; nothing was changed.
            NotAllowed: no version that could serve again served before, or what served before is not as the log says.
            HeadraceError: there is no such endpoint, or name or reason are empty.
        """

    def get(self, endpoint: str) -> Endpoint | None:
        """The endpoint, or None when nothing was ever deployed to it."""

    def list(self) -> list[Endpoint]:
        """All endpoints, by name."""


class Platform(Protocol):
    """A place where models live and are served."""

    @property
    def uri(self) -> str:
        """What `open_platform` was asked for."""

    @property
    def registry(self) -> ModelRegistry:
        """The platform's model registry."""

    @property
    def endpoints(self) -> Endpoints:
        """The platform's endpoints."""
