"""The model card as a self-contained HTML page."""

from __future__ import annotations

from headrace.artifacts import report as r
from headrace.artifacts.card import ModelCard
from headrace.artifacts.card_sections import (
    Bars,
    Block,
    CardSection,
    Figures,
    Grid,
    Pairs,
    Points,
    Words,
    sections,
    text,
)

_STATES: dict[str, r.Kind] = {"approved": "good", "live": "good", "rejected": "bad", "archived": "neutral"}
_MARKS: dict[str, r.Kind] = {"passed": "good", "FAILED": "bad"}
_LONG = 34  # characters: of more than that a column is of sentences


def card_page(card: ModelCard) -> str:
    """The card as one HTML document."""
    facts = [("Model", card.model_digest)] if card.model_digest else []
    shown = [_section(part) for part in sections(card)]
    about = card.subtitle if card.model_digest else f"{card.subtitle}, as training left it"
    return r.page(f"Model card: {card.name}", about, shown, status=_status(card), facts=facts)


def _status(card: ModelCard) -> r.Html | None:
    """The version's state in the registry; before there is one, what the gates said."""
    state = str(card.registered.get("State", ""))
    if state:
        return r.badge(state, _STATES.get(state, "info"))
    if card.passed is None:
        return None
    return r.badge("gates passed", "good") if card.passed else r.badge("gates not passed", "bad")


def _section(part: CardSection) -> r.Html:
    return r.section(part.title, *(_block(block) for block in part.blocks), intro=part.about)


def _block(block: Block) -> r.Html:
    match block:
        case Words():
            return r.paragraph(block.text)
        case Pairs():
            return r.key_values((key, text(value)) for key, value in block.items.items())
        case Points():
            head = f'<p class="muted">{r.markup(block.title)}</p>' if block.title else ""
            return r.Html(head + r.bullets(block.items))
        case Figures():
            return r.tiles(block.items)
        case Bars():
            bars = [r.Bar(name, value) for name, value in block.values.items()]
            return r.bar_chart(bars, block.title)
        case Grid():
            return _grid(block)


def _grid(block: Grid) -> r.Html:
    table = block.table
    about = f'<p class="muted">{r.markup(table.about)}</p>' if table.about else ""
    if not table.rows:
        return r.Html(f"<h3>{r.markup(table.title)}</h3>{about}" if table.title else about)
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    align = "".join(_letter([row[i] for row in table.rows]) for i in range(len(table.headers)))
    whole = r.table(table.headers, rows, align)
    if block.folded:
        return r.details(table.title, r.Html(about + whole))
    head = f"<h3>{r.markup(table.title)}</h3>" if table.title else ""
    return r.Html(head + about + whole)


def _cell(cell: r.Cell) -> r.Cell:
    return r.badge(cell, _MARKS[cell]) if isinstance(cell, str) and cell in _MARKS else cell


def _letter(cells: list[r.Cell]) -> str:
    """How a column is aligned: numbers right, sentences wide."""
    given = [cell for cell in cells if cell not in (None, "")]
    if given and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in given):
        return "r"
    longest = max((len(cell) for cell in given if isinstance(cell, str)), default=0)
    return "w" if longest > _LONG else "l"
