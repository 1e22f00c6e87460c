"""The training report: how the training went, what the model makes of its features, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.artifacts import report as r
from headrace.artifacts.dataset import DatasetInfo
from headrace.artifacts.metrics import title_of
from headrace.artifacts.tuning import Tuning
from headrace.components.tune.page import trials
from headrace.trainer.card import details, variants_in_words
from headrace.trainer.effects import Effect, effects
from headrace.trainer.known import day
from headrace.trainer.lineage import plain
from headrace.trainer.model import Learned
from headrace.trainer.parameters import Training
from headrace.trainer.tabular import Trained, named_importance
from headrace.trainer.threshold import TITLES, Chosen

_MOST_FEATURES = 25
_MOST_LINES = 5  # classes whose probability is drawn
_AXIS = {"gbdt": "Round", "linear": "Penalty, from the strongest", "mlp": "Epoch", "cnn": "Epoch", "module": "Round"}


def training_page(name: str, trained: Trained, training: Training, tuning: Tuning | None = None) -> str:
    """The report as one HTML document."""
    model, info = trained.model, trained.data
    rows = f"{r.count(info.rows['train'])} rows, judged on {r.count(info.rows['eval'])}"
    share = named_importance(model, trained.recipe)
    sections = [
        _figures(trained),
        _curves(trained),
        _importance(share),
        _effects(trained, share, training.seed),
        trials(tuning) if tuning else None,
        _features(trained),
        settings(trained.data, training, trained.model),
        _cost(trained),
    ]
    facts = [("Bundle", trained.digest)]
    return r.page(f"Training: {name}", f"{info.task} of {info.label} on {rows}",
                  [part for part in sections if part is not None], facts=facts)  # fmt: skip


def _figures(trained: Trained) -> r.Html:
    model, constant = trained.model, trained.baseline
    title, last = title_of(model.metric), model.rounds - 1
    train = model.curve.get("train", ())
    tiles: list[tuple[str, r.Cell, r.Cell]] = [
        (f"{title}, eval", model.curve["eval"][last], f"a constant: {r.number(constant.values['eval'])}"),
        *([(f"{title}, train", train[last], "")] if len(train) > last else []),
        *threshold_tile(trained.threshold),
        ("Rounds", model.rounds, f"of {r.count(len(model.curve['eval']))} made"),
        ("Seconds", round(sum(trained.seconds.values()), 2), ""),
        ("Peak memory, MiB", round(trained.peak_mib), ""),
    ]
    blocks = [r.tiles(tiles)]
    if constant.values["eval"] <= model.curve["eval"][last]:
        words = f"A constant answer, {constant.words(trained.data.classes or ())}, is as good on the eval split."
        blocks.append(r.callout(words, "bad", "The features tell nothing of the label."))
    return r.section("What came of it", *blocks, intro=f"A constant is {constant.words(trained.data.classes or ())}.")


def threshold_tile(chosen: Chosen | None) -> list[tuple[str, r.Cell, r.Cell]]:
    """The threshold and what it was chosen by, where it was chosen."""
    if chosen is None or chosen.reached is None or chosen.at_half is None:
        return []
    gain = f"{r.number(chosen.reached)}; at 0.5 {r.number(chosen.at_half)}"
    per_row = ", per row" if chosen.by == "value" else ""
    return [("Threshold", chosen.at, f"best by {TITLES[chosen.by]}{per_row}: {gain}")]


def _curves(trained: Trained) -> r.Html | None:
    model = trained.model
    longest = max((len(values) for values in model.curve.values()), default=0)
    if longest < 2:
        return None
    lines = [r.Line(split, thinned(values)) for split, values in model.curve.items() if len(values)]
    constant = trained.baseline.values["eval"]
    lines.append(r.Line("a constant", [(1, constant), (longest, constant)],
                        dashed=True))  # fmt: skip
    caption = f"Kept is number {model.rounds}, where the eval split was best."
    chart = r.line_chart(lines, title_of(model.metric), _AXIS[model.kind], caption=caption)
    return r.section("Curves", r.grid(chart))


def _importance(share: Mapping[str, float]) -> r.Html | None:
    used = {name: value for name, value in share.items() if value > 0}
    if not used:
        return None
    bars = [r.Bar(name, value) for name, value in list(used.items())[:_MOST_FEATURES]]
    rest = len(share) - len(bars)
    caption = f"{rest} more have less, or nothing." if rest else ""
    words = "Each feature's share of what the model has learned; the evaluation measures what a column is worth."
    return r.section("Importance", r.bar_chart(bars, "Share by feature", caption=caption), intro=words)


def _effects(trained: Trained, share: Mapping[str, float], seed: int) -> r.Html | None:
    found = effects(trained.model, trained.recipe, trained.rows.evaluation.features, share, seed)
    if not found:
        return None
    names = _outputs(trained)
    charts = [_effect(effect, names, trained) for effect in found]
    words = "The mean answer if all rows had this value of the feature: of the model, not of the world."
    return r.section("Effect of the chosen features", r.grid(*charts), intro=words)


def _outputs(trained: Trained) -> dict[int, str]:
    """The columns of the answer that are drawn, and what they are called."""
    info = trained.data
    if info.classes is None:
        return {0: info.label}
    if info.positive is not None:
        return {info.classes.index(info.positive): f"probability of {info.positive}"}
    return dict(list(enumerate(info.classes))[:_MOST_LINES])


def _effect(effect: Effect, outputs: Mapping[int, str], trained: Trained) -> r.Html:
    title = f"{effect.feature} ({effect.share:.0%})"
    if effect.names:
        place = next(iter(outputs))
        caption = outputs[place] if len(outputs) == 1 else f"probability of {outputs[place]}"
        bars = [r.Bar(name, float(value)) for name, value in zip(effect.names, effect.answers[:, place], strict=True)]
        return r.bar_chart(sorted(bars, key=lambda bar: -bar.value), title, caption=caption)
    lines = [
        r.Line(name, [(x, float(y)) for x, y in zip(effect.points, effect.answers[:, place], strict=True)], marks=True)
        for place, name in outputs.items()
    ]
    caption = next(iter(outputs.values())) if len(outputs) == 1 else _of_classes(len(lines), trained)
    return r.line_chart(lines, title, _axis(effect, trained), caption=caption)


def _of_classes(shown: int, trained: Trained) -> str:
    every = len(trained.data.classes or ())
    return "probability of each class" if shown == every else f"probability of the first {shown} of {every} classes"


def _axis(effect: Effect, trained: Trained) -> str:
    dates = {item.name for item in trained.recipe.inputs if item.type == "date"}
    raw = next(feature.raw for feature in trained.recipe.outputs if feature.name == effect.feature)
    if raw not in dates:
        return effect.feature
    return f"{effect.feature}: days since 1970, from {day(effect.points[0])[:10]} to {day(effect.points[-1])[:10]}"


def _features(trained: Trained) -> r.Html:
    recipe = trained.recipe
    rows = [(feature.name, ", ".join(feature.sources), feature.made) for feature in recipe.outputs[:200]]
    blocks = [r.table(["Feature", "Columns", "How it is made"], rows, "llw")]
    if len(recipe.outputs) > len(rows):
        blocks.append(r.paragraph(f"{len(recipe.outputs) - len(rows):,} more features are not shown."))
    if recipe.excluded:
        out = r.table(["Column", "Why it is no feature"], list(recipe.excluded.items()), "lw")
        blocks.append(r.details("Columns that were left out", out))
    if recipe.notes:
        blocks.append(r.bullets(recipe.notes))
    return r.section("Features", r.details(f"{len(recipe.outputs):,} features", *blocks))


def settings(info: DatasetInfo, training: Training, model: Learned) -> r.Html:
    """How the model was trained, of every kind."""
    known = details(info, training, model)
    parameters = known.pop("Parameters")
    pairs = [(name, cell(value)) for name, value in known.items()]
    spelt = r.key_values([(name, cell(value)) for name, value in parameters.items()])
    return r.section("Settings", r.key_values(pairs), r.details("Parameters", spelt))


def _cost(trained: Trained) -> r.Html:
    parity = trained.parity
    words = (
        f"The exported graphs agree with the trained model on {parity.rows:,} rows, among them rows on and beside its "
        f"thresholds, missing and unseen ones, within {trained.model.tolerance:.2g}; the largest difference is "
        f"{parity.largest_difference:.1e}."
    )
    memory = f"The process has had {trained.peak_mib:,.0f} MiB at most, the libraries included."
    return cost(trained.seconds, memory, words, variants_in_words(trained.variants))


def cost(seconds: Mapping[str, float], memory: str, proof: str, variants: Mapping[str, str]) -> r.Html:
    """What a training of any kind took, and how exact what it exported is."""
    rows = [(part, round(taken, 3)) for part, taken in seconds.items()]
    tensorflow = [r.key_values(list(variants.items()))] if variants else []
    return r.section("Time, memory and proof", r.table(["Part", "Seconds"], rows), r.paragraph(memory),
                     r.paragraph(proof), *tensorflow)  # fmt: skip


def cell(value: Any) -> str:
    """A setting in words."""
    value = plain(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {cell(item)}" for name, item in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(cell, value)) or "none"
    return r.number(value) if isinstance(value, float) else "none" if value is None else str(value)


def thinned(values: Sequence[float], most: int = 300) -> list[tuple[float, float]]:
    """At most so many points of a curve, the last one always."""
    step = -(-len(values) // most)
    places = sorted({*range(0, len(values), step), len(values) - 1})
    return [(place + 1, float(values[place])) for place in places]
