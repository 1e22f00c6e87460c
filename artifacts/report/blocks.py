"""The blocks a report is made of: text, tables, tiles, badges. Each returns escaped HTML."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from headrace.artifacts.report.numbers import number, percent
from headrace.artifacts.report.widths import columns, shortened

Kind = Literal["good", "bad", "warn", "info", "neutral"]
_CODE = re.compile(r"`([^`]+)`")
_HALF_PAGE, _ROOMY = 4, 8  # columns of a matrix that half a page has room for; beyond the others, cells are small
_UPRIGHT, _HEADER = 5, 20  # a header's columns in a small cell before it is turned, and at most
_NAME = 20  # columns of a row's name in one line of a matrix
_KINDS = ("good", "bad", "warn", "info", "neutral")


class Html(str):
    """Text that is HTML already. Everything else is escaped where it enters a report."""

    __slots__ = ()


Cell = str | int | float | bool | None


def markup(value: Cell) -> Html:
    """What stands in the page for a value: `Html` as it is, numbers for people, other text escaped."""
    if isinstance(value, Html):
        return value
    if isinstance(value, bool):
        return Html("yes" if value else "no")
    if value is None or isinstance(value, int | float):
        return Html(number(value))
    return Html(html.escape(str(value)))


def prose(text: str) -> Html:
    """Our own words, with what is between backticks as code.

    >>> prose("the gate says `without_champion: pass`")
    'the gate says <code>without_champion: pass</code>'
    """
    return Html(_CODE.sub(r"<code>\1</code>", markup(text)))


def paragraph(text: str) -> Html:
    """A paragraph of text."""
    return Html(f"<p>{markup(text)}</p>")


def bullets(items: Iterable[Cell]) -> Html:
    """A list of points."""
    return Html("<ul>" + "".join(f"<li>{markup(item)}</li>" for item in items) + "</ul>")


def code(text: str) -> Html:
    """Preformatted text: a command, a configuration."""
    return Html(f"<pre><code>{markup(text)}</code></pre>")


def link(text: str, target: str) -> Html:
    """A link to another page, by a path relative to this one."""
    return Html(f'<a href="{html.escape(target, quote=True)}">{markup(text)}</a>')


def image(uri: str, text: str, caption: str = "") -> Html:
    """A small picture, given as a data URI: a page fetches nothing.

    Raises:
        ValueError: another address.
    """
    if not uri.startswith("data:image/"):
        raise ValueError(f"expected a picture as a data URI. Received: {uri[:40]}")
    source, alt = html.escape(uri, quote=True), html.escape(text, quote=True)
    note = f"<span>{markup(caption)}</span>" if caption else ""
    return Html(f'<span class="picture"><img src="{source}" alt="{alt}" title="{alt}">{note}</span>')


def badge(text: str, kind: Kind = "neutral") -> Html:
    """A short coloured word: `badge("passed", "good")`. The word says it all; the colour only helps."""
    return Html(f'<span class="badge {_kind(kind)}">{markup(text)}</span>')


def callout(text: str, kind: Kind = "info", title: str | None = None) -> Html:
    """A message that must not be overlooked."""
    head = f"<strong>{markup(title)}</strong> " if title else ""
    return Html(f'<div class="callout {_kind(kind)}">{head}{markup(text)}</div>')


def details(summary: str, *blocks: Html, opened: bool = False) -> Html:
    """Blocks that are folded away until asked for; printed unfolded."""
    attribute = " open" if opened else ""
    return Html(f"<details{attribute}><summary>{markup(summary)}</summary>{_join(blocks)}</details>")


def grid(*blocks: Html) -> Html:
    """Blocks side by side where the page is wide enough."""
    return Html(f'<div class="grid">{_join(blocks)}</div>')


def tiles(items: Iterable[tuple[str, Cell, Cell] | tuple[str, Cell]]) -> Html:
    """The figures to see first: (label, value) or (label, value, note)."""
    parts = []
    for label, value, *rest in items:
        note = f'<div class="note">{markup(rest[0])}</div>' if rest and rest[0] not in (None, "") else ""
        parts.append(
            f'<div class="tile"><dt>{markup(label)}</dt><dd><div class="value">{markup(value)}</div>{note}</dd></div>'
        )
    return Html(f'<dl class="tiles">{"".join(parts)}</dl>')


def key_values(items: Iterable[tuple[str, Cell]]) -> Html:
    """Names and values, one pair per line: digests, paths, settings."""
    rows = "".join(f"<div><dt>{markup(key)}</dt><dd>{markup(value)}</dd></div>" for key, value in items)
    return Html(f'<dl class="pairs">{rows}</dl>')


def meter(share: float, text: str | None = None, kind: Kind = "info") -> Html:
    """A small bar for a share of one, with its text, for a table's cell."""
    width = min(max(share, 0.0), 1.0) * 100
    label = markup(percent(share) if text is None else text)
    bar = f'<span class="bar"><i style="width:{width:.1f}%"></i></span>'
    return Html(f'<span class="meter {_kind(kind)}">{bar}<span>{label}</span></span>')


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    align: str | None = None,
    caption: str | None = None,
    empty: str = "Nothing to show.",
) -> Html:
    """A table. `align` has one letter per column, `l`, `r` or `c`; without it columns of numbers go right.

    `w` is `l` for sentences: wide enough to be read, and broken anywhere rather than wider than the page.

    Raises:
        ValueError: a row, or `align`, has another length than the headers.
    """
    body = [list(row) for row in rows]
    lengths = sorted({len(row) for row in body})
    if lengths not in ([], [len(headers)]):
        raise ValueError(f"expected {len(headers)} cells in each row. Received: {lengths}")
    if align is None:
        align = "".join(_alignment([row[i] for row in body]) for i in range(len(headers)))
    if len(align) != len(headers) or set(align) - set("lrcw"):
        raise ValueError(f"expected {len(headers)} letters of l, r, c, w. Received: align={align!r}")
    if not body:
        return Html(f'<p class="muted">{markup(empty)}</p>')
    head = "".join(
        f'<th scope="col" class="{letter}">{markup(header)}</th>' for header, letter in zip(headers, align, strict=True)
    )
    lines = "".join(f"<tr>{_cells(row, align)}</tr>" for row in body)
    title = f"<caption>{markup(caption)}</caption>" if caption else ""
    # Focusable, so that a table wider than the screen can be scrolled with the keyboard.
    return Html(
        f'<div class="scroll" tabindex="0"><table>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def heat_table(
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    values: Sequence[Sequence[float | int]],
    title: str,
    row_title: str = "Actual",
    column_title: str = "Predicted",
) -> Html:
    """A matrix (rows, columns) coloured by each cell's share of its row, such as a confusion matrix.

    With more than a few columns it is as wide as the page, with many its cells are small; up to 20 are in view at once.
    """
    dense = len(column_labels) > _ROOMY
    turned = dense and any(columns(label) > _UPRIGHT for label in column_labels)
    head = "".join(_header(label, dense) for label in column_labels)
    lines = []
    for label, row in zip(row_labels, values, strict=True):
        total = sum(row)
        cells = "".join(_heat_cell(value, value / total if total else 0.0) for value in row)
        lines.append(f'<tr><th scope="row">{markup(label)}</th>{cells}</tr>')
    corner = f'<th scope="colgroup" class="c" colspan="{len(column_labels)}"><span>{markup(column_title)}</span></th>'
    wide = ' class="wide"' if len(column_labels) > _HALF_PAGE else ""
    names = min(max((columns(label) for label in row_labels), default=0), _NAME)
    style = f"heat{' dense' if dense else ''}{' turned' if turned else ''}"
    return Html(
        f'<figure{wide}><figcaption>{markup(title)}</figcaption><div class="scroll" tabindex="0">'
        f'<table class="{style}" style="--names:{names}ch"><thead><tr><td></td>{corner}</tr>'
        f'<tr><th scope="col">{markup(row_title)}</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div></figure>"
    )


