"""Two versions side by side: metrics, what they were made of, what they ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.artifacts.bundle import LINEAGE, SIGNATURE
from headrace.artifacts.errors import HeadraceError
from headrace.artifacts.folder import read_json
from headrace.artifacts.metrics import METRICS
from headrace.pipelines.models.words import ranked, state_words, table
from headrace.platforms.interface import ModelVersion
from headrace.platforms.lifecycle import label

_WIDE = 40  # of a value
_FOLLOWS = ("training.importance.", "training.log_loss.", "parity.")  # from what differs, and is no cause of anything


@dataclass(frozen=True)
class Compared:
    """What differs between two versions, `one` and `other`."""

    one: ModelVersion
    other: ModelVersion
    metrics: tuple[
        tuple[str, float | None, float | None, str], ...
    ]  # name, one's, other's, `one` or `other` where that is better
    facts: tuple[tuple[str, str, str], ...]  # what differs of lineage and inputs

    @property
    def same_rows(self) -> bool:
        """Whether both were measured on the same rows: else their metrics do not compare."""
        keys = ("dataset", "split")
        return all(self.one.labels.get(key) == self.other.labels.get(key) is not None for key in keys)


def compare(one: ModelVersion, other: ModelVersion) -> Compared:
    """Holds two versions against each other.

    Raises:
        HeadraceError: a bundle cannot be read.
    """
    measured = [name for name, _ in ranked({**one.metrics, **other.metrics})]
    metrics = [(name, one.metrics.get(name), other.metrics.get(name)) for name in measured]
    before, after = _facts(one), _facts(other)
    names = [name for name in dict.fromkeys([*before, *after]) if not name.startswith(_FOLLOWS)]
    differing = [name for name in names if before.get(name, "") != after.get(name, "")]
    return Compared(
        one,
        other,
        tuple((name, a, b, _better(name, a, b)) for name, a, b in metrics),
        tuple((name, before.get(name, ""), after.get(name, "")) for name in differing),
    )


def compare_text(found: Compared) -> list[str]:
    """The comparison for people."""
    one, other = found.one, found.other
    head = ("", label(one), label(other))
    lines = table(head, [
        ("state", state_words(one), state_words(other)),
        ("registered", one.created[:16].replace("T", " "), other.created[:16].replace("T", " ")),
        ("run", one.run, other.run),
    ])  # fmt: skip
    names = {"one": label(one), "other": label(other)}
    if found.metrics:
        rows = [
            (
                name,
                _number(a),
                _number(b),
                f"{b - a:+.4g}" if a is not None and b is not None else "",
                names.get(better, ""),
            )
            for name, a, b, better in found.metrics
        ]
        lines += ["", *table(("METRIC", label(one), label(other), "DIFFERENCE", "BETTER"), rows, right=(1, 2, 3))]
        lines.append(
            "Both were measured on the same rows."
            if found.same_rows
            else "They were measured on different rows: a difference may come from those."
        )
    if found.facts:
        facts = [(name, _short(a), _short(b)) for name, a, b in found.facts]
        lines += ["", *table(("DIFFERS", label(one), label(other)), facts)]
    return lines


def compare_json(found: Compared) -> dict[str, Any]:
    """The comparison for machines."""
    return {
        "one": label(found.one),
        "other": label(found.other),
        "same_rows": found.same_rows,
        "metrics": {name: {"one": a, "other": b, "better": better or None} for name, a, b, better in found.metrics},
        "differs": {name: {"one": a, "other": b} for name, a, b in found.facts},
    }


def _better(name: str, one: float | None, other: float | None) -> str:
    """Which is better, where the metric has a direction."""
    info = METRICS.get(name)
    if one is None or other is None or info is None or one == other:
        return ""
    if info.higher_is_better is None:  # nearer to zero is better
        return "" if abs(one) == abs(other) else "one" if abs(one) < abs(other) else "other"
    return "other" if (other > one) == info.higher_is_better else "one"


def _facts(version: ModelVersion) -> dict[str, str]:
    """What a version was made of, flat: its lineage and the inputs that it asks for."""
    folder = Path(version.uri)
    if not (folder / SIGNATURE).exists():
        raise HeadraceError(f"{version.uri}: expected the bundle of {label(version)}. Received: none there")
    lineage = read_json(folder / LINEAGE) if (folder / LINEAGE).exists() else {}
    inputs = {str(item["name"]): item.get("type", "") for item in read_json(folder / SIGNATURE).get("inputs", ())}
    return {
        **_flat(lineage),
        **{f"input {name}": str(kind) for name, kind in inputs.items()},
    }


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for name, item in value.items():
            found |= _flat(item, f"{prefix}.{name}" if prefix else str(name))
        return found
    if value in (None, [], {}):  # a setting that an older version did not write has its default
        return {}
    return {prefix: value if isinstance(value, str) else json.dumps(value)}


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."
