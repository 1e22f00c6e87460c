"""What a model card says in pairs of names and values: of the model, of its data, and where it comes from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from headrace.artifacts.card import ModelCard, parse_card
from headrace.artifacts.evaluation import Evaluation
from headrace.artifacts.infra import Infra
from headrace.artifacts.report import number, size
from headrace.artifacts.statistics import read_statistics
from headrace.artifacts.tuning import Tuning
from headrace.components.card.drift import Moved, moved
from headrace.components.card.known import Known
from headrace.components.card.spec import CardSpec
from headrace.trainer.known import known_values


def bundle_card(known: Known, name: str) -> ModelCard:
    """What training said; of a bundle without such a card, what its signature says."""
    bundle, signature = known.bundle, known.bundle.signature
    if bundle.card_json.exists():
        return parse_card(bundle.card_json.read_text(encoding="utf-8"), str(bundle.card_json))
    task = f"image {signature.task}" if signature.image else signature.task
    features = tuple((item.name, item.type, known_values(item)) for item in signature.inputs)
    details = {"Classes": list(signature.classes), "Positive class": signature.positive}
    return ModelCard(name, task, signature.label, details=details, features=features)


def plain_purpose(known: Known) -> str:
    """What it does, where nobody said what it is for."""
    signature = known.bundle.signature
    count = len(signature.inputs)
    of = "an image" if signature.image else f"a row of {count:,} column{'s' if count > 1 else ''}"
    if signature.task == "regression":
        return f"Predicts the number {signature.label} from {of}."
    return f"Predicts {signature.label}, one of {', '.join(signature.classes)}, from {of}."


def selection(known: Known) -> dict[str, Any]:
    """How the model came to be chosen among others."""
    found: dict[str, Any] = {}
    if known.tuning is not None:
        found["Tuning"] = _tuning(known.tuning)
    theirs = known.verdict.champion_digest
    found["Champion at the time"] = theirs if theirs else "none: the first model of this name"
    return found


def _tuning(tuning: Tuning) -> str:
    judged = "folds of train" if tuning.judged == "folds" else "the eval split"
    best, defaults = tuning.winner, tuning.defaults
    text = f"{len(tuning.trials)} trials ({tuning.sampler}), judged by {tuning.metric} on {judged}"
    text += f"; best {number(best.value)}"
    return text + (f", as the spec has it {number(defaults.value)}" if defaults is not None else "")


def decision(known: Known) -> dict[str, Any]:
    """When it says yes, where there are two classes."""
    signature = known.bundle.signature
    if signature.threshold is None:
        return {}
    return {"Decision": f"{signature.label} is {signature.positive} where its probability is at least "
            f"{number(signature.threshold)}"}  # fmt: skip


def serving(infra: Infra | None) -> dict[str, Any]:
    """What it takes to serve it."""
    if infra is None:
        return {}
    figures = infra.figures
    latency = infra.latency_ms
    words = [f"{name} {number(latency[key])} ms" for key, name in (("p50", "median"), ("p99", "p99")) if key in latency]
    found = {"Latency": f"{', '.join(words)}: one row per request, in the real server" if words else ""}
    if "bundle_mib" in figures:
        found["Size"] = size(round(figures["bundle_mib"] * 1024**2))
    if "server_mib" in figures:
        found["Memory"] = f"{size(round(figures['server_mib'] * 1024**2))} in the server"
    return found


def evaluation_data(known: Known) -> dict[str, Any]:
    """Which rows it was judged on, and why these."""
    found, info = known.evaluation, known.info
    split = info.query.get("split", {})
    usual = info.label if split.get("by") == "stratified" else info.id
    column = f" of {split.get('column') or usual}" if split.get("column") or usual else ""
    return {
        "Source": info.source.get("name") or info.source.get("uri", ""),
        "Snapshot": known.dataset,
        "Split": found.split,
        "Rows": f"{found.rows:,}",
        "Chosen by": f"{split.get('by', '')}{column}" if split else "",
        "Why these rows": "no step before the evaluation has read them",
        "Preprocessing": "the model's own: it takes the raw columns" if not known.bundle.signature.image else
        "the model's own: it takes pixels of any size",
    }  # fmt: skip


def training_data(known: Known, said: CardSpec) -> dict[str, Any]:
    """What it learned from."""
    info, record = known.info, known.lineage.get("training", {})
    answer = record.get("baseline", {}).get("answer")
    found: dict[str, Any] = {"Snapshot": known.dataset, "Columns": f"{len(info.columns):,}"}
    if isinstance(answer, Mapping):
        found["Labels in train"] = ", ".join(f"{name}: {share:.1%}" for name, share in answer.items())
    elif isinstance(answer, int | float):
        found["Mean of the label in train"] = number(float(answer))
    if info.rejected.get("rows"):
        found["Rows left out"] = f"{info.rejected['rows']:,} that could not be read"
    if known.findings is not None:
        errors = len(known.findings.errors)
        warnings = len(known.findings.found) - errors
        found["Findings"] = f"{errors:,} errors, {warnings:,} warnings"
    found["Sensitive"] = said.sensitive
    return found


def factors(found: Evaluation) -> list[str]:
    """By what its quality was looked at."""
    by = {"Slices measured": [part.by for part in found.slices], "Groups compared": [f.by for f in found.fairness]}
    return [f"{name}: {', '.join(dict.fromkeys(columns))}" for name, columns in by.items() if columns]


def importance(found: Evaluation) -> dict[str, float]:
    """Feature -> how much worse the metric gets without it; of those that matter."""
    return {item.feature: item.worse_by for item in found.importance if item.worse_by > 0}


def environment(known: Known) -> dict[str, Any]:
    """What made it."""
    origin = known.lineage.get("origin", {})
    return {"Headrace": origin.get("headrace", ""), "Lock": origin.get("environment", "")}


def lineage(known: Known, spec: Mapping[str, Any]) -> dict[str, Any]:
    """The digests that lead back to where it comes from."""
    origin = known.lineage.get("origin", {})
    text = json.dumps(spec, sort_keys=True, ensure_ascii=False)
    return {
        "Model": known.bundle.digest,
        "Source": known.info.source.get("digest", ""),
        "Data": known.dataset,
        "Extends the data": known.info.extends or "",
        "Transform": known.lineage.get("transform", {}).get("digest", ""),
        "Spec": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if spec else "",
        "Code": origin.get("commit", ""),
        "Champion at the time": known.verdict.champion_digest or "",
    }


def shifted(known: Known) -> list[Moved] | None:
    """The features that moved with time; None where the split says nothing of time, or nobody described the data."""
    if known.info.query.get("split", {}).get("by") != "time" or known.bundle.statistics is None:
        return None
    share = known.lineage.get("training", {}).get("importance", {})
    return moved(read_statistics(known.bundle.statistics), known.bundle.signature.inputs, share)
