"""The model card as Markdown, for repositories and terminals."""

from __future__ import annotations

from headrace.artifacts import report
from headrace.artifacts.card import ModelCard, Table
from headrace.artifacts.card_sections import Bars, Block, Figures, Grid, Pairs, Points, Words, sections, text


def markdown(card: ModelCard) -> str:
    """The card as Markdown."""
    parts = [f"# Model card: {plain(card.name)}", plain(card.subtitle)]
    for part in sections(card):
        parts.append(f"## {plain(part.title)}")
        parts += [plain(part.about)] if part.about else []
        parts += [said for block in part.blocks if (said := _block(block))]
    return "\n\n".join(parts) + "\n"


def plain(value: str) -> str:
    """Text that Markdown takes as text: on one line, with what it would read as markup escaped."""
    signs = str.maketrans({sign: f"\\{sign}" for sign in "\\`*[]<>"})
    return " ".join(value.split()).translate(signs)


def _block(block: Block) -> str:
    match block:
        case Words():
            return plain(block.text)
        case Pairs():
            return "\n".join(f"- **{plain(key)}**: {plain(text(value))}" for key, value in block.items.items())
        case Points():
            head = f"**{plain(block.title)}**\n\n" if block.title else ""
            return head + "\n".join(f"- {plain(item)}" for item in block.items)
        case Figures():
            return "\n".join(_figure(*item) for item in block.items)
        case Bars():
            rows = tuple((name, value) for name, value in block.values.items())
            return _table(Table(block.title, ("Feature", "Value"), rows))
        case Grid():
            return "" if block.brief else _table(block.table)


def _figure(name: str, value: object, note: str) -> str:
    shown = value if isinstance(value, str) else report.number(value)  # type: ignore[arg-type]
    return f"- **{plain(name)}**: {shown}" + (f" ({plain(note)})" if note else "")


def _table(table: Table) -> str:
    parts = [f"### {plain(table.title)}"] if table.title else []
    parts += [plain(table.about)] if table.about else []
    if table.rows:
        lines = [table.headers, ["---"] * len(table.headers), *([_cell(cell) for cell in row] for row in table.rows)]
        parts.append("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
    return "\n\n".join(parts)


def _cell(cell: str | int | float | bool | None) -> str:
    shown = cell if isinstance(cell, str) else str(report.markup(cell))
    return plain(shown).replace("|", "\\|")
