"""A bundle's own examples: raw instances, and the answers that its server must give for them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.artifacts.answer import predictions
from headrace.artifacts.raw_inputs import open_graph, run_graph
from headrace.artifacts.signature import EXACT, Signature

COUNT = 16


def samples(rows: pa.Table, model: Path, signature: Signature) -> dict[str, Any]:
    """The first rows as JSON instances, with the model's predictions, in the server's form."""
    rows = rows.slice(0, COUNT)
    answers = run_graph(open_graph(model), rows, signature.inputs)
    instances = [{name: _json(value) for name, value in row.items()} for row in rows.to_pylist()]
    return {"instances": instances, "predictions": predictions(signature, answers)}


def _json(value: Any) -> Any:
    if isinstance(value, int) and abs(value) > EXACT:
        return float(value)  # as it was learned from; servers take no whole number that is not exact
    return value.isoformat() if isinstance(value, date | datetime) else value
