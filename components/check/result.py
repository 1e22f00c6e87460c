"""What a check of one's own returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ValidationResult:
    """Whether a check passed, and what to tell where it did not.

    Attributes:
        passes: whether the data is as the check wants it.
        message: what was found, for people: `3 subscribers are older than 120 years`.
        diagnostics: figures worth keeping; `examples` may name up to five rows, by their ids.
    """

    passes: bool
    message: str = ""
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