def _header(label: str, short: bool) -> str:
    """A column's name; where there is little room cut, and whole where the pointer rests on it, and in its row."""
    shown = shortened(label, _HEADER) if short else label
    whole = "" if shown == label else f' title="{html.escape(label, quote=True)}"'
    return f'<th scope="col" class="c"{whole}><span>{markup(shown)}</span></th>'


def _cells(row: Sequence[Cell], align: str) -> str:
    return "".join(f'<td class="{letter}">{markup(cell)}</td>' for cell, letter in zip(row, align, strict=True))


def _heat_cell(value: float | int, share: float) -> str:
    deep = " deep" if share > 0.75 else ""
    return (
        f'<td class="c{deep}" style="--share:{share:.3f}">'
        f"<span>{markup(value)}</span><small>{markup(percent(share))}</small></td>"
    )


def _alignment(cells: list[Cell]) -> str:
    numeric = [cell for cell in cells if cell is not None]
    plain = all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in numeric)
    return "r" if numeric and plain else "l"


def _kind(kind: str) -> str:
    if kind not in _KINDS:
        raise ValueError(f"expected one of {', '.join(_KINDS)}. Received: kind={kind!r}")
    return kind


def _join(blocks: Iterable[Html]) -> str:
    for block in blocks:
        if not isinstance(block, Html):
            raise TypeError(f"expected a block made by the report's functions. Received: {block!r:.80}")
    return "\n".join(blocks)
