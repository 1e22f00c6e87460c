"""Long lists to search in: entries that are folded away, under a box that leaves only the ones asked for.

The box is all that needs a script. Where none may run, as in some viewers' frames, the box is not there, and
the list is whole. Sorting needs none: which order is chosen is a radio button's, and the style sheet's, affair.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.artifacts.report.blocks import Cell, Html, _join, markup

MARK = "data-filter="  # a page that holds it needs the script


@dataclass(frozen=True)
class Entry:
    """One entry of a list: a line of cells, and what it unfolds to."""

    anchor: str  # unique in the page: other places link to it
    words: str  # what it is found by, beside nothing else
    cells: Sequence[Cell]
    blocks: Sequence[Html] = ()
    opened: bool = False
    places: Sequence[int] = ()  # in each of the orders that the list offers, from 1 on


MOST_ORDERS = 8  # that the style sheet knows


def entries(
    name: str, headers: Sequence[str], rows: Iterable[Entry], hint: str = "", orders: Sequence[str] = ()
) -> Html:
    """A list of entries, each as many cells as the headers; `name` is its anchor.

    With `orders`, their names, the reader chooses among them; the first is the one to begin with.

    Raises:
        ValueError: an entry has not as many cells as there are headers, or places as there are orders.
    """
    body = list(rows)
    if len(orders) > MOST_ORDERS or any(len(row.places) != len(orders) for row in body):
        raise ValueError(f"expected at most {MOST_ORDERS} orders, and a place in each. Received: {len(orders)} orders")
    lengths = sorted({len(row.cells) for row in body})
    if lengths not in ([], [len(headers)]):
        raise ValueError(f"expected {len(headers)} cells in each entry. Received: {lengths}")
    head = "".join(f"<span>{markup(header)}</span>" for header in headers)
    box = (
        f'<label class="find" hidden>Find <input type="search" {MARK}"{_attribute(name)}" '
        f'placeholder="{_attribute(hint)}" autocomplete="off"><output class="muted"></output></label>'
    )
    listed = (
        f'<div class="entries" id="{_attribute(name)}" style="--cells:{len(headers) - 1}">'
        f'<div class="line head">{head}</div>{"".join(_entry(row) for row in body)}</div>'
    )
    if not orders:
        return Html(box + listed)
    return Html(f'<div class="sortable">{_choice(name, orders)}{box}{listed}</div>')


def _choice(name: str, orders: Sequence[str]) -> str:
    buttons = "".join(
        f'<label><input type="radio" name="{_attribute(name)}-order" class="by{number}"{" checked" * (number == 0)}>'
        f"{markup(order)}</label>"
        for number, order in enumerate(orders)
    )
    return f'<fieldset class="orders"><legend>Sorted by</legend>{buttons}</fieldset>'


def _entry(entry: Entry) -> str:
    cells = "".join(f"<span>{markup(cell)}</span>" for cell in entry.cells)
    place = f'id="{_attribute(entry.anchor)}" data-words="{_attribute(entry.words.lower())}"'
    opened = " open" if entry.opened else ""
    if entry.places:
        place += f' style="{";".join(f"--o{number}:{order}" for number, order in enumerate(entry.places))}"'
    return f'<details {place}{opened}><summary class="line">{cells}</summary><div>{_join(entry.blocks)}</div></details>'


def _attribute(text: str) -> str:
    return html.escape(text, quote=True)


@functools.cache
def script() -> str:
    """The script of the box."""
    return Path(__file__).with_name("search.js").read_text(encoding="utf-8").strip()


@functools.cache
def script_hash() -> str:
    """What a content security policy calls it: it, and nothing else, may run."""
    return "'sha256-" + base64.b64encode(hashlib.sha256(script().encode()).digest()).decode() + "'"
