"""What CSV text means, in one place for training and serving: the separator, and the names of the columns.

The client of the prediction server reads files with these functions too; so only the standard library is imported.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SEPARATORS = set(string.punctuation + " \t") - {'"'}  # what may stand between fields
BLANKS = " \t\u00a0"  # what `data.trim` takes away at either end of a field; spreadsheets write the last


def separator_of(file: Path | str, separator: str | None = None) -> str:
    """What separates a file's cells: what is given, else a tab where its suffix is `.tsv`, else a comma."""
    return separator or ("\t" if Path(file).suffix.lower() == ".tsv" else ",")


def column_names(header: Iterable[str]) -> list[str]:
    """The names in a header, without spaces around them; an unnamed column becomes `unnamed_<position>`.

    >>> column_names(["id", " plan ", ""])
    ['id', 'plan', 'unnamed_3']
    """
    return [name.strip() or f"unnamed_{position}" for position, name in enumerate(header, start=1)]


def repeated(names: Iterable[str]) -> list[str]:
    """The names that occur more than once, each once."""
    return [name for name, count in Counter(names).items() if count > 1]
