"""From a bundle and the evidence on it to a version in the registry."""

from __future__ import annotations

from pathlib import Path

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.evaluation import read_evaluation
from headrace.components.card.registered import attach_card
from headrace.components.register.blessing import NotBlessed, require_decision
from headrace.platforms.interface import Blessing, ModelSettings, ModelVersion, Platform


def register(
    platform: Platform,
    name: str,
    model: Path,
    *,
    evaluation: Path,
    decision: Path,
    run: str,
    card: Path | None = None,
    settings: ModelSettings | None = None,
) -> ModelVersion:
    """Registers a bundle whose gates passed; content that is registered already keeps its version.

    The decision is checked here although the pipeline has a condition before this step: a registry that
    trusts the graph around it is open to everyone who draws another graph.

    Raises:
        NotBlessed: the decision or the evaluation is about another model, or the decision is not passed; or the
            newest version of this name is of another segment.
        HeadraceError: the bundle or the evidence is damaged, or the registry cannot be written.
    """
    digest = Bundle.open(model, verify=False).digest  # the registry verifies the content that it stores
    verdict = require_decision(decision, digest)
    found = read_evaluation(evaluation)
    if found.model_digest != digest:
        received = str(found.model_digest)[:19]
        raise NotBlessed(f"evaluation: expected one of the model {digest[:19]}. Received: one of {received}")
    labels = {"task": found.task, "split": found.split, "dataset": found.dataset_digest}
    if found.segment:
        _require_segment(platform, name, found.segment)
        labels["segment"] = found.segment
    blessing = Blessing(verdict.champion_digest)
    version = platform.registry.register(
        model, name, metrics=found.metrics, run=run, labels=labels, blessing=blessing, settings=settings
    )
    if version.digest != digest:
        raise NotBlessed(f"model: expected {digest[:19]} to stay as it is. Received: {version.digest[:19]}")
    if card is not None:
        attach_card(platform.registry, version, card, run)
    print(f"registered {name} version {version.version} ({digest[:19]})")
    return version


def _require_segment(platform: Platform, name: str, segment: str) -> None:
    """Two values that are spelt alike in letters have one name: in other data the other may have come to it first."""
    newest = next(reversed(platform.registry.versions(name)), None)
    before = newest.labels.get("segment", segment) if newest else segment
    if newest and before != segment:
        raise NotBlessed(
            f"model {name}: expected the segment of its version {newest.version}, {before!r}. Received: {segment!r}, "
            "which has the same name. Make them one value, or make them differ in letters or digits, where the data "
            "comes from; or give the spec another name"
        )
