"""The evidence without which nothing is registered or pushed. What is in doubt is refused."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.decision import read_verdict
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.infra import read_infra


class NotBlessed(HeadraceError):
    """The evidence does not allow this model to go on."""


def require_decision(path: Path, digest: str) -> None:
    """Returns only if the gate's decision is about the bundle with this digest, and is passed.

    Raises:
        NotBlessed: the decision is about another bundle, or not passed; it names the gates that failed.
        ArtifactError: there is no decision, or it is damaged.
    """
    verdict = read_verdict(path)
    _same_model("decision", verdict.model_digest, digest)
    if verdict.passed is not True:
        failed = [f"{item.gate} ({item.reason})" for item in verdict.decisions if item.passed is not True]
        raise NotBlessed(f"decision: expected all gates passed. Received: {_listed(failed, 'no gate')}")


def require_infra(path: Path, digest: str) -> None:
    """Returns only if the real server answered as it should with the bundle with this digest.

    Raises:
        NotBlessed: the report is about another bundle, or not passed; it names the checks that failed.
        ArtifactError: there is no report, or it is damaged.
    """
    infra = read_infra(path)
    _same_model("infra", infra.model_digest, digest)
    if infra.passed is not True:
        failed = [f"{item.name} ({item.message})" for item in infra.checks if item.passed is not True]
        raise NotBlessed(f"infra: expected all checks passed. Received: {_listed(failed, 'no check')}")


def _same_model(what: str, received: str, expected: str) -> None:
    if received != expected:
        raise NotBlessed(f"{what}: expected one on {expected[:19]}. Received: one on {received[:19]}")


def _listed(failed: list[str], nothing: str) -> str:
    return f"not passed: {'; '.join(failed)}" if failed else nothing
