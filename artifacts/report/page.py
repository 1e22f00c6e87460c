"""The page around the blocks: one file that holds its own style and fetches nothing."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from headrace.artifacts.folder import write_text
from headrace.artifacts.report.blocks import Cell, Html, _join, key_values, markup
from headrace.artifacts.report.search import MARK, script, script_hash

# The browser itself refuses to fetch or run anything, whatever text found its way into a report.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(
    title: str,
    subtitle: str = "",
    sections: Iterable[Html] = (),
    *,
    status: Html | None = None,
    facts: Sequence[tuple[str, Cell]] = (),
) -> str:
    """A whole report as one HTML document.

    Args:
        title: what the report is, also the window's title.
        subtitle: of what: the model, the data, the split.
        sections: made with `section`.
        status: a badge beside the title, such as `badge("passed", "good")`.
        facts: names and values for the foot of the page: digests, versions.
    """
    body = _join(sections)
    foot = key_values(facts) if facts else ""
    lead = f'<p class="subtitle">{markup(subtitle)}</p>' if subtitle else ""
    searched = MARK in body
    policy = f"{_POLICY}; script-src {script_hash()}" if searched else _POLICY
    tail = f"<script>{script()}</script>\n" if searched else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{markup(title)}</title>\n<style>\n{_style()}</style>\n</head>\n<body>\n"
        f'<header><p class="brand">Headrace</p><div class="head"><h1>{markup(title)}</h1>{status or ""}</div>'
        f"{lead}{_contents(body)}</header>\n"
        f"<main>\n{body}\n</main>\n<footer>{foot}</footer>\n{tail}</body>\n</html>\n"
    )


def section(title: str, *blocks: Html, intro: str = "") -> Html:
    """A titled part of a page; the title also is its anchor."""
    anchor = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
    lead = f'<p class="intro">{markup(intro)}</p>' if intro else ""
    return Html(f'<section id="{anchor}"><h2>{markup(title)}</h2>{lead}\n{_join(blocks)}\n</section>')


def write(path: Path | str, text: str) -> None:
    """Writes a report's file, atomically."""
    write_text(Path(path), text)


def _contents(body: str) -> str:
    """Links to the sections, where there are enough of them to need some."""
    found = re.findall(r'<section id="([^"]*)"><h2>(.*?)</h2>', body)
    if len(found) < 3:
        return ""
    links = "".join(f'<a href="#{anchor}">{title}</a>' for anchor, title in found)
    return f'<nav aria-label="Sections">{links}</nav>'


@functools.cache
def _style() -> str:
    return Path(__file__).with_name("style.css").read_text(encoding="utf-8")
