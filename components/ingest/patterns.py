"""How values are written in text files, as patterns of RE2."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

BOOLEAN = r"^(?i:true|false)$"
INTEGER = r"^[+-]?(0|[1-9][0-9]*)$"
CODE = r"^[+-]?0[0-9]"  # 007 is a code: as a number it would lose its zeros
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})?$"
NUMBER = r"^\s*[+-]?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?\s*$"
NUMBER_LIKE = r"^\s*[+-]?[0-9.,]"
POINTED = r"^[+-]?0?[0-9]*\.[0-9]*$"
GROUPED = r"^\s*[+-]?[1-9][0-9]{0,2}(,[0-9]{3})+(\.[0-9]*)?\s*$"
MOST = 0.9  # share of a column's values from which on the rest is probably a slip


def with_points(values: Any) -> Any:
    """Numbers with a decimal comma, written with a point: 1.234,56 as 1234.56."""
    return pc.replace_substring(pc.replace_substring(values, ".", ""), ",", ".")
