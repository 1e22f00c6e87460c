"""One-sided limits of an estimate, kept at a few confidences: what a gate that asks for one holds against its bound."""

from __future__ import annotations

from collections.abc import Mapping

CONFIDENCES = (0.8, 0.9, 0.95, 0.975, 0.99, 0.995)

Limits = Mapping[str, tuple[float, float]]  # confidence, as text -> (lower, upper), each one-sided


def limit(limits: Limits, confidence: float, upper: bool) -> float | None:
    """The limit that the true value keeps with at least this confidence; None where none is kept that is as strict.

    >>> limit({"0.9": (0.1, 0.3), "0.95": (0.05, 0.35)}, 0.93, upper=True)
    0.35
    """
    strict = sorted(float(text) for text in limits if float(text) >= confidence)
    return limits[f"{strict[0]:g}"][int(upper)] if strict else None
