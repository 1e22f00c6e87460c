"""What TFX pushed goes the way of every model here: bundle, evaluation, real server, gates, registry, endpoint."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from headrace.artifacts.bundle import Bundle
from headrace.artifacts.decision import Verdict
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.folder import write_json
from headrace.pipelines.tfx_local import Prepared
from headrace.platforms.interface import Platform


@dataclass(frozen=True)
class Judged:
    """What came of a model that TFX pushed.

    `version` and `state` are None where a gate did not pass: then nothing was registered.
    """

    bundle: Bundle
    evaluation: Evaluation
    verdict: Verdict
    version: str | None
    state: str | None


def register_tfx(prepared: Prepared, saved: Path, platform: Platform) -> Judged:
    """Makes a bundle of a pushed SavedModel, judges it by the spec's own gates, registers and pushes it.

    TFX's blessing is not enough: its Evaluator does not know all of the gates, nor this registry's champion.

    Raises:
        HeadraceError: the model cannot be converted, or does not answer in ONNX as it does in TensorFlow.
    """
    from headrace.components.champion.fetch import fetch_champion
    from headrace.components.evaluate.evaluate import evaluate
    from headrace.components.gate.gate import gate
    from headrace.components.infra_validate.validate import infra_validate
    from headrace.components.push.push import Evidence, push
    from headrace.components.push.target import target
    from headrace.components.register.register import register
    from headrace.trainer.tfx.bundle import bundle_of

    spec, snapshot = prepared.spec, prepared.snapshot
    place = prepared.places.folder / "judged" / saved.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    value = spec.evaluate.value
    training = spec.train.training(gains=None if value is None else value.gains)
    bundle = bundle_of(saved, prepared.plan, snapshot.path, place / "model", training)
    judged = place / "evaluation"
    evaluation = evaluate(bundle.path, snapshot.path, spec.evaluate, judged, place / "evaluation.html")
    infra_validate(bundle.path, place / "infra")
    fetch_champion(platform, spec.name, place / "champion")
    rival = place / "champion-evaluation"
    evaluate(place / "champion", snapshot.path, spec.evaluate, rival, place / "champion.html")
    verdict = gate(
        model=bundle.path,
        evaluation=judged,
        champion_evaluation=rival,
        infra=place / "infra",
        task=spec.predicted,
        settings=spec.evaluate,
        output=place / "decision",
        report=place / "decision.html",
    )
    if not verdict.passed:
        return _told(place, Judged(bundle, evaluation, verdict, None, None))
    run, where = f"tfx-{saved.name}", target(spec.deploy.model_dump(mode="json", exclude_none=True), spec.endpoint)
    registered = register(
        platform,
        spec.name,
        bundle.path,
        evaluation=judged,
        decision=place / "decision",
        run=run,
        settings=where.settings,
    )
    evidence = Evidence(decision=place / "decision", infra=place / "infra")
    pushed = push(
        platform,
        spec.name,
        registered.version,
        evidence,
        where.endpoint,
        run=run,
        approvals=where.approvals,
        canary=where.canary,
    )
    return _told(place, Judged(bundle, evaluation, verdict, registered.version, pushed.state))


def _told(place: Path, judged: Judged) -> Judged:
    """Leaves what came of it for programs, beside the evidence."""
    found = judged.evaluation
    write_json(
        place / "outcome.json",
        {
            "passed": judged.verdict.passed,
            "version": judged.version,
            "state": judged.state,
            "rows": found.rows,
            "metrics": dict(found.metrics),
            "baseline": dict(found.baseline),
        },
    )
    return judged
