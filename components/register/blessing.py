"""The evidence without which nothing is registered or pushed. What is in doubt is refused."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.decision import UNRECORDED, Verdict, read_verdict
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.infra import read_infra


class NotBlessed(HeadraceError):
    """The evidence does not allow this model to go on."""


def require_decision(path: Path, digest: str) -> Verdict:
    """Returns the gate's decision, only if it is about the bundle with this digest, and is passed.

    Raises:
        NotBlessed: the decision is about another bundle, or not passed; it names the gates that failed. Or it
            is of a version that did not record which champion the model was compared with.
        ArtifactError: there is no decision, or it is damaged.
    """
    verdict = read_verdict(path)
    failed = [f"{item.gate} ({item.reason})" for item in verdict.decisions if item.passed is not True]
    _require("decision", "gate", (verdict.model_digest, digest), verdict.passed, failed)
    if verdict.champion_digest == UNRECORDED:
        raise NotBlessed("decision: expected the champion that it was judged against. Received: none; run again")
    return verdict


def require_infra(path: Path, digest: str) -> None:
    """Returns only if the real server answered as it should with the bundle with this digest.

    Raises:
        NotBlessed: the report is about another bundle, or not passed; it names the checks that failed.
        ArtifactError: there is no report, or it is damaged.
    """
    infra = read_infra(path)
    failed = [f"{item.name} ({item.message})" for item in infra.checks if item.passed is not True]
    _require("infra", "check", (infra.model_digest, digest), infra.passed, failed)


def _require(what: str, unit: str, digests: tuple[str, str], passed: bool, failed: list[str]) -> None:
    received, expected = digests
    if received != expected:
        raise NotBlessed(f"{what}: expected one on {expected[:19]}. Received: one on {received[:19]}")
    if passed is not True:
        listed = f"not passed: {'; '.join(failed)}" if failed else f"no {unit}"
        raise NotBlessed(f"{what}: expected all {unit}s passed. Received: {listed}")
