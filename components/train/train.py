"""What the training step does around the trainer: settings in, bundle, metrics and card out."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from headrace import __version__
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.report import write as write_report
from headrace.artifacts.schema import FILE, read_schema
from headrace.artifacts.tuning import read_tuning
from headrace.components.evaluate.value_spec import ValueSpec
from headrace.components.train.page import training_page
from headrace.components.train.spec import TrainSpec
from headrace.trainer.parameters import Training
from headrace.trainer.tabular import train
from headrace.trainer.threshold import Chosen


def train_model(
    dataset: Path,
    transform: Path | None,
    schema: Path,
    name: str,
    settings: TrainSpec,
    model: Path,
    report: Path,
    card: Path,
    statistics: Path | None = None,
    tuning: Path | None = None,
    value: dict[str, Any] | None = None,
) -> dict[str, float]:
    """Trains and writes the bundle to `model`, how it went to `report`, and the bundle's card to `card`.

    Args:
        dataset, transform, schema, statistics: folders of these artifacts; pictures have no transform.
        name: the model's name.
        settings: the spec's `train` section.
        model, report, card: where to write.
        tuning: what tuning tried; the parameters that it chose overrule those of the settings.
        value: the section `evaluate.value` of the spec, for a threshold of most value.

    Returns:
        what is worth logging: rounds, the training metric on the eval split, what a constant reaches there, and how
        exact the export is.
    """
    read_schema(schema)  # refuses a damaged or newer one
    found = None if tuning is None else read_tuning(tuning)
    gains = ValueSpec(**value).gains if value else None
    training = settings.training(found.chosen if found else None, gains)
    if training.kind == "cnn":
        return _train_images(dataset, schema / FILE, name, training, model, report, card, statistics)
    if transform is None:
        raise HeadraceError(f"train: expected a transform with model: {training.kind}. Received: none")
    trained = train(dataset, transform, schema / FILE, name, training, origin(), model, statistics)
    write_report(report, training_page(name, trained, training, found))
    shutil.copyfile(Bundle.open(model, verify=False).card_html, card)
    learned, parity, metric = trained.model, trained.parity, trained.model.metric
    reached, constant = learned.curve["eval"][learned.rounds - 1], trained.baseline.values["eval"]
    print(f"{learned.rounds} rounds; eval {metric} {reached:.6g}, a constant's {constant:.6g}; "
          f"parity over {parity.rows:,} rows: {parity.largest_difference:.1e}")  # fmt: skip
    return {
        **_threshold(trained.threshold),
        "rounds": learned.rounds,
        f"eval_{metric}": reached,
        f"baseline_eval_{metric}": constant,
        "parity_largest_difference": parity.largest_difference,
    }


def _train_images(
    dataset: Path,
    schema: Path,
    name: str,
    training: Training,
    model: Path,
    report: Path,
    card: Path,
    statistics: Path | None,
) -> dict[str, float]:
    # Keras is imported only where pictures are trained on.
    trained = import_module("headrace.trainer.images.train").train(
        dataset, schema, name, training, origin(), model, statistics, _told
    )
    page: str = import_module("headrace.components.train.images_page").images_page(name, trained, training)
    write_report(report, page)
    shutil.copyfile(Bundle.open(model, verify=False).card_html, card)
    learned, parity, last = trained.model, trained.parity, trained.model.rounds - 1
    reached, accuracy = learned.curve["eval"][last], learned.accuracy[last]
    constant = trained.baseline.values["eval"]
    print(f"{learned.rounds} epochs; eval accuracy {accuracy:.4f}, log loss {reached:.6g}, a constant's "
          f"{constant:.6g}; {learned.images_per_second:.1f} pictures a second; "
          f"parity over {parity.rows:,} pictures: {parity.largest_difference:.1e}")  # fmt: skip
    return {
        **_threshold(trained.threshold),
        "rounds": learned.rounds,
        "eval_accuracy": accuracy,
        "eval_log_loss": reached,
        "baseline_eval_log_loss": constant,
        "images_per_second": learned.images_per_second,
        "parity_largest_difference": parity.largest_difference,
    }


def _threshold(chosen: Chosen | None) -> dict[str, float]:
    """The threshold, where it was chosen."""
    if chosen is None or chosen.reached is None:
        return {}
    print(f"threshold {chosen.words}")
    return {"threshold": chosen.at}


def _told(epoch: int, loss: float) -> None:
    """An epoch may take minutes: who follows the task's log sees each."""
    print(f"epoch {epoch}: eval log loss {loss:.4f}", flush=True)


def origin() -> dict[str, str]:
    """What made the model, as far as the platform tells: the environment's digest and the spec's code commit."""
    known = {"HEADRACE_COMMIT": "commit", "HEADRACE_ENVIRONMENT": "environment"}
    found = {key: os.environ[variable] for variable, key in known.items() if os.environ.get(variable)}
    return {"headrace": __version__, **found}
