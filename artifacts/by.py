"""What rows are divided by: a column, or two or more columns together."""

from __future__ import annotations

from collections.abc import Sequence

By = str | tuple[str, ...]

CROSS = " × "  # between the columns of a pair, and between their values


def as_by(columns: str | Sequence[str]) -> By:
    """One column as its name, several as a tuple.

    >>> as_by("plan"), as_by(["plan", "region"]), as_by(["plan"])
    ('plan', ('plan', 'region'), 'plan')
    """
    if isinstance(columns, str):
        return columns
    return columns[0] if len(columns) == 1 else tuple(columns)


def columns_of(by: By) -> tuple[str, ...]:
    """The columns.

    >>> columns_of("plan"), columns_of(("plan", "region"))
    (('plan',), ('plan', 'region'))
    """
    return (by,) if isinstance(by, str) else by


def by_name(by: str | Sequence[str]) -> str:
    """What slices and groups by these columns are called, in artifacts and on pages; their values likewise.

    >>> by_name("plan"), by_name(["plan", "region"])
    ('plan', 'plan × region')
    """
    return by if isinstance(by, str) else CROSS.join(by)
