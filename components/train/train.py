"""What the training step does around the trainer: settings in, bundle, metrics and card out."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from headrace import __version__
from headrace.artifacts.bundle import Bundle
from headrace.artifacts.schema import FILE, read_schema
from headrace.components.train.spec import TrainSpec
from headrace.trainer.parameters import GbdtParameters
from headrace.trainer.tabular import train


def train_model(
    dataset: Path,
    transform: Path,
    schema: Path,
    name: str,
    settings: TrainSpec,
    model: Path,
    report: Path,
    statistics: Path | None = None,
) -> dict[str, float]:
    """Trains and writes the bundle to `model`, with the data's statistics in it, and its card to `report`.

    Returns:
        what is worth logging: rounds, the training metric on the eval split, and how exact the export is.
    """
    read_schema(schema)  # refuses a damaged or newer one
    trained = train(
        dataset,
        transform,
        schema / FILE,
        name,
        settings.model,
        GbdtParameters(**settings.gbdt.model_dump()),
        settings.seed,
        origin(),
        model,
        statistics,
    )
    shutil.copyfile(Bundle.open(model, verify=False).card_html, report)
    learned, parity = trained.model, trained.parity
    print(f"{learned.rounds} rounds; parity over {parity.rows:,} rows: {parity.largest_difference:.1e}")
    return {
        "rounds": learned.rounds,
        f"eval_{learned.metric}": learned.curve["eval"][learned.rounds - 1],
        "parity_largest_difference": parity.largest_difference,
    }


def origin() -> dict[str, str]:
    """What made the model, as far as the platform tells: the environment's digest and the spec's code commit."""
    known = {"HEADRACE_COMMIT": "commit", "HEADRACE_ENVIRONMENT": "environment"}
    found = {key: os.environ[variable] for variable, key in known.items() if os.environ.get(variable)}
    return {"headrace": __version__, **found}
