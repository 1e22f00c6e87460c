"""The training report of a network for pictures: how the training went, what it is, and what it cost."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.metrics import title_of
from headrace.components.train.page import cost, settings, thinned, threshold_tile
from headrace.trainer.images.card import tensorflow_in_words
from headrace.trainer.images.train import TrainedImages
from headrace.trainer.parameters import Training


def images_page(name: str, trained: TrainedImages, training: Training) -> str:
    """The report as one HTML document."""
    info = trained.data
    told = f"{r.count(info.rows['train'])} pictures, judged on {r.count(info.rows['eval'])}"
    sections = [_figures(trained), _curves(trained), settings(info, training, trained.model), _cost(trained)]
    facts = [("Bundle", trained.digest)]
    return r.page(f"Training: {name}", f"image classification of {info.label} on {told}",
                  [part for part in sections if part is not None], facts=facts)  # fmt: skip


def _figures(trained: TrainedImages) -> r.Html:
    model, constant = trained.model, trained.baseline
    title, last = title_of(model.metric), model.rounds - 1
    tiles: list[tuple[str, r.Cell, r.Cell]] = [
        ("Accuracy, eval", model.accuracy[last], "on the labels as they are"),
        (f"{title}, eval", model.curve["eval"][last], f"a constant: {r.number(constant.values['eval'])}"),
        (f"{title}, train", model.curve["train"][last], "of varied pictures, while learning"),
        *threshold_tile(trained.threshold),
        ("Epochs", model.rounds, f"of {r.count(len(model.curve['eval']))} made"),
        ("Pictures a second", round(model.images_per_second, 1), "learned from"),
        ("Seconds", round(sum(trained.seconds.values()), 2), ""),
        ("Peak memory, MiB", round(trained.peak_mib), ""),
    ]
    words = constant.words(trained.data.classes or ())
    blocks = [r.tiles(tiles)]
    if constant.values["eval"] <= model.curve["eval"][last]:
        told = f"A constant answer, {words}, is as good on the eval split."
        blocks.append(r.callout(told, "bad", "The network has learned nothing of the label."))
    return r.section("What came of it", *blocks, intro=f"A constant is {words}.")


def _curves(trained: TrainedImages) -> r.Html | None:
    model = trained.model
    epochs = len(model.accuracy)
    if epochs < 2:
        return None
    lines = [r.Line(split, thinned(values)) for split, values in model.curve.items()]
    constant = trained.baseline.values["eval"]
    lines.append(r.Line("a constant", [(1, constant), (epochs, constant)], dashed=True))
    caption = f"Kept is number {model.rounds}, where the eval split was best."
    chart = r.line_chart(lines, title_of(model.metric), "Epoch", caption=caption)
    accuracy = r.line_chart([r.Line("eval", thinned(model.accuracy))], "Accuracy", "Epoch", caption=caption)
    return r.section("Curves", r.grid(chart, accuracy))


def _cost(trained: TrainedImages) -> r.Html:
    parity = trained.parity
    words = (
        f"The exported graph agrees with the trained network on {parity.rows:,} pictures, among them tiny, huge, grey "
        f"and oddly sized ones; the largest difference is {parity.largest_difference:.1e}."
    )
    kept = (
        "Each picture was decoded once, and kept in memory."
        if trained.decoded
        else "The decoded pictures did not fit into memory: they were decoded anew in each epoch."
    )
    memory = f"{kept} The process has had {trained.peak_mib:,.0f} MiB at most, the libraries included."
    return cost(trained.seconds, memory, words, tensorflow_in_words(trained.variants))
