"""How wide text is drawn, as far as that can be told without the reader's fonts."""

from __future__ import annotations

import unicodedata

SIGN = 7.7  # pixels of a figure's width at 12 px, in the widest of the fonts that a page may get


def columns(text: str) -> int:
    """How many columns a text takes: letters of Chinese, Japanese and Korean and pictures are two wide, accents none.

    >>> columns("class"), columns("类别"), columns("e\N{COMBINING ACUTE ACCENT}")
    (5, 4, 1)
    """
    return sum(_columns(sign) for sign in text)


def shortened(text: str, most: float) -> str:
    """The text, or its beginning and an ellipsis where it takes more than `most` columns.

    >>> shortened("basic", 5), shortened("premium", 5), shortened("类别名称", 5)
    ('basic', 'prem…', '类别…')
    """
    if columns(text) <= most:
        return text
    kept, room = 0, most - 1
    while (room := room - _columns(text[kept])) >= 0:
        kept += 1
    # Half of a joined picture would be another picture.
    return text[:kept].rstrip(" \N{ZERO WIDTH JOINER}") + "…"


def _columns(sign: str) -> int:
    if unicodedata.category(sign) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
