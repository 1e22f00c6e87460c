"""Training as a job of its own: what a Vertex AI custom job, or any container, runs.

    python -m headrace.trainer.task --dataset DIR --transform DIR --schema DIR --name churn --output DIR

The arguments name artifacts as the pipeline's steps write them; Vertex's AIP_MODEL_DIR is the default output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.schema import FILE, read_schema
from headrace.trainer.parameters import GbdtParameters
from headrace.trainer.tabular import train


def main(arguments: Sequence[str] | None = None) -> int:
    """Trains one model; returns the process's exit code."""
    parser = argparse.ArgumentParser(prog="headrace.trainer.task", description="Train one model for a table.")
    parser.add_argument("--dataset", type=Path, required=True, help="a dataset snapshot")
    parser.add_argument("--transform", type=Path, required=True, help="a fitted transform")
    parser.add_argument("--schema", type=Path, required=True, help="the schema the data was validated against")
    parser.add_argument("--name", required=True, help="the model's name")
    parser.add_argument("--output", type=Path, default=os.environ.get("AIP_MODEL_DIR"), help="the bundle's folder")
    parser.add_argument("--parameters", type=json.loads, default={}, metavar="JSON", help="LightGBM's, by name")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.output is None:
        parser.error("expected --output or AIP_MODEL_DIR. Received: neither")
    try:
        parameters = GbdtParameters(**given.parameters)
    except TypeError as error:
        parser.error(f"--parameters: expected LightGBM's parameters by name. Received: {error}")
    try:
        read_schema(given.schema)
        schema = given.schema / FILE
        trained = train(
            given.dataset, given.transform, schema, given.name, "gbdt", parameters, given.seed, {}, given.output
        )
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{given.output}: {trained.digest}, {trained.model.rounds} rounds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
